"""How is a tile read from a slide or a field at a wanted resolution?"""

import math
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import openslide
from PIL import Image

OVERVIEW_PX = 2**24  # 48 MiB of RGB


class SlideError(Exception):
    """One image that cannot be used: what was found in it and what to do. The cohort can do without it."""


class WholeSlide:
    """A file that OpenSlide reads, seen at `mpp` um per pixel.

    Tiles come from the level just finer than wanted and are averaged down by area. A slide within 5 % of the wanted
    resolution is read without resampling. A coarser slide is refused: enlarging it would invent the small structure
    that the study is about.
    """

    def __init__(self, path: Path, mpp: float) -> None:
        try:
            self.openslide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise SlideError(f"OpenSlide cannot open it ({error}): copy the file again or remove it") from error
        self.native_mpp, self.remark = _resolution(self.openslide.properties)
        scale = 1.0 if math.isnan(self.native_mpp) else mpp / self.native_mpp
        if scale < 0.95:
            raise SlideError(f"its finest level has {self.native_mpp:.3g} um/px, coarser than the wanted {mpp:.3g}: "
                             f"run with -p mpp={self.native_mpp:.3g} or more")
        self.scale = 1.0 if scale < 1.05 else scale  # level-0 px per px of a tile
        self.mpp = self.native_mpp * self.scale
        self._level = self.openslide.get_best_level_for_downsample(self.scale * 1.001)
        self._factor = _whole_factor(self.openslide, self._level)
        width, height = self.openslide.dimensions
        self.size = int(width / self.scale), int(height / self.scale)

    def read(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """The tile whose upper left corner is (x, y), all in px of the wanted resolution.

        Returns (height, width, 3) uint8 RGB; transparent (unscanned) areas are white. Raises `SlideError`
        if the file is damaged.
        """
        try:
            rgba = np.asarray(self.openslide.read_region(*self.box(x, y, width, height)))
        except openslide.OpenSlideError as error:
            raise SlideError(f"damaged near x={x}, y={y} ({error}): copy the file again or remove it") from error
        return _on_white(rgba, width, height)

    def box(self, x: int, y: int, width: int, height: int) -> tuple[tuple[int, int], int, tuple[int, int]]:
        """The arguments of OpenSlide's `read_region` for a tile: corner (px of level 0), level, size (px of the level).

        OpenSlide scales the corner by its own ratio of level sizes, so the corner is corrected for that.
        """
        step = self.scale / self._factor
        own = step * self.openslide.level_downsamples[self._level]
        return (round(x * own), round(y * own)), self._level, (round(width * step), round(height * step))

    def overview(self) -> np.ndarray | None:
        """The whole slide at its coarsest level, (H, W, 3) uint8 RGB; None if that is too large to read quickly."""
        width, height = self.openslide.level_dimensions[-1]
        if width * height > OVERVIEW_PX:
            return None
        return self._whole_level(self.openslide.level_count - 1)

    def thumbnail(self, longest: int = 1024) -> np.ndarray:
        """The whole slide, (H, W, 3) uint8 RGB, with `longest` px on its longer side."""
        factor = longest / max(self.openslide.dimensions)
        size = tuple(max(1, round(side * factor)) for side in self.openslide.dimensions)
        level = self.openslide.get_best_level_for_downsample(1 / factor)
        return cv2.resize(self._whole_level(level), size, interpolation=cv2.INTER_AREA)

    def _whole_level(self, level: int) -> np.ndarray:
        """A level, averaged down further if it has more than `OVERVIEW_PX` px; read in strips, so that memory stays
        bounded."""
        width, height = self.openslide.level_dimensions[level]
        shrink = max(1, math.ceil(math.sqrt(width * height / OVERVIEW_PX)))
        strips, rows = [], max(1, 2**22 // width // shrink) * shrink
        for top in range(0, height, rows):
            corner = 0, round(top * self.openslide.level_downsamples[level])
            try:
                strip = np.asarray(self.openslide.read_region(corner, level, (width, min(rows, height - top))))
            except openslide.OpenSlideError as error:
                raise SlideError(f"damaged near y={corner[1]} ({error}): copy the file again or remove it") from error
            strips.append(_on_white(strip, max(1, width // shrink), max(1, len(strip) // shrink)))
        return np.concatenate(strips)


class Field:
    """A plain 8-bit RGB image (PNG, JPEG, TIFF). It states no resolution, so it is read without scaling."""

    scale = 1.0
    mpp = math.nan
    remark = ""

    def __init__(self, path: Path) -> None:
        try:
            with Image.open(path) as image:
                deep = any(";16" in str(tile.args) for tile in image.tile)  # Pillow would silently cut it to 8 bits
                if image.mode != "RGB" or deep:
                    found = "a 16-bit image" if deep else _MODES.get(image.mode, f"mode {image.mode}")
                    raise SlideError(f"found {found}, wanted 8-bit RGB: convert it (and place a transparent image on "
                                     "white) before the run")
                self._rgb = np.asarray(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SlideError(f"cannot be read ({error}): copy the file again or remove it") from error
        self.size = self._rgb.shape[1], self._rgb.shape[0]

    def read(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """As `WholeSlide.read`."""
        return self._rgb[y:y + height, x:x + width]

    def overview(self) -> None:
        """None: a field is read whole when opened, so an overview saves nothing."""

    def thumbnail(self, longest: int = 1024) -> np.ndarray:
        """As `WholeSlide.thumbnail`."""
        factor = min(1.0, longest / max(self.size))
        return _resize(self._rgb, round(self.size[0] * factor), round(self.size[1] * factor))


_MODES = {"L": "a gray image", "1": "a 1-bit image", "P": "a palette image", "RGBA": "an image with an alpha channel",
          "LA": "a gray image with an alpha channel", "CMYK": "a CMYK image", "I;16": "a 16-bit image",
          "I;16B": "a 16-bit image", "I": "a 32-bit image", "F": "a floating-point image"}


def open_slide(path: str | Path, mpp: float) -> WholeSlide | Field:
    """Open `path` at `mpp` um per pixel: through OpenSlide if it knows the format, else as a plain field.

    Raises `SlideError` for a damaged file, one that is coarser than wanted, and a field that is not 8-bit RGB.
    """
    path = Path(path)
    try:
        known = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError as error:
        raise SlideError(f"OpenSlide cannot open it ({error}): copy the file again or remove it") from error
    if known:
        return WholeSlide(path, mpp)
    if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff"):
        return Field(path)
    raise SlideError("not a slide that OpenSlide can read (truncated or another format): copy it again or remove it")


def _resolution(properties: Mapping[str, str]) -> tuple[float, str]:
    """um per px of level 0, NaN if nothing states it; and a remark on that number."""
    stated = _number(properties.get(openslide.PROPERTY_NAME_MPP_X))
    if 0.05 <= stated <= 20:  # a plain TIFF's 72 dpi is for printing and would mean 353 um
        return stated, ""
    power = _number(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER))
    if 1 <= power <= 100:
        return 10 / power, f"states no um per pixel, but an objective of {power:g}x: taken as {10 / power:.3g} um/px"
    return math.nan, "states neither um per pixel nor an objective: its level 0 is read as it is"


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _whole_factor(slide: openslide.OpenSlide, level: int) -> float:
    """How many px of level 0 one px of a level spans.

    Scanners shrink by whole factors and crop or pad the remainder; the ratio of the sizes, which OpenSlide uses, then
    drifts by up to one px of the level along the slide.
    """
    ratio = slide.level_downsamples[level]
    sizes = zip(slide.dimensions, slide.level_dimensions[level])
    return round(ratio) if all(abs(full / round(ratio) - small) < 1 for full, small in sizes) else ratio


def _on_white(rgba: np.ndarray, width: int, height: int) -> np.ndarray:
    """RGBA from OpenSlide -> RGB of the wanted size, white where transparent."""
    if rgba[..., 3].min() == 255:  # nearly always: nothing to fill in, so convert the smaller image
        return cv2.cvtColor(_resize(rgba, width, height), cv2.COLOR_RGBA2RGB)
    return _resize(np.where(rgba[..., 3:] == 0, 255, rgba[..., :3]).astype(np.uint8), width, height)


def _resize(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    if rgb.shape[:2] == (height, width):
        return rgb
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
