"""Do synthetic masks have the shapes of real tissue?

The study's primary metric, as it needs no pretrained network (reading R27). A mask becomes 27 descriptors;
two sets of masks are compared by one number (`mmd`, `mmd_interval`) and one by one (`wasserstein`).
"""

from collections.abc import Iterable

import cv2
import numpy as np
from scipy.spatial.distance import cdist, pdist
from scipy.stats import wasserstein_distance
from tqdm import tqdm

from ppcore.metrics.distribution import draw_subjects

LAGS = (2, 8, 32)  # px
RADII = (1, 2, 4, 8, 16, 32)  # px: squares of side 2 r + 1
SD_FLOOR = 0.01  # in each descriptor's own unit; all are scaled to be of order one
DESCRIPTORS: tuple[str, ...] = (
    "tissue_fraction", "edge_density", "euler_density", "log_components", "log_holes",
    "component_log_area_mean", "component_log_area_sd", "hole_log_area_mean", "hole_log_area_sd",
    *(f"correlation_{way}_{lag}" for lag in LAGS for way in ("down", "across")),
    *(f"opening_{r}" for r in RADII), *(f"closing_{r}" for r in RADII))


def check_mask(mask: np.ndarray, smallest: int = 1) -> None:
    """Raises ValueError unless mask is (H, W) uint8 in {0, 1} with at least `smallest` px a side."""
    if mask.ndim != 2 or mask.dtype != np.uint8 or min(mask.shape) < smallest:
        raise ValueError(f"mask is {mask.shape} {mask.dtype}: wanted (H, W) uint8, sides of {smallest} px up")
    if mask.max() > 1:
        raise ValueError(f"mask holds the value {mask.max()}: wanted only 0 (air) and 1 (tissue)")


def describe(mask: np.ndarray) -> np.ndarray:
    """The descriptors of one mask, in the order of DESCRIPTORS: (27,) float64, always finite (reading R27).

    mask: (H, W) uint8 in {0, 1}, at least 33 px a side. Raises ValueError for another form.

    tissue_fraction  share of pixels that are tissue.
    edge_density     pixel sides between tissue and air, per pixel of the mask (px / px^2); the frame is no
                     edge. City-block length: a slanted edge counts up to sqrt(2) times.
    euler_density    components minus holes, per 10,000 px^2.
    log_*            log(1 + count). Tissue is 8-connected and air 4-connected, the usual dual pair; a hole
                     is an air component that does not touch the frame.
    *_log_area_*     mean and sd of log(area in px^2) over components and over holes; 0 when there are none.
    correlation_*_r  two-point correlation of tissue r px down or across (Torquato 2002, section 2.2):
                     covariance of mask and shifted mask over (variance + 0.01), in (-1, 1). The 0.01, the
                     variance of a patch with 1 % air, takes a constant mask smoothly to 0, not to 0 / 0.
    opening_r        granulometry (Matheron 1975): share of the tissue that an opening with a square of side
                     2 r + 1 px removes, so of tissue at most 2 r px wide; 0 when there is no tissue.
    closing_r        share of the air that a closing fills, likewise. The frame is neutral (reading R8).
    """
    check_mask(mask, smallest=max(LAGS) + 1)
    mask = np.ascontiguousarray(mask)
    components, holes = _areas(mask)
    edges = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    values = [mask.mean(), edges / mask.size, 1e4 * (len(components) - len(holes)) / mask.size,
              np.log1p(len(components)), np.log1p(len(holes)),
              *_log_moments(components), *_log_moments(holes)]
    for lag in LAGS:
        values += [_correlation(mask[lag:], mask[:-lag]), _correlation(mask[:, lag:], mask[:, :-lag])]
    for operation, area in ((cv2.MORPH_OPEN, mask.sum()), (cv2.MORPH_CLOSE, mask.size - mask.sum())):
        for r in RADII:
            changed = cv2.morphologyEx(mask, operation, np.ones((2 * r + 1, 2 * r + 1), np.uint8)) != mask
            values.append(np.count_nonzero(changed) / max(int(area), 1))
    return np.array(values, dtype=np.float64)


def describe_all(masks: Iterable[np.ndarray], progress: bool = True) -> np.ndarray:
    """`describe` of N masks: (N, 27) float64. About 2,000 masks of 512 x 1024 a minute on one core.

    masks: (H, W) uint8 in {0, 1}, all of one shape, or their counts would not compare. progress: show a bar.
    Raises ValueError for no masks, several shapes, or a mask that `describe` refuses.
    """
    rows, shapes = [], set()
    for mask in tqdm(masks, desc="morphometry", unit="mask", disable=not progress):
        rows.append(describe(mask))
        shapes.add(mask.shape)
    if len(shapes) != 1:
        raise ValueError(f"{len(rows)} masks have the shapes {sorted(shapes)}: wanted masks of one shape")
    return np.stack(rows)


def mmd(real: np.ndarray, synthetic: np.ndarray, permutations: int = 500,
        seed: int = 0) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy and its permutation p-value (Gretton et al. 2012, eq. 3).

    real: (N, D), synthetic: (M, D) descriptors. Returns (mmd2, p): mmd2 is about 0, of either sign, for two
    samples of one distribution, and at most 2; p = (1 + permuted values >= mmd2) / (1 + permutations).

    Kernel: exp(-d^2 / 2 s^2) on descriptors in units of the REAL set's mean and sd (no less than SD_FLOOR, so
    that a descriptor constant over the real set does not drown all others); s is the median distance between
    real masks. One ruler for every method lets the rows of a table compare; its price is a slightly small p
    for sets under about 50 masks (5-8 % of equal samples fall below .05).
    p takes masks for independent: sets from different subjects differ by it even when only the subjects do,
    so read mmd2 beside that of real train against real test. Masks made from the outlines of the real set
    itself lower mmd2 by the order of 1 / N, and raise p.
    Raises ValueError for fewer than two masks a side, unequal D, or a value that is not finite.
    """
    n, kernel = len(real), gaussian_kernel(real, synthetic)
    m = len(kernel) - n
    first = np.zeros((1 + permutations, n + m))  # which masks stand in the first set; row 0 as observed
    first[:, :n] = 1
    first[1:] = np.random.default_rng(seed).permuted(first[1:], axis=1)
    within = ((first @ kernel) * first).sum(axis=1)
    across = first @ kernel.sum(axis=1) - within
    rest = kernel.sum() - within - 2 * across
    values = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)
    # The small number lets splits that are equal but for rounding count as equal.
    reached = np.count_nonzero(values[1:] >= values[0] - 1e-12)
    return float(values[0]), float((1 + reached) / (1 + permutations))


def mmd_interval(real: np.ndarray, synthetic: np.ndarray, subjects_real: np.ndarray,
                 subjects_synthetic: np.ndarray, resamples: int = 200, seed: int = 0,
                 level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of `mmd`'s mmd2 when subjects, not patches, are drawn anew (reading R31).

    real: (N, D), synthetic: (M, D) descriptors. subjects_real: (N,), subjects_synthetic: (M,) labels: a mask
    made from an outline carries its outline's subject; one made from noise a label that no other mask has.
    Returns (low, high), or (nan, nan) for fewer than two subjects of either kind (`draw_subjects`).

    Two copies of one subject are no independent pair, and would push mmd2 up. So a pair of masks counts when
    its subjects differ or inside one copy of a subject, never across its copies; with every subject drawn
    once that is mmd2 itself. The ruler stays that of the whole real set. Near 0 the interval is too wide
    (Arcones and Gine 1992). Raises ValueError as `mmd` does, or for missing labels.
    """
    if len(subjects_real) != len(real) or len(subjects_synthetic) != len(synthetic):
        raise ValueError(f"{len(real)} real, {len(synthetic)} synthetic masks have {len(subjects_real)} and "
                         f"{len(subjects_synthetic)} subject labels: wanted one label a mask")
    kernel = gaussian_kernel(real, synthetic)
    drawn = draw_subjects(subjects_real, subjects_synthetic, resamples=resamples, seed=seed)
    if drawn is None:
        return float("nan"), float("nan")
    weight = np.hstack(drawn).astype(np.float64)  # (B, N + M): copies of each mask
    code = np.unique(np.concatenate([subjects_real, subjects_synthetic]), return_inverse=True)[1]
    same = code[:, None] == code

    def total(table: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        # A pair of one subject, drawn c times, weighs c: once in each copy. All other pairs weigh c x c'.
        c, own = weight[:, rows], (table * same)[rows, columns].sum(axis=1)
        return ((c @ table[rows, columns]) * weight[:, columns]).sum(axis=1) - (c * c - c) @ own

    r, s, pairs = slice(len(real)), slice(len(real), None), 1 - np.eye(len(kernel))
    with np.errstate(invalid="ignore"):  # a draw without any pair has no mmd2, and is left out
        rr, ss, rs = (total(kernel, a, b) / total(pairs, a, b) for a, b in ((r, r), (s, s), (r, s)))
        values = rr + ss - 2 * rs
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wasserstein(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Wasserstein-1 distance of each descriptor, (D,), in units of the real set's sd (no less than SD_FLOOR).

    real: (N, D), synthetic: (M, D) descriptors (reading R27). Raises ValueError as `mmd`.
    """
    real, synthetic = in_real_units(real, synthetic)
    return np.array([wasserstein_distance(a, b) for a, b in zip(real.T, synthetic.T)])


def _areas(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas in px^2 of the 8-connected tissue components and of the 4-connected holes."""
    components = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    air = cv2.copyMakeBorder(1 - mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)  # joins all air at the frame
    _, labels, stats, _ = cv2.connectedComponentsWithStats(air, connectivity=4)
    return components, np.delete(stats[:, cv2.CC_STAT_AREA], [0, labels[0, 0]])


def _log_moments(areas: np.ndarray) -> tuple[float, float]:
    logs = np.log(areas) if len(areas) else np.zeros(1)
    return logs.mean(), logs.std()


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    mean_a, mean_b = a.mean(), b.mean()
    variance = np.sqrt(mean_a * (1 - mean_a) * mean_b * (1 - mean_b))
    return ((a & b).mean() - mean_a * mean_b) / (variance + 0.01)


def in_real_units(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in units of the real set's sd (no less than SD_FLOOR), from its mean: (N, D), (M, D).

    Raises ValueError for fewer than two masks a side, unequal D, or a value that is not finite.
    """
    real, synthetic = np.asarray(real, dtype=np.float64), np.asarray(synthetic, dtype=np.float64)
    if real.ndim != 2 or real.shape[1:] != synthetic.shape[1:] or min(len(real), len(synthetic)) < 2:
        raise ValueError(f"descriptors are {real.shape}, {synthetic.shape}: wanted (N, D), (M, D), N, M > 1")
    if not (np.isfinite(real).all() and np.isfinite(synthetic).all()):
        raise ValueError("descriptors hold a value that is not finite: make them with describe_all")
    mean, sd = real.mean(axis=0), np.maximum(real.std(axis=0, ddof=1), SD_FLOOR)
    return (real - mean) / sd, (synthetic - mean) / sd


def gaussian_kernel(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Gaussian kernel of both sets, real first, (N + M, N + M); diagonal 0, as no mask pairs with itself."""
    real, synthetic = in_real_units(real, synthetic)
    bandwidth = np.median(pdist(real)) or 1.0  # 1 sd where most real masks are equal
    both = np.concatenate([real, synthetic])
    kernel = np.exp(cdist(both, both, "sqeuclidean") / (-2 * bandwidth**2))
    np.fill_diagonal(kernel, 0)
    return kernel
