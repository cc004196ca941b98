"""Which variants of an outline differ along one axis alone? Sets to find out what a segmenter cannot stand."""

from dataclasses import replace

import numpy as np

from ppcore.drawing.models import Choice, Models, chosen
from ppcore.methods.table import OURS
from ppcore.study.errors import StudyError

STAIN = "stain"


def along(models: Models, name: str, span: str, variants: int, canvas: tuple[int, int] | None = None) -> Models:
    """The models with variants along an axis as typed, NAME LOW:HIGH.

    NAME: a class, by its share of the outline's tissue; or "stain", by how dark it is: .5 is that of the lender, and .16
    and .84 are an sd of the training patches paler and darker, as of a normal distribution. All in 0 to 1. Raises
    `StudyError` for anything else, for another method than OURS, for a choice that an axis excludes, and for fewer than
    two variants.
    """
    choice, known = models.choice, [STAIN, *(label.name for label in models.classes[1:])]
    if canvas or models.method != OURS or models.image is None or variants < 2 or choice != Choice():
        raise StudyError(f"--axis {name} {span}: wanted --variants 2 or more, the default method with a trained model of "
                         "images, and none of --canvas, --hold, --one-mask and --stain-of")
    try:
        low, high = map(float, span.split(":"))
    except ValueError:
        low = high = np.nan
    if name not in known or not 0 <= low < high <= 1:
        raise StudyError(f"--axis {name} {span}: wanted one of {', '.join(known)}, and LOW:HIGH within 0 to 1, as in "
                         "0.05:0.5")
    return chosen(models, replace(choice, axis=(name, low, high)))
