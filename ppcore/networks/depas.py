"""What is DEPAS? A generator of masks from noise (Larey et al. 2023, EMBC), in our reading R21.

PriorPath (section 1) names its parts but gives no formulas. Ours: a DCGAN generator; in every hidden layer a map
of Gaussian noise, scaled per channel; a discrete adaptive block that makes the last map binary, or one of K classes;
and, in training, multi-scale discriminators (`ppcore.networks.patchgan.MultiScale`). Every result is labelled "DEPAS
(our reading)".
Generator 17.0 M parameters for masks of 512 x 1024 px at ngf = 64.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ppcore.networks.dcgan import Generator
from ppcore.networks.noise import Noise


class DepasGenerator(Generator):
    """DCGAN's generator with noise in every hidden layer and a discrete adaptive block at its end."""

    def __init__(self, height: int, width: int, latent: int = 100, ngf: int = 64, channels: int = 1) -> None:
        super().__init__(height, width, latent, ngf, channels)
        self.base.insert(1, NoiseMap(self.base[0].out_channels))
        for up in self.up:
            up.insert(1, NoiseMap(up[0].out_channels))
        self.last[1] = DiscreteAdaptiveBlock(channels)
        self.maps = [(1, height >> level, width >> level) for level in reversed(range(1, len(self.up) + 2))]

    def noise(self) -> list[Noise]:
        """z of one mask: the vector, then one map per hidden layer, smallest first."""
        return [*super().noise(), *(Noise("normal", shape) for shape in self.maps)]

    def forward(self, z: Sequence[Tensor]) -> Tensor:
        """Map z (`noise`) to masks (B, channels, H, W) in (-1, 1) in training, {-1, 1} afterwards."""
        hidden = z[0][:, :, None, None]
        for block, noise in zip((self.base, *self.up), z[1:], strict=True):
            for layer in block:
                hidden = layer(hidden, noise) if isinstance(layer, NoiseMap) else layer(hidden)
        return self.last(hidden)

    @property
    def block(self) -> "DiscreteAdaptiveBlock":
        """The last layer."""
        return self.last[1]


class NoiseMap(nn.Module):
    """Add a map of Gaussian noise to every channel, with a learned scale for each (Karras et al. 2019, section 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(width, 1, 1))

    def draw_weights(self, generator: torch.Generator) -> None:
        """All scales .3, about the size of the preceding convolution's first outputs, so that the noise matters from
        the first step. With scales of N(0, .02), a short training leaves the noise unused, and z with it."""
        self.scale.fill_(0.3)

    def forward(self, image: Tensor, noise: Tensor) -> Tensor:
        """(B, C, H, W) and noise (B, 1, H, W) to (B, C, H, W)."""
        return image + self.scale * noise.to(image.dtype)


class DiscreteAdaptiveBlock(nn.Module):
    """2 sigmoid(a (x - t)) - 1, with learned slope a > 0 and threshold t, for one map x.

    For K > 2 maps, one a class, the sigmoid becomes a softmax over the maps, with a threshold for each: so one class
    wins at each pixel, whereas K sigmoids could end with none or several. Sigmoid is softmax against a map of 0.

    a = exp(`log_slope`) * `sharpness`. Training raises the buffer `sharpness` (`sharpen`), which pushes the output
    towards -1 and 1; after training (`eval`) it is the limit, exactly -1 or 1.
    """

    sharpness: Tensor

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.log_slope = nn.Parameter(torch.zeros(()))
        self.threshold = nn.Parameter(torch.zeros(() if channels == 1 else (channels, 1, 1)))
        self.register_buffer("sharpness", torch.ones(()))

    def draw_weights(self, generator: torch.Generator) -> None:
        """Slope 1, threshold 0."""
        for value, start in ((self.log_slope, 0), (self.threshold, 0), (self.sharpness, 1)):
            value.fill_(start)

    def sharpen(self, sharpest: float, steps: int) -> None:
        """Raise the sharpness so that it goes from 1 to `sharpest` in `steps` calls, and stays there."""
        self.sharpness.mul_(sharpest ** (1 / steps)).clamp_(max=sharpest)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W), unbounded, to (B, C, H, W) in (-1, 1) in training, {-1, 1} afterwards."""
        image, slope = image.float() - self.threshold, self.log_slope.exp() * self.sharpness
        if image.shape[1] > 1:
            if not self.training:
                return torch.full_like(image, -1.0).scatter(1, image.argmax(1, keepdim=True), 1.0)
            return 2 * (slope * image).softmax(1) - 1
        if not self.training:
            return torch.where(image > 0, 1.0, -1.0)
        return torch.tanh(slope * image / 2)  # = 2 sigmoid(a image) - 1
