"""What are the generators and the discriminator of the noise GAN and the noise image model? Narrow, not normalised.

A U-Net that gets a map of Gaussian noise in every convolution of its decoder, and a discriminator that looks at places
and at the statistics of a whole crop. Neither has a transposed convolution, which leaves a lattice, or a
normalisation, which wipes out flat areas and makes neighbouring windows of a canvas disagree.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ppcore.networks.layers import check_size
from ppcore.networks.noise import Noise

DEPTH = (1, 2, 2, 1)  # noisy convolutions per level, from 1/2 of the resolution down to 1/16
FULL = 12  # channels at the full resolution
# Factors on the first weights of the noise, from the full resolution down. The finest is small, as it makes holes of
# single pixels.
LOUDNESS = (0.7, 2.0, 2.0, 4.0, 4.0)


class Conv(nn.Conv2d):
    """A convolution whose first weights are He's for a leaky ReLU (He et al. 2015), with biases 0."""

    loudness = 1.0  # factor on the weights of the last input channel

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw the weights, on the CPU."""
        gain = nn.init.calculate_gain("leaky_relu", 0.2) / self.weight[0].numel() ** 0.5
        self.weight.copy_(gain * torch.randn(self.weight.shape, generator=generator))
        self.weight[:, -1] *= self.loudness
        self.bias.zero_()


class Modulation(nn.Conv2d):
    """Scale and shift of each of `width` channels at each place, from a texture map; small at first."""

    def __init__(self, texture: int, width: int) -> None:
        super().__init__(texture, 2 * width, 1)

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw the weights, on the CPU."""
        self.weight.copy_(0.2 / self.in_channels**0.5 * torch.randn(self.weight.shape, generator=generator))
        self.bias.zero_()

    def forward(self, features: Tensor, texture: Tensor) -> Tensor:
        """features: (B, width, h, w). texture: (B, C, h', w'), resized to them. Returns (B, width, h, w)."""
        scale, shift = super().forward(resized(texture, features)).to(features.dtype).chunk(2, 1)
        return torch.addcmul(shift, features, 1 + scale)


class Noisy(nn.Module):
    """3 x 3 convolution of features and one map of noise, scaled and shifted by a texture map, then leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, texture: int, loudness: float, border: dict) -> None:
        """texture: channels of the texture map; 0: none. loudness: factor on the noise's first weights. border: of the
        convolution, `padding` and `padding_mode`."""
        super().__init__()
        self.conv = Conv(inputs + 1, outputs, 3, **border)
        self.conv.loudness = loudness
        self.modulation = Modulation(texture, outputs) if texture else None

    def forward(self, features: Tensor, noise: Tensor, texture: Tensor) -> Tensor:
        features = self.conv(torch.cat([features, noise.to(features.dtype)], 1))
        if self.modulation is not None:
            features = self.modulation(features, texture)
        return F.leaky_relu(features, 0.2, inplace=True)


class NoiseUNet(nn.Module):
    """Coarse mask, texture map and noise to the logits of a fine mask; or label map and colour map to an image.

    widths: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution. texture: channels of the texture map. loud: False
    switches the noise off, for an ablation. channels: of a mask. made: channels of the output, as many if None.
    loudness: as LOUDNESS. smooth: bilinear upsampling, mirrored borders and the map at 1/2 of the resolution too, for
    images; a mask has sharp edges, and its frame is air or tissue, not grey.
    """

    def __init__(self, widths: Sequence[int] = (24, 48, 64, 64), texture: int = 4, loud: bool = True,
                 channels: int = 1, made: int | None = None, loudness: Sequence[float] = LOUDNESS,
                 smooth: bool = False) -> None:
        super().__init__()
        steps, self.loud = list(zip(widths, widths[1:])), loud
        self.upsample = {"scale_factor": 2, "mode": "bilinear" if smooth else "nearest"}
        border = {"padding": 1, "padding_mode": "reflect" if smooth else "zeros"}
        self.first = Conv(4 * channels, widths[0], 3, **border)
        self.down = nn.ModuleList(Conv(a, b, 4, stride=2, **border) for a, b in steps)
        self.blocks = nn.ModuleList(
            nn.ModuleList(Noisy(width, width, texture if level or smooth else 0, loud_here, border) for _ in range(depth))
            for level, (width, depth, loud_here) in enumerate(zip(widths, DEPTH, loudness[1:])))
        self.narrow = nn.ModuleList(Conv(b, a, 1) for a, b in steps)
        self.out = Conv(widths[0], FULL, 1)
        self.full = Noisy(FULL + channels, FULL, 0, loudness[0], border)
        self.last = Conv(FULL, made or channels, 3, **border)

    def noise(self, height: int, width: int) -> list[Noise]:
        """z of one image: a Gaussian map for every noisy convolution, from the coarsest level to the finest."""
        levels = [(height >> level + 1, width >> level + 1) for level in reversed(range(len(self.blocks)))
                  for _ in self.blocks[level]]
        return [Noise("normal", (1, *size)) for size in (*levels, (height, width))]

    def forward(self, x: Tensor, texture: Tensor, z: Sequence[Tensor]) -> Tensor:
        """x: (B, channels, H, W) in [-1, 1], H and W multiples of 16. texture: (B, D, H / 8, W / 8). Returns logits like
        x, or of `made` channels.

        Raises `ValueError` for other sizes.
        """
        check_size(x, 2 ** len(self.blocks), "the noise U-Net")
        maps = iter(part if self.loud else torch.zeros_like(part) for part in z)
        features = F.leaky_relu(self.first(F.pixel_unshuffle(x, 2)), 0.2)
        skips = [features]
        for down in self.down:
            skips.append(F.leaky_relu(down(skips[-1]), 0.2))
        features = skips[-1]
        for level in reversed(range(len(skips))):
            if level < len(skips) - 1:
                features = 0.7 * F.interpolate(self.narrow[level](features), **self.upsample) + 0.7 * skips[level]
            for block in self.blocks[level]:
                features = block(features, next(maps), texture)
        features = F.interpolate(self.out(features), **self.upsample)
        return self.last(self.full(torch.cat([features, x.to(features.dtype)], 1), next(maps), texture))


class LocalDiscriminator(nn.Module):
    """Judges a pair of coarse and fine mask with its texture map, at fields of 20, 48 and 88 px and as a whole.

    Or a pair of label map and image with its colour map. The whole is judged by mean and sd of its features, which a
    repeated pattern gets wrong although each place looks right. moments: False leaves that out, for an ablation.
    channels: of a mask. made: channels of what is judged with it, as many if None.
    """

    def __init__(self, width: int = 24, texture: int = 4, moments: bool = True, channels: int = 1,
                 made: int | None = None) -> None:
        super().__init__()
        w = width
        shapes = ((4 * (channels + (made or channels)) + texture, w, 3, 1), (w, 2 * w, 4, 2), (2 * w, 3 * w, 3, 1), (3 * w, 4 * w, 4, 2),
                  (4 * w, 4 * w, 4, 2))
        self.convs = nn.ModuleList(Conv(a, b, size, stride, 1) for a, b, size, stride in shapes)
        self.logits = nn.ModuleList([Conv(3 * w, 1, 1), Conv(4 * w, 1, 3, padding=1), Conv(4 * w, 1, 3, padding=1)])
        self.whole = nn.Sequential(Conv(14 * w, 64, 1), nn.LeakyReLU(0.2), Conv(64, 1, 1)) if moments else None

    def forward(self, x: Tensor, y: Tensor, texture: Tensor) -> list[Tensor]:
        """x, y: (B, channels, H, W) in [-1, 1], or y of `made` channels. Returns logits: of the places at each field,
        (B, n), then of the whole."""
        features = F.pixel_unshuffle(torch.cat([x, y], 1), 2)
        features = torch.cat([features, resized(texture, features).to(features.dtype)], 1)
        seen = []
        for conv in self.convs:
            features = F.leaky_relu(conv(features), 0.2, inplace=True)
            seen.append(features)
        judged = [logit(features).flatten(1) for logit, features in zip(self.logits, seen[2:])]
        if self.whole is not None:
            moments = [moment for features in (part.float() for part in seen[2:4]) for moment in
                       (features.mean((2, 3), keepdim=True), (features.var((2, 3), keepdim=True) + 1e-4).sqrt())]
            judged.append(self.whole(torch.cat(moments, 1)).flatten(1))
        return judged


def resized(texture: Tensor, features: Tensor) -> Tensor:
    """A texture map (B, C, h, w) at the size of a layer's features."""
    size = features.shape[-2:]
    return texture if texture.shape[-2:] == size else F.interpolate(texture, size, mode="bilinear")
