"""Which places of a slide are worth reading, in which order, and which patches are dropped, for air or other reasons?

A grid without overlap starts at the slide's upper left corner (reading R1). A place is (row, column).
"""

import cv2
import numpy as np

from ppcore.study.seeds import rng_of

MAX_BLACK = 0.25  # a patch with a larger share of black is dropped: a scanner's border, the slide's edge


def places_of(size: tuple[int, int], height: int, width: int) -> list[tuple[int, int]]:
    """All places of a grid of patches of height x width px on a slide of `size` (width, height) px, row by row."""
    return [(row, column) for row in range(size[1] // height) for column in range(size[0] // width)]


def surely_glass(overview: np.ndarray, size: tuple[int, int], height: int, width: int, air_threshold: int,
                 max_air: float) -> set[tuple[int, int]]:
    """Places that need not be read: even in the overview they are so bright that they must be mostly air.

    overview: the whole slide, (h, w, 3) uint8 RGB, averaged down by any factor. size, height, width: px.

    Averaging keeps the mean gray value of a place. With glass of gray G, a patch to keep has at least 1 - max_air
    of its pixels at `air_threshold` or darker, and so a mean under G - (1 - max_air) (G - air_threshold). A place is
    skipped only if it is brighter than halfway between that and G: the other half is a margin for uneven light and
    compression. G is the most frequent gray of air; without any air, nothing is skipped.
    """
    gray = cv2.cvtColor(overview, cv2.COLOR_RGB2GRAY)
    air = gray[gray > air_threshold]
    if not air.size:
        return set()
    glass = int(np.bincount(air).argmax())
    enough = glass - 0.5 * (1 - max_air) * (glass - air_threshold)
    down, across = gray.shape[0] / size[1], gray.shape[1] / size[0]
    found = set()
    for row, column in places_of(size, height, width):
        top, left = int(row * height * down), int(column * width * across)
        bottom, right = -int(-(row + 1) * height * down // 1), -int(-(column + 1) * width * across // 1)
        if gray[top:bottom, left:right].mean() > enough:
            found.add((row, column))
    return found


def spread(places: list[tuple[int, int]], wanted: int, seed: int) -> list[tuple[int, int]]:
    """The order in which to read places until `wanted` of them are kept; all, row by row, for `wanted` 0.

    A systematic sample: every n-th place along a path, from a start drawn from `seed`; then the others, shuffled. The
    path goes from quarter to quarter at every scale (the Z-order curve of Morton 1966), so that the sample covers the
    slide. Along rows, an n near their length would give a single column.
    """
    if not wanted or wanted >= len(places):
        return list(places)
    path = sorted(places, key=lambda place: sum((place[0] >> bit & 1) << 2 * bit + 1 | (place[1] >> bit & 1) << 2 * bit
                                                for bit in range(16)))
    start = int(np.random.default_rng(seed).integers(len(path)))
    path = path[start:] + path[:start]
    step = len(path) / wanted
    first = [int(i * step) for i in range(wanted)]
    rest = rng_of(seed, 1).permutation(sorted(set(range(len(path))) - set(first))).tolist()
    return [path[i] for i in first + rest]


def ink_share(rgb: np.ndarray, stain: str) -> float:
    """Share, 0 to 1, of a patch (H, W, 3) uint8 RGB under pen marks, as far as colour tells. stain: "he" or "ihc".

    The patch is averaged to 16 rows of square cells, whatever its um per px: nuclei and gaps mix there and lose their
    extreme colours, ink does not. With the optical density OD = -log10(I / 255) of a cell, ink is what

    - in H&E absorbs red more than green: blue and green pens. Eosin, and haematoxylin less so, absorb green most.
    - in IHC absorbs green least: vivid green pens. Pure haematoxylin may be as blue as a blue pen.
    - absorbs all colours strongly and alike: black pens. Melanin is brown, and folds are as coloured as tissue.

    Not found: red pens (blood is as red), violet and navy (like haematoxylin), blue and teal in IHC; often missed: ink
    over dense eosin, pale ink over tissue. The limits lie between real patches and strokes painted over them, since no
    real marks were available; in H&E, no real patch absorbs red more than green in a quarter of its cells.
    """
    density = -np.log10(np.maximum(_cells(rgb), 1) / 255)
    red, green, blue = np.moveaxis(density, 2, 0)
    coloured = (red if stain == "he" else np.minimum(red, blue)) - green > 0.05
    least, most = density.min(axis=2), density.max(axis=2)
    return float((coloured | (least - 2 * (most - least) > 0.15)).mean())


def why_dropped(rgb: np.ndarray, fine: np.ndarray, max_air: float, stain: str, max_ink: float = 0.25) -> str:
    """"air", "black", "ink", or "" for a patch to keep.

    rgb: (H, W, 3) uint8. fine: its mask, (H, W) in {0, 1}. max_air: a patch with a larger air fraction is dropped
    (section 2.1; reading R4). stain: "he" or "ihc". The paper mentions neither black borders nor pens; its threshold
    takes both for tissue, and TCGA slides have them. Black is under 40 in all channels of the patch averaged to 16
    rows; real tissue had up to 3 % of it. max_ink: a patch with a larger `ink_share` is dropped; 1: none; real tissue
    had up to 13 %.
    """
    if 1.0 - fine.mean() > max_air:
        return "air"
    cells = _cells(rgb)
    if (cells.max(axis=2) < 40).mean() > MAX_BLACK:
        return "black"
    return "ink" if ink_share(cells, stain) > max_ink else ""


def _cells(rgb: np.ndarray) -> np.ndarray:
    """A patch averaged to 16 px high; cells are returned as they are."""
    return cv2.resize(rgb, (max(1, 16 * rgb.shape[1] // rgb.shape[0]), 16), interpolation=cv2.INTER_AREA)
