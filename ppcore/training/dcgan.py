"""How is DCGAN trained? As Radford et al. 2015 (arXiv 1511.06434) train it, on fine masks alone (reading R20)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ppcore.losses import gan_loss
from ppcore.networks.dcgan import Discriminator, Generator
from ppcore.networks.layers import init_weights
from ppcore.training.generate import from_noise
from ppcore.training.method import adam, freeze, update


@dataclass(frozen=True)
class DCGANSettings:
    """What a DCGAN is. height, width: of the masks, px. latent: length of z. ngf, ndf: first widths."""

    height: int = 512
    width: int = 1024
    latent: int = 100
    ngf: int = 64
    ndf: int = 64
    learning_rate: float = 2e-4


class DCGAN:
    """G turns noise z into a fine mask; D tells real masks from G's. No outline, hence no control.

    Its weights are drawn from `seed`; `train` draws them anew, from the seed of the run.
    """

    Settings = DCGANSettings
    generators = ("generator",)

    def __init__(self, settings: DCGANSettings, seed: int = 0) -> None:
        self.settings = settings
        self.networks: dict[str, nn.Module] = {
            "generator": Generator(settings.height, settings.width, settings.latent, settings.ngf),
            "discriminator": Discriminator(settings.height, settings.width, settings.ndf),
        }
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed` and make new optimisers; reading R19."""
        init_weights(nn.ModuleDict(self.networks), seed)
        self.optimizers = {name: adam([network], self.settings.learning_rate)
                           for name, network in self.networks.items()}

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update D, then G, on real masks `fine` (B, 1, H, W) in [-1, 1]; return the losses `D` and `G_gan`.

        Real and synthetic masks pass D apart, each with the batch statistics of its own kind.
        """
        y = batch["fine"]
        G, D = self.networks["generator"], self.networks["discriminator"]
        generated = G(torch.randn(len(y), self.settings.latent, device=y.device))

        freeze(D, frozen=False)
        loss_D = gan_loss(D(y), real=True) + gan_loss(D(generated.detach()), real=False)
        update(self.optimizers["discriminator"], loss_D)

        freeze(D)
        loss_gan = gan_loss(D(generated), real=True)
        update(self.optimizers["generator"], loss_gan)
        return {"D": loss_D, "G_gan": loss_gan}

    def generate(self, seeds: Sequence[int]) -> Tensor:
        """One fine mask a seed, (B, 1, H, W) in [-1, 1]; tissue is above 0 (reading R14)."""
        return from_noise(self.networks["generator"], seeds)
