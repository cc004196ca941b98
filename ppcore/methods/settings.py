"""Which parameters belong to one method? Those of notebooks 04 to 07, with the prefixes of `ppcore.methods.table`."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from ppcore.methods.table import ROWS


class MethodsSettings(BaseModel):
    """The models and their losses: notebooks 04 to 07."""

    # pix2pix and CycleGAN; ndf also of pix2pixHD
    recipe: Literal["reference", "paper28"] = Field("reference", description="losses of pix2pix and CycleGAN (R17)")
    straight_through: bool = Field(False, description="True: discriminators see binarised fakes (R22)")
    ndf: int = Field(64, ge=2, le=256, description="first width of the discriminators")
    pix2pix_ngf: int = Field(64, ge=2, le=256, description="first width of pix2pix's U-Net")
    pix2pix_levels: int = Field(8, ge=3, le=10, description="stride-2 levels of the U-Net (R15)")
    lambda_l1: float = Field(100.0, ge=0.0, description="weight of L1 in equation (1) (R17, reference)")
    pix2pix_epochs: int = Field(50, ge=0, le=10_000, description="epochs at the full learning rate (R19)")
    pix2pix_decay_epochs: int = Field(50, ge=0, le=10_000, description="epochs in which it falls to 0 (R19)")
    example_epochs: int = Field(2, ge=1, le=10_000, description="epochs of either training in notebook 04's worked example")
    cyclegan_ngf: int = Field(64, ge=2, le=256, description="first width of CycleGAN's generators")
    cyclegan_blocks: int = Field(9, ge=0, le=32, description="residual blocks of each (R16)")
    lambda_cycle: float = Field(10.0, ge=0.0, description="weight of equation (7) (R16)")
    identity: float = Field(0.5, ge=0.0, description="weight of the identity loss, as a share of lambda_cycle (R16)")
    cyclegan_epochs: int = Field(50, ge=0, le=10_000, description="epochs at the full learning rate (R19)")
    cyclegan_decay_epochs: int = Field(50, ge=0, le=10_000, description="epochs in which it falls to 0 (R19)")

    # DCGAN and DEPAS
    noise_ngf: int = Field(64, ge=2, le=256, description="first width of DCGAN's and DEPAS's generators")
    noise_ndf: int = Field(64, ge=2, le=256, description="first width of their discriminators")
    noise_batch_size: int = Field(16, ge=2, le=1024, description="masks a step; batch norm needs more than one")
    latent: int = Field(100, ge=1, le=4096, description="length of the noise z (R20)")
    dcgan_recipe: Literal["masks", "radford"] = Field("masks", description="radford: the original, which fails on flat masks")
    dcgan_epochs: int = Field(50, ge=0, le=10_000, description="epochs at the full learning rate (R19)")
    dcgan_decay_epochs: int = Field(50, ge=0, le=10_000, description="epochs in which it falls to 0 (R19)")
    depas_scales: int = Field(3, ge=1, le=5, description="sizes at which DEPAS's discriminators look (R21)")
    depas_sharpest: float = Field(10.0, ge=1.0, description="slope of the discrete adaptive block at the end (R21)")
    depas_epochs: int = Field(50, ge=0, le=10_000, description="epochs at the full learning rate (R19)")
    depas_decay_epochs: int = Field(50, ge=0, le=10_000, description="epochs in which it falls to 0 (R19)")

    # pix2pixHD
    hd_ngf: int = Field(64, ge=2, le=256, description="first width of pix2pixHD's generator")
    hd_downs: int = Field(4, ge=1, le=6, description="stride-2 convolutions of it (R18)")
    hd_blocks: int = Field(9, ge=0, le=32, description="residual blocks of it (R18)")
    lambda_features: float = Field(10.0, ge=0.0, description="weight of feature matching (R18)")
    enhancer: bool = Field(False, description="True: a local enhancer around the generator, for larger patches")
    vgg_weights: str = Field("", description="file of torchvision's VGG19 weights; empty: no VGG matching (R18)")
    hd_epochs: int = Field(50, ge=0, le=10_000, description="epochs at the full learning rate (R19)")
    hd_decay_epochs: int = Field(50, ge=0, le=10_000, description="epochs in which it falls to 0 (R19)")

    # notebooks 06 and 07, beyond the paper
    seeds: int = Field(1, ge=1, le=16, description="trainings of each model beyond the paper; the first has the seed itself")
    crop_size: int = Field(128, ge=16, le=1024, multiple_of=16, description="px, side of the crops they are trained on")
    lenders: int = Field(256, ge=1, le=10_000, description="training patches whose texture maps a model keeps")
    own_ema: float = Field(0.998, ge=0.0, lt=1.0, description="running mean of their weights, share kept a step")

    # notebook 06, beyond the paper
    image_batch_size: int = Field(4, ge=1, le=1024, description="crops a step of the noise image model")
    image_epochs: int = Field(10, ge=0, le=10_000, description="epochs at the full learning rate")
    image_decay_epochs: int = Field(10, ge=0, le=10_000, description="epochs in which it falls to 0")

    # notebook 07, beyond the paper
    noise_gan_batch_size: int = Field(4, ge=1, le=1024, description="crops a step of the noise GAN")
    lambda_coarse: float = Field(5.0, ge=0.0, description="weight of the distance of C(G(x)) from x")
    noise_gan_epochs: int = Field(10, ge=0, le=10_000, description="epochs at the full learning rate")
    noise_gan_decay_epochs: int = Field(10, ge=0, le=10_000, description="epochs in which it falls to 0")
    diffusion_batch_size: int = Field(4, ge=1, le=1024, description="crops a step of the diffusion")
    diffusion_steps: int = Field(8, ge=2, le=256, description="steps of a draw from it")
    diffusion_epochs: int = Field(10, ge=0, le=10_000, description="epochs at the full learning rate")
    diffusion_decay_epochs: int = Field(10, ge=0, le=10_000, description="epochs in which it falls to 0")

    @model_validator(mode="after")
    def _something_is_trained(self) -> "MethodsSettings":
        for prefix in dict.fromkeys(row.settings for row in ROWS if row.settings):
            if getattr(self, f"{prefix}_epochs") + getattr(self, f"{prefix}_decay_epochs") == 0:
                raise ValueError(f"{prefix}_epochs=0 and {prefix}_decay_epochs=0: nothing would be trained; "
                                 "make one of them 1 or more")
        return self
