"""What is the discriminator? The 70 x 70 PatchGAN of Isola et al. 2017 (arXiv 1611.07004, appendix 6.1.2).

C64-C128-C256-C512 and a last convolution to one logit per patch (reading R15): 2.77 M parameters for a pair of
RGB images, 2.76 M for a pair of masks. It scores patches, not pixels as section 2.5 of PriorPath says.
`MultiScale` is several of them, each at half the size of the one before: the discriminator of pix2pixHD.
"""

from torch import Tensor, nn

from ppcore.networks.layers import InstanceNorm
from ppcore.networks.resnet import half


class PatchGAN(nn.Module):
    """One logit per patch; larger means more real.

    `layers` stride-2 4 x 4 convolutions, then two of stride 1. The receptive field of a logit is 16, 34, 70 or
    142 px for `layers` 1 to 4. Through instance norm (see `UNet`) it also depends on mean and variance of the whole
    image, as with batch norm at batch size 1. pix2pix passes condition and image stacked as channels.

    affine: whether the norms have scales and shifts: yes in pix2pix, no in CycleGAN and pix2pixHD.
    padding: 1, or 2 as in pix2pixHD.
    """

    def __init__(self, in_channels: int = 2, ndf: int = 64, layers: int = 3, affine: bool = True,
                 padding: int = 1) -> None:
        super().__init__()
        self.layers, self.padding = layers, padding
        widths = [ndf * min(2**layer, 8) for layer in range(layers + 1)]
        self.blocks = nn.ModuleList([nn.Sequential(
            nn.Conv2d(in_channels, ndf, 4, stride=2, padding=padding), nn.LeakyReLU(0.2, inplace=True))])
        for layer in range(1, layers + 1):
            stride = 2 if layer < layers else 1
            self.blocks.append(nn.Sequential(
                nn.Conv2d(widths[layer - 1], widths[layer], 4, stride=stride, padding=padding, bias=not affine),
                InstanceNorm(widths[layer], affine=affine), nn.LeakyReLU(0.2, inplace=True)))
        self.blocks.append(nn.Conv2d(widths[-1], 1, 4, padding=padding))

    def forward(self, image: Tensor, hidden: bool = False) -> list[Tensor]:
        """Map (B, in_channels, H, W) in [-1, 1] to a list of the logits; with `hidden`, of all blocks' outputs.

        With padding 1 the logits are (B, 1, H // 2**layers - 2, W // 2**layers - 2). Raise `ValueError` if the image
        is too small for a single logit.
        """
        height, width = image.shape[-2:]
        smallest = 3 * 2**self.layers
        if min(height, width) < smallest:
            raise ValueError(f"image of {height} x {width} px: a PatchGAN of {self.layers} layers needs "
                             f"{smallest} px or more per side; use larger images or fewer layers")
        outputs = []
        for block in self.blocks:
            image = block(image)
            outputs.append(image)
        return outputs if hidden else outputs[-1:]


class MultiScale(nn.Module):
    """`scales` PatchGANs, the first on the image, each next one at half the size (Wang 2018, section 3.2)."""

    def __init__(self, in_channels: int, ndf: int = 64, scales: int = 2, layers: int = 3) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchGAN(in_channels, ndf, layers, affine=False, padding=2) for _ in range(scales))

    def forward(self, image: Tensor, hidden: bool = False) -> list[list[Tensor]]:
        """Map (B, in_channels, H, W) in [-1, 1] to the outputs of each scale's PatchGAN.

        Raise `ValueError` if the image is too small for the last scale.
        """
        outputs = []
        for scale in self.scales:
            outputs.append(scale(image, hidden))
            image = half(image)
        return outputs
