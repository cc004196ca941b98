"""Are synthetic masks copies of training masks? And how well would copying do?

A generator that returns its training masks passes KS, FID, MMD and coverage. But its masks lie nearer to the training
set than held-out masks of other subjects do. The distance to the nearest training mask is measured in two spaces:

    morphometry  the study's 27 descriptors in units of the training set. Primary: a mask that was flipped, shifted by a
                 few pixels or redrawn with the same texture stays near its source. Of label maps, 27 a layer.
    pixels       1 - mean IoU of the masks at SIZE. Detects only exact copies, but needs no choice of descriptors.
                 Smooth masks overlap slightly better with any mask, so a ratio just below 1 means nothing here.
"""

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from ppcore.masks.kinds import shrink
from ppcore.metrics.morphometry import in_real_units

SIZE = (64, 128)  # px: blocks of 8 px of the paper's patch; thousands of masks are compared in seconds


def small_masks(masks, count: int = 2) -> np.ndarray:
    """N masks (H, W) in {0, 1} at SIZE, tissue where at least half of a block is: (N, 64 * 128) uint8 in {0, 1}.

    Of label maps of `count` classes, tissue is likewise; it has the class that most of its block has, of equal ones the
    first: values 0 to count - 1.
    """
    shares = shrink(masks, *SIZE, count).reshape(-1, count - 1, SIZE[0] * SIZE[1])
    tissue, further = shares[:, :1], shares[:, 1:]
    plain = tissue - further.sum(axis=1, keepdims=True)  # tissue that belongs to no further class
    kind = 1 + np.concatenate([plain, further], axis=1).argmax(axis=1)
    return np.where(tissue[:, 0] >= 0.5, kind, 0).astype(np.uint8)


def descriptor_distance(train: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Distance of each mask to its nearest training mask, in sd of the training set over all descriptors: (M,).

    train: (N, D), masks: (M, D) descriptors. Raises ValueError as `mmd` does.
    """
    return cdist(*in_real_units(train, masks)[::-1]).min(axis=1)


def pixel_distances(masks: np.ndarray, others: np.ndarray, count: int = 2) -> np.ndarray:
    """1 - mean IoU of each of `masks` (M, P) with each of `others` (N, P), both of `small_masks`: (M, N) in [0, 1].

    Mean over the `count` classes, tissue and air, as in segmentation. The IoU of tissue alone grows with the amount of
    tissue in the other mask, wherever it lies, and would keep finding the fullest training masks. A class absent from
    both counts as 1.
    """
    total = np.zeros((len(masks), len(others)))
    for value in range(count):
        ours, theirs = masks == value, others == value
        both = ours.astype(np.float32) @ theirs.T.astype(np.float32)  # counts below 2^24 are exact
        total += _ratio(both, ours.sum(axis=1)[:, None] + theirs.sum(axis=1) - both)
    return 1 - total / count


def nearest_outline(outlines: np.ndarray, train: np.ndarray, count: int = 2) -> np.ndarray:
    """Row of the training outline nearest to each outline (M, P), the first if several are equally near: (M,) int.

    outlines, train: coarse masks from `small_masks`; nearest by `pixel_distances`. "nearest-train" returns the fine
    mask of that row. Such retrieval needs no model and has real texture, but keeps to the outline only as well as the
    best training mask does.
    """
    return pixel_distances(outlines, train, count).argmin(axis=1)


def nearest_train_ratio(held_out: np.ndarray, synthetic: np.ndarray) -> float:
    """Median distance of synthetic masks to their nearest training mask over that of held-out real masks.

    held_out: (N,), synthetic: (M,) distances, as above. 0: copies. 1: as far from the training set as other subjects'
    real masks. Above 1: farther, as unrealistic masks are. Somewhat below 1 does not prove copying: unseen tissue of
    the training subjects is nearer to the training set, too. nan if the median of `held_out` is 0.
    """
    reference = np.median(held_out)
    return float(np.median(synthetic) / reference) if reference > 0 else float("nan")


def copying_ct(held_out: np.ndarray, synthetic: np.ndarray) -> float:
    """C_T of Meehan, Chaudhuri and Dasgupta 2020: a Mann-Whitney z of the same distances.

    Well below 0: synthetic masks lie nearer to the training set than held-out ones, as copies do. About 0: equally
    near. Above 0: farther. z is about standard normal for independent masks of one distribution. Masks of one subject
    are not independent, so +-2 is no test here, and z grows with the root of the number of masks. The article averages
    z over cells of the training set. Here the whole set is one cell, since cells of a small cohort would hold a handful
    of masks. Ties count one half; the spread is not corrected for them.
    """
    n, m = len(held_out), len(synthetic)
    u = mannwhitneyu(synthetic, held_out, method="asymptotic").statistic  # pairs in which the synthetic one is farther
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.ones(part.shape), where=whole > 0)
