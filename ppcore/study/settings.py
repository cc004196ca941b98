"""What may be set, and to what? All parameters of a run, checked before anything starts."""

import difflib
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ppcore.study.errors import StudyError
from ppcore.study.runs import REPOSITORY

PROFILES = REPOSITORY / "notebooks" / "profiles"
PROFILE_NAMES = ("smoke", "demo", "paper")
DRAWINGS = (".json", ".png", ".jpg", ".jpeg")  # suffixes of what a sketch may be stored as
AIR_THRESHOLD = {"he": 204, "ihc": 235}  # section 2.1, gray levels 0-255


class Settings(BaseModel):
    """Every parameter of a run. The defaults are the paper's; a profile changes what its machine cannot carry."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    profile: Literal["smoke", "demo", "paper"] = Field("demo", description="size of the run")
    cohort: str = Field("PHANTOM", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the cohort")
    seed: int = Field(1, ge=0, lt=2**31, description="every random draw comes from it")
    threads: int = Field(8, ge=1, le=256, description="CPU threads of a notebook (fixed, so that sums round alike)")

    # 01: slides to patches and fine masks
    slides: str = Field("", description="folder of slides or fields; empty for an embedded cohort")
    stain: Literal["he", "ihc"] = Field("he", description="decides the air threshold")
    air_threshold: int | None = Field(None, ge=1, le=254, description="gray above it is air; empty: 204 he, 235 ihc")
    mpp: float = Field(2.0, ge=0.1, le=20.0, description="target um per pixel (reading R2); ignored for plain fields")
    patch_height: int = Field(512, ge=32, le=4096, description="px (section 2.1)")
    patch_width: int = Field(1024, ge=32, le=4096, description="px (section 2.1)")
    max_air: float = Field(0.85, ge=0.0, le=1.0, description="a patch with a larger share of air is dropped (R4)")
    max_ink: float = Field(0.25, ge=0.0, le=1.0, description="likewise of pen ink, as far as it is found; 1: keep all")
    patches_per_slide: int = Field(0, ge=0, le=100_000, description="at most, spread over the slide; 0: all (R2)")
    test_fraction: float = Field(0.15, gt=0.0, lt=1.0, description="share of patches for the test, by subject (R5)")
    test_patches: int = Field(0, ge=0, description="wanted for the test; 0: test_fraction (Table 1, R5)")
    train_patches: int = Field(0, ge=0, description="wanted for training, beside test_patches; 0: all others")
    split: Literal["auto", "subject", "region"] = Field(
        "auto", description="auto: by subject; a single slide by region. region: forced, for one subject")
    strict: bool = Field(False, description="stop at the first unreadable file instead of listing it")
    phantom_slides: int = Field(50, ge=2, le=1000, description="slides of the embedded cohort")
    phantom_width_um: float = Field(8192.0, ge=128, le=40000, description="um")
    phantom_height_um: float = Field(6144.0, ge=128, le=40000, description="um")
    phantom_mpp: float = Field(1.0, ge=0.1, le=8.0, description="um per pixel of an embedded slide's level 0")

    # 02: coarse masks
    coarse_open: int = Field(5, ge=1, le=101, description="opening kernel, px (section 2.3)")
    coarse_close: int = Field(10, ge=1, le=101, description="closing kernel, px (section 2.3)")
    coarse_shifted: bool = Field(False, description="the literal, shifted form of an even kernel (R7)")

    # 03: clusters and sketches
    clusters: int = Field(4, ge=2, le=50, description="K of K-means, chosen by eye in the paper (R11)")
    cluster_features: Literal["descriptors", "pixels"] = Field(
        "descriptors", description="of a mask: the 27 descriptors of its shapes (R27), or where its tissue lies")
    cluster_seeds: int = Field(10, ge=2, le=100, description="seeds compared to see how stable the clusters are")
    sketches: str = Field("", description="folder of drawings (PNG, JPEG, Labelme); empty: simulated ones (R12)")
    sketch_tone: Literal["auto", "dark", "light"] = Field("auto", description="which tone of a drawn picture is tissue")
    sketches_simulated: int = Field(100, ge=1, le=100_000, description="of exemplars of the clusters (section 2.4: about 100)")
    sketch_variations: int = Field(9, ge=0, le=1000, description="augmented ones of each sketch (R13)")

    # 04, 05, 06: training
    epochs: int = Field(50, ge=0, le=10_000, description="of pix2pix at the full learning rate (R19)")
    decay_epochs: int = Field(50, ge=0, le=10_000, description="linearly to 0 (R19)")
    batch_size: int = Field(1, ge=1, le=1024, description="R19; of all processes together")
    learning_rate: float = Field(2e-4, gt=0.0, le=1.0, description="Adam's (R19)")
    ngf: int = Field(64, ge=2, le=256, description="first width of pix2pix's generator")
    ndf: int = Field(64, ge=2, le=256, description="first width of the discriminators")
    crop: int = Field(1, ge=1, le=16, description="CycleGAN and pix2pixHD train on windows of 1/crop of a patch's sides")
    precision: Literal["auto", "float32"] = Field("auto", description="auto: bfloat16 where the device has units for it")
    ema: float = Field(0.0, ge=0.0, lt=1.0, description="running mean of the generators' weights; 0: none")
    workers: int = Field(4, ge=0, le=64, description="processes that load data; 0: none beside the notebook's")
    processes: int = Field(1, ge=1, le=1024, description="processes that train, one a GPU")
    checkpoint_steps: int = Field(2000, ge=1, description="steps between checkpoints")
    sample_steps: int = Field(2000, ge=1, description="steps between sample pictures")
    log_steps: int = Field(100, ge=1, description="steps a row of log.csv averages")

    # 04: coarse to fine
    recipe: Literal["reference", "paper28"] = Field("reference", description="losses of pix2pix and CycleGAN (R17)")
    levels: int = Field(8, ge=3, le=10, description="stride-2 levels of the U-Net (R15)")
    lambda_l1: float = Field(100.0, ge=0.0, description="weight of L1 in equation (1) (R17, reference)")
    straight_through: bool = Field(False, description="binarised fakes, straight-through gradient (R22)")
    cyclegan_ngf: int = Field(64, ge=2, le=256, description="first width of CycleGAN's generators")
    cyclegan_blocks: int = Field(9, ge=0, le=32, description="their residual blocks (R16)")
    cyclegan_epochs: int = Field(50, ge=0, le=10_000, description="at the full learning rate (R19)")
    cyclegan_decay_epochs: int = Field(50, ge=0, le=10_000, description="linearly to 0 (R19)")
    lambda_cycle: float = Field(10.0, ge=0.0, description="weight of equation (7) (R16)")
    identity: float = Field(0.5, ge=0.0, description="weight of the identity loss, a share of lambda_cycle (R16)")

    # 05: noise to fine
    noise_ngf: int = Field(64, ge=2, le=256, description="first width of DCGAN's and DEPAS's generators")
    noise_ndf: int = Field(64, ge=2, le=256, description="first width of their discriminators")
    noise_batch_size: int = Field(16, ge=2, le=1024, description="batch norm needs more than one mask")
    dcgan_recipe: Literal["masks", "radford"] = Field("masks", description="radford: the original, which fails on flat masks")
    latent: int = Field(100, ge=1, le=4096, description="length of the noise z (R20)")
    dcgan_epochs: int = Field(50, ge=0, le=10_000, description="at the full learning rate (R19)")
    dcgan_decay_epochs: int = Field(50, ge=0, le=10_000, description="linearly to 0 (R19)")
    depas_epochs: int = Field(50, ge=0, le=10_000, description="at the full learning rate (R19)")
    depas_decay_epochs: int = Field(50, ge=0, le=10_000, description="linearly to 0 (R19)")
    depas_scales: int = Field(3, ge=1, le=5, description="sizes at which DEPAS's discriminators look (R21)")
    depas_sharpest: float = Field(10.0, ge=1.0, description="slope of the discrete adaptive block in the end (R21)")

    # 06: fine to image
    hd_ngf: int = Field(64, ge=2, le=256, description="first width of pix2pixHD's generator")
    hd_downs: int = Field(4, ge=1, le=6, description="its stride-2 convolutions (R18)")
    hd_blocks: int = Field(9, ge=0, le=32, description="its residual blocks (R18)")
    hd_epochs: int = Field(50, ge=0, le=10_000, description="at the full learning rate (R19)")
    hd_decay_epochs: int = Field(50, ge=0, le=10_000, description="linearly to 0 (R19)")
    lambda_features: float = Field(10.0, ge=0.0, description="weight of feature matching (R18)")
    enhancer: bool = Field(False, description="a local enhancer around the global generator, for larger patches")
    vgg_weights: str = Field("", description="torchvision's VGG19 weights, a local file; empty: no VGG matching (R18)")

    # 08: evaluation
    permutations: int = Field(1000, ge=10, description="of the MMD's p-value (R27)")
    resamples: int = Field(1000, ge=10, description="of the bootstrap over subjects (R31)")
    diversity_samples: int = Field(8, ge=2, le=64, description="samples of one outline (R30)")
    diversity_conditions: int = Field(100, ge=1, description="outlines the diversity is averaged over")
    inception_weights: str = Field("", description="the original FID weights, a local file (R26)")

    # 10: drawing
    canvas: int = Field(5, ge=3, le=64, description="patches a side of the canvas whose seams are measured")

    # 11: utility
    utility_pairs: int = Field(0, ge=0, le=100_000, description="synthetic pairs; 0: as many as real training patches")
    utility_steps: int = Field(5000, ge=1, description="of each segmenter's training, the same for all")
    utility_width: int = Field(16, ge=2, le=128, description="first width of the segmenter; 16: .49 M parameters")
    utility_seeds: int = Field(3, ge=1, le=100, description="trainings of each arm (R31)")
    utility_test: int = Field(0, ge=0, description="test patches of each subject, spread over it; 0: all")

    # 12: variants
    variant_seeds: int = Field(3, ge=2, le=100, description="trainings of pix2pix that differ in nothing but their seed")
    variant_changes: bool = Field(True, description="and trainings with one setting changed; false: seeds alone")

    # 13, 14: speed
    benchmark_threads: int = Field(2, ge=1, le=256, description="CPU threads of the benchmark")
    benchmark_height: int = Field(512, ge=32, le=4096, description="px")
    benchmark_width: int = Field(1024, ge=32, le=4096, description="px")
    benchmark_ngf: int = Field(64, ge=2, le=256, description="first width of all networks")
    benchmark_levels: int = Field(8, ge=3, le=10, description="of the U-Net")
    benchmark_downs: int = Field(4, ge=1, le=6, description="of pix2pixHD's generator")
    benchmark_repeats: int = Field(3, ge=1, description="timed rounds; generation and tiles take twice as many")
    benchmark_slides: int = Field(200, ge=8, le=1000, description="phantom slides cut in one run")
    benchmark_slide_um: float = Field(4096.0, ge=1024, le=40000, description="um, side of the slide whose tiles are timed")

    @model_validator(mode="after")
    def _patch_fits_the_networks(self) -> "Settings":
        step = 2**self.levels
        for name in ("patch_height", "patch_width"):
            size = getattr(self, name)
            if size % step:
                raise ValueError(f"{name}={size} is no multiple of 2**levels = {step}, which a U-Net of "
                                 f"{self.levels} levels needs: take {max(1, round(size / step)) * step} or "
                                 "fewer levels")
            step_hd = max(4, 2 ** (self.hd_downs + self.enhancer))  # 4: CycleGAN
            if size % self.crop or size // self.crop % step_hd or size // self.crop < 2 * step_hd:
                raise ValueError(f"{name}={size} in windows of 1/{self.crop} does not fit a pix2pixHD of {self.hd_downs} "
                                 f"downs, which wants multiples of {step_hd} from {2 * step_hd} on: take another crop "
                                 "or hd_downs")
        return self

    @model_validator(mode="after")
    def _counts_go_together(self) -> "Settings":
        if self.train_patches and not self.test_patches:
            raise ValueError(f"train_patches={self.train_patches} without test_patches: give both, or test_patches alone")
        return self

    @model_validator(mode="after")
    def _something_is_trained(self) -> "Settings":
        for prefix in ("", "cyclegan_", "dcgan_", "depas_", "hd_"):
            if getattr(self, f"{prefix}epochs") + getattr(self, f"{prefix}decay_epochs") == 0:
                raise ValueError(f"{prefix}epochs=0 and {prefix}decay_epochs=0: nothing would be trained; "
                                 "make one of them 1 or more")
        for name in ("batch_size", "noise_batch_size"):
            if getattr(self, name) % self.processes:
                raise ValueError(f"{name}={getattr(self, name)} for processes={self.processes}: wanted a multiple, an "
                                 "equal share each")
        return self


def load_settings(profile: str, overrides: dict[str, Any]) -> Settings:
    """Read a profile, lay `overrides` over it and check all of it.

    Raises `StudyError` that names every unknown parameter (with the nearest known one), wrong type and value out
    of range. The air threshold is filled in from the stain where none is given (section 2.1).
    """
    if profile not in PROFILE_NAMES:
        raise StudyError(f"profile {profile!r} is not known: take one of {', '.join(PROFILE_NAMES)}")
    values = yaml.safe_load((PROFILES / f"{profile}.yaml").read_text()) or {}
    try:
        settings = Settings(**{**values, **overrides, "profile": profile})
    except ValidationError as error:
        raise StudyError("\n".join(_explain(problem) for problem in error.errors())) from None
    if settings.air_threshold is None:
        settings = settings.model_copy(update={"air_threshold": AIR_THRESHOLD[settings.stain]})
    return settings


def _explain(problem: dict[str, Any]) -> str:
    """One line for one pydantic problem: the parameter, what was found, what was wanted."""
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "./run_all.sh parameters lists them"
        return f"parameter {name!r} is not known: {hint}"
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    meaning = Settings.model_fields[name].description
    return f"parameter {name}={problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]} ({meaning})"
