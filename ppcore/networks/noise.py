"""What is the noise z of a generator? Maps and vectors that are drawn before the forward pass and passed to it.

A generator's `noise(height, width)` describes the z of one image. z can come from torch's global generator (a
training step), from a seed (`ppcore.methods.sampling`) or from the position on a large canvas.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """One part of z. kind: "coin", 0 or 1 with equal odds, or "normal", N(0, 1). shape: (C, h, w) or (n,)."""

    kind: Literal["coin", "normal"]
    shape: tuple[int, ...]


def draw_noise(wanted: Sequence[Noise], count: int, device: torch.device | str = "cpu",
               generator: torch.Generator | None = None) -> list[Tensor]:
    """z of `count` images: one float32 tensor (count, *shape) per part, on `device`.

    generator: on that device; None is torch's global one. The draw does not depend on the network's memory layout, so
    that a seed gives the same z in every precision.
    """
    where = {"device": device, "generator": generator}
    return [(torch.rand(count, *part.shape, **where) < 0.5).float() if part.kind == "coin"
            else torch.randn(count, *part.shape, **where) for part in wanted]
