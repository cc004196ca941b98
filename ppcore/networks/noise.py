"""What is the noise z of a generator? Maps and vectors that are drawn before the forward and handed to it.

Every generator says by `noise(height, width)` what z one of its images takes. Whoever draws it decides the image: a
training step from torch's global generator, `ppcore.methods.sampling` from a seed, a large canvas by place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """One part of z. kind: "coin", fair values of {0, 1}, or "normal", N(0, 1). shape: (C, h, w) of a map, (n,) of a vector."""

    kind: Literal["coin", "normal"]
    shape: tuple[int, ...]


def draw_noise(wanted: Sequence[Noise], count: int, device: torch.device | str = "cpu",
               generator: torch.Generator | None = None) -> list[Tensor]:
    """z of `count` images: for each part a float32 tensor (count, *shape) on `device`.

    generator: of that device; None is torch's global one. A part is drawn in the order of its shape, whatever layout the
    network computes in, so that a seed means one z in every precision.
    """
    where = {"device": device, "generator": generator}
    return [(torch.rand(count, *part.shape, **where) < 0.5).float() if part.kind == "coin"
            else torch.randn(count, *part.shape, **where) for part in wanted]
