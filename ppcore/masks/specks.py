"""Which objects of a class are too small to be any? Label maps that a model made are cleaned of such specks.

Labels have a smallest size: what makes them drops smaller objects and fills smaller holes (`ppcore.masks.stain`), and an
expert does not outline a dot. A network that decides pixel by pixel leaves dots. So a cohort's training patches tell how
small its objects and holes are (`learn_sizes`, stored in `classes.csv`), and what a model makes follows that
(`without_specks`), whichever model it is. Air and tissue stay as they were made: the paper's threshold cleans nothing.
"""

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from ppcore.masks.labels import Classes

RARE = 0.01  # share of the training patches' objects that may be smaller, and small holes for each object
SEEN = 100  # objects, at least, that sizes are learned from


def learn_sizes(maps: Iterable[np.ndarray], classes: Classes) -> Classes:
    """The classes with `least_object` and `least_hole`, px, of label maps (H, W) in {0, ..., K - 1}.

    least_object: the first percentile of the areas of a class's objects. least_hole: the same area, if there is no more
    than one smaller hole for a hundred objects; else 0, as in a gland with its lumina. Objects and holes that the frame
    cuts do not count. A class with fewer than SEEN objects gets 0.
    """
    objects, holes = ([[] for _ in classes] for _ in range(2))
    for labels in maps:
        for value in range(2, len(classes)):
            objects[value] += _whole(labels == value, 8)
            holes[value] += _whole(labels != value, 4)
    return (*classes[:2], *(replace(label, **_least(np.array(areas), np.array(gaps)))
                            for label, areas, gaps in zip(classes[2:], objects[2:], holes[2:])))


def _least(objects: np.ndarray, holes: np.ndarray) -> dict[str, int]:
    """From the areas of objects and holes, px."""
    least = int(np.quantile(objects, RARE)) if len(objects) >= SEEN else 0
    return {"least_object": least, "least_hole": least * int((holes < least).sum() <= RARE * len(objects))}


def without_specks(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """A label map (H, W) uint8 whose objects and holes have the sizes that its classes ask for.

    Of each further class, a smaller object becomes what is nearest to it, and then a smaller hole is filled. What the
    frame cuts stays. A mask of tissue and air is returned as it is.
    """
    specks = np.zeros(labels.shape, bool)
    for value, label in enumerate(classes[2:], start=2):
        specks |= _small(labels == value, label.least_object, 8)
    if specks.any() and not specks.all():
        labels = labels[tuple(distance_transform_edt(specks, return_distances=False, return_indices=True))]
    for value, label in enumerate(classes[2:], start=2):
        labels = np.where(_small(labels != value, label.least_hole, 4), np.uint8(value), labels)
    return labels


def without_small(mask: np.ndarray, least: float, connectivity: int) -> np.ndarray:
    """A mask (H, W) bool without components of fewer than `least` px, at the frame or not."""
    number, area, _ = _components(mask, connectivity)  # 0: outside
    kept = area >= least
    kept[0] = False
    return kept[number]


def _whole(mask: np.ndarray, connectivity: int) -> list[int]:
    """Areas of the components that the frame does not cut, px."""
    _, area, framed = _components(mask, connectivity)
    return area[1:][~framed[1:]].tolist()


def _small(mask: np.ndarray, least: int, connectivity: int) -> np.ndarray:
    """Components of fewer than `least` px that do not touch the frame, (H, W) bool."""
    number, area, framed = _components(mask, connectivity)
    small = (area < least) & ~framed
    small[0] = False
    return small[number]


def _components(mask: np.ndarray, connectivity: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of the component at each pixel, 0 outside; area of each, px; and whether it touches the frame."""
    _, number, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    framed = np.zeros(len(stats), bool)
    for side in (number[0], number[-1], number[:, 0], number[:, -1]):
        framed[side] = True
    return number, stats[:, cv2.CC_STAT_AREA], framed
