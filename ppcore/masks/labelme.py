"""How do outlines drawn in Labelme become a mask, and a mask such outlines?

The file is Labelme's own JSON: shapes with label, points (x, y) and shape_type. x runs right and y down, in px of the
image that was drawn on; pixel (0, 0) covers the square from 0 to 1. A pixel belongs to a shape if its centre does; a
polygon that crosses itself is filled by the even-odd rule, as on Labelme's screen.

Labelme has no holes. Here a shape whose label is in HOLES (upper or lower case) is cut out of the shapes before it;
any other label is tissue. So the order in the file counts: an island in a hole comes after the hole.
"""

import base64
import io
import json
import math
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ppcore.masks.documents import read_json
from ppcore.masks.labels import MASK, Classes
from ppcore.masks.regions import Region, cut_out, outlines, paint
from ppcore.study.errors import StudyError
from ppcore.study.files import write_text

HOLES = ("hole", "air", "background")
AREAS = {"polygon": 3, "rectangle": 2, "circle": 2, "oriented_rectangle": 4, "mask": 2}  # minimum number of points
LARGEST_BYTES = 16 * 2**20  # per file; Labelme stores the image in it
MOST_POINTS = 200_000  # per file; a drawing by hand has hundreds, the fine mask of a patch about ten thousand
EXACT = 0.25  # px between an outline and the nearest pixel centres, see `write_labelme`
MOST_SHAPES = 10_000  # per file; a wide one takes 3 ms at 512 x 1024 px
LARGEST_PX = 50_000_000  # of a picture, or of a file's bitmaps; decoded 400 MB, twice that with transparency


def read_labelme(path: str | Path, height: int, width: int, classes: Classes = MASK) -> tuple[np.ndarray, str]:
    """Tissue of a Labelme file, scaled to (height, width): mask (height, width) uint8 in {0, 1}, and a remark.

    classes: with more than two, a shape whose label is the name of one (upper or lower case) is painted with it, over
    the shapes before; any other label is tissue. The result is a label map.

    Reads polygons, rectangles (two corners, or four if rotated), circles (centre, a point on the rim) and masks
    (Labelme's bitmaps). Raises `StudyError` for any other file, one over LARGEST_BYTES, MOST_POINTS, MOST_SHAPES or
    LARGEST_PX, and for shapes that enclose nothing, such as lines.
    """
    path = Path(path)
    image_height, image_width, shapes = _load(path)
    scale = np.array([width / image_width, height / image_height])
    mask = np.zeros((height, width), np.uint8)
    values = {label.name.lower(): value for value, label in enumerate(classes) if value > 1}
    kinds, named, cuts, bitmaps = Counter(), Counter(), 0, 0
    for number, shape in enumerate(shapes, start=1):
        try:
            kind, points = _check_shape(shape, image_height, image_width)
            label = str(shape["label"]).strip().lower()
            hole, value = label in HOLES, values.get(label, 1)
            if kind == "mask":
                bitmaps = _check_bitmaps(bitmaps, points)
                mask[_sample_bitmap(shape, points, mask.shape, scale)] = 0 if hole else value
            else:
                paint(mask, _corners(kind, points) * scale, 0 if hole else value)
        except StudyError as error:
            raise StudyError(f"{path.name}: shape {number} of {len(shapes)} {error}") from None
        kinds[kind] += 1
        named.update([label] * (value > 1))
        cuts += hole
    remark = "outlines: " + (", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())) or "none")
    remark += "".join(f"; {count} of them {label}" for label, count in sorted(named.items()))
    return mask, remark + (f"; {cuts} of them cut out" if cuts else "") + size_remark(
        (image_height, image_width), (height, width))


def labelme_regions(path: str | Path, height: int, width: int) -> list[Region]:
    """The shapes of a Labelme file, drawn on an image of that size, as regions of the classes that their labels name.

    As in `read_labelme`, a shape whose label is in HOLES cuts those before it. Raises `StudyError` as that does, and
    for an image of another size.
    """
    path = Path(path)
    image_height, image_width, shapes = _load(path)
    if (image_height, image_width) != (height, width):
        raise StudyError(f"{path.name} was drawn on {image_height} x {image_width} px; wanted {height} x {width}, the "
                         "size of its image")
    drawn, holes, bitmaps = [], [], 0
    for number, shape in enumerate(shapes, start=1):
        try:
            kind, points = _check_shape(shape, height, width)
            label = shape["label"].strip()
            hole = label.lower() in HOLES
            if kind != "mask":
                parts = [(_corners(kind, points), [])]
            elif hole:
                raise StudyError("is a mask that cuts out: draw it as a polygon")
            else:
                bitmaps = _check_bitmaps(bitmaps, points)
                bitmap, *corner = _bitmap(shape, points)
                parts = [(outer + corner, [ring + corner for ring in own]) for outer, own in outlines(bitmap)]
        except StudyError as error:
            raise StudyError(f"{path.name}: shape {number} of {len(shapes)} {error}") from None
        if hole:
            holes += [(len(drawn), ring) for ring, _ in parts]
        else:
            drawn += [(label, *part) for part in parts]
    cuts = cut_out([outer for _, outer, _ in drawn], holes)
    return [Region(label, outer, (*own, *cut)) for (label, outer, own), cut in zip(drawn, cuts)]


def _check_bitmaps(before: float, points: np.ndarray) -> float:
    """px of a file's bitmaps up to this one; raises `StudyError` if they are too many to be decoded."""
    bitmaps = before + math.prod(np.abs(points[1] - points[0]) + 1)
    if bitmaps > LARGEST_PX:
        raise StudyError(f"brings its bitmaps to {bitmaps / 1e6:.0f} million px; wanted at most "
                         f"{LARGEST_PX / 1e6:.0f}: draw on a smaller image")
    return bitmaps


def size_remark(size: tuple[int, int], wanted: tuple[int, int]) -> str:
    """How a drawing of `size`, (height, width) in px, was resized, as the end of a remark; empty if it was not."""
    if size == wanted:
        return ""
    wider = wanted[1] / size[1] / (wanted[0] / size[0])
    stretch = f", aspect ratio not kept: {max(wider, 1 / wider):.2f} times {'wider' if wider > 1 else 'higher'}"
    return f"; resized from {size[0]} x {size[1]} px" + (stretch if abs(math.log(wider)) > 0.01 else "")


def write_labelme(path: str | Path, mask: np.ndarray, tolerance: float = 0.5) -> None:
    """Store a mask (H, W) in {0, 1} as polygons that Labelme opens and `read_labelme` reads, atomically.

    tolerance: px by which a polygon may deviate from the edge; below EXACT every pixel is restored, with more points.
    Tissue is labelled `tissue`, air inside it `hole`, outer shapes first. The file's image is the mask, dark on white.
    """
    double = cv2.resize(np.ascontiguousarray(mask, np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, tree = cv2.findContours(double, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    parents = tree[0, :, 3].tolist() if contours else []
    shapes = []
    for contour, parent in zip(contours, parents):
        depth = 0
        while parent >= 0:
            depth, parent = depth + 1, parents[parent]
        short = cv2.approxPolyDP(contour, 2 * tolerance, True) if tolerance else contour
        # the contour runs a quarter px beside the edge: it separates the centres of tissue and air pixels whichever of
        # the two it encloses
        points = ((short if len(short) > 2 else contour)[:, 0] + 0.5) / 2
        shapes.append((depth, {"label": "hole" if depth % 2 else "tissue", "points": points.tolist(), "group_id": None,
                               "description": "", "shape_type": "polygon", "flags": {}, "mask": None}))
    shown = cv2.imencode(".png", np.where(mask, np.uint8(0), np.uint8(255)))[1]
    write_text(path, json.dumps({
        "version": "5.5.0", "flags": {}, "shapes": [shape for _, shape in sorted(shapes, key=lambda pair: pair[0])],
        "imagePath": f"{Path(path).stem}.png", "imageData": base64.b64encode(shown).decode(),
        "imageHeight": mask.shape[0], "imageWidth": mask.shape[1]}))


def _load(path: Path) -> tuple[int, int, list[dict]]:
    """Image height and width and the shapes of a Labelme file, after the checks on the whole file."""
    content = read_json(path, "Labelme", LARGEST_BYTES, 6 * MOST_POINTS, "save it from Labelme without the image data")
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise StudyError(f"{path.name} is not a Labelme file, it has no list of shapes: save the drawing from "
                         "Labelme (GeoJSON is read if its name ends in .geojson; COCO is not)")
    height, width = sides = content.get("imageHeight"), content.get("imageWidth")
    if not all(type(side) is int and 0 < side <= 10**6 for side in sides):
        raise StudyError(f"{path.name}: imageHeight and imageWidth are {height!r:.20} and {width!r:.20}; wanted px, 1 "
                         "to a million: open it in Labelme beside its image and save it again")
    points = sum(len(shape["points"]) for shape in shapes if isinstance(shape.get("points"), list))
    for count, most, what in ((points, MOST_POINTS, "points"), (len(shapes), MOST_SHAPES, "shapes")):
        if count > most:
            raise StudyError(f"{path.name} has {count:,} {what}; wanted at most {most:,}: simplify its outlines")
    return height, width, shapes


def _check_shape(shape: dict, height: int, width: int) -> tuple[str, np.ndarray]:
    """Type and points (N, 2) of a shape; raises a `StudyError` that completes "shape 1 of 2 ..."."""
    kind = shape.get("shape_type") or "polygon"  # early versions of Labelme had no other
    if not isinstance(kind, str) or kind not in AREAS:
        raise StudyError(f"is a {kind!r:.40}, which encloses nothing: wanted {', '.join(AREAS)}")
    if not isinstance(shape.get("label"), str):
        raise StudyError(f"has the label {shape.get('label')!r:.40}: wanted text")
    points = shape.get("points")
    try:
        points = np.array(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < AREAS[kind]:
        raise StudyError(f"has no points for a {kind}: wanted {AREAS[kind]} or more pairs of x and y")
    size = np.array([width, height])
    if not ((points >= -size).all() and (points <= 2 * size).all()):  # NaN fails too
        raise StudyError(f"has points far outside its image of {height} x {width} px: draw it again")
    return kind, points


def _corners(kind: str, points: np.ndarray) -> np.ndarray:
    """The polygon (N, 2) of a shape; a circle becomes one of 360 corners, .005 % smaller."""
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points[:2]
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if kind == "circle":
        angles = np.radians(np.arange(360))
        return points[0] + math.dist(*points[:2]) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return points


def _bitmap(shape: dict, points: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Labelme's `mask`, a PNG whose upper left and lower right pixel are `points`: bool (h, w), its left and its top."""
    (left, top), (right, bottom) = points[:2].round().astype(int).tolist()
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"])), formats=("PNG",)) as image:
            if image.size != (right - left + 1, bottom - top + 1):  # known from the header, before decoding
                raise StudyError(f"is a mask of {image.height} x {image.width} px in a box of {bottom - top + 1} x "
                                 f"{right - left + 1}: draw it again")
            return np.asarray(image.convert("L")) > 0, left, top
    except StudyError:
        raise
    except Exception as error:  # base64 and the decoder raise many kinds
        raise StudyError(f"is a mask whose bitmap cannot be read ({error}): draw it again") from None


def _sample_bitmap(shape: dict, points: np.ndarray, wanted: tuple[int, int], scale: np.ndarray) -> np.ndarray:
    """A bitmap in its place, bool of the size `wanted`, (height, width). scale: of the image to that, along x and y."""
    bitmap, left, top = _bitmap(shape, points)
    rows, columns = (((np.arange(size) + 0.5) / step).astype(int) - first
                     for size, step, first in zip(wanted, scale[::-1], (top, left)))
    within = [(place >= 0) & (place < size) for place, size in zip((rows, columns), bitmap.shape)]
    inside = np.zeros(wanted, bool)
    inside[np.ix_(*within)] = bitmap[np.ix_(rows[within[0]], columns[within[1]])]
    return inside
