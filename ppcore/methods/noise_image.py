"""How is the noise image model trained? A generator that draws images of a label map instead of guessing one.

Beyond the paper. pix2pixHD has one image for a mask, and where the mask is uniform, nothing to make texture of: its
instance norm wipes out a constant map, its transposed convolutions leave a lattice. Here the networks are those of the
noise GAN: noise in every convolution, no normalisation, judged at places and as a whole. A colour map
(`ppcore.methods.colours`) says what a label map leaves open: the stain. Real and made images of one label map are
judged as a pair at the same place (R3GAN, Huang et al. 2024, arXiv 2501.05441). There is no L1 of pixels, which pulls
all draws towards one mean; only means over 16 px shall agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ppcore.methods.classes import channels
from ppcore.methods.colours import ImageCrops, axes_of, colour_channels, colours_of
from ppcore.methods.losses import paired_loss, paired_loss_of_G
from ppcore.methods.sampling import Seed, generate
from ppcore.methods.texture import TextureLibrary
from ppcore.networks.layers import init_weights
from ppcore.networks.noise import draw_noise
from ppcore.networks.noise_unet import LocalDiscriminator
from ppcore.networks.painter import NoisePainter
from ppcore.training.method import freeze, update

BLOCK = 16  # px, side of the means that shall agree
WARM = 100  # steps in which the penalty falls from ten times its weight: D would else win before G has colours


@dataclass(frozen=True)
class NoiseImageSettings:
    """Settings of a noise image model.

    height, width: of a patch, px. lenders: training patches that the model keeps colour maps of. widths: channels of
    the generator. ndf: first width of the discriminator. air: threshold that images obey, gray level 0-255; None: the
    label maps were not made by a threshold. lambda_means: weight of the distance of means over 16 px. lambda_far: weight
    that keeps colours where tanh has a slope. gamma: weight of the gradient penalty; sigma: length of its finite
    difference; every: a step in so many has it. learning_rate: the generator's; the discriminator's is twice that. noise, colours: False leaves an
    ingredient out. classes: of the label maps.
    """

    height: int = 512
    width: int = 1024
    lenders: int = 256
    widths: tuple[int, ...] = (24, 48, 64, 64)
    ndf: int = 24
    air: int | None = 204
    lambda_means: float = 2.0
    lambda_far: float = 1.0
    gamma: float = 0.2
    sigma: float = 0.05
    every: int = 4
    learning_rate: float = 5e-4
    noise: bool = True
    colours: bool = True
    classes: int = 2


class NoiseImage:
    """G turns a label map m, a colour map and noise z into an image; D tells real images from made ones.

    Its weights are drawn from `seed`; `train` draws them again from the seed of the run. `remember` must be called
    before `train`.
    """

    Settings = NoiseImageSettings
    generators = ("generator",)
    makes = "image"

    def __init__(self, settings: NoiseImageSettings, seed: int = 0) -> None:
        self.settings = settings
        C, colours = channels(settings.classes), colour_channels(settings.classes)
        self.networks: dict[str, nn.Module] = {
            "generator": NoisePainter(settings.widths, colours, C, settings.air, settings.noise),
            "discriminator": LocalDiscriminator(settings.ndf, colours, channels=C, made=3),
        }
        self.networks["discriminator"].register_buffer("steps", torch.zeros(()))
        # stored with the generator's weights
        self.networks["generator"].textures = TextureLibrary(settings.lenders, settings.height, settings.width,
                                                             settings.classes, colours)
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed` and make new optimisers."""
        init_weights(nn.ModuleDict(self.networks), seed)
        self.networks["discriminator"].steps.zero_()
        rates = {"generator": 1, "discriminator": 2}
        self.optimizers = {name: torch.optim.Adam(
            self.networks[name].parameters(), factor * self.settings.learning_rate, betas=(0.0, 0.99), fused=True)
            for name, factor in rates.items()}

    def remember(self, data: ImageCrops, seed: int) -> None:
        """Keep the axes of the colours of training patches, and colour maps to borrow when images are made."""
        G = self.networks["generator"]
        G.textures.fill(data, seed)
        mean, axes = axes_of(data.seen)
        G.mean.copy_(mean)
        G.axes.copy_(axes)

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update D, then G, on crops `mask` (B, C, S, S) and `image` (B, 3, S, S) with their `colours`; return the losses.

        C: `classes.channels`. `D`: without its penalty. `G_gan`: adversarial loss of G. `G_means`: distance of the means
        over 16 px, of a range of 2.
        """
        m, image, given = batch["mask"], batch["image"], self.settings
        colours = given.colours * batch["colours"]
        G, D = self.networks["generator"], self.networks["discriminator"]
        made = G(m, colours, draw_noise(G.noise(*m.shape[-2:]), len(m), m.device))
        far = G.far
        seen, shown = (told_apart(picture, G.axes) for picture in (image, made))

        freeze(D, frozen=False)
        loss_D, penalty = paired_loss(D, m, seen, shown, colours, given.gamma, given.sigma, given.every)
        update(self.optimizers["discriminator"], loss_D + (1 + 9 * (1 - D.steps / WARM).clamp(min=0)) * penalty)
        D.steps += 1

        freeze(D)
        loss_gan = paired_loss_of_G(D, m, seen, shown, colours)
        means, wanted = (F.avg_pool2d(picture, BLOCK, BLOCK // 2) for picture in (made, image))
        loss_means = (means - wanted).abs().mean()
        update(self.optimizers["generator"], loss_gan + given.lambda_means * loss_means + given.lambda_far * far)
        return {"D": loss_D, "G_gan": loss_gan, "G_means": loss_means}

    def generate(self, masks: Tensor, seeds: Sequence[Seed]) -> Tensor:
        """RGB images (B, 3, H, W) in [-1, 1] from label maps (B, C, H, W). See `sampling.generate`.

        A seed gives the noise and the patch that lends its colour map. The last part of noise that is given instead of
        a seed is the colour map itself.
        """
        colours = colours_of(self, masks, seeds)
        seeds = [seed if isinstance(seed, int) else seed[:-1] for seed in seeds]
        return generate(self.networks["generator"], masks, seeds, colours)


def told_apart(image: Tensor, axes: Tensor) -> Tensor:
    """Images (B, 3, H, W) along the principal axes of the colours of tissue, for D: the narrow ones, hue, magnified.

    An axis is stretched by the root of how much less the colours vary along it than along the widest one.
    """
    sd = axes.norm(dim=0)
    return F.conv2d(image, (axes / sd * (sd.max() / sd).sqrt()).T[:, :, None, None])
