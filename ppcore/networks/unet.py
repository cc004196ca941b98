"""What is the generator of pix2pix? The U-Net of Isola et al. 2017 (arXiv 1611.07004, appendix 6.1.1).

Encoder C64-C128-C256-C512-C512-C512-C512-C512, decoder CD512-CD512-CD512-C512-C256-C128-C64, skip connections
(reading R15): 54.41 M parameters, for RGB images and for masks alike.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """Encoder of stride-2 4 x 4 convolutions, the mirrored decoder, and a skip connection at every size.

    Widths are `ngf` x (1, 2, 4, 8, 8, ...). No normalisation in the outermost blocks and at the bottleneck.
    As in the reference code only the last convolution has a bias: a normalisation would subtract it.

    Isola's batch norm takes its statistics from the batch at test time, too; at batch 1 that is instance norm
    (section 3.3). `InstanceNorm2d` keeps it so for every batch size.

    Noise z is dropout of .5, always on (section 3.1), in the three inner decoder blocks. With fewer than
    seven levels it is in the `levels - 4` decoder blocks of width ngf*8 that are left, and always in the
    innermost block, so that there is a z.

    Zeros pad, as in Isola 2017. The reflection padding of section 2.8 cites pix2pixHD, whose generator is
    residual; a transposed convolution has none.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, ngf: int = 64, levels: int = 8) -> None:
        """Raise `ValueError` when `levels` is under 2: the outermost block cannot also be the bottleneck."""
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels={levels}: wanted 2 or more, an outermost block and a bottleneck")
        self.levels = levels
        widths = [ngf * min(2**level, 8) for level in range(levels)]
        noisy = min(3, max(1, levels - 4))

        self.down = nn.ModuleList([nn.Conv2d(in_channels, ngf, 4, stride=2, padding=1, bias=False)])
        for level in range(1, levels):
            bottleneck = level == levels - 1
            self.down.append(nn.Sequential(
                nn.LeakyReLU(0.2),
                nn.Conv2d(widths[level - 1], widths[level], 4, stride=2, padding=1, bias=False),
                nn.Identity() if bottleneck else nn.InstanceNorm2d(widths[level], affine=True)))

        self.up = nn.ModuleList()  # from the bottleneck outwards
        for level in reversed(range(1, levels)):
            width_in = widths[level] if level == levels - 1 else 2 * widths[level]
            self.up.append(nn.Sequential(
                nn.ReLU(),
                nn.ConvTranspose2d(width_in, widths[level - 1], 4, stride=2, padding=1, bias=False),
                nn.InstanceNorm2d(widths[level - 1], affine=True),
                Noise() if len(self.up) < noisy else nn.Identity()))
        self.up.append(nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(2 * ngf, out_channels, 4, stride=2, padding=1), nn.Tanh()))

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [-1, 1] to (B, out_channels, H, W) in (-1, 1).

        Dropout draws from torch's global generator. Raise `ValueError` unless H and W are multiples of
        2**levels. That is all the size needs: every normalised map is then 2 x 2 or more.
        """
        self._check_size(*image.shape[-2:])
        skips = []
        for down in self.down:
            image = down(image)
            skips.append(image)
        image = self.up[0](skips.pop())
        for up in self.up[1:]:
            image = up(torch.cat((skips.pop(), image), dim=1))
        return image

    def _check_size(self, height: int, width: int) -> None:
        factor = 2**self.levels
        if height % factor or width % factor or not height or not width:
            fits = [max(1, round(size / factor)) * factor for size in (height, width)]
            raise ValueError(
                f"image of {height} x {width} px: a U-Net of {self.levels} levels wants multiples of "
                f"{factor}, the nearest is {fits[0]} x {fits[1]}; resize the image or take fewer levels")


class Noise(nn.Module):
    """Dropout of .5 that `eval()` does not switch off: the noise z of pix2pix (Isola 2017, section 3.1)."""

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W): half of the values at 0, the others doubled."""
        return functional.dropout(image, 0.5, training=True)


@torch.no_grad()
def init_weights(module: nn.Module, seed: int) -> None:
    """Draw all weights anew, in place (section 2.8; Isola 2017, appendix 6.2; reading R19).

    Convolutions N(0, .02), scales of normalisations N(1, .02), biases 0; .02 is the standard deviation. Drawn
    on the CPU in the order of `module.modules()`: a seed gives the same weights on every device. Raise
    `TypeError` for a layer with weights of another kind, rather than leave them as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            mean = 0.0
        elif isinstance(layer, nn.InstanceNorm2d):
            mean = 1.0
        elif any(True for _ in layer.parameters(recurse=False)):
            raise TypeError(f"a {type(layer).__name__} has weights, but no rule to draw them: add one")
        else:
            continue
        layer.weight.copy_(mean + 0.02 * torch.randn(layer.weight.shape, generator=generator))
        if layer.bias is not None:
            layer.bias.zero_()
