"""What draws a mask from noise alone? DCGAN (Radford et al. 2015, arXiv 1511.06434), scaled to 512 x 1024 px.

The original DCGAN has a 4 x 4 base and four up-blocks to 64 x 64. Ours starts at 4 x 8 and has seven (reading R20):
generator 17.0 M parameters, discriminator 15.4 M, for masks of 512 x 1024 at ngf = ndf = 64. Two changes are for
masks, which unlike photographs have large flat areas: no batch norm in the discriminator, and `draw_for_masks`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ppcore.networks.noise import Noise

BASE = 4  # px, minimum height of the smallest map


class Generator(nn.Module):
    """A linear map from z to the base, then up-blocks, each a 4 x 4 transposed convolution that doubles the size.

    Widths, from the last hidden map inwards: `ngf` x (1, 2, 4, 8, 8, ...). Batch norm uses the statistics of the
    batch in training and the running means afterwards, so that a mask depends only on its z.
    """

    def __init__(self, height: int, width: int, latent: int = 100, ngf: int = 64,
                 channels: int = 1) -> None:
        """Raise `ValueError` unless the size is 4 to 7 times 2**k px by a multiple of 2**k px, k > 0."""
        super().__init__()
        self.latent = latent
        blocks, base = base_of(height, width)
        widths = [ngf * min(2**level, 8) for level in reversed(range(blocks))]
        self.base = nn.Sequential(
            nn.ConvTranspose2d(latent, widths[0], base, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False),
                          nn.BatchNorm2d(narrow), nn.ReLU(inplace=True))
            for wide, narrow in zip(widths, widths[1:]))
        self.last = nn.Sequential(nn.ConvTranspose2d(ngf, channels, 4, stride=2, padding=1), nn.Tanh())

    def noise(self) -> list[Noise]:
        """z of one mask: a vector of length `latent`."""
        return [Noise("normal", (self.latent,))]

    def forward(self, z: Sequence[Tensor]) -> Tensor:
        """Map z, one (B, latent), to masks (B, channels, H, W) in (-1, 1)."""
        hidden = self.base(z[0][:, :, None, None])
        for up in self.up:
            hidden = up(hidden)
        return self.last(hidden)


class Discriminator(nn.Module):
    """The mirrored generator: stride-2 4 x 4 convolutions down to the base, then one logit for the whole mask.

    `batch_norm=True` is the original. Without it every convolution has a bias.
    """

    def __init__(self, height: int, width: int, ndf: int = 64, batch_norm: bool = True, channels: int = 1) -> None:
        """Raise `ValueError` as the generator does."""
        super().__init__()
        blocks, base = base_of(height, width)
        self.size = height, width
        widths = [ndf * min(2**level, 8) for level in range(blocks)]
        layers: list[nn.Module] = [nn.Conv2d(channels, ndf, 4, stride=2, padding=1),
                                   nn.LeakyReLU(0.2, inplace=True)]
        for narrow, wide in zip(widths, widths[1:]):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=not batch_norm),
                       *([nn.BatchNorm2d(wide)] if batch_norm else []), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, base))

    def forward(self, mask: Tensor) -> Tensor:
        """Map masks (B, channels, H, W) in [-1, 1] to logits (B, 1, 1, 1); `ValueError` for another size."""
        if tuple(mask.shape[-2:]) != self.size:
            raise ValueError(f"mask of {mask.shape[-2]} x {mask.shape[-1]} px: this discriminator was made for "
                             f"{self.size[0]} x {self.size[1]} and accepts no other; make one for that size")
        return self.layers(mask)


@torch.no_grad()
def draw_for_masks(generator: Generator, discriminator: Discriminator, seed: int) -> None:
    """Draw initial weights that suit flat areas, instead of N(0, .02).

    Each doubling starts as bilinear upsampling of maps mixed by N(0, .04): the first masks are smooth blobs, without
    the lattice that kernels of independent values leave on every area. The discriminator has no norm to keep its
    signal up, so its weights are those of He et al. 2015 (arXiv 1502.01852) for leaky ReLU.
    """
    draws = torch.Generator().manual_seed(seed)
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    for layer in generator.modules():
        if isinstance(layer, nn.ConvTranspose2d) and layer.stride == (2, 2):
            mixing = 0.04 * torch.randn(layer.weight.shape[:2], generator=draws)
            layer.weight.copy_(mixing[:, :, None, None] * torch.outer(line, line))
    for layer in discriminator.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=0.2, generator=draws)


def base_of(height: int, width: int) -> tuple[int, tuple[int, int]]:
    """Number of doublings and size of the base, 4 to 7 px high: 7 and (4, 8) for 512 x 1024."""
    blocks = max(1, (height // BASE).bit_length() - 1)
    step = 2**blocks
    if height < 2 * BASE or width < step or height % step or width % step:
        nearest = [max(least, round(size / step)) * step for size, least in ((height, BASE), (width, 1))]
        raise ValueError(f"masks of {height} x {width} px: {blocks} doublings need multiples of {step}, the nearest is "
                         f"{nearest[0]} x {nearest[1]}; use patches of such a size")
    return blocks, (height // step, width // step)
