"""Which masks are compared, and which subjects are they from?"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ppcore.masks.labels import MASK, Classes, palette, shares
from ppcore.masks.make import read_mask
from ppcore.masks.patches import read_image
from ppcore.masks.shapes import describe_all
from ppcore.metrics.copying import small_masks
from ppcore.metrics.image import describe_images
from ppcore.metrics.perception import perceived
from ppcore.study.files import read_table


class Shown(Sequence):
    """Masks or files as a function shows them, on each access: a cohort's training masks would fill the memory."""

    def __init__(self, originals: Sequence, show: Callable[[Any], np.ndarray]):
        self.originals, self.show = originals, show

    def __len__(self) -> int:
        return len(self.originals)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.show(self.originals[i])


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


@dataclass(frozen=True)
class ImageSet:
    """Images of one method, or real ones: N of (H, W, 3) uint8. masks: what each was made from, or shows."""

    images: Sequence[np.ndarray]
    masks: MaskSet

    @cached_property
    def descriptors(self) -> np.ndarray:
        """Colours and detail of each image, (N, 10) (`ppcore.metrics.image`)."""
        return describe_images(self.images)

    @cached_property
    def features(self) -> np.ndarray:
        """What a network trained on photographs sees of each image, (N, 1280)."""
        return perceived(self.images)


def read_set(folder: Path, names: Iterable[str], subjects: Iterable[str], ending: str = "",
             classes: Classes = MASK) -> MaskSet:
    """The masks <name><ending>.png of a folder, in the order of `names`; subjects: one label per mask."""
    return MaskSet(Shown([folder / f"{name}{ending}.png" for name in names], read_mask), np.asarray(subjects), classes)


def drawn_often(folder: Path, names: pd.Index) -> tuple[pd.Index, int]:
    """Which of `names` a method drew several masks or images of, and how many of each, by its index.csv."""
    last = read_table(folder / "index.csv").groupby("patch")["sample"].max()
    return names.intersection(last.index[last > 0]), 1 + last.max()


def read_samples(folder: Path, names: Iterable[str], count: int) -> list[np.ndarray]:
    """For each name, its masks <name>_0.png to <name>_<count - 1>.png, (count, H, W) uint8."""
    return [np.stack([read_mask(folder / f"{name}_{sample}.png") for sample in range(count)]) for name in names]


def read_images(folder: Path, names: Iterable[str], masks: MaskSet, ending: str = "") -> ImageSet:
    """The images <name><ending>.webp of a folder, all in memory, with the mask of each."""
    return ImageSet(list(image_files(folder, names, ending)), masks)


def image_samples(folder: Path, names: Iterable[str], count: int) -> Iterator[np.ndarray]:
    """For each name, its images <name>_<sample>.webp, (count, H, W, 3) uint8; read one name at a time."""
    for name in names:
        yield np.stack([read_image(folder / f"{name}_{sample}.webp") for sample in range(count)])


def image_files(folder: Path, names: Iterable[str], ending: str = "") -> Sequence[np.ndarray]:
    """The images <name><ending>.webp of a folder, (H, W, 3) uint8, read on each access."""
    return Shown([folder / f"{name}{ending}.webp" for name in names], read_image)
