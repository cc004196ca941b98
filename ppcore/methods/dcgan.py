"""How is DCGAN trained? On fine masks alone (Radford et al. 2015, arXiv 1511.06434; reading R20), in two recipes.

`radford` is the original. It fails on masks with wide flat areas: a batch of nearly solid masks has no variance for
the discriminator's batch norm to divide by, real masks are exactly -1 and 1 while synthetic ones never are, and the
generator ends up with the same lattice for every z. `masks` is the best baseline we could make: no batch norm in the
discriminator, initial weights that draw smooth areas, and noise on the discriminator's input, so that grey values do
not give synthetic masks away (instance noise, Soenderby et al. 2016, arXiv 1610.04490).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ppcore.methods.classes import channels
from ppcore.methods.losses import gan_loss
from ppcore.methods.sampling import Seed, generate
from ppcore.networks.dcgan import Discriminator, Generator, draw_for_masks
from ppcore.networks.layers import init_weights
from ppcore.networks.noise import draw_noise
from ppcore.training.method import adam, freeze, update

INSTANCE_NOISE = 0.5  # standard deviation, for masks in [-1, 1]


@dataclass(frozen=True)
class DCGANSettings:
    """Settings of a DCGAN. height, width: of the masks, px. latent: length of z. ngf, ndf: first widths.

    recipe: "masks" or "radford", see above. classes: of the masks.
    """

    height: int = 512
    width: int = 1024
    latent: int = 100
    ngf: int = 64
    ndf: int = 64
    recipe: Literal["masks", "radford"] = "masks"
    learning_rate: float = 2e-4
    classes: int = 2


class DCGAN:
    """G turns noise z into a fine mask; D tells real masks from G's. No outline, hence no control.

    Its weights are drawn from `seed`; `train` draws them again from the seed of the run.
    """

    Settings = DCGANSettings
    generators = ("generator",)
    makes = "mask"

    def __init__(self, settings: DCGANSettings, seed: int = 0) -> None:
        self.settings = settings
        C = channels(settings.classes)
        self.networks: dict[str, nn.Module] = {
            "generator": Generator(settings.height, settings.width, settings.latent, settings.ngf, C),
            "discriminator": Discriminator(settings.height, settings.width, settings.ndf,
                                           batch_norm=settings.recipe == "radford", channels=C),
        }
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed` and make new optimisers; reading R19."""
        init_weights(nn.ModuleDict(self.networks), seed)
        if self.settings.recipe == "masks":
            draw_for_masks(self.networks["generator"], self.networks["discriminator"], seed)
        self.optimizers = {name: adam([network], self.settings.learning_rate)
                           for name, network in self.networks.items()}

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update D, then G, on real masks `fine` (B, C, H, W) in [-1, 1]; return the losses `D` and `G_gan`.

        C: `classes.channels`. Real and synthetic masks pass through D separately; in recipe "radford", each with its
        own batch statistics.
        """
        y = batch["fine"]
        G, D = self.networks["generator"], self.networks["discriminator"]
        shown = noisy if self.settings.recipe == "masks" else nn.Identity()
        generated = G(draw_noise(G.noise(), len(y), y.device))

        freeze(D, frozen=False)
        loss_D = gan_loss(D(shown(y)), real=True) + gan_loss(D(shown(generated.detach())), real=False)
        update(self.optimizers["discriminator"], loss_D)

        freeze(D)
        loss_gan = gan_loss(D(shown(generated)), real=True)
        update(self.optimizers["generator"], loss_gan)
        return {"D": loss_D, "G_gan": loss_gan}

    def generate(self, condition: None, seeds: Sequence[Seed]) -> Tensor:
        """One fine mask per seed, (B, C, H, W) in [-1, 1]; tissue is above 0 (reading R14)."""
        return generate(self.networks["generator"], None, seeds)


def noisy(mask: Tensor) -> Tensor:
    """The mask with instance noise, drawn at each call from torch's global generator."""
    return mask + INSTANCE_NOISE * torch.randn_like(mask)
