"""What does each ingredient of the noise GAN do, and how good is a model after how many minutes? For notebook 15."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch.utils.data import Dataset, default_collate

from ppcore.methods.noise_gan import NoiseGANSettings
from ppcore.metrics.control import disagreement, diversity, iou
from ppcore.metrics.coverage import coverage
from ppcore.metrics.morphometry import mmd
from ppcore.metrics.perception import cubic_kernel
from ppcore.metrics.repetition import repetition
from ppcore.metrics.sets import MaskSet
from ppcore.training.method import Method

ALL = "all ingredients"
CHANGES = {"without noise": {"noise": False}, "without texture map": {"texture": False},
           "without C as a loss": {"lambda_coarse": 0.0}, "without moments": {"moments": False}}
MEASURES = {"kd": "kd", "mmd2": "MMD²", "coverage": "coverage", "iou": "IoU to the outline",
            "repetition": "repetition", "diversity": "diversity / error"}


def ingredients(own: NoiseGANSettings) -> dict[str, NoiseGANSettings]:
    """The study's settings, then each ingredient left out."""
    return {ALL: own} | {name: replace(own, **change) for name, change in CHANGES.items()}


def measured(real: MaskSet, outlines: Sequence[np.ndarray], made: MaskSet, several: Sequence[np.ndarray],
             truth: Sequence[np.ndarray], coarsen: Callable[[np.ndarray], np.ndarray], kd: bool = True) -> dict[str, float]:
    """The MEASURES of one mask per test outline, and of several, (S, H, W), of those with the real masks `truth`.

    All may be label maps of the classes of `real`: then kd, MMD², coverage and diversity are of all classes together,
    the IoU and the repetition of the tissue.
    kd: False leaves it out, as nan, where the network that it needs is not installed.
    """
    spread = sum(diversity(group, len(real.classes)) for group in several)
    error = sum(disagreement(group, mask) for group, mask in zip(several, truth))
    return {"kd": mmd(real.features, made.features, 0, kernel=cubic_kernel)[0] if kd else float("nan"),
            "mmd2": mmd(real.descriptors, made.descriptors, 0)[0],
            "coverage": float(coverage(real.descriptors, made.descriptors).mean()),
            "iou": float(np.mean([iou(np.minimum(coarsen(mask), 1), np.minimum(x, 1))
                                  for mask, x in zip(made.masks, outlines, strict=True)])),
            "repetition": repetition(made.masks, coarsen)["repetition"],
            "diversity": spread / error if error else float("nan")}


def seconds_per_step(method: Method, dataset: Dataset, batch_size: int, steps: int) -> float:
    """Median CPU time of a training step with its data, s, over `steps` after two more. It changes the weights."""
    taken = []
    for step in range(2 + steps):
        start = time.process_time()
        method.step(default_collate([dataset[(step * batch_size + i) % len(dataset)] for i in range(batch_size)]))
        taken.append(time.process_time() - start)
    return float(np.median(taken[2:]))
