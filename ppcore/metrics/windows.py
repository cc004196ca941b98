"""Are small pieces of masks or images copied from training ones, even if whole ones are not?

Windows of 64 px are compared with windows of the training masks in all eight flips and turns, by means of 4 x 4 px; of
label maps, by those of all `layers`; of images, by those of their colours. Quilting, which sews together
real windows of 32 px, shows how far copying goes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ppcore.masks.labels import layers
from ppcore.study.seeds import rng_of

SIZE, CELL, STRIDE = 64, 4, 8  # px: a window, what is averaged, the grid on which windows lie
MIXED = (0.05, 0.95)  # share of tissue, or of a further class, in a window: others hold nothing to copy
GRAY = np.array([0.299, 0.587, 0.114])  # weights of red, green and blue in a gray level
ASKED, KNOWN = 192, 30_000  # windows of a set that are looked up, and training windows that they are looked up in


@dataclass(frozen=True)
class Windows:
    """Some windows of a set of masks: their cells (N, 256 (K - 1)) float32, and the subject of each (N,).

    Of images the cells are (N, 256 * 3).
    """

    cells: np.ndarray
    subjects: np.ndarray


def draw_windows(masks: Sequence[np.ndarray], subjects: np.ndarray, count: int, seed: int, classes: int = 2) -> Windows:
    """`count` windows at random places of masks (H, W) in {0, 1}, with tissue and air; fewer if there are none.

    classes: K of label maps; a window then holds something of one of their `layers`, and something else.
    """
    def mixed(share: np.ndarray) -> np.ndarray:
        return ((share > MIXED[0]) & (share < MIXED[1])).any(axis=1)

    return _draw(masks, subjects, count, seed, lambda mask: layers(mask, classes), classes - 1, mixed)


def draw_image_windows(images: Sequence[np.ndarray], subjects: np.ndarray, count: int, seed: int,
                       air_threshold: int) -> Windows:
    """The same of images (H, W, 3) uint8: windows whose mean gray level is that of tissue, their red, green and blue.

    air_threshold: gray level 0-255. Cells run from 0 to 1.
    """
    def channels(rgb: np.ndarray) -> list[np.ndarray]:
        return list(np.moveaxis(rgb, 2, 0) / np.float32(255))

    def tissue(mean: np.ndarray) -> np.ndarray:
        return mean @ GRAY <= air_threshold / 255

    return _draw(images, subjects, count, seed, channels, 3, tissue)


def _draw(pictures: Sequence[np.ndarray], subjects: np.ndarray, count: int, seed: int,
          planes: Callable[[np.ndarray], list[np.ndarray]], depth: int,
          wanted: Callable[[np.ndarray], np.ndarray]) -> Windows:
    """planes: a picture as `depth` arrays (H, W). wanted: which windows may be drawn, by the means (N, depth)."""
    rng, side = rng_of(seed), SIZE // CELL
    each, cells, owners = -(-count // len(pictures)), [], []
    for picture, subject in zip(pictures, subjects):
        if min(picture.shape[:2]) < SIZE:
            continue
        views = np.stack([_views(plane) for plane in planes(picture)], axis=1)
        picked = rng.permutation(np.flatnonzero(wanted(views.mean(2))))[:each]
        cells.append(views[picked].reshape(len(picked), side * side * depth))
        owners += [subject] * len(picked)
    cells = np.concatenate(cells) if cells else np.zeros((0, side * side * depth), np.float32)
    kept = np.sort(rng.permutation(len(cells))[:count])
    return Windows(cells[kept], np.asarray(owners)[kept] if owners else np.zeros(0))


def _views(mask: np.ndarray) -> np.ndarray:
    """The cells of all windows of a mask, (N, 256) float32."""
    side = SIZE // CELL
    small = mask[:mask.shape[0] // CELL * CELL, :mask.shape[1] // CELL * CELL].astype(np.float32)
    small = small.reshape(small.shape[0] // CELL, CELL, -1, CELL).mean((1, 3))
    views = np.lib.stride_tricks.sliding_window_view(small, (side, side))[::STRIDE // CELL, ::STRIDE // CELL]
    return views.reshape(-1, side * side)


def window_distances(windows: Windows, train: Windows) -> np.ndarray:
    """Root mean square difference of each window from the training window most like it, over eight turns: (N,)."""
    side = SIZE // CELL
    squares = windows.cells.reshape(-1, windows.cells.shape[1] // side**2, side, side)  # window, layer or colour
    nearest = np.full(len(squares), np.inf, np.float32)
    own = (train.cells**2).sum(1)
    for flip in (squares, squares.swapaxes(2, 3)):
        for turned in (flip, flip[:, :, ::-1], flip[..., ::-1], flip[:, :, ::-1, ::-1]):
            asked = turned.reshape(len(squares), -1)
            distance = (asked**2).sum(1)[:, None] + own - 2 * asked @ train.cells.T
            nearest = np.minimum(nearest, distance.min(1, initial=np.inf))
    return np.sqrt(np.maximum(nearest, 0) / train.cells.shape[1])
