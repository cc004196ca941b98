"""What draws a mask from noise alone? DCGAN (Radford et al. 2015, arXiv 1511.06434), brought to 512 x 1024 px.

Native DCGAN goes from a base of 4 x 4 by four up-blocks to 64 x 64. Ours starts at 4 x 8 and takes seven (reading
R20): generator 17.0 M parameters, discriminator 15.4 M, for masks of 512 x 1024 at ngf = ndf = 64.
"""

from torch import Tensor, nn

BASE = 4  # px, least height of the smallest map


class Generator(nn.Module):
    """A linear map from z to the base, then up-blocks, each a 4 x 4 transposed convolution that doubles the size.

    Widths, inwards from the last hidden map: `ngf` x (1, 2, 4, 8, 8, ...). Batch norm takes its statistics from
    the batch in training and from the running means afterwards, so that a mask depends on its z alone.
    """

    def __init__(self, height: int, width: int, latent: int = 100, ngf: int = 64) -> None:
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
        self.last = nn.Sequential(nn.ConvTranspose2d(ngf, 1, 4, stride=2, padding=1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Map noise (B, latent) from N(0, 1) to masks (B, 1, H, W) in (-1, 1)."""
        hidden = self.base(z[:, :, None, None])
        for up in self.up:
            hidden = up(hidden)
        return self.last(hidden)


class Discriminator(nn.Module):
    """The generator mirrored: stride-2 convolutions 4 x 4 down to the base, and one logit for the whole mask."""

    def __init__(self, height: int, width: int, ndf: int = 64) -> None:
        """Raise `ValueError` as the generator does."""
        super().__init__()
        blocks, base = base_of(height, width)
        self.size = height, width
        widths = [ndf * min(2**level, 8) for level in range(blocks)]
        layers: list[nn.Module] = [nn.Conv2d(1, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for narrow, wide in zip(widths, widths[1:]):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(wide),
                       nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, base))

    def forward(self, mask: Tensor) -> Tensor:
        """Map masks (B, 1, H, W) in [-1, 1] to logits (B, 1, 1, 1); `ValueError` for another size than it was made for."""
        if tuple(mask.shape[-2:]) != self.size:
            raise ValueError(f"mask of {mask.shape[-2]} x {mask.shape[-1]} px: this discriminator was made for "
                             f"{self.size[0]} x {self.size[1]} and takes no other; make one for that size")
        return self.layers(mask)


def base_of(height: int, width: int) -> tuple[int, tuple[int, int]]:
    """Number of doublings and the base they start from, 4 to 7 px high: 7 and (4, 8) for 512 x 1024."""
    blocks = max(1, (height // BASE).bit_length() - 1)
    step = 2**blocks
    if height < 2 * BASE or width < step or height % step or width % step:
        nearest = [max(least, round(size / step)) * step for size, least in ((height, BASE), (width, 1))]
        raise ValueError(f"masks of {height} x {width} px: {blocks} doublings want multiples of {step}, the nearest is "
                         f"{nearest[0]} x {nearest[1]}; take patches of such a size")
    return blocks, (height // step, width // step)
