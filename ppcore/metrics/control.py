"""Does the output keep to the outline that was asked for, and how much is left to chance?

The paper claims controllability but reports no number for it. These are ours (reading R30).
"""

from collections.abc import Callable

import cv2
import numpy as np
from scipy.stats import spearmanr

from ppcore.masks.labels import layers
from ppcore.masks.make import check_mask


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of the tissue of two masks, in [0, 1]; 1 when neither has tissue.

    a, b: (H, W) uint8 in {0, 1}. Raises ValueError for invalid masks or unequal shapes.
    """
    _check_pair(a, b)
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def boundary_f1(a: np.ndarray, b: np.ndarray, tolerance: float = 2) -> float:
    """F1 of the boundaries of two masks, in [0, 1] (Csurka et al. 2013; reading R30).

    a, b: (H, W) uint8 in {0, 1}. tolerance: px, Euclidean. Symmetric in a and b.
    A boundary pixel is tissue with air above, below, left or right of it; the frame does not count.
    Precision: share of a's boundary pixels within the tolerance of b's boundary. Recall: the reverse.
    If neither mask has a boundary (all tissue or all air): 1 if they are equal, 0 if opposite. If only one
    has: 0. Raises ValueError as `iou` does.
    """
    _check_pair(a, b)
    edge_a, edge_b = _boundary(a), _boundary(b)
    if not (edge_a.any() or edge_b.any()):
        return float(np.array_equal(a, b))
    if not (edge_a.any() and edge_b.any()):
        return 0.0
    precision = np.mean(_distance_to(edge_b)[edge_a] <= tolerance)
    recall = np.mean(_distance_to(edge_a)[edge_b] <= tolerance)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def diversity(samples: np.ndarray, classes: int = 2) -> float:
    """Share of pixels in which two samples of one outline differ, mean over pairs, in [0, 1] (reading R30).

    samples: (S, H, W) in {0, 1}, S >= 2, made from the same input; the study uses S = 8. 0 means that the
    noise has no effect; pix2pix is known to come close (Isola et al. 2017, section 3.1). classes: K of label maps,
    which differ wherever their classes do. Raises ValueError for another shape, S < 2, or a value that is no class.
    """
    samples = np.asarray(samples)
    if samples.ndim != 3 or len(samples) < 2:
        raise ValueError(f"samples have shape {samples.shape}: wanted (S, H, W), two or more of one outline")
    if not np.isin(samples, range(classes)).all():
        wanted = "0 (air), 1 (tissue)" if classes == 2 else f"whole numbers, 0 to {classes - 1}"
        raise ValueError(f"samples run from {samples.min()} to {samples.max()}: wanted {wanted}")
    count, alike = len(samples), sum((samples == value).sum(axis=0) ** 2 for value in range(classes))
    pairs = count * (count - 1) / 2
    return float(np.mean((count**2 - alike) // 2) / pairs)  # pairs that differ, at one pixel


def disagreement(samples: np.ndarray, real: np.ndarray) -> float:
    """Share of pixels in which a sample differs from the real fine mask of its outline, mean over samples, in [0, 1].

    samples: (S, H, W), made from C(m); real: m, (H, W); masks, or label maps, which differ wherever their classes do.

    The reference for `diversity`. If samples were drawn from the real masks that an outline can have, m would be one
    more sample, and two samples would on average differ as much as a sample and m: diversity / disagreement, over many
    outlines, would be 1. Far below 1, the model is overconfident; above 1, its samples vary more than they err. It is
    never above 2. The ratio does not tell whether a sample looks real, nor where the outline left freedom. It is
    undefined, 0 / 0, for a model that is right everywhere. Raises ValueError if the shapes do not match.
    """
    samples = np.asarray(samples)
    if samples.ndim != 3 or samples.shape[1:] != np.shape(real):
        raise ValueError(f"samples have shape {samples.shape}, real {np.shape(real)}: wanted (S, H, W) and (H, W)")
    return float(np.mean(samples != real))


def fraction_rank(asked: np.ndarray, obtained: np.ndarray) -> float:
    """Spearman's rank correlation of the tissue fractions asked for and obtained, in [-1, 1] (reading R30).

    asked, obtained: (N,) in [0, 1]. 1: asking for more tissue always gives more. nan if either is constant.
    """
    if np.ptp(asked) == 0 or np.ptp(obtained) == 0:
        return float("nan")
    return float(spearmanr(asked, obtained).statistic)


def control(outline: np.ndarray, generated: np.ndarray,
            coarsen: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    """How well C(G(x)) reproduces x (reading R30).

    outline: x, the coarse mask that was asked for; generated: G(x); both (H, W) uint8 in {0, 1}. coarsen: C,
    from mask to coarse mask (`ppcore.masks.make.coarse_mask`); without it, fine texture would count as an error.
    Returns `iou` and `boundary_f1` (2 px) of C(G(x)) against x, `fraction_bias`, the tissue fraction of C(G(x))
    minus that of x, and `fraction_error`, its absolute value: a mean bias of 0 can hide errors of both signs.
    COPY, G(x) = x, scores 1, 1, 0, 0 if x = C(m), as C is idempotent (reading R7).
    Raises ValueError as `iou` does.
    """
    returned = coarsen(generated)
    bias = float(returned.mean()) - float(outline.mean())
    return {"iou": iou(returned, outline), "boundary_f1": boundary_f1(returned, outline),
            "fraction_error": abs(bias), "fraction_bias": bias}


def class_control(outline: np.ndarray, generated: np.ndarray, coarsen: Callable[[np.ndarray], np.ndarray],
                  count: int) -> list[dict[str, float]]:
    """`control` of label maps of `count` classes, class by class: of the tissue, then of each further class.

    coarsen: C with the kernels of the classes. Of the tissue as of a mask. Of a further class `fraction_asked` and
    `fraction_obtained` too, its share of the whole map in x and in C(G(x)); `iou` and `boundary_f1` are nan if neither
    has the class: no control was asked for there. C is not idempotent for further classes, whose dense places end where
    the tissue does, so COPY may score below 1.
    """
    asked, obtained = layers(outline, count), layers(coarsen(generated), count)
    rows = [control(x, c, lambda mask: mask) for x, c in zip(asked, obtained)]
    for row, x, c in zip(rows[1:], asked[1:], obtained[1:]):
        row.update(fraction_asked=float(x.mean()), fraction_obtained=float(c.mean()))
        if not (x.any() or c.any()):
            row.update(iou=float("nan"), boundary_f1=float("nan"))
    return rows


def _boundary(mask: np.ndarray) -> np.ndarray:
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cv2.erode(mask, cross) != mask


def _distance_to(edge: np.ndarray) -> np.ndarray:
    """Distance of every pixel to the nearest edge pixel, in px: (H, W) float32."""
    return cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _check_pair(a: np.ndarray, b: np.ndarray) -> None:
    check_mask(a)
    check_mask(b)
    if a.shape != b.shape:
        raise ValueError(f"masks have shapes {a.shape} and {b.shape}: wanted equal shapes")
