"""How is pix2pix trained? By equations (1)-(3), after Isola et al. 2017 (arXiv 1611.07004).

Losses of reading R17, recipe `reference`; networks of R15, schedule and weights of R19.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ppcore.losses import gan_loss, l1, straight_through
from ppcore.networks.patchgan import PatchGAN
from ppcore.networks.unet import UNet, init_weights
from ppcore.training.model_card import read_model


@dataclass(frozen=True)
class Pix2PixSettings:
    """What a pix2pix is. The defaults are the paper's (section 2.8), and Isola's for lambda (section 4.2).

    ngf, ndf: first width of generator and discriminator. levels: stride-2 levels of the U-Net.
    straight_through: show the discriminator binarised masks (reading R22).
    """

    ngf: int = 64
    ndf: int = 64
    levels: int = 8
    lambda_l1: float = 100.0
    learning_rate: float = 2e-4
    straight_through: bool = False


class Pix2Pix:
    """G turns a coarse mask x and noise z into a fine mask; D tells real pairs (x, y) from (x, G(x, z)).

    Its weights are drawn from `seed`; `train` draws them anew, from the seed of the run.
    """

    generators = ("generator",)

    def __init__(self, settings: Pix2PixSettings, seed: int = 0) -> None:
        self.settings = settings
        self.networks: dict[str, nn.Module] = {
            "generator": UNet(1, 1, settings.ngf, settings.levels),
            "discriminator": PatchGAN(2, settings.ndf),
        }
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed` and make new optimisers, Adam with betas (.5, .999); reading R19."""
        init_weights(nn.ModuleDict(self.networks), seed)
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(), self.settings.learning_rate, betas=(0.5, 0.999), fused=True)
            for name, network in self.networks.items()
        }

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update D, then G, on pairs `coarse` and `fine`, each (B, 1, H, W) in [-1, 1]; return the losses.

        `D`: half of D's loss, as Isola 2017 (section 3.3) takes it, so that D learns more slowly than G.
        `G_gan`: the non-saturating form of equation (2). `G_l1`: equation (3), before its weight lambda.
        """
        x, y = batch["coarse"], batch["fine"]
        G, D = self.networks["generator"], self.networks["discriminator"]
        generated = G(x)  # G(x, z): z is G's dropout
        # L1 stays on the soft mask: on a binarised one, a right pixel would lose its pull towards -1 or 1.
        shown = straight_through(generated) if self.settings.straight_through else generated

        D.requires_grad_(True)
        loss_D = (gan_loss(D(pair(x, y)), real=True) + gan_loss(D(pair(x, shown.detach())), real=False)) / 2
        self._update("discriminator", loss_D)

        D.requires_grad_(False)  # the gradient passes through D to G and is not kept in D
        loss_gan = gan_loss(D(pair(x, shown)), real=True)
        loss_l1 = l1(generated, y)
        self._update("generator", loss_gan + self.settings.lambda_l1 * loss_l1)
        return {"D": loss_D, "G_gan": loss_gan, "G_l1": loss_l1}

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()

    @torch.no_grad()
    def generate(self, coarse: Tensor, seeds: Sequence[int]) -> Tensor:
        """Generate one fine mask for each coarse mask, with the noise z of its seed.

        coarse: (B, 1, H, W) in [-1, 1]. seeds: B of them; for several masks of one outline, repeat it.
        Returns (B, 1, H, W) in [-1, 1] on the device of `coarse`; tissue is above 0 (reading R14).

        One image at a time, so that a mask depends on its outline and its seed, not on its neighbours in the
        batch. torch's own random state stays as it was. Raises `ValueError` unless there is one seed a mask.
        """
        if len(seeds) != len(coarse):
            raise ValueError(f"{len(seeds)} seeds for {len(coarse)} coarse masks: wanted one seed a mask")
        G = self.networks["generator"]
        device = next(G.parameters()).device
        fine = torch.empty_like(coarse)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            for index, seed in enumerate(seeds):
                torch.manual_seed(seed)
                fine[index] = G(coarse[index:index + 1].to(device))[0]
        return fine

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "Pix2Pix":
        """Load a finished run to generate with. Its discriminator is not stored: do not train it further.

        Raises `FileNotFoundError` or `ValueError` when `folder` holds no finished pix2pix.
        """
        card, weights = read_model(folder, cls.__name__)
        method = cls(Pix2PixSettings(**card["settings"]))
        method.networks["generator"].load_state_dict(weights["generator"])
        method.networks["generator"].to(device)
        return method


def pair(x: Tensor, y: Tensor) -> Tensor:
    """What D looks at: (B, 1, H, W) and (B, 1, H, W) stacked as channels, (B, 2, H, W)."""
    return torch.cat((x, y), dim=1)
