"""How is the noise GAN trained? A generator that draws fine masks instead of guessing one.

Beyond the paper. pix2pix has one answer to an outline, and where the outline is wide and uniform, nothing but the frame
of the patch to make texture of. Here every convolution of the decoder gets a map of Gaussian noise, and a texture map
(`ppcore.methods.texture`) says what the outline leaves open. Real and made masks of one outline are judged as a pair at
the same place (relativistic pairing, R3GAN, Huang et al. 2024, arXiv 2501.05441). Instead of L1, which pulls all draws
towards one mean, C of section 2.3 itself is a loss: C(G(x, z)) shall be x.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ppcore.methods.classes import channels, hard, soft
from ppcore.methods.losses import paired_loss, paired_loss_of_G
from ppcore.methods.sampling import Seed, generate
from ppcore.methods.texture import TexturedCrops, TextureLibrary, map_channels, textures_of
from ppcore.networks.layers import init_weights
from ppcore.networks.noise import draw_noise
from ppcore.networks.noise_unet import LocalDiscriminator, NoiseUNet
from ppcore.training.method import freeze, update


@dataclass(frozen=True)
class NoiseGANSettings:
    """Settings of a noise GAN.

    height, width: of a patch, px. lenders: training patches that the model keeps texture maps of. widths: channels of
    the generator. ndf: first width of the discriminator. lambda_coarse: weight of the distance of C(G(x)) from x.
    open_size, close_size: kernels of C, px. gamma: weight of the gradient penalty; sigma: length of its finite
    difference; every: a step in so many has it. learning_rate: the generator's; the discriminator's is twice that.
    noise, texture, moments: False leaves an ingredient out. classes: of the maps; dense: kernels of C for each beyond
    the first two (`ppcore.masks.make.coarse_mask`). Raises `ValueError` if these do not fit together.
    """

    height: int = 512
    width: int = 1024
    lenders: int = 256
    widths: tuple[int, ...] = (24, 48, 64, 64)
    ndf: int = 24
    lambda_coarse: float = 5.0
    open_size: int = 5
    close_size: int = 10
    gamma: float = 0.1
    sigma: float = 0.1
    every: int = 4
    learning_rate: float = 5e-4
    noise: bool = True
    texture: bool = True
    moments: bool = True
    classes: int = 2
    dense: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.classes != 2 + len(self.dense):
            raise ValueError(f"classes={self.classes}, dense={self.dense}: wanted a pair of kernels for each of the "
                             f"{self.classes - 2} classes beyond air and tissue")


class NoiseGAN:
    """G turns a coarse mask x, a texture map and noise z into a fine mask; D tells real masks from made ones.

    Its weights are drawn from `seed`; `train` draws them again from the seed of the run. `remember` must be called
    before `train`.
    """

    Settings = NoiseGANSettings
    generators = ("generator",)
    makes = "mask"

    def __init__(self, settings: NoiseGANSettings, seed: int = 0) -> None:
        self.settings = settings
        C, texture = channels(settings.classes), map_channels(settings.classes)
        self.networks: dict[str, nn.Module] = {
            "generator": NoiseUNet(settings.widths, texture, settings.noise, C),
            "discriminator": LocalDiscriminator(settings.ndf, texture, settings.moments, C),
        }
        # stored with the generator's weights
        self.networks["generator"].textures = TextureLibrary(settings.lenders, settings.height, settings.width,
                                                             settings.classes)
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed` and make new optimisers."""
        init_weights(nn.ModuleDict(self.networks), seed)
        rates = {"generator": 1, "discriminator": 2}
        self.optimizers = {name: torch.optim.Adam(
            self.networks[name].parameters(), factor * self.settings.learning_rate, betas=(0.0, 0.99), fused=True)
            for name, factor in rates.items()}

    def remember(self, data: TexturedCrops, seed: int) -> None:
        """Keep texture maps of training patches, to borrow from when masks are made."""
        self.networks["generator"].textures.fill(data, seed)

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update D, then G, on crops `coarse`, `fine` (B, C, S, S) in [-1, 1] with their `texture`; return the losses.

        C: `classes.channels`. `D`: without its penalty. `G_gan`: adversarial loss of G. `G_coarse`: distance of C(G(x))
        from x, the share of pixels in which they differ.
        """
        x, y, texture = batch["coarse"], batch["fine"], batch["texture"]
        G, D, given = self.networks["generator"], self.networks["discriminator"], self.settings
        made = as_mask(G(x, texture, draw_noise(G.noise(*x.shape[-2:]), len(x), x.device)))

        freeze(D, frozen=False)
        loss_D, penalty = paired_loss(D, x, y, made, texture, given.gamma, given.sigma, given.every)
        update(self.optimizers["discriminator"], loss_D + penalty)

        freeze(D)
        loss_gan = paired_loss_of_G(D, x, y, made, texture)
        again = coarse(made, given.open_size, given.close_size, given.dense)
        # a wrong pixel is off by 2 in the one channel of two classes, and in two channels of K
        loss_coarse = given.classes / 4 * (again - x).abs().mean()
        update(self.optimizers["generator"], loss_gan + given.lambda_coarse * loss_coarse)
        return {"D": loss_D, "G_gan": loss_gan, "G_coarse": loss_coarse}

    def generate(self, coarse: Tensor, seeds: Sequence[Seed]) -> Tensor:
        """Fine masks (B, C, H, W) in [-1, 1] from coarse ones; tissue is above 0 (R14). See `sampling.generate`.

        A seed gives the noise and the patch that lends its texture map. The last part of noise that is given instead
        of a seed is the texture map itself.
        """
        textures = textures_of(self, coarse, seeds)
        seeds = [seed if isinstance(seed, int) else seed[:-1] for seed in seeds]
        return soft(generate(self.networks["generator"], coarse, seeds, textures))


def as_mask(logits: Tensor) -> Tensor:
    """Logits (B, C, H, W) to masks in {-1, 1}, with the gradient of `soft` (straight through; Bengio et al. 2013)."""
    likely = soft(logits)
    return hard(logits) + (likely - likely.detach())


def coarse(mask: Tensor, open_size: int, close_size: int, dense: Sequence[tuple[int, int]] = ()) -> Tensor:
    """C of masks (B, 1, H, W) in [-1, 1], with gradients; on {-1, 1} it equals `ppcore.masks.make.coarse_mask`.

    Of label maps (B, K, H, W) air and tissue are C of all that is not air. Each further class is painted over them, in
    order: it is where its own dense form and the tissue are, and the classes below it are where it is not.
    """
    if mask.shape[1] == 1:
        return close(open_(mask, open_size), close_size)
    tissue = close(open_(-mask[:, :1], open_size), close_size)
    painted = [tissue]
    for value, (close_size, open_size) in enumerate(dense, start=2):
        found = torch.minimum(open_(close(mask[:, value:value + 1], close_size), open_size), tissue)
        painted = [*(torch.minimum(part, -found) for part in painted), found]
    return torch.cat([-tissue, *painted], 1)


def open_(mask: Tensor, size: int) -> Tensor:
    """An opening of masks in [-1, 1] with a square of `size` px; the border is neutral, and nothing is shifted."""
    return dilate(-dilate(-mask, size, size // 2), size, size - 1 - size // 2)


def close(mask: Tensor, size: int) -> Tensor:
    """A closing, likewise."""
    return -dilate(-dilate(mask, size, size // 2), size, size - 1 - size // 2)


def dilate(mask: Tensor, size: int, before: int) -> Tensor:
    """The largest value of size x size px, `before` of them above and to the left; the border is neutral."""
    after = size - 1 - before
    mask = F.max_pool2d(F.pad(mask, (before, after, 0, 0), value=-torch.inf), (1, size), 1)
    return F.max_pool2d(F.pad(mask, (0, 0, before, after), value=-torch.inf), (size, 1), 1)
