"""How is DEPAS trained? In our reading (R21) of Larey et al. 2023: like DCGAN, with a multi-scale discriminator."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ppcore.methods.classes import channels
from ppcore.methods.losses import gan_loss
from ppcore.methods.sampling import Seed, generate
from ppcore.networks.depas import DepasGenerator
from ppcore.networks.layers import init_weights
from ppcore.networks.noise import draw_noise
from ppcore.networks.patchgan import MultiScale
from ppcore.training.method import adam, freeze, update


@dataclass(frozen=True)
class DepasSettings:
    """Settings of a DEPAS. height, width: of the masks, px. latent: length of z. ngf, ndf: first widths.

    scales: of the discriminator. sharpest: factor on the slope of the discrete adaptive block after annealing.
    anneal_steps: steps until then. classes: of the masks.
    """

    height: int = 512
    width: int = 1024
    latent: int = 100
    ngf: int = 64
    ndf: int = 64
    scales: int = 3
    sharpest: float = 10.0
    anneal_steps: int = 1000
    learning_rate: float = 2e-4
    classes: int = 2


class Depas:
    """G turns noise z, and noise in each of its layers, into a fine mask; D judges it at `scales` sizes.

    Its weights are drawn from `seed`; `train` draws them again from the seed of the run.
    """

    Settings = DepasSettings
    generators = ("generator",)
    makes = "mask"

    def __init__(self, settings: DepasSettings, seed: int = 0) -> None:
        self.settings = settings
        C = channels(settings.classes)
        self.networks: dict[str, nn.Module] = {
            "generator": DepasGenerator(settings.height, settings.width, settings.latent, settings.ngf, C),
            "discriminator": MultiScale(C, settings.ndf, settings.scales),
        }
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed` and make new optimisers; reading R19."""
        init_weights(nn.ModuleDict(self.networks), seed)
        self.optimizers = {name: adam([network], self.settings.learning_rate)
                           for name, network in self.networks.items()}

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update D, then G, on real masks `fine` (B, C, H, W) in [-1, 1]; return the losses `D` and `G_gan`.

        C: `classes.channels`. Both are means over the scales. Each step makes the discrete adaptive block a little
        sharper.
        """
        y = batch["fine"]
        G, D = self.networks["generator"], self.networks["discriminator"]
        generated = G(draw_noise(G.noise(), len(y), y.device))

        freeze(D, frozen=False)
        loss_D = against(D(y), real=True) + against(D(generated.detach()), real=False)
        update(self.optimizers["discriminator"], loss_D)

        freeze(D)
        loss_gan = against(D(generated), real=True)
        update(self.optimizers["generator"], loss_gan)
        G.block.sharpen(self.settings.sharpest, self.settings.anneal_steps)
        return {"D": loss_D, "G_gan": loss_gan}

    def generate(self, condition: None, seeds: Sequence[Seed]) -> Tensor:
        """One fine mask per seed, (B, C, H, W), exactly -1 (air) or 1 (tissue); of K > 2 classes one channel is 1."""
        return generate(self.networks["generator"], None, seeds)


def against(scales: list[list[Tensor]], real: bool) -> Tensor:
    """Cross-entropy of a multi-scale discriminator's logits, averaged over its scales."""
    return sum(gan_loss(outputs[-1], real) for outputs in scales) / len(scales)
