"""Do two label maps agree, an expert's and one made by rule, or one before and after: by pixel, class and nucleus?"""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from ppcore.masks.labels import Classes
from ppcore.masks.make import check_mask, read_mask
from ppcore.masks.patches import read_image
from ppcore.masks.stain import label
from ppcore.masks.stain_cut import Cut


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


def compare_classes(pairs: Iterable[tuple[np.ndarray, np.ndarray]], classes: Classes) -> pd.DataFrame:
    """What two sets of label maps show of each class but air, one row a class, by name.

    pairs: two maps (H, W) of one patch. Columns: share and share_other, of the whole area; objects and objects_other,
    components a patch, neighbours diagonal too; iou and dice, of all pixels; nan for a class that neither set has.
    """
    values, count = range(1, len(classes)), 0
    areas, objects = np.zeros((3, len(values))), np.zeros((2, len(values)))
    size = 0
    for one, other in pairs:
        count, size = count + 1, size + one.size
        for row, value in enumerate(values):
            masks = [(labels == value).astype(np.uint8) for labels in (one, other)]
            areas[:, row] += [np.count_nonzero(mask) for mask in (*masks, masks[0] & masks[1])]
            objects[:, row] += [cv2.connectedComponents(mask)[0] - 1 for mask in masks]
    first, second, both = areas
    with np.errstate(invalid="ignore"):  # 0 / 0 is nan
        return pd.DataFrame({"share": first / size, "share_other": second / size, "objects": objects[0] / count,
                             "objects_other": objects[1] / count, "iou": both / (first + second - both),
                             "dice": 2 * both / (first + second)},
                            index=pd.Index([each.name for each in classes[1:]], name="class"))


def cut_sensitivity(folder: str | Path, index: pd.DataFrame, cut: Cut, classes: Classes,
                    step: float = 0.1) -> pd.DataFrame:
    """How another cut would change labels from the stain: `compare_classes` with cuts lower and higher by `step`.

    folder: of the patch set; reads `rgb/` and `fine/`. index: of the patches to measure, columns patch, subject, mpp.
    Rows: class, and the factor of the cut.
    """
    def pairs(factor: float) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        for line in tqdm(list(index.itertuples()), desc=f"cut x {factor:g}", unit="patch"):
            used = read_mask(Path(folder) / "fine" / f"{line.patch}.png")
            rgb = read_image(Path(folder) / "rgb" / f"{line.patch}.webp")
            yield used, label(rgb, np.minimum(used, 1), cut.times(factor), line.subject, line.mpp)

    tables = {factor: compare_classes(pairs(factor), classes) for factor in (1 - step, 1 + step)}
    return pd.concat(tables, names=["cut"]).swaplevel().sort_index()


def _check_pair(found: np.ndarray, wanted: np.ndarray) -> None:
    check_mask(found)
    check_mask(wanted)
    if found.shape != wanted.shape:
        raise ValueError(f"masks have shapes {found.shape} and {wanted.shape}: wanted equal shapes")
