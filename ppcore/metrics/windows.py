"""Are small pieces of masks copied from training masks, even if whole masks are not?

Windows of 64 px are compared with windows of the training masks in all eight flips and turns, by means of 4 x 4 px.
Quilting, which sews together real windows of 32 px, shows how far copying goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppcore.study.seeds import rng_of

SIZE, CELL, STRIDE = 64, 4, 8  # px: a window, what is averaged, the grid on which windows lie
MIXED = (0.05, 0.95)  # tissue fraction of a window that is compared: others hold nothing to copy
ASKED, KNOWN = 192, 30_000  # windows of a set that are looked up, and training windows that they are looked up in


@dataclass(frozen=True)
class Windows:
    """Some windows of a set of masks: their cells (N, 256) float32, and the subject of each (N,)."""

    cells: np.ndarray
    subjects: np.ndarray


def draw_windows(masks: Sequence[np.ndarray], subjects: np.ndarray, count: int, seed: int) -> Windows:
    """`count` windows at random places of masks (H, W) in {0, 1}, with tissue and air; fewer if there are none."""
    rng, side = rng_of(seed), SIZE // CELL
    each, cells, owners = -(-count // len(masks)), [], []
    for mask, subject in zip(masks, subjects):
        if min(mask.shape) < SIZE:
            continue
        small = mask[:mask.shape[0] // CELL * CELL, :mask.shape[1] // CELL * CELL].astype(np.float32)
        small = small.reshape(small.shape[0] // CELL, CELL, -1, CELL).mean((1, 3))
        views = np.lib.stride_tricks.sliding_window_view(small, (side, side))[::STRIDE // CELL, ::STRIDE // CELL]
        views = views.reshape(-1, side * side)
        found = np.flatnonzero((views.mean(1) > MIXED[0]) & (views.mean(1) < MIXED[1]))
        picked = rng.permutation(found)[:each]
        cells.append(views[picked])
        owners += [subject] * len(picked)
    cells = np.concatenate(cells) if cells else np.zeros((0, side * side), np.float32)
    kept = np.sort(rng.permutation(len(cells))[:count])
    return Windows(cells[kept], np.asarray(owners)[kept] if owners else np.zeros(0))


def window_distances(windows: Windows, train: Windows) -> np.ndarray:
    """Root mean square difference of each window from the training window most like it, over eight turns: (N,)."""
    side = SIZE // CELL
    squares = windows.cells.reshape(-1, side, side)
    nearest = np.full(len(squares), np.inf, np.float32)
    own = (train.cells**2).sum(1)
    for flip in (squares, squares.transpose(0, 2, 1)):
        for turned in (flip, flip[:, ::-1], flip[:, :, ::-1], flip[:, ::-1, ::-1]):
            asked = turned.reshape(len(squares), -1)
            distance = (asked**2).sum(1)[:, None] + own - 2 * asked @ train.cells.T
            nearest = np.minimum(nearest, distance.min(1, initial=np.inf))
    return np.sqrt(np.maximum(nearest, 0) / side**2)
