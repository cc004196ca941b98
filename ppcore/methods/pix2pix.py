"""How is pix2pix trained? By equations (1)-(3), after Isola et al. 2017 (arXiv 1611.07004).

Losses of reading R17, networks of R15, schedule and weights of R19.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ppcore.methods.classes import channels
from ppcore.methods.losses import gan_loss, l1, paper28_loss, straight_through
from ppcore.methods.sampling import Seed, generate
from ppcore.networks.layers import init_weights
from ppcore.networks.noise import draw_noise
from ppcore.networks.patchgan import PatchGAN
from ppcore.networks.unet import UNet
from ppcore.training.method import adam, freeze, update


@dataclass(frozen=True)
class Pix2PixSettings:
    """Settings of a pix2pix. The defaults are the paper's (section 2.8), and Isola's for lambda (section 4.2).

    ngf, ndf: first width of generator and discriminator. levels: stride-2 levels of the U-Net.
    recipe: reading R17. straight_through: show the discriminator binarised masks (R22). classes: of the maps.
    """

    ngf: int = 64
    ndf: int = 64
    levels: int = 8
    recipe: Literal["reference", "paper28"] = "reference"
    lambda_l1: float = 100.0
    learning_rate: float = 2e-4
    straight_through: bool = False
    classes: int = 2


class Pix2Pix:
    """G turns a coarse mask x and noise z into a fine mask; D tells real pairs (x, y) from (x, G(x, z)).

    Its weights are drawn from `seed`; `train` draws them again from the seed of the run.
    """

    Settings = Pix2PixSettings
    generators = ("generator",)
    makes = "mask"

    def __init__(self, settings: Pix2PixSettings, seed: int = 0) -> None:
        self.settings = settings
        C = channels(settings.classes)
        self.networks: dict[str, nn.Module] = {
            "generator": UNet(C, C, settings.ngf, settings.levels),
            "discriminator": PatchGAN(2 * C, settings.ndf),
        }
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed` and make new optimisers; reading R19."""
        init_weights(nn.ModuleDict(self.networks), seed)
        self.optimizers = {name: adam([network], self.settings.learning_rate)
                           for name, network in self.networks.items()}

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update D, then G, on pairs `coarse` and `fine`, each (B, C, H, W) in [-1, 1]; return the losses.

        `D`: half of D's loss, as in Isola 2017 (section 3.3), so that D learns more slowly than G.
        `G_gan`: the non-saturating form of equation (2), or section 2.8's four terms. `G_l1`: equation (3), before
        its weight lambda; in the recipe `paper28` it is only logged. C: `classes.channels`.
        """
        x, y = batch["coarse"], batch["fine"]
        G, D = self.networks["generator"], self.networks["discriminator"]
        generated = G(x, draw_noise(G.noise(*x.shape[-2:]), len(x), x.device))  # G(x, z)
        # L1 uses the soft mask: on a binarised one, a correct pixel would get no gradient towards -1 or 1.
        shown = straight_through(generated) if self.settings.straight_through else generated

        freeze(D, frozen=False)
        loss_D = (gan_loss(D(pair(x, y))[-1], real=True)
                  + gan_loss(D(pair(x, shown.detach()))[-1], real=False)) / 2
        update(self.optimizers["discriminator"], loss_D)

        freeze(D)  # the gradient passes through D to G but is not computed for D
        loss_l1 = self.distance(generated, y)
        if self.settings.recipe == "reference":
            loss_gan = gan_loss(D(pair(x, shown))[-1], real=True)
            loss_G = loss_gan + self.settings.lambda_l1 * loss_l1
        else:
            outputs = D(pair(x, shown), hidden=True)
            loss_G = loss_gan = paper28_loss(outputs, D(pair(x, y), hidden=True), outputs)
        update(self.optimizers["generator"], loss_G)
        return {"D": loss_D, "G_gan": loss_gan, "G_l1": loss_l1}

    def distance(self, generated: Tensor, y: Tensor) -> Tensor:
        """Equation (3): the distance of generated masks from real ones, both (B, C, H, W) in [-1, 1]; a scalar."""
        return l1(generated, y)

    def generate(self, coarse: Tensor, seeds: Sequence[Seed]) -> Tensor:
        """Fine masks (B, C, H, W) in [-1, 1] from coarse ones; tissue is above 0 (R14). See `sampling.generate`."""
        return generate(self.networks["generator"], coarse, seeds)


def pair(x: Tensor, y: Tensor) -> Tensor:
    """The input of D: (B, C, H, W) and (B, C', H, W) stacked as channels, (B, C + C', H, W)."""
    return torch.cat((x, y), dim=1)
