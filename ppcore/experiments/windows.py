"""What does a segmenter see in a step? Windows of images and of what is to be found in them, changed at random.

The change is the ordinary augmentation that synthetic data must beat: any turn, a flip, another scale, and light,
stain, blur and noise at up to half the strength of the tests (`ppcore.experiments.nuisance`).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from ppcore.experiments.few import Pair, foreground
from ppcore.experiments.nuisance import disturb_mildly
from ppcore.masks.labels import Classes
from ppcore.masks.make import read_mask
from ppcore.masks.patches import image_to_tensor, read_image, to_tensor

WINDOW = 128  # px per side
SCALE = 1.25  # a window is magnified by a factor between 1 / SCALE and SCALE


class Windows(Dataset):
    """`count` windows of WINDOW px: `image` (3, S, S) in [-1, 1] and `fine` (1, S, S) in {-1, 1}, the foreground.

    From pairs drawn with replacement. Each source contributes equally. All draws come from torch's global generator,
    which `train` seeds by item number: all arms of a seed see the same places and changes, on their own pairs. Outside
    its frame an image is mirrored.
    """

    def __init__(self, sources: Sequence[Sequence[Pair]], classes: Classes, count: int) -> None:
        self.sources, self.classes, self.count = sources, classes, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        source = self.sources[i % len(self.sources)]
        rgb, mask = read_pair(*source[int(rng.random() * len(source))], self.classes)
        window = draw_window(*mask.shape, rng)
        return {"image": image_to_tensor(disturb_mildly(cut(rgb, window, cv2.INTER_LINEAR), rng)),
                "fine": to_tensor(cut(mask, window, cv2.INTER_NEAREST))}


def draw_window(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """The affine map (2, 3) from a picture of this size to a window: place, turn, flip and scale at random."""
    centre = [side / 2 + (rng.random() - 0.5) * max(0, side - WINDOW) for side in (width, height)]
    angle, scale = rng.uniform(0, 2 * np.pi), SCALE ** rng.uniform(-1, 1)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[0] *= rng.choice((1, -1))
    return np.column_stack([turn, WINDOW / 2 - turn @ centre])


def cut(picture: np.ndarray, window: np.ndarray, interpolation: int) -> np.ndarray:
    """The window of a picture (H, W) or (H, W, 3) uint8."""
    return cv2.warpAffine(picture, window, (WINDOW, WINDOW), flags=interpolation, borderMode=cv2.BORDER_REFLECT_101)


@lru_cache(maxsize=512)  # decoding takes longer than a step; 1 GB at 512 x 1024 px
def read_pair(rgb: Path, fine: Path, classes: Classes) -> tuple[np.ndarray, np.ndarray]:
    """An image and its foreground, (H, W) in {0, 1}."""
    return read_image(rgb), foreground(read_mask(fine), classes)
