"""What does each ingredient of the noise image model do, and how good is it after how many minutes? For notebook 16."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ppcore.experiments.ingredients import ALL
from ppcore.masks.stain_cut import Cut
from ppcore.methods.noise_image import NoiseImageSettings
from ppcore.metrics.image import draws_apart
from ppcore.metrics.image_rows import dice, labels_shown
from ppcore.metrics.morphometry import mmd
from ppcore.metrics.perception import cubic_kernel
from ppcore.metrics.repetition import image_repetition
from ppcore.metrics.sets import ImageSet

MEASURES = {"kd": "kd", "mmd2": "MMD²", "repetition": "repetition", "diversity": "diversity (gray levels)"}


def image_ingredients(own: NoiseImageSettings) -> dict[str, tuple[str, NoiseImageSettings]]:
    """The study's model, then each ingredient left out: the maps that it is given, and its settings.

    Maps: "fine", label maps; "tissue", where they are tissue, if that is less; "coarse", their coarse forms. An outline
    covers lumens that the image of its patch shows, so the model that is given outlines does not obey them.
    """
    less = {"from tissue and air": ("tissue", replace(own, classes=2))} if own.classes > 2 else {}
    return {ALL: ("fine", own), **less,
            "from the outline": ("coarse", replace(own, air=None)),
            "without noise": ("fine", replace(own, noise=False)),
            "without colour map": ("fine", replace(own, colours=False))}


def likeness(real: ImageSet, made: ImageSet, kd: bool = True) -> dict[str, float]:
    """`kd` of images, and `mmd2` of their colours and detail. kd: False leaves it out, as nan."""
    return {"kd": mmd(real.features, made.features, 0, kernel=cubic_kernel)[0] if kd else float("nan"),
            "mmd2": mmd(real.descriptors, made.descriptors, 0)[0]}


def images_measured(real: ImageSet, outlines: Sequence[np.ndarray], made: ImageSet, several: Iterable[np.ndarray] = (),
                    cut: Cut | None = None, mpp: float = 1.0, air_threshold: int = 204) -> dict[str, float]:
    """The MEASURES of one image per test patch, and with a cut the Dice of each further class, `nuclei: image_dice`.

    outlines: coarse masks of `made`. several: (S, H, W, 3) draws of some masks; without, diversity is nan. cut: of the
    labeller, which is asked to find the classes of the maps of `made` in its images. mpp: um per px.
    """
    spread = [draws_apart(group) for group in several]
    found = labels_shown(made, cut, mpp, air_threshold) if cut else {}
    return {**likeness(real, made), "repetition": image_repetition(made.images, outlines)["repetition"],
            "diversity": float(np.mean(spread)) if spread else float("nan"),
            **{f"{named}image_dice": dice(*counts) for named, counts in found.items()}}
