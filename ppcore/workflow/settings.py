"""What can be set, and to what? All parameters of a run, checked before anything starts.

Each room holds its own part; here they are one flat list, read from a profile and overridden by -p.
"""

import difflib
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ppcore.drawing.settings import DrawingSettings
from ppcore.experiments.settings import ExperimentsSettings
from ppcore.masks.settings import MasksSettings
from ppcore.methods.settings import MethodsSettings
from ppcore.metrics.settings import MetricsSettings
from ppcore.slides.settings import SlidesSettings
from ppcore.study.errors import StudyError
from ppcore.study.runs import REPOSITORY
from ppcore.study.settings import StudySettings
from ppcore.training.settings import TrainingSettings

PROFILES = REPOSITORY / "notebooks" / "profiles"
PROFILE_NAMES = ("smoke", "demo", "paper")
AIR_THRESHOLD = {"he": 204, "ihc": 235}  # section 2.1, gray levels 0-255
PARTS: tuple[type[BaseModel], ...] = (StudySettings, SlidesSettings, MasksSettings, TrainingSettings, MethodsSettings,
                                      MetricsSettings, DrawingSettings, ExperimentsSettings)  # in notebook order
PATHS = ("slides", "sketches", "vgg_weights", "inception_weights")  # parameters that are a folder or a file
RENAMED = {old: f"pix2pix_{old}" for old in ("epochs", "decay_epochs", "ngf", "levels")}


class Settings(*reversed(PARTS)):  # pydantic lists the fields of the last base first
    """Every parameter of a run. The defaults are the paper's; a profile changes what its machine cannot handle."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _patch_fits_the_networks(self) -> "Settings":
        step = 2**self.pix2pix_levels
        for name in ("patch_height", "patch_width"):
            size = getattr(self, name)
            if size % step:
                raise ValueError(f"{name}={size} is not a multiple of 2**pix2pix_levels = {step}, which a U-Net of "
                                 f"{self.pix2pix_levels} levels needs: take {max(1, round(size / step)) * step} or "
                                 "fewer levels")
            step_hd = max(4, 2 ** (self.hd_downs + self.enhancer))  # 4: CycleGAN
            if size % self.crop or size // self.crop % step_hd or size // self.crop < 2 * step_hd:
                raise ValueError(f"{name}={size} in windows of 1/{self.crop} does not fit pix2pixHD with hd_downs="
                                 f"{self.hd_downs}: wanted a multiple of {step_hd}, at least {2 * step_hd}; change "
                                 "crop or hd_downs")
            if size % 16 or size < self.crop_size:
                raise ValueError(f"{name}={size} does not fit notebooks 06 and 07, which train on crops of crop_size="
                                 f"{self.crop_size} px: wanted a multiple of 16 and no less; change crop_size")
        return self

    @model_validator(mode="after")
    def _processes_share_alike(self) -> "Settings":
        for name in ("batch_size", "noise_batch_size", "image_batch_size", "noise_gan_batch_size",
                     "diffusion_batch_size"):
            if getattr(self, name) % self.processes:
                raise ValueError(f"{name}={getattr(self, name)} for processes={self.processes}: wanted a multiple, so "
                                 "that each has an equal share")
        return self


def load_settings(profile: str, overrides: dict[str, Any]) -> Settings:
    """Read a profile, apply `overrides` and check all values.

    Raises `StudyError` that names every unknown parameter (with the nearest known one), wrong type and value out
    of range. If no air threshold is given, it follows from the stain (section 2.1).
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


def meaning(name: str) -> str:
    """What a parameter is, with its unit."""
    return Settings.model_fields[name].description


def _explain(problem: dict[str, Any]) -> str:
    """One line for one pydantic problem: the parameter, what was found, what was wanted."""
    name = ".".join(map(str, problem["loc"]))
    if name in RENAMED:
        return f"parameter {name!r} is called {RENAMED[name]!r} now, as it concerns only pix2pix"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "./run_all.sh parameters lists them"
        return f"parameter {name!r} is not known: {hint}"
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    return f"parameter {name}={problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]} ({meaning(name)})"
