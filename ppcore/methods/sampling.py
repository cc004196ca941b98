"""How does a trained generator draw, so that an image depends on its input and its seed alone?"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def translate(generator: nn.Module, images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Make one image of each given one, with the noise z of its seed.

    images: (B, C, H, W) in [-1, 1]. seeds: B of them; for several images of one outline, repeat it. Returns
    (B, C', H, W) in [-1, 1] on the device of `images`.

    One at a time, so that an image does not depend on its neighbours in the batch. torch's own random state stays
    as it was. Raises `ValueError` unless there is one seed an image.
    """
    if len(seeds) != len(images):
        raise ValueError(f"{len(seeds)} seeds for {len(images)} images: wanted one seed an image")
    return _one_by_one(generator, list(images.split(1)), seeds).to(images.device)


@torch.no_grad()
def from_noise(generator: nn.Module, seeds: Sequence[int]) -> Tensor:
    """Make one mask of each seed's noise, (B, 1, H, W) in [-1, 1]; otherwise as `translate`.

    z is drawn on the CPU: a seed means the same z on every device.
    """
    return _one_by_one(generator, [None] * len(seeds), seeds)


def _one_by_one(generator: nn.Module, inputs: Sequence[Tensor | None], seeds: Sequence[int]) -> Tensor:
    weight, training = next(generator.parameters()), generator.training
    images = []
    generator.eval()
    try:
        with torch.random.fork_rng([weight.device] if weight.device.type == "cuda" else []):
            for given, seed in zip(inputs, seeds):
                torch.manual_seed(seed)
                given = torch.randn(1, generator.latent) if given is None else given
                images.append(generator(given.to(weight)).float())  # to its device and precision
    finally:
        generator.train(training)
    return torch.cat(images)
