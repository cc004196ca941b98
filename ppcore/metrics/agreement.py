"""Do labels made by rule agree with those of an expert, pixel by pixel and nucleus by nucleus?"""

import cv2
import numpy as np

from ppcore.masks.make import check_mask


def pixel_agreement(found: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Dice, precision and recall of the pixels of one class, each in [0, 1].

    found, wanted: (H, W) uint8 in {0, 1}; wanted is the expert's. Dice is 2 a / (b + c), precision a / b and recall
    a / c, where a pixels are marked in both, b in `found` and c in `wanted`. Marked by neither: 1, 1, 1. By one alone,
    what would be 0 / 0 is 0. Raises ValueError for invalid masks or unequal shapes.
    """
    _check_pair(found, wanted)
    both, one, other = (int(np.count_nonzero(mask)) for mask in (found & wanted, found, wanted))
    if not one and not other:
        return {"dice": 1.0, "precision": 1.0, "recall": 1.0}
    return {"dice": 2 * both / (one + other), "precision": both / max(one, 1), "recall": both / max(other, 1)}


def object_agreement(found: np.ndarray, wanted: np.ndarray, least: float = 0.5) -> dict[str, int]:
    """How many objects are there, and how many of them match: matched, found, wanted.

    found, wanted: (H, W) uint8 in {0, 1}; an object is a component, neighbours diagonal too. Two objects match if their
    intersection over union exceeds `least`. At 0.5 or more an object cannot match twice, so no assignment is needed
    (Kirillov et al. 2019, Panoptic Segmentation, section 4.1). F1 over fields is 2 matched / (found + wanted), of the
    sums. Raises ValueError as `pixel_agreement` does, and for `least` below 0.5.
    """
    _check_pair(found, wanted)
    if not 0.5 <= least < 1:
        raise ValueError(f"least is {least}: wanted 0.5 or more, below 1, so that an object matches at most once")
    (ones, one), (others, other) = (cv2.connectedComponents(mask) for mask in (found, wanted))
    shared = np.bincount(one.ravel() * others + other.ravel(), minlength=ones * others).reshape(ones, others)
    area, area_wanted = shared.sum(1), shared.sum(0)
    inside = shared[1:, 1:]
    matched = inside > least * (area[1:, None] + area_wanted[None, 1:] - inside)
    return {"matched": int(matched.sum()), "found": ones - 1, "wanted": others - 1}


def _check_pair(found: np.ndarray, wanted: np.ndarray) -> None:
    check_mask(found)
    check_mask(wanted)
    if found.shape != wanted.shape:
        raise ValueError(f"masks have shapes {found.shape} and {wanted.shape}: wanted equal shapes")
