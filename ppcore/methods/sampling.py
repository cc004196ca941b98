"""How does a trained generator draw, so that an image depends on its condition and its noise alone?"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ppcore.networks.noise import Noise, draw_noise

Seed = int | list[Tensor]  # of one image: what its z is drawn from, or z itself


@torch.no_grad()
def generate(generator: nn.Module, condition: Tensor | None, seeds: Sequence[Seed]) -> Tensor:
    """Make one image for each condition and seed.

    condition: (B, C, H, W) in [-1, 1], or None for a generator that starts from noise alone. seeds: B of them; for
    several images of one outline, repeat it. In the place of a seed may stand the noise itself, as `draw_noise` returns
    it for one image. Returns (B, C', H, W) in [-1, 1] on the device of `condition`.

    One at a time, so that an image does not depend on its neighbours in the batch. z is drawn on the CPU: a seed means
    the same z on every device. torch's own random state is not touched. Raises `ValueError` unless there is one seed
    an image.
    """
    given = [None] * len(seeds) if condition is None else condition.split(1)
    if len(seeds) != len(given):
        raise ValueError(f"{len(seeds)} seeds for {len(given)} images: wanted one seed an image")
    wanted = noise_of(generator, *(() if condition is None else condition.shape[-2:]))
    weight, training = next(generator.parameters()), generator.training
    images = []
    generator.eval()
    try:
        for one, seed in zip(given, seeds):
            z = draw_noise(wanted, 1, generator=torch.Generator().manual_seed(seed)) if isinstance(seed, int) else seed
            inputs = [] if one is None else [one.to(weight)]
            if hasattr(generator, "noise"):
                inputs.append([part.to(weight) for part in z])
            images.append(generator(*inputs).float())
    finally:
        generator.train(training)
    return torch.cat(images).to(weight.device if condition is None else condition.device)


def noise_of(generator: nn.Module, *size: int) -> list[Noise]:
    """What z one image of a generator takes; none where it has no `noise`. size: H and W of the condition, if it has one."""
    return generator.noise(*size) if hasattr(generator, "noise") else []
