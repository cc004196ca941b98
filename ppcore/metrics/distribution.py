"""Do synthetic masks hold as much tissue as real ones, and how certain is any such number?

KS and KL of the paper's Table 2 use one number per mask, its tissue fraction (readings R23, R24). A plain
copy of the coarse input nearly passes both, so they are never read alone (reading R27).
`bootstrap_by_subject` gives an interval for any number of the study (reading R31).
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import ks_2samp

BANDWIDTH_FLOOR = 0.01  # in tissue fraction: one cell of the 100-point grid
DENSITY_FLOOR = 1e-12  # per unit of tissue fraction


def ks(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Two-sample Kolmogorov-Smirnov statistic, in [0, 1] (Table 2; reading R23).

    real: (N,), synthetic: (M,) tissue fractions in [0, 1]. The largest gap between the two empirical
    distribution functions: 0 for equal samples, 1 for samples that do not overlap. No p-value: it would treat
    patches of one subject as independent. Raises ValueError as `kl_nats` does.
    """
    return float(ks_2samp(_fractions(real, "real"), _fractions(synthetic, "synthetic")).statistic)


def kl_nats(real: np.ndarray, synthetic: np.ndarray) -> float:
    """KL(real || synthetic) = integral of p log(p / q), in nats; p, q are kernel densities (reading R24).

    real: (N,), synthetic: (M,) tissue fractions in [0, 1]. Returns a number >= 0, up to rounding.

    Densities: Gaussian kernels with Scott's bandwidth, as in `scipy.stats.gaussian_kde`, but never narrower
    than BANDWIDTH_FLOOR, so that a constant sample (a collapsed generator) has a density too.
    Grid: [0, 1] and six bandwidths of p on either side, because the kernels leak beyond both ends; its step is
    a quarter of the narrower bandwidth, which is fine enough for the trapezoid rule on Gaussians.
    q is at least DENSITY_FLOOR: where it underflows to 0, log(p / q) stops near 30.
    Raises ValueError for fewer than two values, a value that is not finite, or one outside [0, 1].
    """
    real, synthetic = _fractions(real, "real"), _fractions(synthetic, "synthetic")
    tail = 6 * _bandwidth(real)
    step = min(_bandwidth(real), _bandwidth(synthetic)) / 4
    grid = np.linspace(-tail, 1 + tail, int(np.ceil((1 + 2 * tail) / step)) + 1)
    return float(np.trapezoid(_kl_integrand(real, synthetic, grid), grid))


def kl_paper100(real: np.ndarray, synthetic: np.ndarray) -> float:
    """The sum of p log(p / q) over 100 points of [0, 1], without the bin width (reading R24).

    real: (N,), synthetic: (M,) tissue fractions in [0, 1]. Raises ValueError as `kl_nats` does.

    The paper gives no formula, but reports KL 261 with KS .31 (Table 2, DEPAS on PRAD) and KL 6.2 with KS .11:
    far too large for nats, but the size of this sum. So it is our best guess at that column; it has no unit.
    If both densities lie inside [0, 1], it is 1 / bin width = 99 times `kl_nats`. It omits what leaks beyond
    the ends, so near them the ratio differs, and the sum may even fall below 0.
    Densities and floors are those of `kl_nats`. A kernel narrower than a cell would make the sum depend on
    where the points fall: hence the size of BANDWIDTH_FLOOR.
    """
    real, synthetic = _fractions(real, "real"), _fractions(synthetic, "synthetic")
    return float(_kl_integrand(real, synthetic, np.linspace(0, 1, 100)).sum())


def bootstrap_by_subject(statistic: Callable[..., float], *subjects: np.ndarray, resamples: int = 200,
                         seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of a statistic, resampling subjects rather than patches (reading R31).

    subjects: labels (N,) of one or more sets of patches. statistic: takes one array of patch indices per set,
    (n,) int; an index is repeated if its subject is drawn more than once. `draw_subjects` tells how sets are
    drawn together. Returns (low, high), or (nan, nan) if it returns None.

    Patches of one participant resemble each other, so an interval over patches would be far too narrow. With
    a handful of subjects this one still is. A distance (KS, KL) is never negative, and its resamples, noisier
    than the sample, lie somewhat high: rely on the width rather than the exact ends.
    Not for an unbiased MMD, which would compare a patch with its own copy: see `morphometry.mmd_interval`.
    """
    drawn = draw_subjects(*subjects, resamples=resamples, seed=seed)
    if drawn is None:
        return float("nan"), float("nan")
    values = [statistic(*(np.repeat(np.arange(len(times)), times) for times in draw)) for draw in zip(*drawn)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def draw_subjects(*subjects: np.ndarray, resamples: int, seed: int) -> list[np.ndarray] | None:
    """How often each patch is drawn when subjects are drawn with replacement: (resamples, N) int for each set.

    subjects: labels (N,) of each set. All patches of a subject are drawn together (Davison and Hinkley 1997,
    section 3.8), in every set that has its label: a mask made from a real outline goes with that subject.
    The labels of the first set are drawn among themselves, and so are those that only later sets have.
    None if either group has a single subject. Raises ValueError for labels that are not (N,).
    """
    if wrong := [np.shape(labels) for labels in subjects if np.ndim(labels) != 1]:
        raise ValueError(f"subjects have shape {wrong[0]}: wanted (N,), one label per patch")
    labels, code = np.unique(np.concatenate(subjects), return_inverse=True)
    copies = np.zeros((resamples, len(labels)), dtype=np.int64)
    rng = np.random.default_rng(seed)
    in_first = np.isin(labels, subjects[0])
    for group in filter(np.any, (in_first, ~in_first)):
        size = np.count_nonzero(group)
        if size < 2:
            return None
        copies[:, group] = rng.multinomial(size, np.full(size, 1 / size), size=resamples)
    return np.split(copies[:, code], np.cumsum([len(labels) for labels in subjects])[:-1], axis=1)


def holm(p: Sequence[float]) -> np.ndarray:
    """p-values of several tests, corrected to control the chance of any false rejection (Holm 1979): (K,).

    p: (K,) in [0, 1]; the result keeps its order. The i-th smallest is multiplied by K - i + 1, is never less than the
    one before, and at most 1. Valid under any dependence; here all methods are compared with the same real set.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected


def _kl_integrand(real: np.ndarray, synthetic: np.ndarray, grid: np.ndarray) -> np.ndarray:
    p, q = _density(real, grid), _density(synthetic, grid)
    return p * np.log(np.maximum(p, DENSITY_FLOOR) / np.maximum(q, DENSITY_FLOOR))


def _density(sample: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """As `scipy.stats.gaussian_kde(sample)(grid)`, (G,), which refuses a constant sample."""
    h = _bandwidth(sample)
    return np.exp(-0.5 * ((grid[:, None] - sample) / h) ** 2).mean(axis=1) / (h * np.sqrt(2 * np.pi))


def _bandwidth(sample: np.ndarray) -> float:
    return max(sample.std(ddof=1) * len(sample) ** -0.2, BANDWIDTH_FLOOR)


def _fractions(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"{name} has shape {values.shape}: wanted two or more tissue fractions, one per mask")
    if not ((values >= 0) & (values <= 1)).all():  # nan fails this too
        raise ValueError(f"{name} runs from {values.min()} to {values.max()}: wanted fractions in [0, 1]")
    return values
