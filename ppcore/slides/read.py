"""How is a tile read from a slide or a field at a wanted resolution?"""

import io
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import openslide
from PIL import Image, ImageCms, ImageOps

from ppcore.slides.folder import FIELDS, named_parts
from ppcore.slides.scale import SlideError, native_mpp, steps
from ppcore.slides.tags import ORIENTED, read_tags

OVERVIEW_PX = 2**24  # 48 MiB of RGB
LARGEST_FIELD = 10**9  # px, 3 GB of RGB
Image.MAX_IMAGE_PIXELS = LARGEST_FIELD  # Pillow's own limit takes a field of 180 million px for an attack


class WholeSlide:
    """A file that OpenSlide reads, seen at `mpp` um per pixel.

    Tiles come from the level just finer than wanted and are averaged down by area, each axis by its own um per pixel.
    A slide within 5 % of the wanted resolution is read without resampling. A coarser slide is refused.
    scale: px of level 0 that a px of a tile spans, along x and y. full: width and height of level 0. scanned: corner
    (x, y) on level 0 of the part that was scanned, (0, 0) if the file states nothing. mpp: um per px of a tile, NaN if
    it states nothing. remark: what a user should know about the file.
    """

    def __init__(self, path: Path, mpp: float) -> None:
        try:
            self.openslide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise SlideError(f"OpenSlide cannot open it ({error}): {_missing_part(path) or 'copy the file again'}, or "
                             "remove it") from error
        tags, properties = read_tags(path), self.openslide.properties
        page_is_level = properties.get(openslide.PROPERTY_NAME_VENDOR) in ("generic-tiff", "aperio")
        if tags and tags.wrong and page_is_level:
            raise SlideError(f"found {tags.wrong}, wanted 8-bit RGB: convert it before the run")
        native, stated = native_mpp(tags, properties)
        self.scale = steps(native, mpp)  # level-0 px per px of a tile
        self.mpp = native[0] * self.scale[0]
        more = tags and page_is_level and tags.pages > 1
        self.remark = _remarks(stated, f"has {tags.pages} pages of one size, the first is read" if more else "",
                               _profile_remark(lambda: self.openslide.color_profile))
        self._level = self.openslide.get_best_level_for_downsample(min(self.scale) * 1.001)
        self._factor = _whole_factor(self.openslide, self._level)
        self.full = self.openslide.dimensions
        self.scanned = tuple(int(properties.get(name, 0)) for name in (openslide.PROPERTY_NAME_BOUNDS_X,
                                                                        openslide.PROPERTY_NAME_BOUNDS_Y))
        self.size = tuple(int(side / step) for side, step in zip(self.full, self.scale))

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
        step = [scale / self._factor for scale in self.scale]
        own = [part * self.openslide.level_downsamples[self._level] for part in step]
        return (round(x * own[0]), round(y * own[1])), self._level, (round(width * step[0]), round(height * step[1]))

    def overview(self) -> np.ndarray | None:
        """The whole slide at its coarsest level, (H, W, 3) uint8 RGB; None if that is too large to read quickly."""
        width, height = self.openslide.level_dimensions[-1]
        if width * height > OVERVIEW_PX:
            return None
        return self._whole_level(self.openslide.level_count - 1)

    def thumbnail(self, longest: int = 1024) -> np.ndarray:
        """The whole slide, (H, W, 3) uint8 RGB, with at most `longest` px on its longer side."""
        width, height = _fit(self.size, longest)
        level = self.openslide.get_best_level_for_downsample(max(self.openslide.dimensions) / max(width, height))
        return _resize(self._whole_level(level), width, height)

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
    """A plain 8-bit RGB image (PNG, JPEG, TIFF), upright. Attributes and methods as those of `WholeSlide`.

    A TIFF's tags are believed as a slide's are. A PNG or JPEG states only how large it is to be printed, so it is read
    as it is.
    """

    def __init__(self, path: Path, mpp: float) -> None:
        tags = read_tags(path)
        native, stated = native_mpp(tags, {})
        try:
            with Image.open(path) as image:
                if image.width * image.height > LARGEST_FIELD:
                    raise SlideError(_too_large(f"{image.width} x {image.height} px"))
                self._rgb, turned, remark = _upright_rgb(image, tags.pages if tags else 1)
        except Image.DecompressionBombError:
            raise SlideError(_too_large("more than twice as many px")) from None
        except SlideError:
            raise
        except Exception as error:  # decoders raise many kinds on a broken file
            raise SlideError(f"cannot be read ({error}): copy the file again or remove it") from error
        native = native[::-1] if turned in (5, 6, 7, 8) else native  # stored with its axes exchanged
        self.scale = steps(native, mpp)
        self.mpp = native[0] * self.scale[0]
        self.remark = _remarks(stated, remark)
        self.full, self.scanned = self._rgb.shape[1::-1], (0, 0)
        self.size = tuple(int(side / step) for side, step in zip(self.full, self.scale))

    def read(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """As `WholeSlide.read`."""
        (left, top), (across, down) = ([round(side * step) for side, step in zip(pair, self.scale)]
                                       for pair in ((x, y), (width, height)))
        return _resize(self._rgb[top:top + down, left:left + across], width, height)

    def overview(self) -> None:
        """None: a field is read whole when opened, so an overview saves nothing."""

    def thumbnail(self, longest: int = 1024) -> np.ndarray:
        """As `WholeSlide.thumbnail`."""
        return _resize(self._rgb, *_fit(self.size, longest))


def open_slide(path: str | Path, mpp: float) -> WholeSlide | Field:
    """Open `path` at `mpp` um per pixel: through OpenSlide if it knows the format, else as a plain field.

    Raises `SlideError` for a damaged file, one that is coarser than wanted, and one that is not 8-bit RGB.
    """
    path = Path(path)
    try:
        known = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError as error:
        raise SlideError(f"OpenSlide cannot open it ({error}): copy the file again or remove it") from error
    if known:
        return WholeSlide(path, mpp)
    if path.suffix.lower() in FIELDS:
        return Field(path, mpp)
    raise SlideError("not a slide that OpenSlide can read (truncated, incomplete or another format): "
                     f"{_missing_part(path) or 'copy it again'}, or remove it")


_MODES = {"L": "a gray image", "1": "a 1-bit image", "P": "a palette image", "RGBA": "an image with transparent areas",
          "LA": "a gray image with an alpha channel", "CMYK": "a CMYK image", "I;16": "a 16-bit image",
          "I;16B": "a 16-bit image", "I": "a 32-bit image", "F": "a floating-point image"}


def _upright_rgb(image: Image.Image, pages: int) -> tuple[np.ndarray, int, str]:
    """(H, W, 3) uint8 of an opened image, the orientation it was stored in, and what was done to it.

    Raises `SlideError` if it is not 8-bit RGB.
    """
    # Pillow would silently cut it to 8 bits. Looked up first, since asking a PNG for its EXIF reads its pixels.
    deep = any(";16" in str(tile.args) for tile in image.tile)
    turned = image.getexif().get(ORIENTED, 1)
    icc = image.info.get("icc_profile")
    profile = _profile_remark(lambda: ImageCms.ImageCmsProfile(io.BytesIO(icc)) if icc else None)
    rgb, opaque = image, ""
    if image.mode == "RGBA" and not deep and image.getchannel("A").getextrema()[0] == 255:
        rgb, opaque = image.convert("RGB"), "its alpha channel, opaque everywhere, is left out"
    if rgb.mode != "RGB" or deep:
        found = "a 16-bit image" if deep else _MODES.get(image.mode, f"mode {image.mode}")
        raise SlideError(f"found {found}{f' of {pages} pages' if pages > 1 else ''}, wanted 8-bit RGB: convert it (and "
                         "place a transparent image on white) before the run")
    rgb = np.asarray(ImageOps.exif_transpose(rgb))  # Pillow itself turns a TIFF
    return rgb, turned, _remarks(f"turned upright, as its orientation {turned} asks" if turned in range(2, 9) else "", opaque,
                         f"has {pages} pages, the first is read" if pages > 1 else "", profile)


def _profile_remark(read: Callable[[], ImageCms.ImageCmsProfile | None]) -> str:
    """A remark on a colour profile other than sRGB. read: gets it, None if there is none; it may be damaged."""
    try:
        profile = read()
        name = " ".join((profile.profile.profile_description or "without a name").split()) if profile else "sRGB"
    except Exception:  # an image is as good without it
        name = "damaged"
    return "" if "srgb" in name.lower() else f"its colour profile ({name}) is not applied: colours are read as stored"


def _remarks(*remarks: str) -> str:
    return "; ".join(remark for remark in remarks if remark)


def _too_large(found: str) -> str:
    return (f"a field of {found}, wanted at most {LARGEST_FIELD // 10**6:,} million px: save it as a tiled pyramid, which "
            "is read piece by piece (vips tiffsave --tile --pyramid)")


def _missing_part(path: Path) -> str:
    """What to do if another file that belongs to a slide is not beside it; empty if nothing is known to be missing."""
    kind = path.suffix.lower()
    if kind == ".mrxs" and not path.with_suffix("").joinpath("Slidedat.ini").is_file():
        return f"the folder {path.stem}/ with its Slidedat.ini must lie beside it: copy that too"
    missing = [part.name for part in named_parts(path) if not part.is_file()] if kind in (".vms", ".vmu") else []
    return f"it names {', '.join(missing[:3])}, which must lie beside it: copy that too" if missing else ""


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


def _fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Width and height of at most `longest` px, of the same shape as `size`."""
    factor = min(1.0, longest / max(size))
    return tuple(max(1, round(side * factor)) for side in size)


def _resize(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    if rgb.shape[:2] == (height, width):
        return rgb
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
