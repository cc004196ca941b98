"""What is the generator of pix2pix? The U-Net of Isola et al. 2017 (arXiv 1611.07004, appendix 6.1.1).

Encoder C64-C128-C256-C512-C512-C512-C512-C512, decoder CD512-CD512-CD512-C512-C256-C128-C64, skip connections
(reading R15): 54.41 M parameters, for RGB images and for masks alike.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ppcore.networks.layers import InstanceNorm, check_size
from ppcore.networks.noise import Noise


class UNet(nn.Module):
    """Encoder of stride-2 4 x 4 convolutions, the mirrored decoder, and a skip connection at every size.

    Widths are `ngf` x (1, 2, 4, 8, 8, ...). No normalisation in the outermost blocks and at the bottleneck.
    As in the reference code, only the last convolution has a bias: a normalisation would cancel it.

    Isola's batch norm uses the statistics of the batch at test time too; at batch size 1 that is instance norm
    (section 3.3). Instance norm does the same at every batch size.

    Noise z is dropout of .5, always on (section 3.1), in the three innermost decoder blocks: a coin per value
    decides whether it becomes 0 or is doubled. With fewer than seven levels it is in the remaining `levels - 4`
    decoder blocks of width ngf*8, and always in the innermost one, so that there is a z.

    Padding is zeros, as in Isola 2017. Section 2.8 cites pix2pixHD for reflection padding, but that generator is
    residual; a transposed convolution has none.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, ngf: int = 64, levels: int = 8) -> None:
        """Raise `ValueError` if `levels` is under 2: the outermost block cannot also be the bottleneck."""
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels={levels}: wanted 2 or more, an outermost block and a bottleneck")
        self.levels = levels
        widths = [ngf * min(2**level, 8) for level in range(levels)]
        self.noisy = min(3, max(1, levels - 4))

        self.down = nn.ModuleList([nn.Conv2d(in_channels, ngf, 4, stride=2, padding=1, bias=False)])
        for level in range(1, levels):
            bottleneck = level == levels - 1
            self.down.append(nn.Sequential(
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(widths[level - 1], widths[level], 4, stride=2, padding=1, bias=False),
                nn.Identity() if bottleneck else InstanceNorm(widths[level], affine=True)))

        self.up = nn.ModuleList()  # from the bottleneck outwards
        for level in reversed(range(1, levels)):
            width_in = widths[level] if level == levels - 1 else 2 * widths[level]
            self.up.append(nn.Sequential(
                nn.ReLU(inplace=True),
                nn.ConvTranspose2d(width_in, widths[level - 1], 4, stride=2, padding=1, bias=False),
                InstanceNorm(widths[level - 1], affine=True)))
        self.up.append(nn.Sequential(
            nn.ReLU(inplace=True), nn.ConvTranspose2d(2 * ngf, out_channels, 4, stride=2, padding=1), nn.Tanh()))

    def noise(self, height: int, width: int) -> list[Noise]:
        """z of one image: a coin for each output value of the noisy blocks."""
        return [Noise("coin", (up[1].out_channels, height >> level, width >> level))
                for up, level in zip(self.up[:self.noisy], reversed(range(self.levels)))]

    def forward(self, image: Tensor, z: Sequence[Tensor]) -> Tensor:
        """Map (B, in_channels, H, W) in [-1, 1] and its z (`noise`) to (B, out_channels, H, W) in (-1, 1).

        Raise `ValueError` unless H and W are multiples of 2**levels. That is enough: every normalised map is then
        2 x 2 or more.
        """
        check_size(image, 2**self.levels, f"a U-Net of {self.levels} levels")
        skips = []
        for down in self.down:  # the in-place LeakyReLU also changes the skip, but not what the ReLU makes of it
            image = down(image)
            skips.append(image)
        image = skips.pop()
        for number, up in enumerate(self.up):
            image = up(torch.cat((skips.pop(), image), dim=1) if number else image)
            if number < self.noisy:
                image = image * (2 * z[number].to(image.dtype))
        return image
