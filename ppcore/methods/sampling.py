"""How does a trained generator make images that depend only on their condition and noise?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ppcore.masks.labels import MASK, Classes
from ppcore.masks.make import read_mask
from ppcore.masks.patches import to_image, to_mask, to_tensor
from ppcore.masks.specks import without_specks
from ppcore.networks.noise import Noise, draw_noise
from ppcore.training.method import Method

Seed = int | list[Tensor]  # of one image: the seed of its z, or z itself


@torch.no_grad()
def generate(generator: nn.Module, condition: Tensor | None, seeds: Sequence[Seed], *further: Tensor) -> Tensor:
    """Make one image for each condition and seed.

    condition: (B, C, H, W) in [-1, 1], or None for a generator that starts from noise alone. seeds: B of them; for
    several images of one outline, repeat the outline. A seed may be replaced by the noise itself, as `draw_noise`
    returns it for one image. further: conditions (B, ...) that the generator takes after `condition`. Returns
    (B, C', H, W) on the device of `condition`.

    Images are made one at a time, so that none depends on its neighbours in the batch. z is drawn on the CPU: a seed
    gives the same z on every device. torch's global random state does not change. Raises `ValueError` unless there is
    one seed per image.
    """
    given = [()] * len(seeds) if condition is None else list(zip(*(part.split(1) for part in (condition, *further))))
    if len(seeds) != len(given):
        raise ValueError(f"{len(seeds)} seeds for {len(given)} images: wanted one seed per image")
    wanted = noise_of(generator, *(() if condition is None else condition.shape[-2:]))
    weight, training = next(generator.parameters()), generator.training
    images = []
    generator.eval()
    try:
        for inputs, seed in zip(given, seeds):
            z = draw_noise(wanted, 1, generator=torch.Generator().manual_seed(seed)) if isinstance(seed, int) else seed
            inputs = [part.to(weight) for part in inputs]
            if hasattr(generator, "noise"):
                inputs.append([part.to(weight) for part in z])
            images.append(generator(*inputs).float())
    finally:
        generator.train(training)
    return torch.cat(images).to(weight.device if condition is None else condition.device)


def noise_of(generator: nn.Module, *size: int) -> list[Noise]:
    """The z of one image of a generator; empty if it has no `noise`. size: H and W of the condition, if any."""
    return generator.noise(*size) if hasattr(generator, "noise") else []


def draw(method: Method, folder: Path | None, name: str, seeds: Sequence[int], ending: str = "",
         classes: Classes = MASK) -> list[np.ndarray]:
    """What a method makes from the mask <name><ending>.png of a folder (None: from noise alone), one per seed.

    Returns label maps (H, W) uint8 in {0, ..., K - 1}, or images (H, W, 3) uint8 of a method that `makes` images. K is
    its setting `classes`. Label maps of `classes` are cleaned (`ppcore.masks.specks.without_specks`).
    """
    given = None
    if folder is not None:
        given = to_tensor(read_mask(folder / f"{name}{ending}.png"), method.settings.classes)[None]
    made = [method.generate(given, [seed])[0] for seed in seeds]
    return [to_image(one) if method.makes == "image" else without_specks(to_mask(one), classes) for one in made]
