"""How do the pairs of a set go to QuPath: their masks as GeoJSON, and their images as slides?

    <folder>/fine/<pair>.geojson           the regions of the fine mask, over an image of the same size
    <folder>/slides/<pair>.tif             the image, a lossless pyramid with its um per px, which OpenSlide opens, too
    <folder>/slides/<pair>_labels.tif      the fine mask in the colours of its classes, likewise
    <folder>/slides/<pair>.geojson         as the first; lies over both
"""

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ppcore.drawing.models import Models, in_the_box
from ppcore.masks.geojson import write_geojson
from ppcore.masks.labels import load_classes, palette
from ppcore.masks.make import read_mask
from ppcore.masks.patches import load_index, read_image
from ppcore.slides.pyramid import write_pyramid
from ppcore.study.errors import StudyError, warn
from ppcore.study.runs import data_folder

BOX_MPP = 1.0  # um per px of the patches that the model in the box was trained on


def export_geojson(models: Models, folder: str | Path, pairs: Iterable[str]) -> None:
    """Store the fine mask of each of `pairs` as GeoJSON beside it."""
    classes = load_classes(data_folder(models.profile, models.cohort) / "patches")
    for pair in tqdm(list(pairs), desc="GeoJSON", unit="pair"):
        fine = Path(folder) / "fine" / f"{pair}.png"
        write_geojson(fine.with_suffix(".geojson"), read_mask(fine), classes)


def export_slides(models: Models, folder: str | Path, pairs: Iterable[str], mpp: float) -> None:
    """Store each of `pairs` as a slide, with its labels as another one and as GeoJSON. mpp: um per px.

    Without an image model there are no images: only the labels are stored, with a warning.
    """
    classes = load_classes(data_folder(models.profile, models.cohort) / "patches")
    place = Path(folder) / "slides"
    if models.image is None:
        warn(f"cohort {models.cohort} has no trained image model: slides of the labels are stored, none of images")
    for pair in tqdm(list(pairs), desc="slides", unit="pair"):
        labels = read_mask(Path(folder) / "fine" / f"{pair}.png")
        colours = palette(classes)[labels]
        write_pyramid(place / f"{pair}_labels.tif", colours, mpp, "PriorPath", "lossless", averaged=False)
        write_geojson(place / f"{pair}.geojson", labels, classes)
        if models.image:
            image = read_image(Path(folder) / "rgb" / f"{pair}.webp")
            write_pyramid(place / f"{pair}.tif", image, mpp, "PriorPath", "lossless")


def slide_mpp(models: Models) -> float:
    """um per px of a cohort's patches, their median. Raises `StudyError` if its images state none."""
    patches = data_folder(models.profile, models.cohort) / "patches"
    if in_the_box(models.profile, models.cohort, models.method) and not (patches / "index.csv").exists():
        return BOX_MPP
    mpp = float(pd.to_numeric(load_index(patches)["mpp"]).median())
    if math.isnan(mpp):
        raise StudyError(f"the images of cohort {models.cohort} state no um per px, which a slide needs: give it as "
                         "--mpp 0.5")
    return mpp
