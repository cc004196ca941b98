"""How is pix2pixHD trained? As in Wang et al. 2018 (arXiv 1711.11585): LSGAN and feature matching (reading R18)."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from ppcore.methods.classes import channels
from ppcore.methods.losses import feature_matching, lsgan_loss
from ppcore.methods.pix2pix import pair
from ppcore.methods.sampling import Seed, generate
from ppcore.networks.layers import init_weights
from ppcore.networks.patchgan import MultiScale
from ppcore.networks.resnet import LocalEnhancer, ResNet
from ppcore.networks.vgg import VGG19
from ppcore.training.method import adam, freeze, update

VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # of its five depths, as in Wang's code


@dataclass(frozen=True)
class Pix2PixHDSettings:
    """Settings of a pix2pixHD; the defaults are Wang's for 512 x 1024 px.

    ngf, ndf: first width of generator and discriminators. downs, blocks: of the global generator. scales: of the
    discriminator. lambda_features: weight of each matching. enhancer: put a local enhancer around the global
    generator, for larger images. vgg_weights: a file of torchvision's VGG19 weights; empty: no VGG matching.
    classes: of the masks.
    """

    ngf: int = 64
    ndf: int = 64
    downs: int = 4
    blocks: int = 9
    scales: int = 2
    lambda_features: float = 10.0
    enhancer: bool = False
    vgg_weights: str = ""
    learning_rate: float = 2e-4
    classes: int = 2


class Pix2PixHD:
    """G turns a mask m into an image; D, at two sizes, tells real pairs (m, image) from (m, G(m)).

    Its weights are drawn from `seed`; `train` draws them again from the seed of the run.
    """

    Settings = Pix2PixHDSettings
    generators = ("generator",)
    makes = "image"

    def __init__(self, settings: Pix2PixHDSettings, seed: int = 0) -> None:
        """Raise `FileNotFoundError` or `ValueError` if the VGG weights cannot be read."""
        self.settings = settings
        C = channels(settings.classes)
        if settings.enhancer:
            generator = LocalEnhancer(C, 3, settings.ngf // 2, settings.downs, global_blocks=settings.blocks)
        else:
            generator = ResNet(C, 3, settings.ngf, settings.downs, settings.blocks)
        self.networks: dict[str, nn.Module] = {
            "generator": generator,
            "discriminator": MultiScale(C + 3, settings.ndf, settings.scales),
        }
        self.vgg = VGG19(settings.vgg_weights) if settings.vgg_weights else None  # not trained, so no network here
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed` and make new optimisers; reading R19."""
        init_weights(nn.ModuleDict(self.networks), seed)
        self.optimizers = {name: adam([network], self.settings.learning_rate)
                           for name, network in self.networks.items()}

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update G, then D, on pairs `mask` (B, C, H, W) and `image` (B, 3, H, W) in [-1, 1]; return the losses.

        C: `classes.channels`. `D`: half of D's loss; `D` and `G_gan` are summed over the scales. `G_features`: equation
        (4) of Wang 2018, averaged over the scales. `G_vgg`: the same with VGG19's features, if its weights are given.
        """
        m, image = batch["mask"], batch["image"]
        G, D = self.networks["generator"], self.networks["discriminator"]
        generated = G(m)

        freeze(D, frozen=False)
        real = D(pair(m, image), hidden=True)  # used in both updates: D does not change before its own
        freeze(D)
        fooled = D(pair(m, generated), hidden=True)
        losses = {
            "G_gan": sum(lsgan_loss(scale[-1], real=True) for scale in fooled),
            "G_features": sum(feature_matching(s[:-1], r[:-1]) for s, r in zip(fooled, real)) / len(real)}
        if self.vgg is not None:
            self.vgg.to(image.device)
            depths = zip(VGG_WEIGHTS, self.vgg(generated), self.vgg(image))
            losses["G_vgg"] = sum(weight * functional.l1_loss(s, r) for weight, s, r in depths)
        matching = sum(loss for name, loss in losses.items() if name != "G_gan")
        update(self.optimizers["generator"], losses["G_gan"] + self.settings.lambda_features * matching)

        freeze(D, frozen=False)
        judged = D(pair(m, generated.detach()))
        losses["D"] = sum(lsgan_loss(r[-1], real=True) + lsgan_loss(s[-1], real=False)
                          for r, s in zip(real, judged)) / 2
        update(self.optimizers["discriminator"], losses["D"])
        return losses

    def generate(self, masks: Tensor, seeds: Sequence[Seed]) -> Tensor:
        """RGB images (B, 3, H, W) in [-1, 1] from masks (B, C, H, W). There is no noise: the seeds have no effect."""
        return generate(self.networks["generator"], masks, seeds)
