"""What is the generator of CycleGAN and pix2pixHD? Convolutions down, residual blocks, convolutions up.

After Johnson et al. 2016 (arXiv 1603.08155), with reflection padding and instance norm:
`ResNet(3, 3)` is CycleGAN's ResNet-9 (Zhu et al. 2017, arXiv 1703.10593, appendix 7.2; reading R16), 11.38 M
parameters; `ResNet(3, 3, downs=4)` is the global generator of pix2pixHD (Wang et al. 2018, arXiv 1711.11585,
section 3.1; R18), 182.4 M; `LocalEnhancer` is its second, finer stage.
"""

from torch import Tensor, nn
from torch.nn import functional

from ppcore.networks.layers import InstanceNorm, check_size


class ResNet(nn.Module):
    """c7s1-`ngf`, `downs` stride-2 3 x 3 convolutions that double the width, `blocks` residual blocks, and the reverse.

    No noise: the input determines the output. Convolutions have biases, as in the reference codes, although
    instance norm cancels all but the last one's.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, ngf: int = 64, downs: int = 2,
                 blocks: int = 9) -> None:
        super().__init__()
        self.downs = downs
        widths = [ngf * 2**level for level in range(downs + 1)]
        self.features = nn.Sequential(
            *first(in_channels, ngf),
            *(layer for level in range(downs) for layer in down(widths[level], widths[level + 1])),
            *(ResidualBlock(widths[-1]) for _ in range(blocks)),
            *(layer for level in reversed(range(downs)) for layer in up(widths[level + 1], widths[level])))
        self.image = last(ngf, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [-1, 1] to (B, out_channels, H, W) in (-1, 1).

        Raise `ValueError` unless H and W are multiples of 2**downs, at least twice that (reflection needs two
        pixels), and at least 4 px.
        """
        check_size(image, 2**self.downs, f"a ResNet of {self.downs} downs")
        smallest = max(4, 2 * 2**self.downs)
        if min(image.shape[-2:]) < smallest:
            raise ValueError(f"image of {image.shape[-2]} x {image.shape[-1]} px: a ResNet of {self.downs} downs "
                             f"reflects it at the border and needs {smallest} px or more per side; use larger images")
        return self.image(self.features(image))


class LocalEnhancer(nn.Module):
    """The global generator at half size, and around it a shallow ResNet at full size that adds detail.

    Wang 2018, section 3.1: G1 outputs its last features instead of an image; G2 adds them to its own, of the same
    shape, applies `blocks` residual blocks and upsamples. `ngf` is the width of G2, half of G1's.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 3, ngf: int = 32, downs: int = 4, blocks: int = 3,
                 global_blocks: int = 9) -> None:
        super().__init__()
        self.downs = downs
        self.coarse = ResNet(in_channels, out_channels, 2 * ngf, downs, global_blocks)
        self.coarse.image = nn.Identity()
        self.down = nn.Sequential(*first(in_channels, ngf), *down(ngf, 2 * ngf))
        self.up = nn.Sequential(*(ResidualBlock(2 * ngf) for _ in range(blocks)), *up(2 * ngf, ngf))
        self.image = last(ngf, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """As `ResNet`, for H and W that are multiples of 2**(downs + 1)."""
        check_size(image, 2 ** (self.downs + 1), f"a local enhancer of {self.downs} downs")
        return self.image(self.up(self.down(image) + self.coarse(half(image))))


class ResidualBlock(nn.Module):
    """x + conv(conv(x)), 3 x 3 with reflection padding, a ReLU between and none after (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), InstanceNorm(width), nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), InstanceNorm(width))

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        return image + self.block(image)


def first(in_channels: int, width: int) -> list[nn.Module]:
    """c7s1: a 7 x 7 convolution that keeps the size."""
    return [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7), InstanceNorm(width), nn.ReLU(inplace=True)]


def down(width_in: int, width_out: int) -> list[nn.Module]:
    """Half the size."""
    return [nn.Conv2d(width_in, width_out, 3, stride=2, padding=1), InstanceNorm(width_out), nn.ReLU(inplace=True)]


def up(width_in: int, width_out: int) -> list[nn.Module]:
    """Twice the size."""
    return [nn.ConvTranspose2d(width_in, width_out, 3, stride=2, padding=1, output_padding=1),
            InstanceNorm(width_out), nn.ReLU(inplace=True)]


def last(width: int, out_channels: int) -> nn.Sequential:
    """c7s1 to an image in (-1, 1)."""
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh())


def half(image: Tensor) -> Tensor:
    """(B, C, H, W) to half the size by 3 x 3 average pooling, as pix2pixHD scales its inputs (Wang 2018)."""
    return functional.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
