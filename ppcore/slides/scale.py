"""How large is a pixel, in um, and is that number to be believed?"""

import math
from collections.abc import Mapping

import openslide

from ppcore.slides.tags import Tags

BELIEVED = 0.05, 20.0  # um per px; finer is beyond light, coarser is meant for printing: 72 px an inch are 353 um
NOTHING = math.nan, math.nan


class SlideError(Exception):
    """One image that cannot be used: what was found in it and what to do. The cohort can do without it."""


def native_mpp(tags: Tags | None, properties: Mapping[str, str]) -> tuple[tuple[float, float], str]:
    """um per px along x and y of the finest level, NaN if nothing states it; and a remark on these numbers.

    tags: of a TIFF. properties: OpenSlide's; empty for a file that it does not read. A vendor's own statement comes
    first, then OME-XML and the tags, then the objective. Axes that differ by less than 1 % are taken as equal. Raises
    `SlideError` for a number that no microscope gives.
    """
    vendor = tuple(_number(properties.get(name)) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y))
    if tags and properties.get(openslide.PROPERTY_NAME_VENDOR) == "generic-tiff":
        vendor = NOTHING  # OpenSlide only repeats the tags
    x, y = next((pair for pair in (vendor, tags.mpp if tags else NOTHING) if any(size > 0 for size in pair)), NOTHING)
    x, y = (x if x > 0 else y), (y if y > 0 else x)
    least, most = BELIEVED
    if x > 0 and min(x, y) < least or (x > most) != (y > most):
        raise SlideError(f"it states {x:.4g} x {y:.4g} um per px, wanted {least:g} to {most:g}: correct its resolution "
                         "tags, or remove them to have it read as it is")
    if x <= most:
        return ((x, x) if abs(y / x - 1) < 0.01 else (x, y)), ""
    power = _number(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER))
    if 1 <= power <= 100:
        return (10 / power,) * 2, (f"states no um per pixel, but an objective of {power:g}x: taken as {10 / power:.3g} "
                                   "um/px")
    if x > most:
        return NOTHING, f"states {x:.4g} um per pixel, which is meant for printing: it is read as it is"
    return NOTHING, "states no um per pixel: it is read as it is"


def steps(native: tuple[float, float], mpp: float) -> tuple[float, float]:
    """px of the finest level that a px of `mpp` um spans along x and y; 1 where they differ by less than 5 %.

    Raises `SlideError` for an image that is coarser than wanted: enlarging it would invent the small structure that the
    study is about.
    """
    if math.isnan(native[0]):
        return 1.0, 1.0
    if max(native) > mpp / 0.95:
        raise SlideError(f"its finest level has {max(native):.3g} um/px, coarser than the wanted {mpp:.3g}: "
                         f"run with -p mpp={max(native):.3g} or more")
    return tuple(1.0 if mpp / size < 1.05 else mpp / size for size in native)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
