"""Which masks are compared, and which subjects are they from?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ppcore.masks.labels import MASK, Classes, palette, shares
from ppcore.masks.make import read_mask
from ppcore.masks.shapes import describe_all
from ppcore.metrics.copying import small_masks
from ppcore.metrics.perception import perceived
from ppcore.study.files import read_table


class MaskFiles(Sequence):
    """Masks read from files on each access, as a cohort's training masks would fill the memory."""

    def __init__(self, paths: Iterable[Path]):
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> np.ndarray:
        return read_mask(self.paths[i])


class Shown(Sequence):
    """Masks as a function shows them, one by one."""

    def __init__(self, masks: Sequence[np.ndarray], show: Callable[[np.ndarray], np.ndarray]):
        self.masks, self.show = masks, show

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.show(self.masks[i])


@dataclass(frozen=True)
class MaskSet:
    """Masks or label maps of one method (or the real ones) and the subject of each.

    masks: N arrays (H, W) in {0, ..., K - 1}. subjects: (N,) labels; a mask made from an outline has the outline's
    subject. classes: the K classes, of all sets that are compared with each other.
    """

    masks: Sequence[np.ndarray]
    subjects: np.ndarray
    classes: Classes = MASK

    @cached_property
    def fractions(self) -> np.ndarray:
        """Tissue fraction of each mask, (N,)."""
        return np.array([(mask > 0).mean() for mask in self.masks])

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of the area of each class, (N, K)."""
        return np.stack([shares(mask, len(self.classes)) for mask in self.masks])

    @property
    def pictures(self) -> Sequence[np.ndarray]:
        """What networks of photographs are shown: the masks, or pictures (H, W, 3) of label maps in their colours."""
        return self.masks if len(self.classes) == 2 else Shown(self.masks, palette(self.classes).__getitem__)

    @cached_property
    def descriptors(self) -> np.ndarray:
        """Morphometry of each mask, (N, D) (reading R27)."""
        return describe_all(self.masks, classes=self.classes)

    @cached_property
    def features(self) -> np.ndarray:
        """What a network trained on photographs sees of each mask, (N, 1280) (`ppcore.metrics.perception`)."""
        return perceived(self.pictures)

    @cached_property
    def small(self) -> np.ndarray:
        """The masks as `ppcore.metrics.copying` compares their pixels, (N, P)."""
        return small_masks(self.masks, len(self.classes))


def read_set(folder: Path, names: Iterable[str], subjects: Iterable[str], ending: str = "",
             classes: Classes = MASK) -> MaskSet:
    """The masks <name><ending>.png of a folder, in the order of `names`; subjects: one label per mask."""
    return MaskSet(MaskFiles(folder / f"{name}{ending}.png" for name in names), np.asarray(subjects), classes)


def drawn_often(folder: Path, names: pd.Index) -> tuple[pd.Index, int]:
    """Which of `names` a method drew several masks of, and how many of each, by its index.csv."""
    last = read_table(folder / "index.csv").groupby("patch")["sample"].max()
    return names.intersection(last.index[last > 0]), 1 + last.max()


def read_samples(folder: Path, names: Iterable[str], count: int) -> list[np.ndarray]:
    """For each name, its masks <name>_0.png to <name>_<count - 1>.png, (count, H, W) uint8."""
    return [np.stack([read_mask(folder / f"{name}_{sample}.png") for sample in range(count)]) for name in names]
