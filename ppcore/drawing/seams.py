"""Do seams show where the windows of a filled canvas end? And how much do overlapping windows disagree?"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ppcore.drawing.canvas import bands, draw_window, fill_image, starts, texture_of
from ppcore.masks.patches import to_mask
from ppcore.training.method import Method


@dataclass(frozen=True)
class Seams:
    """Change across seam lines: jump, its mean; ratio, that over the change across lines beside them.

    low, high: 95 % range of the ratio without seams; p: two-sided; count: number of lines compared.
    """

    jump: float
    ratio: float
    low: float
    high: float
    p: float
    count: int


def seam_ratio(field: np.ndarray, rows: Iterable[int], columns: Iterable[int], reach: int = 16, period: int = 1,
               permutations: int = 999, seed: int = 0) -> Seams:
    """Compare the change across seam lines with that across the lines beside them.

    field: (H, W), a mask in {0, 1} or a network's output. rows, columns: lines; r lies between rows r - 1 and r. The
    change across a line is the mean of |difference| over its pixel pairs: in a mask, the share of pairs that differ.

    A seam is compared with lines up to `reach` px away, at multiples of `period` px: up-convolutions leave a periodic
    texture inside windows, too, and only lines of the same phase see the same part of it. Other seams and lines outside
    are skipped. Without seams, any line of such a group could be called the seam: drawing it at random `permutations`
    times gives `low`, `high` and `p`. Raises `ValueError` if no seam has a line beside it.
    """
    groups = []
    for axis, lines in enumerate((sorted(set(rows)), sorted(set(columns)))):
        changes = change_across(field, axis)
        for line in lines:
            beside = [line + sign * step for step in range(period, reach + 1, period) for sign in (-1, 1)]
            beside = [other for other in beside if 1 <= other < field.shape[axis] and other not in lines]
            if 1 <= line < field.shape[axis] and beside:
                groups.append(changes[[line, *beside]])
    if not groups:
        raise ValueError(f"no seam inside {field.shape} px has a line beside it within {reach} px, at multiples of "
                         f"{period} px: take a larger canvas or a longer reach")
    rng = np.random.default_rng(seed)
    chosen = [np.append(0, rng.integers(len(group), size=permutations)) for group in groups]  # first: as observed
    across = np.mean([group[which] for group, which in zip(groups, chosen)], axis=0)
    beside = np.mean([(group.sum() - group[which]) / (len(group) - 1) for group, which in zip(groups, chosen)], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(across == beside, 1.0, across / beside)
    tail = min((ratios >= ratios[0]).mean(), (ratios <= ratios[0]).mean())
    return Seams(float(across[0]), float(ratios[0]),
                 *map(float, np.quantile(ratios[1:], (0.025, 0.975), method="nearest")),
                 min(1.0, 2 * float(tail)), len(groups))


def change_across(field: np.ndarray, axis: int) -> np.ndarray:
    """Mean |difference| across each line of an axis, (length,); the first is nan."""
    field = field.T if axis else field
    pairs = zip(field, field[1:])
    return np.array([np.nan, *(np.abs(after - before.astype(np.float32)).mean() for before, after in pairs)])


def window_edges(shape: tuple[int, int], window: tuple[int, int], overlap: int) -> tuple[list[int], list[int]]:
    """Rows and columns inside a canvas at which a window starts or ends."""
    return tuple(sorted({edge for start in starts(length, size, overlap) for edge in (start, start + size)
                         if 0 < edge < length}) for length, size in zip(shape, window))


def disagreement(method: Method, coarse: np.ndarray, window: tuple[int, int], seed: int, overlap: int,
                 tied: bool) -> float:
    """Share of overlapping px in which the masks of neighbouring windows differ; mean over pairs with tissue.

    coarse: (H, W) in {0, 1}. Otherwise as `ppcore.drawing.canvas.fill_mask`. nan if no two windows overlap.
    """
    tops, lefts = (starts(length, size, overlap) for length, size in zip(coarse.shape, window))
    above, differ, texture = {}, [], texture_of(method, coarse, window, seed)
    for top in tqdm(tops, desc="comparing windows", unit="row", leave=False):
        before = None
        for left in lefts:
            tissue = draw_window(method, coarse, window, top, left, seed, tied, texture=texture)[0] > 0
            for other, own in ((before, tissue[:, :overlap]), (above.get(left), tissue[:overlap])):
                if other is not None and (other.any() or own.any()):
                    differ.append((other != own).float().mean().item())
            before, above[left] = tissue[:, -overlap:], tissue[-overlap:]
    return float(np.mean(differ)) if differ else math.nan


def compare_seams(method: Method, coarse: np.ndarray, window: tuple[int, int], seed: int, period: int,
                  tied: bool = True) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Fill a canvas by tiles side by side and by blended windows; seams of both, and the masks (H, W) by name.

    The overlap is half the window's shorter side. period: px from a seam to the two lines it is compared with
    (`seam_ratio`); the texture that the demo's U-Net leaves in uniform areas has period 2**(levels - 2). Otherwise as
    `ppcore.drawing.canvas.fill_mask`. Table: one row per canvas (tiles, blended), field (outline, independent of the
    windows; mask, tissue or air; output before the threshold) and lines (rows, columns); then the columns of `Seams`.
    """
    rows, masks = [], {}
    for canvas, overlap in (("tiles", 0), ("blended", min(window) // 2)):
        output = torch.cat([band for _, band in bands(method, coarse, window, seed, overlap, tied)], 1)
        masks[canvas] = to_mask(output)
        fields = {"outline": np.minimum(coarse, 1), "mask": np.minimum(masks[canvas], 1), "output": output[0].numpy()}
        rows += _rows(canvas, fields, window_edges(coarse.shape, window, overlap), period)
    return pd.DataFrame(rows), masks


def compare_image_seams(method: Method, fine: np.ndarray, window: tuple[int, int], seed: int,
                        period: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The same for the images (H, W, 3) of a fine mask, by name. Fields: gray, the luma; colour, red less blue."""
    rows, images = [], {}
    for canvas, overlap in (("tiles", 0), ("blended", min(window) // 2)):
        images[canvas] = fill_image(method, fine, window, overlap, seed)
        red, green, blue = np.moveaxis(images[canvas] / np.float32(255), 2, 0)
        fields = {"gray": 0.299 * red + 0.587 * green + 0.114 * blue, "colour": red - blue}
        rows += _rows(canvas, fields, window_edges(fine.shape, window, overlap), period)
    return pd.DataFrame(rows), images


def _rows(canvas: str, fields: dict[str, np.ndarray], lines: tuple[list[int], list[int]], period: int) -> list[dict]:
    return [{"canvas": canvas, "field": name, "lines": which} | asdict(seam_ratio(field, *at, reach=period, period=period))
            for name, field in fields.items() for which, at in (("rows", (lines[0], [])), ("columns", ([], lines[1])))]
