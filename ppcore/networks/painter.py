"""How does the noise image model paint? From a label map, a colour map and noise to colours that obey the label map.

The U-Net of the noise GAN says where each pixel lies along the three directions in which the colours of tissue vary
most. What follows is arithmetic without weights: tanh keeps the colours in range, and `obey` keeps tissue darker than
the air threshold and air lighter, as the masks of a cohort were made by it (section 2.1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ppcore.networks.noise import Noise
from ppcore.networks.noise_unet import NoiseUNet

LUMA = (0.299, 0.587, 0.114)  # of cv2.COLOR_RGB2GRAY
# Factors on the first weights of the noise, from the full resolution down: loud noise in single pixels is speckle.
LOUDNESS = (1 / 16, 0.3, 0.6, 0.6, 0.6)
FAR = 3.0  # beyond it tanh is flat, and a model that has gone there cannot come back
MOST = 6.0  # times further from white, at most, that a pale colour of tissue is bent along its own hue
SOFT = 0.1  # how gradually a colour is bent to its side of the threshold, in units of [-1, 1]


class NoisePainter(nn.Module):
    """Label map, colour map and noise to RGB.

    widths: as of `NoiseUNet`. colours: channels of the colour map. channels: of the label map. air: the threshold, gray
    level 0-255, that the image obeys; None: it obeys none. loud: False switches the noise off, for an ablation.
    """

    def __init__(self, widths: Sequence[int], colours: int, channels: int = 1, air: int | None = 204,
                 loud: bool = True) -> None:
        super().__init__()
        self.air = air
        self.unet = NoiseUNet(widths, colours, loud, channels, made=3, loudness=LOUDNESS, smooth=True)
        self.register_buffer("mean", torch.zeros(3))  # of atanh of the colours of tissue
        self.register_buffer("axes", torch.eye(3))  # their principal axes in columns, each as long as its sd

    def noise(self, height: int, width: int) -> list[Noise]:
        """z of one image."""
        return self.unet.noise(height, width)

    def forward(self, x: Tensor, colours: Tensor, z: Sequence[Tensor]) -> Tensor:
        """x: (B, C, H, W) in [-1, 1], H and W multiples of 16. colours: (B, D, H / 8, W / 8).

        Returns the image (B, 3, H, W) in [-1, 1], or a little beyond. How far its colours go beyond FAR, a scalar, is
        in `far` until the next pass.
        """
        places = F.conv2d(self.unet(x, colours, z).float(), self.axes.float()[:, :, None, None], self.mean.float())
        rgb = torch.tanh(places) + 0.05 * (places - places.detach())  # a gradient even where tanh is flat
        if self.air is not None:
            rgb = obey(rgb, x > 0 if x.shape[1] == 1 else x[:, :1] <= 0, self.air)
        self.far = F.relu(places.abs() - FAR).square().mean()
        return rgb


def obey(rgb: Tensor, tissue: Tensor, air: int) -> Tensor:
    """Colours (B, 3, H, W) in [-1, 1] bent to their side of a threshold, tissue (B, 1, H, W) below, all else above.

    air: gray level 0-255. Tissue gets more of its own stain, further from white, and what is then missing in all
    channels alike; air is faded towards white. What lies well on its side hardly changes. After rounding to 8 bits the
    threshold gives back the mask (`ppcore.masks.make.tissue_mask`), but for tissue whose channels were cut off at black.
    """
    luma = luma_of(rgb)
    lightest_tissue, darkest_air = (2 * (air + margin) / 255 - 1 for margin in (-0.5, 1.5))
    bent = lightest_tissue - SOFT * F.softplus((lightest_tissue - luma) / SOFT)
    stained = 1 - (1 - rgb) * ((1 - bent) / (1 - luma).clamp_min(1e-4)).clamp(max=MOST)
    darker = stained - luma_of(stained) + bent
    room = (1 - luma).clamp_min(1e-4) / (1 - darkest_air)
    return torch.where(tissue, darker, 1 - (1 - rgb) * torch.tanh(room) / room)


def luma_of(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W)."""
    return sum(weight * rgb[:, channel:channel + 1] for channel, weight in enumerate(LUMA))
