"""What does the Bernoulli diffusion compute? A U-Net that guesses the fine mask behind a noisy one.

It works on 4 x 4 blocks of pixels, has no normalisation, and learns from the time how noisy its input is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ppcore.networks.layers import check_size
from ppcore.networks.noise import Noise

FOLD = 4  # px, side of the blocks that become channels
EMBEDDING = 128  # channels of the time
BLOCKS = ((1, 2), (1, 1), (1, 1))  # residual blocks on the way down and up, per level


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside the identity; the first is scaled and shifted by the time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = Drawn(width, width, 3, padding=1), Drawn(width, width, 3, padding=1)
        self.second.share = 0.0  # at first the identity
        self.modulation = Drawn(EMBEDDING, 2 * width, 1)

    def forward(self, features: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.modulation(time).chunk(2, 1)
        return features + self.second(F.silu(self.first(F.silu(features)) * (1 + scale) + shift))


class Drawn(nn.Conv2d):
    """A convolution with torch's usual first weights, drawn from a seed; `share` scales them."""

    share = 1.0

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw weights and biases, on the CPU, uniformly within 1 / sqrt(inputs)."""
        bound = self.share / self.weight[0].numel() ** 0.5
        for part in (self.weight, self.bias):
            part.copy_(bound * (2 * torch.rand(part.shape, generator=generator) - 1))


class BernoulliUNet(nn.Module):
    """Noisy fine mask, coarse mask, time and texture map to the logits of the fine mask.

    widths: channels at 1/4, 1/8 and 1/16 of the resolution. texture: channels of the texture map. steps: of a draw;
    they say how much noise one needs. channels: of a mask.
    """

    def __init__(self, widths: Sequence[int] = (48, 96, 128), texture: int = 4, steps: int = 8,
                 channels: int = 1) -> None:
        super().__init__()
        pairs, self.steps = list(zip(widths, widths[1:])), steps
        self.register_buffer("frequencies", 2.0 ** torch.linspace(-1, 5, 16) * torch.pi, persistent=False)
        self.time = nn.Sequential(Drawn(32, EMBEDDING, 1), nn.SiLU(), Drawn(EMBEDDING, EMBEDDING, 1), nn.SiLU())
        self.first = Drawn(2 * channels * FOLD**2 + texture, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Drawn(a, b, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(Drawn(b, a, 1) for a, b in pairs)
        self.encoder, self.decoder = (nn.ModuleList(nn.ModuleList(Residual(width) for _ in range(count[way]))
                                                    for width, count in zip(widths, BLOCKS)) for way in (0, 1))
        self.last = Drawn(widths[0], channels * FOLD**2, 3, padding=1)
        self.last.share = 0.0

    def noise(self, height: int, width: int) -> list[Noise]:
        """z of one image: the first noisy mask, and two maps for each step but the last."""
        return [Noise("normal", (1, height, width))] * (2 * self.steps - 1)

    def forward(self, noisy: Tensor, x: Tensor, time: Tensor, texture: Tensor) -> Tensor:
        """noisy, x: (B, channels, H, W) in [-1, 1], H and W multiples of 16. time: (B,) in [0, 1], 1: no noise.
        texture: (B, C, h, w). Returns logits like x.

        Raises `ValueError` for other sizes.
        """
        check_size(x, FOLD * 2 ** len(self.down), "the Bernoulli U-Net")
        angles = time[:, None] * self.frequencies
        time = self.time(torch.cat([angles.sin(), angles.cos()], 1)[:, :, None, None])
        features = F.pixel_unshuffle(torch.cat([noisy, x], 1), FOLD)
        texture = F.interpolate(texture, features.shape[-2:]).to(features.dtype)
        features, skips = self.first(torch.cat([features, texture], 1)), []
        for level, blocks in enumerate(self.encoder):
            for block in blocks:
                features = block(features, time)
            if level < len(self.down):
                skips.append(features)
                features = self.down[level](features)
        for level in reversed(range(len(self.decoder))):
            for block in self.decoder[level]:
                features = block(features, time)
            if level:
                features = F.interpolate(self.up[level - 1](features), scale_factor=2) + skips[level - 1]
        return F.pixel_shuffle(self.last(F.silu(features)), FOLD)
