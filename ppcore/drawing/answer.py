"""What do the models make of a sketch? Fine masks, then images."""

import os
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
import torch

from ppcore.drawing.canvas import fill_image, fill_mask
from ppcore.masks.make import read_mask
from ppcore.masks.patches import to_image, to_mask, to_tensor
from ppcore.masks.sketches import resize_mask
from ppcore.methods.table import OURS, OURS_IMAGE, class_of, find
from ppcore.slides.cohorts import EMBEDDED, TCGA
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file
from ppcore.study.runs import commit, data_folder
from ppcore.study.seeds import mixed
from ppcore.training.method import Method
from ppcore.training.model_card import load_model

MOST_VARIANTS = 8
_one_at_a_time = Lock()  # torch has one global random state, and two answers at once would share the cores


@dataclass(frozen=True)
class Models:
    """The trained models of a cohort. made_with: what a stored drawing records about them.

    fine: turns outlines into fine masks, OURS of `ppcore.methods.table`. image: turns these into images, OURS_IMAGE;
    None if it is not trained. height, width: of a patch, px.
    """

    profile: str
    cohort: str
    height: int
    width: int
    fine: Method
    image: Method | None
    made_with: dict = field(repr=False)


@dataclass(frozen=True)
class Drawing:
    """A sketch (h, w) and its answer: coarse and fine masks (H, W) in {0, 1}, images (H, W, 3) uint8 or none yet."""

    sketch: np.ndarray
    coarse: np.ndarray
    seed: int
    fine: list[np.ndarray]
    images: list[np.ndarray] = field(default_factory=list)


def open_models(profile: str, cohort: str, precision: str = "auto", threads: int = 0) -> Models:
    """Load the models that notebooks 04 and 06 trained. threads: CPU threads; 0: all, at most 8.

    Raises `StudyError` if pix2pix is not trained or a model cannot be read, with the command that trains it.
    """
    folder = data_folder(profile, cohort)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.deterministic = True
    loaded, hashes = {"image": None}, {}
    for task, method in (("fine", OURS), ("image", OURS_IMAGE)):
        name = find(method).model
        run = folder / "models" / name
        if task == "image" and not (run / "model.json").exists():
            continue
        try:
            loaded[task] = load_model(class_of(method), run, device, precision)
            hashes[name] = {"card": hash_file(run / "model.json"), "weights": hash_file(run / "generator.safetensors")}
        except FileNotFoundError:
            raise StudyError(f"cohort {cohort} has no trained {name} in the profile {profile}: train it with\n"
                             f"  {training_command(profile, cohort)}") from None
        except Exception as error:  # a damaged file raises many kinds
            raise StudyError(f"{run} cannot be read: {error}. Remove the folder and train again with\n"
                             f"  {training_command(profile, cohort)}") from error
    cut = next((folder / "coarse").glob("[!.]*.png"), None)
    if cut is None:
        raise StudyError(f"{folder / 'coarse'} holds no coarse mask, which gives the size of a patch: make them with\n"
                         f"  {training_command(profile, cohort)}")
    height, width = read_mask(cut).shape
    weight = next(loaded["fine"].networks[loaded["fine"].generators[0]].parameters())
    return Models(profile, cohort, height, width, **loaded, made_with={
        "profile": profile, "cohort": cohort, "commit": commit(), "models": hashes, "height": height, "width": width,
        "device": device, "precision": str(weight.dtype).removeprefix("torch."), "torch": torch.__version__,
        "threads": threads or min(8, os.cpu_count() or 1)})


def training_command(profile: str, cohort: str) -> str:
    """The command that trains the models of a cohort; what is up to date is skipped."""
    images = "" if cohort in EMBEDDED or cohort in TCGA else " --slides DIR --stain he|ihc"
    return f"./run_all.sh --profile {profile} --cohort {cohort}{images}"


def as_coarse(sketch: np.ndarray, height: int, width: int) -> np.ndarray:
    """A sketch (h, w) in [0, 1], tissue from .5 up, stretched to a coarse mask (height, width) in {0, 1}.

    The drawing itself is the coarse input, without C (reading R10). Raises `StudyError` for other shapes or values, and
    if no tissue is left: the models have never seen an empty patch.
    """
    if sketch.ndim != 2 or not sketch.size or not (sketch.min() >= 0 and sketch.max() <= 1):
        raise StudyError(f"the sketch has shape {sketch.shape} and values that are not all in [0, 1]: wanted one "
                         "channel (height, width), 1 where tissue is")
    coarse = resize_mask(sketch >= 0.5, height, width)
    if not coarse.any():
        raise StudyError("The drawing is empty: draw where tissue should be.")
    return coarse


def draw_fine(models: Models, sketch: np.ndarray, seed: int, variants: int = 1) -> Drawing:
    """The fine masks of a sketch (h, w) in [0, 1]; a variant depends only on the seed and its number.

    Raises `StudyError` as `as_coarse` does, and for a seed or a number out of range.
    """
    seeds = _seeds(seed, variants)
    coarse = as_coarse(sketch, models.height, models.width)
    fine = [to_mask(_generate(models, models.fine, coarse, own)) for own in seeds]
    return Drawing((sketch >= 0.5).astype(np.uint8), coarse, seed, fine)


def draw_images(models: Models, drawing: Drawing) -> Drawing:
    """The drawing with an image of every fine mask; unchanged if no image model is trained."""
    if models.image is None:
        return drawing
    images = [to_image(_generate(models, models.image, mask, own))
              for mask, own in zip(drawing.fine, mixed(len(drawing.fine), drawing.seed))]
    return replace(drawing, images=images)


def draw_canvas(models: Models, sketch: np.ndarray, seed: int, variant: int = 0) -> Drawing:
    """Variant number `variant`, from 0 up, of a sketch (H, W) in [0, 1] of any size, and its image, by windows.

    The canvas keeps the sketch's size (`ppcore.drawing.canvas`). One variant per call, as it may be large. It depends
    only on the seed and its number. At a patch's size it differs from `draw_fine`, whose noise is not tied to a place.
    Raises `StudyError` as `draw_fine` does.
    """
    own = _seeds(seed, variant + 1)[-1]
    coarse, window = as_coarse(sketch, *sketch.shape[:2]), (models.height, models.width)
    with _one_at_a_time:
        torch.set_num_threads(models.made_with["threads"])
        fine = fill_mask(models.fine, coarse, window, own)
        images = [fill_image(models.image, fine, window, seed=own)] if models.image else []
    return Drawing(coarse, coarse, seed, [fine], images)


def _seeds(seed: int, variants: int) -> list[int]:
    if not 0 <= seed < 2**31 or not 1 <= variants <= MOST_VARIANTS:
        raise StudyError(f"seed {seed}, variants {variants}: wanted a seed from 0 to {2**31 - 1} and 1 to "
                         f"{MOST_VARIANTS} variants")
    return mixed(variants, seed)


def _generate(models: Models, method: Method, mask: np.ndarray, seed: int) -> torch.Tensor:
    with _one_at_a_time:  # per picture, so that a long job does not block the next stroke's mask
        torch.set_num_threads(models.made_with["threads"])  # a new thread of the server has not set it yet
        return method.generate(to_tensor(mask)[None], [seed])[0]
