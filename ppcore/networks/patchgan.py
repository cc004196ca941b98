"""What is the discriminator? The 70 x 70 PatchGAN of Isola et al. 2017 (arXiv 1611.07004, appendix 6.1.2).

C64-C128-C256-C512 and a last convolution to one logit a patch (reading R15): 2.77 M parameters for a pair of
RGB images, 2.76 M for a pair of masks. It scores patches, not pixels as section 2.5 of PriorPath says.
"""

from torch import Tensor, nn


class PatchGAN(nn.Module):
    """One logit for every patch: the larger, the more real.

    `layers` stride-2 convolutions 4 x 4, then two of stride 1. The convolutions of a logit see 16, 34, 70 or
    142 px for `layers` 1 to 4; besides, through instance norm (see `UNet`) it feels mean and variance of the
    whole image, as with batch norm at batch 1. pix2pix gives it condition and image, stacked as channels.
    """

    def __init__(self, in_channels: int = 2, ndf: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.layers = layers
        widths = [ndf * min(2**layer, 8) for layer in range(layers + 1)]
        blocks = [nn.Conv2d(in_channels, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for layer in range(1, layers + 1):
            stride = 2 if layer < layers else 1
            blocks += [nn.Conv2d(widths[layer - 1], widths[layer], 4, stride=stride, padding=1, bias=False),
                       nn.InstanceNorm2d(widths[layer], affine=True),
                       nn.LeakyReLU(0.2)]
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [-1, 1] to logits (B, 1, H // 2**layers - 2, W // 2**layers - 2).

        Raise `ValueError` when the image is too small for a single logit.
        """
        height, width = image.shape[-2:]
        smallest = 3 * 2**self.layers
        if min(height, width) < smallest:
            raise ValueError(f"image of {height} x {width} px: a PatchGAN of {self.layers} layers wants "
                             f"{smallest} px or more a side; take larger images or fewer layers")
        return self.blocks(image)
