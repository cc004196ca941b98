"""Are synthetic masks as varied as real ones, or are whole kinds of mask missing?

The paper shows the mode collapse of DEPAS only as a picture (Figure 1d). These functions measure it (reading R29), on
the descriptors of `ppcore.masks.shapes` in units of the real set (`in_real_units`).
"""

import numpy as np
from scipy.spatial.distance import cdist

from ppcore.masks.kinds import kmeans, one_thread
from ppcore.metrics.morphometry import in_real_units

NEIGHBOURS = 5  # k, as in Naeem et al. 2020 (reading R29)
CELLS = 9  # as many as in the 3 x 3 grid of Figure 3
REACHED = 0.5  # a cell counts as reached from this fraction of its real share on


def density(real: np.ndarray, synthetic: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """Number of real masks near each synthetic one, divided by k: (M,) floats >= 0 (Naeem et al. 2020, section 3.1).

    real: (N, D), synthetic: (M, D) descriptors. "Near" means inside the ball around a real mask that reaches its k-th
    nearest real mask. Balls are closed, so a copy counts even if k real masks are equal. The metric is the mean: 1 in
    expectation for two samples of one distribution, and near 0 far from real masks. It exceeds 1 for masks that crowd
    where real ones are dense, as a collapsed generator's may. k is at most N - 1. Raises ValueError as `mmd` does.
    """
    k = min(k, len(real) - 1)
    return _inside(real, synthetic, k).sum(axis=0) / k


def coverage(real: np.ndarray, synthetic: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """Whether each real mask has a synthetic one inside its ball (see `density`): (N,) bool (Naeem et al. 2020).

    The metric is the mean, in [0, 1]. For two samples of one distribution its expectation is just below 1: .97 for k =
    5 and large N = M (their lemma 2). It grows with M, so compare methods at equal M. Raises as `density`.
    """
    return _inside(real, synthetic, min(k, len(real) - 1)).any(axis=1)


@one_thread
def cell_shares(real: np.ndarray, synthetic: np.ndarray, cells: int = CELLS,
                seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Share of the real and of the synthetic masks in each K-means cell of the REAL ones: two (cells,) that sum to 1.

    real: (N, D), synthetic: (M, D) descriptors. The cells are fitted on the real test masks, so each holds some of them
    and real training masks can serve as a baseline. At most one cell per distinct real mask. Raises as `mmd` does.
    """
    real, synthetic = in_real_units(real, synthetic)
    cells = min(cells, len(np.unique(real, axis=0)))
    fitted = kmeans(real, cells, seed)
    shares = [np.bincount(fitted.predict(x), minlength=cells) / len(x) for x in (real, synthetic)]
    return shares[0], shares[1]


def occupancy(real_shares: np.ndarray, shares: np.ndarray) -> float:
    """Share of the cells that a method reaches, in [0, 1]; real_shares, shares: (K,) from `cell_shares`.

    Reached means at least REACHED times the real share of the cell. Requiring the whole share would fail a perfect
    method in half of the cells, by chance. A cell includes everything nearest to its centre, however far away, so masks
    unlike any real one also fall into cells. Coverage detects those.
    """
    return float(np.mean(shares >= REACHED * real_shares))


def total_variation(real_shares: np.ndarray, shares: np.ndarray) -> float:
    """Half the sum of |p - q| over the cells, in [0, 1]: the share of masks that would have to change cells.

    For two samples of one distribution it is not 0 but of order sqrt(cells / N). Compare it with that of real-train.
    """
    return float(np.abs(real_shares - shares).sum() / 2)


def _inside(real: np.ndarray, synthetic: np.ndarray, k: int) -> np.ndarray:
    """Whether synthetic mask j lies in the ball of real mask i: (N, M) bool."""
    real, synthetic = in_real_units(real, synthetic)
    radius = np.partition(cdist(real, real), k, axis=1)[:, k]  # place 0 is the mask itself
    return cdist(real, synthetic) <= radius[:, None]
