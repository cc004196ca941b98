"""Do synthetic masks have the shapes of real tissue?

The study's primary metric, as it needs no pretrained network (reading R27). A mask becomes 27 descriptors.
Two sets are compared over all descriptors (`mmd`, `mmd_interval`) and one by one (`wasserstein`).
"""

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist, pdist
from scipy.stats import wasserstein_distance

from ppcore.masks.kinds import standardise
from ppcore.metrics.distribution import draw_subjects

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of two sets, as `gaussian_kernel`


def mmd(real: np.ndarray, synthetic: np.ndarray, permutations: int = 500, seed: int = 0,
        kernel: Kernel | None = None) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy and its permutation p-value (Gretton et al. 2012, eq. 3).

    real: (N, D), synthetic: (M, D) descriptors. Returns (mmd2, p): mmd2 is about 0, of either sign, for two
    samples of one distribution, and at most 2; p = (1 + permuted values >= mmd2) / (1 + permutations).

    Kernel, unless another is given: exp(-d^2 / 2 s^2) on descriptors standardised by the REAL set's mean and
    sd (at least SD_FLOOR, so that a descriptor constant over the real set does not dominate); s is the median
    distance between real masks. One scale for all methods makes the rows of a table comparable. The price is
    a slightly small p below about 50 masks (5-8 % of equal samples fall below .05).
    p treats masks as independent, so it may be small merely because the subjects differ: compare mmd2 with
    that of real train against real test. Masks made from the real set's outlines lower mmd2 by about 1 / N.
    Raises ValueError for fewer than two masks in a set, unequal D, or a value that is not finite.
    """
    n, kernel = len(real), (kernel or gaussian_kernel)(real, synthetic)
    m = len(kernel) - n
    first = np.zeros((1 + permutations, n + m))  # which masks are in the first set; row 0: as observed
    first[:, :n] = 1
    first[1:] = np.random.default_rng(seed).permuted(first[1:], axis=1)
    within = ((first @ kernel) * first).sum(axis=1)
    across = first @ kernel.sum(axis=1) - within
    rest = kernel.sum() - within - 2 * across
    values = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)
    # 1e-12: splits that differ only by rounding count as equal.
    reached = np.count_nonzero(values[1:] >= values[0] - 1e-12)
    return float(values[0]), float((1 + reached) / (1 + permutations))


def mmd_interval(real: np.ndarray, synthetic: np.ndarray, subjects_real: np.ndarray,
                 subjects_synthetic: np.ndarray, resamples: int = 200, seed: int = 0,
                 level: float = 0.95, kernel: Kernel | None = None) -> tuple[float, float]:
    """Percentile interval of mmd2, resampling subjects rather than patches (reading R31).

    real: (N, D), synthetic: (M, D) descriptors. subjects_real: (N,), subjects_synthetic: (M,) labels: a mask
    made from an outline has the outline's subject; one made from noise has a label of its own.
    Returns (low, high), or (nan, nan) for fewer than two subjects of either kind (`draw_subjects`).

    Two copies of one subject are not independent and would raise mmd2. So a pair of masks counts if its
    subjects differ, or within one copy of a subject, but never across copies. With every subject drawn once
    this is mmd2 itself. Scale and kernel stay those of the whole real set. Near 0 the interval is too wide
    (Arcones and Gine 1992). Raises ValueError as `mmd` does, or for missing labels.
    """
    if len(subjects_real) != len(real) or len(subjects_synthetic) != len(synthetic):
        raise ValueError(f"{len(real)} real, {len(synthetic)} synthetic masks have {len(subjects_real)} and "
                         f"{len(subjects_synthetic)} subject labels: wanted one label per mask")
    kernel = (kernel or gaussian_kernel)(real, synthetic)
    drawn = draw_subjects(subjects_real, subjects_synthetic, resamples=resamples, seed=seed)
    if drawn is None:
        return float("nan"), float("nan")
    weight = np.hstack(drawn).astype(np.float64)  # (B, N + M): copies of each mask
    code = np.unique(np.concatenate([subjects_real, subjects_synthetic]), return_inverse=True)[1]
    same = code[:, None] == code

    def total(table: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        # A pair within a subject drawn c times has weight c, once per copy. All other pairs have c x c'.
        c, own = weight[:, rows], (table * same)[rows, columns].sum(axis=1)
        return ((c @ table[rows, columns]) * weight[:, columns]).sum(axis=1) - (c * c - c) @ own

    r, s, pairs = slice(len(real)), slice(len(real), None), 1 - np.eye(len(kernel))
    with np.errstate(invalid="ignore"):  # a draw without any pair has no mmd2 and is left out
        rr, ss, rs = (total(kernel, a, b) / total(pairs, a, b) for a, b in ((r, r), (s, s), (r, s)))
        values = rr + ss - 2 * rs
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wasserstein(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Wasserstein-1 distance of each descriptor, (D,), in units of the real set's sd (at least SD_FLOOR).

    real: (N, D), synthetic: (M, D) descriptors (reading R27). Raises ValueError as `mmd`.
    """
    real, synthetic = in_real_units(real, synthetic)
    return np.array([wasserstein_distance(a, b) for a, b in zip(real.T, synthetic.T)])


def in_real_units(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets, minus the real mean and in units of the real sd (`standardise`): (N, D), (M, D).

    Raises ValueError for fewer than two masks in a set, unequal D, or a value that is not finite.
    """
    real, synthetic = np.asarray(real, dtype=np.float64), np.asarray(synthetic, dtype=np.float64)
    if real.ndim != 2 or real.shape[1:] != synthetic.shape[1:] or min(len(real), len(synthetic)) < 2:
        raise ValueError(f"descriptors are {real.shape}, {synthetic.shape}: wanted (N, D), (M, D), N, M > 1")
    if not (np.isfinite(real).all() and np.isfinite(synthetic).all()):
        raise ValueError("descriptors hold a value that is not finite: make them with describe_all")
    return standardise(real, real, ddof=1), standardise(synthetic, real, ddof=1)


def gaussian_kernel(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Gaussian kernel of both sets, real first, (N + M, N + M); diagonal 0, as no mask pairs with itself."""
    real, synthetic = in_real_units(real, synthetic)
    bandwidth = np.median(pdist(real)) or 1.0  # 1 sd if most real masks are equal
    both = np.concatenate([real, synthetic])
    kernel = np.exp(cdist(both, both, "sqeuclidean") / (-2 * bandwidth**2))
    np.fill_diagonal(kernel, 0)
    return kernel
