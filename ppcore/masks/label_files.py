"""What does one label file say of its image?

    .png       class values, one channel or a palette, of the size of the image
    .geojson   of QuPath
    .json      the same, or of Labelme
    .xml       of ASAP or of Aperio ImageScope

Coordinates are px of the image's finest level. Classes are painted in the order of their table, later over earlier, and
within a class in the order of the file; a hole shows what lies beneath. What nobody drew is class 0.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ppcore.masks.annotation_xml import xml_regions
from ppcore.masks.documents import read_json, read_xml
from ppcore.masks.geojson import geojson_regions
from ppcore.masks.labelme import labelme_regions
from ppcore.masks.labels import Classes, value_of
from ppcore.masks.regions import Region, paint_regions, sort_out
from ppcore.study.errors import StudyError

KINDS = (".png", ".geojson", ".json", ".xml")


@dataclass
class LabelFile:
    """One label file, read.

    window: makes the label map (height, width) uint8 of a window from its corner (x, y), px of the image's finest
    level, its size (height, width) and its scale, px of that level per px of the window along x and y. unknown: number
    and area in px of the regions of each class that is not in the table, by its name; of a PNG by its value, as one
    region. left_out: number of regions, by reason.
    """

    window: Callable[[tuple[float, float], tuple[int, int], tuple[float, float]], np.ndarray]
    unknown: dict[str | int, tuple[int, float]] = field(default_factory=dict)
    left_out: Counter = field(default_factory=Counter)


def read_label_file(path: Path, height: int, width: int, classes: Classes,
                    scanned: tuple[int, int] = (0, 0)) -> LabelFile:
    """Read the labels of an image of that size. scanned: corner (x, y) of the part of a slide that was scanned.

    Raises `StudyError` for a file that is broken or of another size.
    """
    if path.suffix.lower() == ".png":
        values = read_values(path, height, width)
        counts = sum(np.bincount(row, minlength=256) for row in values)
        beyond = [value for value in np.flatnonzero(counts).tolist() if value >= len(classes)]
        return LabelFile(lambda corner, size, scale: _sample(values, corner, size, scale),
                         {value: (1, float(counts[value])) for value in beyond})
    regions, left_out = read_regions(path, height, width, scanned)
    unknown: dict[str | int, tuple[int, float]] = {}
    of_value: list[list[tuple[int, Region]]] = [[] for _ in classes]
    for region in regions:
        value = value_of(region.name, classes)
        if value is None:
            count, area = unknown.get(region.name, (0, 0.0))
            unknown[region.name] = count + 1, area + region.area
        else:
            of_value[value].append((value, region))
    ordered = [pair for pairs in of_value for pair in pairs]
    return LabelFile(lambda corner, size, scale: paint_regions(ordered, *size, corner, scale), unknown, left_out)


def read_regions(path: Path, height: int, width: int,
                 scanned: tuple[int, int] = (0, 0)) -> tuple[list[Region], Counter]:
    """The regions of a file that lie on an image of that size, and how many others there are, by reason."""
    try:
        if path.suffix.lower() == ".xml":
            regions, flat = xml_regions(read_xml(path, "ASAP or ImageScope"))
        elif isinstance(content := read_json(path, "QuPath or Labelme"), dict) and "shapes" in content:
            regions, flat = labelme_regions(path, height, width), Counter()
        else:
            regions, flat = geojson_regions(content, scanned)
        kept, left_out = sort_out(regions, height, width)
    except StudyError as error:
        said = str(error)
        raise StudyError(said if said.startswith(path.name) else f"{path.name} {said}") from None
    return kept, flat + left_out


def read_values(path: Path, height: int, width: int) -> np.ndarray:
    """The class values (height, width) uint8 of a PNG, of an image of that size. Raises `StudyError` for other files."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.size != (width, height):  # known from the header, before decoding
                raise StudyError(f"{path.name} has {image.height} x {image.width} px; wanted {height} x {width}, the "
                                 "size of its image: export it without downsampling")
            if image.mode not in ("L", "P", "1"):
                raise StudyError(f"{path.name} has the mode {image.mode}; wanted one channel of 8 bits, or a palette")
            return np.array(image, np.uint8)
    except StudyError:
        raise
    except Exception as error:  # decoders raise many kinds on a broken file
        raise StudyError(f"{path.name} cannot be read ({error}): save it again as PNG") from None


def _sample(values: np.ndarray, corner: tuple[float, float], size: tuple[int, int],
            scale: tuple[float, float]) -> np.ndarray:
    """The values at the centres of the px of a window; beyond the edge those at the edge."""
    columns, rows = (np.minimum((start + (np.arange(count) + 0.5) * step).astype(int), side - 1)
                     for start, count, step, side in zip(corner, size[::-1], scale, values.shape[::-1]))
    return values[np.ix_(rows, columns)]
