"""Which stains can one choose for images? Some of those that a cohort's image model keeps, with a piece of tissue each."""

import numpy as np

from ppcore.drawing.answer import paint
from ppcore.drawing.models import Choice, Models, chosen
from ppcore.study.errors import StudyError

SHOWN = 6
PIECE = (48, 96)  # px


def stains(models: Models) -> list[int]:
    """Numbers of training patches whose colour maps span the library's, from pale to dark; none without such a library.

    They are evenly spaced in the order of the mean of a map's densities.
    """
    if (library := library_of(models)) is None:
        return []
    order = library.maps[:, :3].float().mean((1, 2, 3)).argsort(stable=True).tolist()
    return [order[round(place)] for place in np.linspace(0.05, 0.95, min(SHOWN, len(order))) * (len(order) - 1)]


def swatch(models: Models, stain: int) -> np.ndarray:
    """A piece of tissue (48, 96, 3) uint8 in a stain; every stain has the same noise."""
    return paint(chosen(models, Choice(stain=stain)), np.ones(PIECE, np.uint8), seed=1)


def check_stain(models: Models, stain: int | None) -> None:
    """Raises `StudyError` for a number that no patch of the library has, or if there is no library."""
    library = library_of(models)
    if stain is not None and not 0 <= stain < (0 if library is None else len(library.maps)):
        wanted = ("no such number, as no image model with stains is trained" if library is None else
                  f"0 to {len(library.maps) - 1}")
        raise StudyError(f"stain {stain}: wanted {wanted}")


def library_of(models: Models):
    """The colour maps of the image model (`ppcore.methods.texture.TextureLibrary`), or None."""
    return models.image and getattr(models.image.networks["generator"], "textures", None)
