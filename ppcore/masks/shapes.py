"""Which shapes does a mask contain? 27 numbers that describe its texture (reading R27).

A label map of K classes has 27 (K - 1): those of its tissue, then those of each further class within the whole map.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from tqdm import tqdm

from ppcore.masks.labels import MASK, Classes, layers
from ppcore.masks.make import check_mask

LAGS = (2, 8, 32)  # px
RADII = (1, 2, 4, 8, 16, 32)  # px: squares of side 2 r + 1
SD_FLOOR = 0.01  # in each descriptor's own unit; all are scaled to be of order one
DESCRIPTORS: tuple[str, ...] = (
    "tissue_fraction", "edge_density", "euler_density", "log_components", "log_holes",
    "component_log_area_mean", "component_log_area_sd", "hole_log_area_mean", "hole_log_area_sd",
    *(f"correlation_{way}_{lag}" for lag in LAGS for way in ("down", "across")),
    *(f"opening_{r}" for r in RADII), *(f"closing_{r}" for r in RADII))


def names_of(classes: Classes) -> tuple[str, ...]:
    """Names of the descriptors of label maps: DESCRIPTORS, then `<class>: <descriptor>` for each further class."""
    return DESCRIPTORS + tuple(f"{label.name}: {name}" for label in classes[2:] for name in DESCRIPTORS)


def describe(mask: np.ndarray) -> np.ndarray:
    """The descriptors of one mask, in the order of DESCRIPTORS: (27,) float64, always finite (reading R27).

    mask: (H, W) uint8 in {0, 1}, at least 33 px per side. Raises ValueError for anything else.

    tissue_fraction  share of pixels that are tissue.
    edge_density     pixel sides between tissue and air, per pixel of the mask (px / px^2); the frame is no
                     edge. City-block length: a slanted edge counts up to sqrt(2) times.
    euler_density    components minus holes, per 10,000 px^2.
    log_*            log(1 + count). Tissue is 8-connected and air 4-connected, the usual dual pair; a hole
                     is an air component that does not touch the frame.
    *_log_area_*     mean and sd of log(area in px^2) over components and over holes; 0 when there are none.
    correlation_*_r  two-point correlation of tissue r px down or across (Torquato 2002, section 2.2):
                     covariance of mask and shifted mask over (variance + 0.01), in (-1, 1). The 0.01, the
                     variance of a patch with 1 % air, makes a constant mask give 0 instead of 0 / 0.
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


def describe_all(masks: Iterable[np.ndarray], progress: bool = True, classes: Classes = MASK) -> np.ndarray:
    """`describe` of N masks: (N, 27) float64. About 2,000 masks of 512 x 1024 a minute on one core.

    masks: (H, W) uint8 in {0, 1}, all of one shape, so that counts are comparable. progress: show a bar. Of label maps
    of K `classes` each of the `layers` is described: (N, 27 (K - 1)), in the order of `names_of`. A class that a map
    lacks is described like a mask without tissue. Raises ValueError for no masks, several shapes, or a mask that
    `describe` refuses.
    """
    rows, shapes = [], set()
    for mask in tqdm(masks, desc="morphometry", unit="mask", disable=not progress):
        rows.append(np.concatenate([describe(layer) for layer in layers(mask, len(classes))]))
        shapes.add(mask.shape)
    if len(shapes) != 1:
        raise ValueError(f"{len(rows)} masks have the shapes {sorted(shapes)}: wanted masks of one shape")
    return np.stack(rows)


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
