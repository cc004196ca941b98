"""How does a diffusion of binary masks draw fine masks? The work that the paper leaves for the future (section 4).

Beyond the paper. At time t, from 1 down to 0, a pixel of the fine mask keeps its value with probability (1 + t) / 2 and
is flipped otherwise: at 0 nothing is left (Bernoulli, or XOR, noise; Sohl-Dickstein et al. 2015, arXiv 1503.03585;
Austin et al. 2021, arXiv 2107.03006). A network learns p(y = 1) from the noisy mask by plain cross-entropy. A draw
starts from coin tosses and goes back in a few steps, each from the exact posterior of the guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ppcore.methods.sampling import Seed, generate
from ppcore.methods.texture import CHANNELS, TexturedCrops, TextureLibrary, textures_of
from ppcore.networks.bernoulli_unet import BernoulliUNet
from ppcore.networks.layers import init_weights
from ppcore.networks.noise import Noise
from ppcore.training.method import update


@dataclass(frozen=True)
class BernoulliDiffusionSettings:
    """Settings of a Bernoulli diffusion.

    height, width: of a patch, px. lenders: training patches that the model keeps texture maps of. widths: channels of
    the network. steps: of a draw. last: time of the last step; power: larger, and more steps are near time 0.
    clearest: latest time seen in training. jitter: sd of one shift of each channel of a texture map in training.
    texture: False leaves the map out.
    """

    height: int = 512
    width: int = 1024
    lenders: int = 256
    widths: tuple[int, ...] = (48, 96, 128)
    steps: int = 8
    last: float = 0.92
    power: float = 1.5
    clearest: float = 0.98
    jitter: float = 0.1
    learning_rate: float = 2e-3
    texture: bool = True


class BernoulliDiffusion:
    """One network guesses the fine mask from a noisy one, the coarse mask and a texture map.

    Its weights are drawn from `seed`; `train` draws them again from the seed of the run. `remember` must be called
    before `train`.
    """

    Settings = BernoulliDiffusionSettings
    generators = ("generator",)

    def __init__(self, settings: BernoulliDiffusionSettings, seed: int = 0) -> None:
        self.settings = settings
        network = BernoulliUNet(settings.widths, CHANNELS, settings.steps)
        network.textures = TextureLibrary(settings.lenders, settings.height, settings.width)  # stored with its weights
        self.networks: dict[str, nn.Module] = {"generator": network}
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed` and make a new optimiser."""
        init_weights(nn.ModuleDict(self.networks), seed)
        self.optimizers = {"generator": torch.optim.AdamW(
            self.networks["generator"].parameters(), self.settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01,
            fused=True)}

    def remember(self, data: TexturedCrops, seed: int) -> None:
        """Keep texture maps of training patches, to borrow from when masks are made."""
        self.networks["generator"].textures.fill(data, seed)

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update the network on crops `coarse`, `fine` (B, 1, S, S) in [-1, 1] with their `texture`; return the loss.

        `entropy`: cross-entropy of the guess, in nats a pixel, at times spread evenly over the batch.
        """
        x, y, texture, given = batch["coarse"], batch["fine"], batch["texture"], self.settings
        count = len(x)
        time = (torch.arange(count, device=x.device) + torch.rand((), device=x.device)) / count * given.clearest
        texture = texture + given.texture * given.jitter * torch.randn_like(texture[..., :1, :1])
        noisy = flip(y, torch.rand_like(y), time[:, None, None, None])
        loss = F.binary_cross_entropy_with_logits(self.networks["generator"](noisy, x, time, texture), (y + 1) / 2)
        update(self.optimizers["generator"], loss)
        return {"entropy": loss}

    def generate(self, coarse: Tensor, seeds: Sequence[Seed]) -> Tensor:
        """Fine masks (B, 1, H, W) in [-1, 1] from coarse ones, in `steps` passes. See `NoiseGAN.generate`."""
        network, textures = self.networks["generator"], textures_of(self, coarse, seeds)
        seeds = [seed if isinstance(seed, int) else seed[:-1] for seed in seeds]
        return generate(BackInTime(network, self.settings), coarse, seeds, textures)


class BackInTime(nn.Module):
    """The steps of a draw as one generator: coarse mask, texture map and noise to a fine mask."""

    def __init__(self, network: BernoulliUNet, settings: BernoulliDiffusionSettings) -> None:
        super().__init__()
        self.network = network
        last = max(settings.steps - 1, 1)
        self.times = [settings.last * (step / last) ** settings.power for step in range(settings.steps)]

    def noise(self, height: int, width: int) -> list[Noise]:
        """z of one image."""
        return self.network.noise(height, width)

    def forward(self, x: Tensor, texture: Tensor, z: Sequence[Tensor]) -> Tensor:
        """x: (B, 1, H, W). texture: (B, C, h, w). Returns the last guess, 2 p(y = 1) - 1, (B, 1, H, W) in [-1, 1].

        Above 0 is tissue: a draw from the last guess would leave specks.
        """
        chance = iter(torch.special.ndtr(part.float()) for part in z)  # uniform in [0, 1]
        noisy = flip(torch.ones_like(x), next(chance), 0.0)
        for time, later in zip(self.times, [*self.times[1:], None]):
            now = torch.full((len(x),), time, dtype=x.dtype, device=x.device)
            logits = self.network(noisy.to(x.dtype), x, now, texture).float()
            if later is None:
                return torch.tanh(logits / 2)
            guess = torch.where(next(chance) < logits.sigmoid(), 1.0, -1.0)
            noisy = torch.where(next(chance) < posterior(guess, noisy.float(), time, later), 1.0, -1.0)


def flip(y: Tensor, chance: Tensor, time: float | Tensor) -> Tensor:
    """Masks y in {-1, 1} at a time: each pixel keeps its value if `chance`, uniform, is below (1 + time) / 2."""
    return torch.where(chance < (1 + time) / 2, y, -y)


def posterior(y: Tensor, noisy: Tensor, time: float, later: float) -> Tensor:
    """p(y_later = 1 | y, y_time = noisy) for masks y and noisy in {-1, 1}, by Bayes' rule; times with time < later.

    A pixel of y_later has kept y's value with probability (1 + later) / 2, and noisy has kept that of y_later with
    probability (1 + time / later) / 2.
    """
    kept = time / later
    tissue, air = (1 + later * y) * (1 + kept * noisy), (1 - later * y) * (1 - kept * noisy)
    return tissue / (tissue + air)
