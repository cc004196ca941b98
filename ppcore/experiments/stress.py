"""Where does a segmenter fail? Its Dice on synthetic pairs in which one thing changes and all else stays."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from tqdm import tqdm

from ppcore.experiments.few import foreground, read_outlines
from ppcore.experiments.utility import measure
from ppcore.masks.labels import load_classes
from ppcore.methods.along import images_along, masks_along, share_of
from ppcore.methods.noise_gan import NoiseGAN
from ppcore.methods.noise_image import NoiseImage
from ppcore.methods.segmenter import Segmenter

PLACES = 5  # on an axis
STAIN = "stain, sd"
DARKEST = 2.0  # sd


def stress(chain: Path, gan: NoiseGAN, image: NoiseImage, segmenters: Mapping[str, Segmenter],
           outlines: int) -> tuple[pd.DataFrame, dict[str, list[np.ndarray]]]:
    """Dice along two axes: the share of the foreground in the outline's tissue, and how dark the stain is.

    gan, image: of the chain. outlines: how many of its patches lend theirs. The share goes from the 10th to the 90th
    percentile of its patches, at PLACES; the stain from DARKEST sd paler to as many darker, on the middle mask.
    Returns columns axis, asked, obtained, outline, segmenter, dice, and the images of the first outline by axis.
    """
    classes, (labels, given) = load_classes(chain / "patches"), read_outlines(chain, gan.settings)
    value = min(2, len(classes) - 1)
    wanted = np.quantile([share_of(*pair, value) for pair in zip(labels, given)], np.linspace(0.1, 0.9, PLACES))
    shifts, rows, shown = np.linspace(-DARKEST, DARKEST, PLACES), [], {}
    picked = given[:: max(1, len(given) // outlines)][:outlines]
    for number, outline in enumerate(tqdm(picked, desc="along axes", unit="outline")):
        masks = masks_along(gan, outline, value, wanted, number, classes)
        middle = [masks[PLACES // 2]] * PLACES
        for axis, found, places, stains in ((f"share of {classes[value].name}", masks, wanted, [0.5] * PLACES),
                                            (STAIN, middle, shifts, norm.cdf(shifts))):
            images = images_along(image, found, stains, number)
            shown.setdefault(axis, images)
            rows += [(axis, round(float(place), 3), share_of(mask, outline, value), number, name,
                      measure(model.predict(rgb), foreground(mask, classes))["dice"])
                     for mask, rgb, place in zip(found, images, places) for name, model in segmenters.items()]
    return pd.DataFrame(rows, columns=["axis", "asked", "obtained", "outline", "segmenter", "dice"]), shown
