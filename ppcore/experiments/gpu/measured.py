"""How good are masks and images of a training? Measured in processes beside it, and shown on sheets."""

import os
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

from ppcore.experiments.image_ingredients import likeness
from ppcore.experiments.ingredients import measured
from ppcore.masks.make import coarse_mask
from ppcore.masks.patches import read_image
from ppcore.metrics.sets import ImageSet, MaskSet, Shown
from ppcore.study.files import atomic
from ppcore.study.interrupt import end_with

WINDOW = (256, 512)  # px of a picture's middle that a sheet shows
GAP = 8  # px between pictures


def helpers(count: int) -> ProcessPoolExecutor:
    """Processes that compute on one thread each, and end with this one."""
    owner = f"{socket.gethostname()}:{os.getpid()}"
    return ProcessPoolExecutor(count, get_context("spawn"), _prepare, (owner,))


def _prepare(owner: str) -> None:
    end_with(owner)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - their progress bars would run into this process's own
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@dataclass(frozen=True)
class Real:
    """The test set, described once. kd: whether the network that it needs is installed."""

    images: ImageSet
    kd: bool


def describe_real(masks: MaskSet, images: Sequence[Path], kd: bool) -> Real:
    """Describe the test set; what is computed of it stays with it."""
    real = Real(ImageSet(Shown(images, read_image), masks), kd)
    for found in (masks, real.images):
        assert len(found.descriptors) == len(images) and not (kd and len(found.features) != len(images))
    return real


def mask_numbers(real: Real, outlines: Sequence[np.ndarray], made: Sequence[np.ndarray],
                 several: Sequence[np.ndarray] = ()) -> dict[str, float]:
    """`ingredients.measured` of made masks (H, W) and of several, (S, H, W), for the first outlines."""
    truth = real.images.masks
    return measured(truth, outlines, MaskSet(made, truth.subjects), several,
                    [truth.masks[i] for i in range(len(several))], coarse_mask, kd=real.kd)


def image_numbers(real: Real, made: Sequence[np.ndarray]) -> dict[str, float]:
    """`mmd2` of colours and detail, and `kd`, of made images (H, W, 3) uint8."""
    return likeness(real.images, ImageSet(made, real.images.masks), real.kd)


def write_sheet(path: Path, rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Store the middles of masks (H, W) in {0, 1}, tissue black, or of images (H, W, 3), row by row."""
    lines = []
    for pictures in rows:
        windows = [_middle(picture if picture.ndim == 3 else 255 * (1 - picture)) for picture in pictures]
        lines.append(np.concatenate(windows, axis=1))
    across = max(line.shape[1] for line in lines)
    colour = any(line.ndim == 3 for line in lines)
    lines = [np.repeat(line[..., None], 3, 2) if colour and line.ndim == 2 else line for line in lines]
    lines = [np.pad(line, [(0, 0), (0, across - line.shape[1]), (0, 0)][:line.ndim], constant_values=128) for line in lines]
    sheet = np.concatenate(lines)
    with atomic(path) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1] if colour else sheet)


def _middle(picture: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - shown) // 2) for side, shown in zip(picture.shape, WINDOW))
    window = picture[top:top + WINDOW[0], left:left + WINDOW[1]]
    return np.pad(window, [(0, GAP), (0, GAP), (0, 0)][:window.ndim], constant_values=128)
