"""Do synthetic masks come as varied as real ones do, or are whole kinds of mask missing?

Mode collapse is what the paper holds against DEPAS, in a picture (Figure 1d); these are numbers for it (reading R29).
All work on the descriptors of `ppcore.masks.shapes`, in the units of the real set (`in_real_units`).
"""

import numpy as np
from scipy.spatial.distance import cdist

from ppcore.masks.kinds import kmeans, one_thread
from ppcore.metrics.morphometry import in_real_units

NEIGHBOURS = 5  # k of Naeem et al. 2020, their choice and reading R29's
CELLS = 9  # as many as the 3 x 3 grid of Figure 3 has
REACHED = 0.5  # of the real share of a cell


def density(real: np.ndarray, synthetic: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """How many real masks each synthetic one lies near, per k: (M,) floats >= 0 (Naeem et al. 2020, section 3.1).

    real: (N, D), synthetic: (M, D) descriptors. "Near" is inside the ball around a real mask that reaches its k-th
    nearest real mask; balls are closed, so that a copy counts even where k real masks are equal. The metric is the mean:
    1 in expectation for two samples of one distribution, near 0 far from real masks, and above 1 for masks that crowd
    where real ones are dense, which a collapsed generator can do. k is N - 1 at most. Raises ValueError as `mmd` does.
    """
    k = min(k, len(real) - 1)
    return _inside(real, synthetic, k).sum(axis=0) / k


def coverage(real: np.ndarray, synthetic: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """Whether each real mask has a synthetic one inside its ball (see `density`): (N,) bool (Naeem et al. 2020).

    The metric is the mean, in [0, 1]. For two samples of one distribution its expectation is just below 1, for k = 5 and
    large N = M .97 (their lemma 2); it falls with M, so methods are compared at equal M. Raises as `density`.
    """
    return _inside(real, synthetic, min(k, len(real) - 1)).any(axis=1)


@one_thread
def cell_shares(real: np.ndarray, synthetic: np.ndarray, cells: int = CELLS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Share of the real and of the synthetic masks in each K-means cell of the REAL ones: two (cells,) that sum to 1.

    real: (N, D), synthetic: (M, D) descriptors. The cells are fitted on the set that every other number compares with,
    the real test masks: each then holds some of them, and real training masks serve as the row to read others beside.
    As many cells as there are different real masks, where these are fewer. Raises ValueError as `mmd` does.
    """
    real, synthetic = in_real_units(real, synthetic)
    cells = min(cells, len(np.unique(real, axis=0)))
    fitted = kmeans(real, cells, seed)
    shares = [np.bincount(fitted.predict(x), minlength=cells) / len(x) for x in (real, synthetic)]
    return shares[0], shares[1]


def occupancy(real_shares: np.ndarray, shares: np.ndarray) -> float:
    """Share of the cells that a method reaches, in [0, 1]; real_shares, shares: (K,) of `cell_shares`.

    Reached: at least REACHED times the real share of the cell. To ask for the whole share would fail a perfect method in
    half of the cells, by chance. A cell is all that is nearest to its centre, however far: masks unlike any real one
    fall in cells, too. Coverage is what says so.
    """
    return float(np.mean(shares >= REACHED * real_shares))


def total_variation(real_shares: np.ndarray, shares: np.ndarray) -> float:
    """Half the sum of |p - q| over the cells, in [0, 1]: the share of masks that would have to change cells.

    Of two samples of one distribution it is not 0 but of order sqrt(cells / N); read it beside real-train's.
    """
    return float(np.abs(real_shares - shares).sum() / 2)


def _inside(real: np.ndarray, synthetic: np.ndarray, k: int) -> np.ndarray:
    """Whether synthetic mask j lies in the ball of real mask i: (N, M) bool."""
    real, synthetic = in_real_units(real, synthetic)
    radius = np.partition(cdist(real, real), k, axis=1)[:, k]  # place 0 is the mask itself
    return cdist(real, synthetic) <= radius[:, None]
