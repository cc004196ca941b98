"""How far does a mask get that is sewn together from real ones? Quilting, a baseline without training.

After Efros and Freeman 2001, "Image quilting for texture synthesis and transfer". A training patch with a similar
outline is drawn, so that the texture of a mask is of one kind. Each window of the outline gets a window of that
patch's subject whose coarse mask looks alike, out of eight flips and turns; of the best few, the one that continues
what lies beside it. Windows are joined along the path where they disagree least.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ppcore.masks.patches import to_tensor
from ppcore.methods.texture import thumbnail
from ppcore.study.seeds import rng_of

WINDOW, OVERLAP, BORDER = 32, 8, 8  # px: a window, what neighbours share, and what is compared around it
CELL = 8  # px: coarse masks are compared in means of such cells
CELLS = (WINDOW + 2 * BORDER) // CELL
LENDERS = 10  # the patch is drawn among so many with the most similar outlines
PATCHES = 4  # windows come from so many patches of its subject
STRIDE = 2  # cells between the windows of a patch
FEW = 6  # windows that are tried at each place
CHANCE = 0.02  # random part of a window's cost, in mean squared difference of cells
BACK = (0, 1, 2, 3, 4, 6, 5, 7)  # the turn that undoes each turn of `turned`


@dataclass(frozen=True)
class Quilt:
    """Training pairs to cut windows from.

    fine, coarse: N masks (H, W) in {0, 1}, or label maps of so many `classes`. subjects: (N,) labels.
    """

    fine: Sequence[np.ndarray]
    coarse: Sequence[np.ndarray]
    subjects: np.ndarray
    classes: int = 2
    windows: list[np.ndarray] = field(init=False, repr=False)
    thumbnails: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        wide = [np.pad(x, BORDER, mode="edge") for x in self.coarse]
        object.__setattr__(self, "windows", [cells_of(x, self.classes) for x in wide])
        object.__setattr__(self, "thumbnails", np.stack([self._thumbnail(x) for x in self.coarse]))

    def draw(self, outline: np.ndarray, seed: int) -> np.ndarray:
        """A fine mask (H, W) uint8 for an outline (H, W) in {0, 1}; of label maps likewise."""
        rng = rng_of(seed)
        lenders = self._lenders(self._thumbnail(outline), rng)
        library = np.concatenate([self.windows[i].reshape(-1, self.windows[i].shape[2]) for i in lenders])
        across = self.windows[lenders[0]].shape[1]
        per_patch = self.windows[lenders[0]].shape[0] * across
        step, (height, width) = WINDOW - OVERLAP, outline.shape
        rows, columns = (-(-(side - OVERLAP) // step) for side in outline.shape)
        size = rows * step + OVERLAP, columns * step + OVERLAP
        beyond = [(BORDER, BORDER + whole - side) for whole, side in zip(size, outline.shape)]
        wide = np.pad(outline, beyond, mode="edge")
        places = [(row * step, column * step) for row in range(rows) for column in range(columns)]
        candidates = self._candidates(wide, places, library, rng)
        made = np.zeros(size, np.uint8)
        for (top, left), few in zip(places, candidates):
            asked = wide[top + BORDER:top + BORDER + WINDOW, left + BORDER:left + BORDER + WINDOW]
            there = made[top:top + WINDOW, left:left + WINDOW]
            best, least = None, np.inf
            for candidate in few:
                turn, window = divmod(int(candidate), len(library))
                patch, place = divmod(window, per_patch)
                row, column = (STRIDE * CELL * part for part in divmod(place, across))
                x, y = (turned(masks[lenders[patch]][row:row + WINDOW, column:column + WINDOW], BACK[turn])
                        for masks in (self.coarse, self.fine))
                # where the lender's outline differs, the one asked for; what becomes tissue is of no further class
                y = np.where((x > 0) == (asked > 0), y, np.minimum(asked, 1))
                wrong = np.count_nonzero(x != asked)
                wrong += np.count_nonzero(y[:OVERLAP] != there[:OVERLAP]) if top else 0
                wrong += np.count_nonzero(y[:, :OVERLAP] != there[:, :OVERLAP]) if left else 0
                if wrong < least:
                    best, least = y, wrong
            keep = np.zeros((WINDOW, WINDOW), bool)
            if left:
                keep[:, :OVERLAP] |= seam(best[:, :OVERLAP] != there[:, :OVERLAP])
            if top:
                keep[:OVERLAP] |= seam((best[:OVERLAP] != there[:OVERLAP]).T).T
            made[top:top + WINDOW, left:left + WINDOW] = np.where(keep, there, best)
        return made[:height, :width]

    def _thumbnail(self, outline: np.ndarray) -> np.ndarray:
        return thumbnail(to_tensor(outline, self.classes)[None]).float().flatten().numpy()

    def _lenders(self, thumbnail: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Patches of one subject: one drawn among those most like the outline, and the most similar of its subject."""
        distance = np.square(self.thumbnails - thumbnail).sum(1)
        first = rng.choice(np.argsort(distance, kind="stable")[:LENDERS])
        own = np.flatnonzero(self.subjects == self.subjects[first])
        return own[np.argsort(np.square(self.thumbnails[own] - self.thumbnails[first]).sum(1), kind="stable")[:PATCHES]]

    def _candidates(self, wide: np.ndarray, places: list[tuple[int, int]], library: np.ndarray,
                    rng: np.random.Generator) -> np.ndarray:
        """For each place the FEW cheapest of 8 x len(library) turned windows, as turn * len(library) + window."""
        side = WINDOW + 2 * BORDER
        asked = np.stack([layers(wide[top:top + side, left:left + side], self.classes) for top, left in places])
        asked = asked.reshape(*asked.shape[:2], CELLS, CELL, CELLS, CELL).mean((3, 5))
        turns = np.stack([[[turned(layer, turn) for layer in cells] for turn in range(8)] for cells in asked])
        turns = turns.reshape(-1, library.shape[1])
        cost = (turns**2).sum(1)[:, None] + (library**2).sum(1) - 2 * turns @ library.T
        cost = cost.reshape(len(places), -1) / CELLS**2
        cost += CHANCE * rng.random(cost.shape, dtype=np.float32)
        return np.argpartition(cost, FEW, axis=1)[:, :FEW]


def layers(mask: np.ndarray, classes: int) -> np.ndarray:
    """Tissue of any class, then each further class, of a map (H, W): (K - 1, H, W) float32 in {0, 1}."""
    return np.stack([mask > 0, *(mask == value for value in range(2, classes))]).astype(np.float32)


def cells_of(mask: np.ndarray, classes: int) -> np.ndarray:
    """For every second cell of a map, the means of the CELLS x CELLS cells that begin there, of each of its `layers`:
    (h, w, (K - 1) CELLS^2) float32."""
    height, width = (side // CELL for side in mask.shape)
    cells = layers(mask[:height * CELL, :width * CELL], classes).reshape(-1, height, CELL, width, CELL).mean((2, 4))
    windows = np.lib.stride_tricks.sliding_window_view(cells, (CELLS, CELLS), (1, 2))[:, ::STRIDE, ::STRIDE]
    return np.ascontiguousarray(windows.transpose(1, 2, 0, 3, 4).reshape(*windows.shape[1:3], -1))


def turned(square: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight flips and turns of a square (S, S)."""
    square = square.T if turn & 4 else square
    return square[::-1 if turn & 1 else 1, ::-1 if turn & 2 else 1]


def seam(error: np.ndarray) -> np.ndarray:
    """The cheapest path down an overlap (length, width): True on its left, where the old side stays."""
    padded = np.full((len(error), error.shape[1] + 2), np.inf)
    total = padded[:, 1:-1]
    total[:] = error + 0.01  # among equal paths, the shortest
    for row in range(1, len(total)):
        before = padded[row - 1]
        total[row] += np.minimum(np.minimum(before[:-2], before[1:-1]), before[2:])
    keep, column = np.zeros(error.shape, bool), int(total[-1].argmin())
    for row in reversed(range(len(total))):
        keep[row, :column] = True
        if row:
            first = max(0, column - 1)
            column = first + int(total[row - 1, first:column + 2].argmin())
    return keep
