"""How does a diffusion of binary masks draw fine masks? The work that the paper leaves for the future (section 4).

Beyond the paper. At time t, from 1 down to 0, a pixel of the fine mask keeps its value with probability (1 + t) / 2 and
is flipped otherwise: at 0 nothing is left (Bernoulli, or XOR, noise; Sohl-Dickstein et al. 2015, arXiv 1503.03585;
Austin et al. 2021, arXiv 2107.03006). A network learns p(y = 1) from the noisy mask by plain cross-entropy. A draw
starts from coin tosses and goes back in a few steps, each from the exact posterior of the guess.

Of K classes a pixel keeps its value with probability t and else becomes any class alike (uniform multinomial noise,
Hoogeboom et al. 2021, arXiv 2102.05379); for K = 2 that is the above, as t + (1 - t) / 2 = (1 + t) / 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ppcore.methods.classes import channels, cross_entropy, soft
from ppcore.methods.sampling import Seed, generate
from ppcore.methods.texture import TexturedCrops, TextureLibrary, map_channels, textures_of
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
    longest: of a gradient over all weights; longer ones are shortened, as a long training diverges without. texture:
    False leaves the map out. classes: of the masks.
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
    longest: float = 1.0
    texture: bool = True
    classes: int = 2


class BernoulliDiffusion:
    """One network guesses the fine mask from a noisy one, the coarse mask and a texture map.

    Its weights are drawn from `seed`; `train` draws them again from the seed of the run. `remember` must be called
    before `train`.
    """

    Settings = BernoulliDiffusionSettings
    generators = ("generator",)
    makes = "mask"

    def __init__(self, settings: BernoulliDiffusionSettings, seed: int = 0) -> None:
        self.settings = settings
        count = settings.classes
        network = BernoulliUNet(settings.widths, map_channels(count), settings.steps, channels(count))
        # stored with its weights
        network.textures = TextureLibrary(settings.lenders, settings.height, settings.width, count)
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
        """Update the network on crops `coarse`, `fine` (B, C, S, S) in [-1, 1] with their `texture`; return the loss.

        C: `classes.channels`. `entropy`: cross-entropy of the guess, in nats a pixel, at times spread evenly over the
        batch.
        """
        x, y, texture, given = batch["coarse"], batch["fine"], batch["texture"], self.settings
        count = len(x)
        time = (torch.arange(count, device=x.device) + torch.rand((), device=x.device)) / count * given.clearest
        texture = texture + given.texture * given.jitter * torch.randn_like(texture[..., :1, :1])
        noisy = flip(y, torch.rand_like(y[:, :1]), time[:, None, None, None])
        loss = cross_entropy(self.networks["generator"](noisy, x, time, texture), y)
        update(self.optimizers["generator"], loss, given.longest)
        return {"entropy": loss}

    def generate(self, coarse: Tensor, seeds: Sequence[Seed]) -> Tensor:
        """Fine masks (B, C, H, W) in [-1, 1] from coarse ones, in `steps` passes. See `NoiseGAN.generate`."""
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
        """x: (B, C, H, W). texture: (B, D, h, w). Returns the last guess, 2 p(y = 1) - 1, (B, C, H, W) in [-1, 1].

        Above 0 is tissue, or of K classes the largest: a draw from the last guess would leave specks.
        """
        chance = iter(torch.special.ndtr(part.float()) for part in z)  # uniform in [0, 1]
        noisy = flip(torch.ones_like(x), next(chance), 0.0)
        for time, later in zip(self.times, [*self.times[1:], None]):
            now = torch.full((len(x),), time, dtype=x.dtype, device=x.device)
            logits = self.network(noisy.to(x.dtype), x, now, texture).float()
            if later is None:
                return soft(logits)
            guess = pick(odds_of(logits), next(chance))
            noisy = pick(posterior(guess, noisy.float(), time, later), next(chance))


def flip(y: Tensor, chance: Tensor, time: float | Tensor) -> Tensor:
    """Maps y in {-1, 1} at a time, drawn by `chance`, (B, 1, H, W), uniform in [0, 1].

    Of two classes, each pixel keeps its value if its chance is below (1 + time) / 2; the only other one is -y.
    """
    return torch.where(chance < (1 + time) / 2, y, -y) if y.shape[1] == 1 else pick(odds_at(y, time), chance)


def odds_at(y: Tensor, time: float | Tensor) -> Tensor:
    """Probabilities (B, K, H, W) of the classes at a time, for maps y in {-1, 1}: time y + (1 - time) / K."""
    if y.shape[1] == 1:
        y = torch.cat([-y, y], 1)
    count = y.shape[1]
    return (1 + time * (count / 2 * (y + 1) - 1)) / count


def odds_of(logits: Tensor) -> Tensor:
    """Probabilities (B, K, H, W) of the classes, of logits (B, C, H, W)."""
    if logits.shape[1] > 1:
        return logits.softmax(1)
    tissue = logits.sigmoid()
    return torch.cat([1 - tissue, tissue], 1)


def posterior(y: Tensor, noisy: Tensor, time: float, later: float) -> Tensor:
    """p(y_later | y, y_time = noisy), (B, K, H, W), for maps y and noisy in {-1, 1}, by Bayes' rule; time < later.

    A pixel of y_later has kept y's value until `later`, and noisy has kept that of y_later for the time / later that
    is left: p(noisy | y_later) is as large as p(y_later | noisy), since the noise treats all classes alike.
    """
    both = odds_at(y, later) * odds_at(noisy, time / later)
    return both / both.sum(1, keepdim=True)


def pick(odds: Tensor, chance: Tensor) -> Tensor:
    """Maps (B, C, H, W) in {-1, 1} drawn from the odds (B, K, H, W) of classes by `chance`, (B, 1, H, W), in [0, 1].

    A pixel is of the last class if its chance is below that class's odds, of the one before if it is below the odds of
    both, and so on.
    """
    count = odds.shape[1]
    bounds = odds.flip(1).cumsum(1)[:, :-1]
    labels = count - 1 - (chance >= bounds).sum(1, keepdim=True)
    if count == 2:
        return torch.where(labels == 1, 1.0, -1.0)
    return torch.full_like(odds, -1.0).scatter(1, labels, 1.0)
