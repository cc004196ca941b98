"""What do the models make of a sketch? Fine masks, then images."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
import torch

from ppcore.drawing.axis import STAIN
from ppcore.drawing.canvas import fill_image, fill_mask
from ppcore.drawing.models import Choice, Models, open_models
from ppcore.masks.make import keep_outline
from ppcore.masks.patches import to_image, to_mask, to_tensor
from ppcore.masks.sketches import resize_labels
from ppcore.masks.specks import without_specks
from ppcore.methods.along import images_along, masks_along
from ppcore.methods.sampling import noise_of
from ppcore.methods.table import OURS
from ppcore.networks.noise import draw_noise
from ppcore.study.errors import StudyError
from ppcore.study.seeds import mixed
from ppcore.training.method import Method

MOST_VARIANTS = 8
_one_at_a_time = Lock()  # torch has one global random state, and two answers at once would share the cores


@dataclass(frozen=True)
class Drawing:
    """A sketch (h, w) and its answer: coarse and fine masks (H, W), images (H, W, 3) uint8 or none yet."""

    sketch: np.ndarray
    coarse: np.ndarray
    seed: int
    fine: list[np.ndarray]
    images: list[np.ndarray] = field(default_factory=list)
    method: str = OURS  # what made the fine masks
    choice: Choice = Choice()

def answers_at(height: int, width: int, device: str, precision: str) -> Callable[[np.ndarray, int], np.ndarray]:
    """The demo's default model on PHANTOM at another size of patch, px: from a sketch (h, w) and a seed to a fine mask.

    It is trained on smaller patches of the same um per px, or comes with the study (`in_the_box`).
    """
    models = replace(open_models("demo", "PHANTOM", precision, device=device), height=height, width=width)
    return lambda sketch, seed: draw_fine(models, sketch, seed).fine[0]

def as_coarse(sketch: np.ndarray, height: int, width: int, classes: int = 2) -> np.ndarray:
    """A sketch (h, w) in [0, 1], tissue from .5 up, stretched to a coarse mask (height, width) in {0, 1}.

    The drawing itself is the coarse input, without C (reading R10). With more `classes` it may be a label map: tissue
    is stretched first, then each further class, which is painted over it in turn. Raises `StudyError` for other shapes
    or values, and if no tissue is left: the models have never seen an empty patch.
    """
    if sketch.ndim != 2 or not sketch.size or not (sketch.min() >= 0 and sketch.max() <= classes - 1):
        raise StudyError(f"the sketch has shape {sketch.shape} and values that are not all in [0, {classes - 1}]: "
                         "wanted one channel (height, width), 1 where tissue is")
    coarse = resize_labels(_binarised(sketch), height, width, classes)
    if not coarse.any():
        raise StudyError("The drawing is empty: draw where tissue should be.")
    return coarse


def draw_fine(models: Models, sketch: np.ndarray, seed: int, variants: int = 1) -> Drawing:
    """The fine masks of a sketch (h, w), as `as_coarse` takes it; a variant depends only on the seed and its number.

    Raises `StudyError` as `as_coarse` does, and for a seed or a number out of range.
    """
    seeds = _seeds(seed, variants)
    coarse = as_coarse(sketch, models.height, models.width, len(models.classes))
    if models.choice.axis:
        return Drawing(_binarised(sketch), coarse, seed, _along(models, coarse, seeds[0], variants), [], models.method,
                       models.choice)
    fine = [_finished(models, to_mask(_generate(models, models.fine, coarse, own)), coarse)
            for own in (seeds[:1] if models.choice.one_mask else seeds)]
    fine *= variants // len(fine)
    return Drawing(_binarised(sketch), coarse, seed, fine, method=models.method, choice=models.choice)


def draw_images(models: Models, drawing: Drawing) -> Drawing:
    """The drawing with an image of every fine mask; unchanged if no image model is trained."""
    if models.image is None:
        return drawing
    choice = models.choice
    if choice.axis:
        places = choice.places(len(drawing.fine)) if choice.axis[0] == STAIN else [0.5] * len(drawing.fine)
        with _one_at_a_time:
            torch.set_num_threads(models.made_with["threads"])
            return replace(drawing, images=images_along(models.image, drawing.fine, places, mixed(1, drawing.seed)[0]))
    images = [paint(models, mask, own)
              for mask, own in zip(drawing.fine, mixed(len(drawing.fine), drawing.seed))]
    return replace(drawing, images=images)


def paint(models: Models, fine: np.ndarray, seed: int) -> np.ndarray:
    """One image (H, W, 3) uint8 of a fine mask (H, W), with the stain that was chosen."""
    return to_image(_generate(models, models.image, fine, seed, models.choice.stain))


def draw_canvas(models: Models, sketch: np.ndarray, seed: int, variant: int = 0) -> Drawing:
    """Variant number `variant`, from 0 up, of a sketch (H, W) of any size, and its image, by windows.

    The canvas keeps the sketch's size (`ppcore.drawing.canvas`). One variant per call, as it may be large. It depends
    only on the seed and its number. At a patch's size it differs from `draw_fine`, whose noise is not tied to a place.
    Raises `StudyError` as `draw_fine` does.
    """
    seeds = _seeds(seed, variant + 1)
    coarse, window = as_coarse(sketch, *sketch.shape[:2], len(models.classes)), (models.height, models.width)
    with _one_at_a_time:
        torch.set_num_threads(models.made_with["threads"])
        fine = _finished(models, fill_mask(models.fine, coarse, window, seeds[0 if models.choice.one_mask else -1]), coarse)
        images = [fill_image(models.image, fine, window, seed=seeds[-1],
                             lender=models.choice.stain)] if models.image else []
    return Drawing(coarse, coarse, seed, [fine], images, models.method, models.choice)


def _along(models: Models, coarse: np.ndarray, seed: int, variants: int) -> list[np.ndarray]:
    """Fine masks along the axis that was chosen; along the stain all are the same."""
    axis, values = models.choice.axis, [label.name for label in models.classes]
    if axis[0] == STAIN:
        return [_finished(models, to_mask(_generate(models, models.fine, coarse, seed)), coarse)] * variants
    with _one_at_a_time:
        torch.set_num_threads(models.made_with["threads"])
        return masks_along(models.fine, coarse, values.index(axis[0]), models.choice.places(variants), seed, models.classes)


def _binarised(sketch: np.ndarray) -> np.ndarray:
    """A sketch in [0, 1], tissue from .5 up; or a label map, as it is: uint8."""
    return np.where(sketch > 1, sketch, sketch >= 0.5).astype(np.uint8)


def _finished(models: Models, fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Without specks, and held to the outline if that was chosen."""
    fine = without_specks(fine, models.classes)
    return keep_outline(fine, coarse, models.coarsen) if models.choice.hold else fine


def _seeds(seed: int, variants: int) -> list[int]:
    if not 0 <= seed < 2**31 or not 1 <= variants <= MOST_VARIANTS:
        raise StudyError(f"seed {seed}, variants {variants}: wanted a seed from 0 to {2**31 - 1} and 1 to "
                         f"{MOST_VARIANTS} variants")
    return mixed(variants, seed)


def _generate(models: Models, method: Method, mask: np.ndarray, seed: int, lender: int | None = None) -> torch.Tensor:
    """lender: of a colour map, as `Choice.stain`."""
    z: int | list[torch.Tensor] = seed
    if lender is not None:
        generator = method.networks[method.generators[0]]
        z = [*draw_noise(noise_of(generator, *mask.shape), 1, generator=torch.Generator().manual_seed(seed)),
             generator.textures.lend(lender)]
    with _one_at_a_time:  # per picture, so that a long job does not block the next stroke's mask
        torch.set_num_threads(models.made_with["threads"])  # a new thread of the server has not set it yet
        return method.generate(to_tensor(mask, len(models.classes))[None], [z])[0]
