"""What does a TIFF file say of its pixels, and how large they are?"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tifffile

UM = {"km": 1e9, "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "pm": 1e-6,
      "å": 1e-4, "in": 25400.0, "inch": 25400.0, "ft": 304800.0, "pt": 25400 / 72}
ORIENTED = 274  # the tag


@dataclass(frozen=True)
class Tags:
    """Of the first page. mpp: um per px along x and y, NaN where none is stated. wrong: why it is no upright 8-bit RGB
    image, in words; empty if it is one. pages: full-size pages."""

    mpp: tuple[float, float]
    wrong: str
    pages: int


def read_tags(path: Path) -> Tags | None:
    """The tags of a TIFF file; None for another file, or one that tifffile cannot read."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            same = sum(other.shape == page.shape for other in tiff.pages)
            return Tags(_ome(tiff) or _imagej(tiff, page) or _resolution(page), _wrong(page, same), same)
    except Exception:  # it raises many kinds on a broken file, which whoever reads the pixels will name
        return None


def _wrong(page: tifffile.TiffPage, pages: int) -> str:
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    kind = getattr(page.photometric, "name", str(page.photometric))
    if bits != 8:
        return f"{bits} bits a channel"
    if kind not in ("RGB", "YCBCR", "CIELAB") or page.samplesperpixel < 3:
        names = {"MINISBLACK": "gray", "MINISWHITE": "gray", "PALETTE": "a palette", "SEPARATED": "CMYK", "CFA": "raw"}
        return names.get(kind, kind) + (f" in {pages} pages" if pages > 1 else "")
    turned = page.tags.get(ORIENTED)
    return f"an image stored turned or mirrored (orientation {turned.value:d})" if turned and turned.value != 1 else ""


def _resolution(page: tifffile.TiffPage) -> tuple[float, float]:
    """From the tags XResolution and YResolution, px per inch or centimetre."""
    unit = page.tags.get("ResolutionUnit")
    um = {2: UM["inch"], 3: UM["cm"]}.get(int(unit.value) if unit else 2, math.nan)
    return tuple(_per_px(um, page.tags.get(name)) for name in ("XResolution", "YResolution"))


def _per_px(um: float, tag) -> float:
    if tag is None:
        return math.nan
    above, below = tag.value if isinstance(tag.value, tuple) else (tag.value, 1)
    return um * below / above if above and below else math.nan


def _ome(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    """From OME-XML: PhysicalSizeX and Y of the first image, with their units."""
    if not tiff.is_ome:
        return None
    pixels = next(part for part in ElementTree.fromstring(tiff.ome_metadata).iter() if part.tag.endswith("}Pixels"))
    sizes = [(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um")) for axis in "XY"]
    return tuple(_um(size, unit) for size, unit in sizes) if any(size for size, _ in sizes) else None


def _imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float, float] | None:
    """From ImageJ, which gives px per unit in the tags, and the unit in a text."""
    unit = (tiff.imagej_metadata or {}).get("unit") if tiff.is_imagej else None
    if not unit:
        return None
    unit = re.sub(r"\\u00B5", "u", str(unit), flags=re.I)
    return tuple(_per_px(_um("1", unit), page.tags.get(name)) for name in ("XResolution", "YResolution"))


def _um(number: str | None, unit: str) -> float:
    try:
        return float(number or "nan") * UM.get(unit.strip().lower().replace("µ", "u").replace("μ", "u"), math.nan)
    except ValueError:
        return math.nan
