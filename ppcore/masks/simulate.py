"""What would a person have drawn? Simulated sketches, and variations of any sketch.

A sketch is a mask (H, W) uint8 in {0, 1}, 1 = tissue, or a label map, whose further classes lie on tissue. Lengths are
in px of the paper's patch, 512 px high; they scale with the shorter side of a patch.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from ppcore.masks.labels import MASK, Classes, layers, write_labels
from ppcore.masks.make import coarse_mask
from ppcore.masks.specks import without_small
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file, write_text
from ppcore.study.seeds import mix

MARK = ".sketch_set"  # an empty file that marks a set, even after the workflow removed its index
INDEX = ("sketch", "origin", "source", "accuracy", "seed", "tissue_fraction", "sketch_hash")


@dataclass(frozen=True)
class Hand:
    """How a person draws what a mask shows."""

    blur: float  # px, sd of the blur through which the hand sees the mask
    simplify: float  # px by which its straight strokes may deviate from the edge
    wobble: float  # px, sd of its error, similar at neighbouring points
    brush: float  # px, diameter: nothing is narrower, no corner sharper
    least: float  # share of the patch: smaller islands and holes are left out


# Reading R12 leaves the amounts open. We chose them so that even `careful` is much coarser than C(m) (readings R9,
# R10), whose kernels are 5 and 10 px at any size: still true at 256 px height, but not for much smaller patches.
HANDS = {"careful": Hand(blur=8, simplify=6, wobble=4, brush=24, least=0.003),
         "quick": Hand(blur=14, simplify=12, wobble=7, brush=40, least=0.008),
         "rough": Hand(blur=24, simplify=22, wobble=12, brush=64, least=0.02)}
MARGIN = 128  # px around the patch, mirrored, so that a hand draws across its frame and not along it
WOBBLE_PX, ELASTIC_PX = 64, 128  # between the nodes of a field of displacements

# The amounts of reading R13, or our own where it gives none.
TURN, ZOOM, THICKEN = 15, (0.8, 1.25), 8  # degrees to either side; factor; px to either side
ELASTIC, WINDOW = 12, 0.75  # px, largest sd of a displacement; smallest side of the crop, as a share of the frame's
TRIES = 20  # attempts at one that is neither all air nor all tissue


@dataclass(frozen=True)
class Sketch:
    """A sketch and where it comes from: drawn by a person, or simulated with an accuracy of HANDS from a train mask."""

    name: str
    mask: np.ndarray
    source: Literal["drawn", "simulated"]
    accuracy: str = ""  # of a simulated one
    origin: str = ""  # file of the drawing, or train patch; empty: the name


def simulate_sketch(mask: np.ndarray, seed: int, accuracy: str,
                    dense: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """What a hand of this `accuracy` ("careful", "quick", "rough") would draw for a TRAIN mask (reading R12).

    mask: (H, W) in {0, 1}. Returns (H, W) uint8 in {0, 1}. The edge of the blurred mask becomes polygons (Douglas and
    Peucker 1973). Their corners are displaced and a round brush fills them; small islands and holes are left out. If
    that leaves one tone of a mask that has two, the other becomes a dot of the brush at its widest place. The same
    arguments give the same sketch. Raises `StudyError` for an unknown accuracy.

    Of a label map, the hand draws the tissue like that of a mask, and over it, in the same way, the places where
    further classes are dense (`coarse_mask`; dense: its kernels of classes 2, 3, ..., px). It misses all edges alike.
    """
    if accuracy not in HANDS:
        raise StudyError(f"accuracy {accuracy!r} is not known: take one of {', '.join(HANDS)}")
    mask = np.ascontiguousarray(mask, np.uint8)
    sketch = _draw(np.minimum(mask, 1), seed, HANDS[accuracy])
    if dense:
        coarse = coarse_mask(mask, dense=dense)
        drawn = [_draw(layer, seed, HANDS[accuracy]) for layer in layers(coarse, 2 + len(dense))[1:]]
        sketch = _paint(sketch, drawn)
    return sketch


def _draw(mask: np.ndarray, seed: int, hand: Hand) -> np.ndarray:
    """What a hand draws for a mask in {0, 1}; its errors depend on the seed alone, not on the mask."""
    if mask.min() == mask.max():
        return mask.copy()
    (height, width), unit = mask.shape, _unit(mask)
    margin = round(MARGIN * unit)
    seen = cv2.copyMakeBorder(mask.astype(np.float32), *[margin] * 4, cv2.BORDER_REFLECT)
    seen = (cv2.GaussianBlur(seen, (0, 0), hand.blur * unit) > 0.5).astype(np.uint8)
    missed = _field(np.random.default_rng(seed), seen.shape, WOBBLE_PX * unit, hand.wobble * unit)
    corners = [cv2.approxPolyDP(contour, hand.simplify * unit, True)[:, 0]
               for contour in cv2.findContours(seen, cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)[0]]
    corners = [np.rint(each + missed[each[:, 1], each[:, 0]]).astype(np.int32) for each in corners if len(each) > 2]
    drawn = cv2.fillPoly(np.zeros_like(seen), corners, 1)  # all at once: an island in a hole is tissue again
    radius = hand.brush * unit / 2
    for grow in (-radius, 2 * radius, -radius):  # opened, then closed
        drawn = _thicken(drawn, grow)
    drawn = _drop_small(drawn[margin:margin + height, margin:margin + width], hand.least)
    if drawn.min() == drawn.max():
        missing = 1 - int(drawn[0, 0])
        depth = cv2.distanceTransform(np.pad(mask == missing, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        cv2.circle(drawn, (int(x), int(y)), round(radius), missing, -1)
    return drawn


def _paint(tissue: np.ndarray, further: Sequence[np.ndarray]) -> np.ndarray:
    """A label map: masks of the further classes, in their order, painted over a mask of the tissue."""
    labels = tissue.copy()
    for value, mask in enumerate(further, start=2):
        labels[(mask & tissue) > 0] = value
    return labels


def augment(sketch: np.ndarray, seed: int) -> np.ndarray:
    """A variation of a sketch (H, W) in {0, 1}, of the same size: (H, W) uint8 in {0, 1} (reading R13).

    Flips, a crop resized to full size, rotation, zoom and an elastic displacement (a coarse field, upsampled), all in
    one warp that is binarised at .5; then dilation or erosion by 0-8 px. Outside its frame the sketch is mirrored, not
    air. Never all air or all tissue unless the sketch is. The same arguments give the same variation. Of a label map,
    each class is warped and thickened like the tissue.
    """
    sketch, rng = np.ascontiguousarray(sketch, np.uint8), np.random.default_rng(seed)
    for _ in range(TRIES):
        varied = _vary(sketch, rng)
        if varied.min() != varied.max():
            return varied
    return sketch[::-1, ::-1].copy()


def sketch_set(sketches: Sequence[Sketch], count: int, seed: int, folder: str | Path,
               classes: Classes = MASK) -> pd.DataFrame:
    """Store every sketch as `<name>_0.png` and `count` variations as `<name>_1.png` ..., then index.csv, also returned.

    Columns: sketch, the file without .png; origin; source, drawn or simulated; accuracy, of simulated ones; seed, with
    which `augment` makes it from `<name>_0`, empty there; tissue_fraction in [0, 1]; sketch_hash. A variation depends
    on its sketch, its number and `seed`, not on the other sketches; the same arguments give the same bytes. The folder
    is written beside its place and appears only when complete. Raises `StudyError` for duplicate names and for a folder
    that holds anything but an earlier set, so that no drawing is lost.
    """
    folder = Path(folder)
    names = [sketch.name for sketch in sketches]
    again = sorted({name for name in names if names.count(name) > 1})
    if again or not names:
        raise StudyError(f"sketches of the same name: {', '.join(again[:5])}; rename them" if again else
                         "there are no sketches: draw some, or simulate them from train masks")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise StudyError(f"{folder} holds files but no set of sketches, and would be replaced: choose another folder")
    fresh = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    rows = []
    for sketch in tqdm(sketches, desc="varying sketches", unit="sketch"):
        for number in range(count + 1):
            # from the name, so that adding a sketch changes none of the others
            own = mix(seed, sketch.name, number)
            mask, name = augment(sketch.mask, own) if number else sketch.mask, f"{sketch.name}_{number}"
            write_labels(fresh / f"{name}.png", mask, classes)
            rows.append((name, sketch.origin or sketch.name, sketch.source, sketch.accuracy, str(own) if number else "",
                         (mask > 0).mean(), hash_file(fresh / f"{name}.png")))
    index = pd.DataFrame(rows, columns=INDEX)
    (fresh / MARK).touch()
    write_text(fresh / "index.csv", index.to_csv(index=False, float_format="%.6f"))
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return index


def _vary(sketch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = sketch.shape
    unit, turn, window = _unit(sketch), np.radians(rng.uniform(-TURN, TURN)), rng.uniform(WINDOW, 1)
    zoom = np.exp(rng.uniform(*np.log(ZOOM)))  # so that it enlarges as often as it shrinks
    # from a px of the result to its place in the sketch: rotated, scaled and mirrored about the middle, then moved
    step = window / zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    step *= rng.choice([-1, 1], size=(2, 1))
    middle = np.array([width - 1, height - 1]) / 2
    start = middle * (1 + (1 - window) * rng.uniform(-1, 1, 2)) - step @ middle
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    moved = _field(rng, sketch.shape, ELASTIC_PX * unit, rng.uniform(0, ELASTIC) * unit)
    places = [np.float32(a) * across + (np.float32(b) * down + np.float32(c)) + moved[..., axis]
              for axis, ((a, b), c) in enumerate(zip(step, start))]
    px = rng.uniform(-THICKEN, THICKEN) * unit
    warped = [cv2.remap(layer * np.uint8(255), *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
              for layer in layers(sketch, max(2, int(sketch.max()) + 1))]
    tissue, *further = (_thicken((layer > 127).astype(np.uint8), px) for layer in warped)
    return _paint(tissue, further)


def _unit(mask: np.ndarray) -> float:
    """Px of this mask per px of the paper's patch."""
    return min(mask.shape) / 512


def _field(rng: np.random.Generator, shape: tuple[int, int], spacing: float, sd: float) -> np.ndarray:
    """Displacements in x and y, px, (H, W, 2) float32: normal at nodes about `spacing` px apart, smooth between."""
    nodes = rng.normal(0, sd, (*(max(2, round(side / spacing) + 1) for side in shape), 2))
    return cv2.resize(nodes.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)


def _thicken(mask: np.ndarray, px: float) -> np.ndarray:
    """Dilated by a disc of radius `px`, eroded if `px` is negative; the frame is neutral (reading R8)."""
    if px < 0:
        return 1 - _thicken(1 - mask, -px)
    return (cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) <= px).astype(np.uint8)


def _drop_small(mask: np.ndarray, least: float) -> np.ndarray:
    """The mask without tissue islands, then without holes, smaller than a share `least` of it."""
    islands = without_small(mask > 0, least * mask.size, 8)
    return (~without_small(~islands, least * mask.size, 8)).astype(np.uint8)
