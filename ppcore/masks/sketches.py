"""What did a person draw? Pictures, Labelme files and QuPath's GeoJSON as masks.

A sketch is a mask (H, W) uint8 in {0, 1}, 1 = tissue, much coarser than C(m) (section 2.4; readings R10, R12). In a
cohort of several classes it is a label map: a coloured picture (`colours`), or outlines with names of classes.
"""

import warnings
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageOps

from ppcore.masks.colours import is_coloured, nearest_classes, stored_classes
from ppcore.masks.geojson import read_geojson
from ppcore.masks.labelme import LARGEST_PX, read_labelme, size_remark
from ppcore.masks.labels import MASK, Classes
from ppcore.study.errors import StudyError, some, warn

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
OUTLINES = (".json", ".geojson")  # of Labelme and QuPath; a picture of the same name was drawn on
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
DRAWINGS = OUTLINES + PICTURES  # suffixes of drawings
FOREIGN = (".xml", ".annotations")  # outlines of ASAP or ImageScope, and HALO
LEAST_CONTRAST = 12 / 255  # of darkest and lightest, as a share of the range; less is blank paper with JPEG noise
# Width of the frame, as a share of the shorter side, and the share of the frame that paper must have. At .98, 93 % of
# simulated dark-on-light sketches of patches are read correctly, at .75 only 61 %: tissue fills their frames.
FRAME, PAPER_SHARE = 0.02, 0.98
NAMED = 5  # drawings that a warning gives the reason of, one by one

Tissue = Literal["auto", "dark", "light"]


def read_sketch(path: str | Path, height: int, width: int, tissue: Tissue = "auto", allow_plain: bool = False,
                classes: Classes = MASK) -> tuple[np.ndarray, str]:
    """Read a picture, Labelme JSON or GeoJSON: mask (height, width) uint8 in {0, 1}, and how it was read, in words.

    A pixel is dark or light if it is below or above the midpoint of the picture's darkest and lightest gray (luma).
    The share of tissue is averaged by area to the wanted size; above a half is tissue. Transparent areas were not
    drawn on; opaque ones are drawn in the tone that most of them have. In a picture without transparency, `tissue`
    says which tone is tissue. "auto" takes as paper the tone that covers at least PAPER_SHARE of the frame; if neither
    does, it guesses dark on light, as people draw, and the remark says so. It errs where tissue fills the frame, and
    on nearly all light-on-dark drawings of patches: use "light" for those, and for masks stored by this study. In a
    mask of two values too close for the eye, such as 0 and 1, the larger one is tissue.

    classes: those of the cohort. With more than two a drawing is a label map, if it has colours or names of classes; a
    gray picture still says tissue and air. GeoJSON: see `geojson.read_geojson`; a picture beside it, of the same name,
    gives the size of what was drawn on.

    Raises `StudyError` for a file that cannot be read, is too large or, unless `allow_plain`, has only one tone.
    A picture of one tone is air under "auto". Lines are not closed or filled: what is drawn is the tissue itself.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        mask, remark = read_labelme(path, height, width, classes)
    elif path.suffix.lower() == ".geojson":
        size = _drawn_on(path)
        mask, remark = read_geojson(path, height, width, classes, size)
        remark += size_remark(size or (height, width), (height, width))
    else:
        image = _read_picture(path)
        if (drawn := stored_classes(image, classes)) is not None:
            remark = "in the colours of the classes"
        elif len(classes) > 2 and is_coloured(image):
            drawn, remark = nearest_classes(image, classes)
        else:
            drawn, remark = _split_tones(*_gray(image, path.name), tissue)
        mask = resize_labels(drawn, height, width, len(classes))
        remark += size_remark(drawn.shape, (height, width))
    if not allow_plain and mask.min() == mask.max():
        raise StudyError(f"{path.name} is all {'tissue' if mask.any() else 'air'} at {height} x {width} px ({remark}): "
                         f"draw {'some air' if mask.any() else 'the tissue as filled areas'}, or remove it")
    return mask, remark


def list_drawings(folder: str | Path) -> tuple[list[Path], dict[str, list[str]]]:
    """The drawings of a folder, and all its other entries, as names by the reason why they are none.

    A drawing is a file that ends in one of DRAWINGS, or <name>/sketch.png, saved by the drawing page. Hidden entries
    count as neither. Raises `StudyError` if the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StudyError(f"{folder} is not a folder: wanted one with drawings ({', '.join(DRAWINGS)})")
    drawings: list[Path] = []
    others: dict[str, list[str]] = {}
    for path in sorted(folder.glob("[!.]*")):
        if path.is_dir() and (path / "sketch.png").is_file():
            drawings.append(path / "sketch.png")
        elif path.is_file() and path.suffix.lower() in DRAWINGS:
            drawings.append(path)
        else:
            others.setdefault(_why_not(path), []).append(path.name)
    return drawings, others


def _why_not(path: Path) -> str:
    if path.is_dir():
        return "folders without a sketch.png (put the drawings themselves into one folder)"
    if not path.exists():
        return "links to files that are not there (copy the files)"
    if path.suffix.lower() in FOREIGN:
        return "outlines of another program (export GeoJSON or pictures; for white tissue add -p sketch_tone=light)"
    return f"files that do not end in {' '.join(DRAWINGS)}"


def load_sketches(folder: str | Path, height: int, width: int, tissue: Tissue = "auto",
                  classes: Classes = MASK) -> list[tuple[str, np.ndarray, str]]:
    """All drawings of a folder, by name: (name, mask (height, width) in {0, 1}, remark), as `read_sketch` reads them.

    name: the file's, without its suffix. An image beside outlines of the same name was drawn on and is not a drawing.
    Of what the drawing page saved, the name is the folder's and tissue is light. Drawings that cannot be used, and
    entries of the folder that are none, are left out, and a warning says why. Raises `StudyError` if nothing is left,
    or like `list_drawings`.
    """
    folder = Path(folder)
    files, others = list_drawings(folder)
    found: dict[str, tuple[np.ndarray, str]] = {}
    outlined, wrong = set(), []
    for path in sorted(files, key=lambda path: (path.suffix.lower() not in OUTLINES, str(path))):
        name = path.stem if path.parent == folder else path.parent.name
        if path.suffix.lower() in OUTLINES:
            outlined.add(path.stem)
        elif path.stem in outlined:
            continue
        if name in found:
            wrong.append(f"{path.name} has the same name as another drawing: rename it")
            continue
        try:
            tone = tissue if path.parent == folder else "light"
            found[name] = read_sketch(path, height, width, tone, classes=classes)
        except StudyError as error:
            wrong.append(str(error))
    said = []
    if wrong:
        more = [f"and {len(wrong) - NAMED} more"] if len(wrong) > NAMED else []
        said.append(f"{len(wrong)} of the {len(files)} drawings in {folder} are left out: "
                    + "; ".join(wrong[:NAMED] + more))
    said += [f"not read in {folder}, {why}: {some(names)}" for why, names in others.items()]
    if not found:
        wanted = f"files that end in {' '.join(DRAWINGS)}, or folders that the drawing page saved"
        raise StudyError("; ".join([f"{folder} holds no usable drawing: wanted {wanted}", *said]))
    for sentence in said:
        warn(sentence)
    return [(name, *found[name]) for name in sorted(found)]


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Mask (H, W) in {0, 1} or bool -> (height, width) uint8 in {0, 1}: tissue where it covers over half the area."""
    share = np.asarray(mask, np.float32)
    if share.shape == (height, width):
        return (share > 0.5).astype(np.uint8)
    # first shrink, averaging by area; then enlarge, so that edges are not stepped
    share = cv2.resize(share, (min(width, share.shape[1]), min(height, share.shape[0])), interpolation=cv2.INTER_AREA)
    return (cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5).astype(np.uint8)


def resize_labels(labels: np.ndarray, height: int, width: int, count: int) -> np.ndarray:
    """Label map (H, W) of `count` classes -> (height, width): tissue as in `resize_mask`, and so each class over it."""
    tissue = resize_mask(labels > 0, height, width)
    resized = tissue.copy()
    for value in range(2, count):
        resized[(resize_mask(labels == value, height, width) & tissue) > 0] = value
    return resized


def _drawn_on(path: Path) -> tuple[int, int] | None:
    """Height and width of the picture beside outlines, of the same name; None if there is none."""
    beside = next((other for other in sorted(path.parent.iterdir())
                   if other.stem == path.stem and other.suffix.lower() in PICTURES), None)
    if beside is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # only its header is read
            with Image.open(beside, formats=FORMATS) as image:
                return image.height, image.width
    except Exception as error:  # Pillow raises many kinds
        raise StudyError(f"{beside.name}, on which {path.name} was drawn, cannot be read ({error}): wanted "
                         f"{', '.join(FORMATS)}") from None


def _read_picture(path: Path) -> Image.Image:
    """A picture, upright. Of a TIFF, the first page; one more of that size would be another drawing, or a channel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below
            image = Image.open(path, formats=FORMATS)
        with image:
            if image.width * image.height > LARGEST_PX:
                raise StudyError(f"{path.name} has {image.height} x {image.width} px; wanted at most "
                                 f"{LARGEST_PX / 1e6:.0f} million in all: save it smaller")
            pages, size = image.n_frames if image.format == "TIFF" else 1, image.size
            if pages > 1:
                image.seek(1)
                if image.size == size:
                    raise StudyError(f"{path.name} holds {pages} pages: wanted one; save each as a file of its own")
                image.seek(0)
            image.load()
            return ImageOps.exif_transpose(image)  # a phone held upright
    except StudyError:
        raise
    except Image.DecompressionBombError:  # Pillow refuses it, too
        raise StudyError(f"{path.name} has more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} million px; wanted at most "
                         f"{LARGEST_PX / 1e6:.0f} million in all: save it smaller") from None
    except Exception as error:  # decoders raise many kinds on a broken file
        raise StudyError(f"{path.name} cannot be read ({error}): wanted {', '.join(FORMATS)}, a Labelme .json or "
                         "a QuPath .geojson; export it again, with 8 bits a channel") from None


def _gray(image: Image.Image, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Gray (H, W) float32 in [0, 1] of a picture, and bool (H, W) of what is opaque, None if all is."""
    if image.mode.startswith(("I", "F")):
        gray = np.asarray(image, np.float32)
        if not np.isfinite(gray).all():
            raise StudyError(f"{name} holds values that are no numbers: export it again, with 8 bits a channel")
        return gray / (1 if image.mode == "F" and gray.max() <= 1 else 65535), None  # 16 bits, or a share
    if image.has_transparency_data:
        gray, alpha = (np.asarray(band) for band in image.convert("RGBA").convert("LA").split())
        return gray.astype(np.float32) / 255, alpha > 127 if alpha.min() <= 127 else None
    return np.asarray(image.convert("L"), np.float32) / 255, None


def _split_tones(gray: np.ndarray, opaque: np.ndarray | None, tissue: Tissue) -> tuple[np.ndarray, str]:
    """Where a picture shows tissue, bool (H, W), and a remark on its tones."""
    remark = ""
    if opaque is not None:
        if tissue == "auto":
            tissue = "light" if opaque.any() and np.median(gray[opaque]) > 0.5 else "dark"
        gray, remark = np.where(opaque, gray, np.float32(tissue == "dark")), ", on a transparent background"
    darkest, lightest = gray.min(), gray.max()
    dark = gray < (darkest + lightest) / 2
    if lightest - darkest < LEAST_CONTRAST:
        if darkest < lightest and ((gray == darkest) | (gray == lightest)).all():
            return dark if tissue == "dark" else ~dark, f"a mask of two values{remark}"
        tone = "dark" if gray.mean() < 0.5 else "light"
        return np.full(gray.shape, tone == tissue), f"one tone, {tone}{remark}"
    if tissue == "auto":
        around = max(1, round(FRAME * min(dark.shape)))
        frame = np.ones(dark.shape, bool)
        frame[around:-around, around:-around] = False
        share = dark[frame].mean()
        tissue = "light" if share >= PAPER_SHARE else "dark"
        if 1 - PAPER_SHARE < share < PAPER_SHARE:
            remark = f", a guess: {share:.0%} of the frame is dark"
    return (dark, f"dark on light{remark}") if tissue == "dark" else (~dark, f"light on dark{remark}")
