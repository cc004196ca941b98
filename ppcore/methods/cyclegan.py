"""How is CycleGAN trained? By equations (4)-(7), after Zhu et al. 2017 (arXiv 1703.10593; reading R16).

Equation (6) of the paper prints D_X(G(y)); F makes the coarse masks, so it must be D_X(F(y)), as here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ppcore.methods.classes import channels
from ppcore.methods.image_pool import ImagePool
from ppcore.methods.losses import gan_loss, l1, lsgan_loss, paper28_loss, straight_through
from ppcore.methods.sampling import Seed, generate
from ppcore.networks.layers import init_weights
from ppcore.networks.patchgan import PatchGAN
from ppcore.networks.resnet import ResNet
from ppcore.training.method import adam, freeze, update


@dataclass(frozen=True)
class CycleGANSettings:
    """Settings of a CycleGAN; the defaults are Zhu's.

    ngf, ndf: first width of generators and discriminators. blocks: residual blocks. lambda_cycle: weight of equation
    (7). identity: weight of the identity loss, as a share of lambda_cycle. recipe: reading R17. straight_through:
    show the discriminators binarised masks (R22). classes: of the maps.
    """

    ngf: int = 64
    ndf: int = 64
    blocks: int = 9
    recipe: Literal["reference", "paper28"] = "reference"
    lambda_cycle: float = 10.0
    identity: float = 0.5
    pool_size: int = 50
    learning_rate: float = 2e-4
    straight_through: bool = False
    classes: int = 2


class CycleGAN:
    """G turns coarse masks X into fine masks Y, F turns fine into coarse; D_Y and D_X judge the results.

    It learns from unpaired masks: give `train` an `Unpaired` data set. Weights are drawn from `seed`.
    """

    Settings = CycleGANSettings
    generators = ("G", "F")
    makes = "mask"

    def __init__(self, settings: CycleGANSettings, seed: int = 0) -> None:
        self.settings = settings
        C = channels(settings.classes)
        self.networks: dict[str, nn.Module] = {
            "G": ResNet(C, C, settings.ngf, 2, settings.blocks),
            "F": ResNet(C, C, settings.ngf, 2, settings.blocks),
            "D_X": PatchGAN(C, settings.ndf, affine=False),
            "D_Y": PatchGAN(C, settings.ndf, affine=False),
            "pool_X": ImagePool(settings.pool_size),
            "pool_Y": ImagePool(settings.pool_size),
        }
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed`, empty the pools and make new optimisers; reading R19."""
        init_weights(nn.ModuleDict(self.networks), seed)
        for name in ("pool_X", "pool_Y"):
            self.networks[name].clear()
        self.optimizers = {
            "generators": adam([self.networks["G"], self.networks["F"]], self.settings.learning_rate),
            "discriminators": adam([self.networks["D_X"], self.networks["D_Y"]], self.settings.learning_rate)}

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update G and F, then D_X and D_Y, on `coarse` and `fine`, each (B, C, H, W) in [-1, 1], unpaired.

        C: `classes.channels`. Returns `D` (half of D_X's and D_Y's losses), `G_gan` (equation (6) for both, in LSGAN's
        form, or section 2.8's four terms), `G_cycle` (equation (7)) and `G_identity`, the last two before weighting.
        """
        x, y = batch["coarse"], batch["fine"]
        G, F, D_X, D_Y = (self.networks[name] for name in ("G", "F", "D_X", "D_Y"))
        reference = self.settings.recipe == "reference"
        shown = straight_through if self.settings.straight_through else nn.Identity()

        freeze(D_X, D_Y)
        fine, coarse = G(x), F(y)
        x_again, y_again = F(fine), G(coarse)
        loss_cycle = l1(x_again, x) + l1(y_again, y)
        loss_identity = torch.zeros_like(loss_cycle)
        if reference:
            loss_gan = lsgan_loss(D_Y(shown(fine))[-1], real=True) + lsgan_loss(D_X(shown(coarse))[-1], real=True)
            if self.settings.identity:
                loss_identity = l1(F(x), x) + l1(G(y), y)
            loss_G = loss_gan + self.settings.lambda_cycle * (loss_cycle + self.settings.identity * loss_identity)
        else:
            # Without pairs, "the specific real mask" of section 2.8 exists only at the end of a cycle.
            loss_gan = sum(
                paper28_loss(D(shown(synthetic)), D(real, hidden=True), D(shown(again), hidden=True))
                for D, synthetic, real, again in ((D_Y, fine, y, y_again), (D_X, coarse, x, x_again)))
            loss_G = loss_gan + loss_cycle
        update(self.optimizers["generators"], loss_G)

        freeze(D_X, D_Y, frozen=False)
        against = lsgan_loss if reference else gan_loss
        loss_D = sum(
            (against(D(real)[-1], real=True) + against(D(self.networks[pool](shown(synthetic)))[-1], real=False)) / 2
            for D, real, pool, synthetic in ((D_Y, y, "pool_Y", fine), (D_X, x, "pool_X", coarse)))
        update(self.optimizers["discriminators"], loss_D)
        return {"D": loss_D, "G_gan": loss_gan, "G_cycle": loss_cycle, "G_identity": loss_identity}

    def generate(self, coarse: Tensor, seeds: Sequence[Seed]) -> Tensor:
        """Fine masks (B, C, H, W) in [-1, 1] from coarse ones. There is no noise: the seeds have no effect."""
        return generate(self.networks["G"], coarse, seeds)


class Unpaired(Dataset):
    """The pairs of a data set, broken up: `coarse` of one item, `fine` of another, drawn at random.

    An epoch still sees each coarse mask once. The draw uses torch's global generator, which `train` seeds.
    """

    def __init__(self, pairs: Dataset) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return `coarse` and `fine`, each as `pairs` has them."""
        other = int(torch.randint(len(self.pairs), ()))
        return {"coarse": self.pairs[index]["coarse"], "fine": self.pairs[other]["fine"]}
