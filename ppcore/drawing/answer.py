"""What do the models make of a sketch? Fine masks, then images."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from ppcore.drawing.canvas import fill_image, fill_mask
from ppcore.masks.labels import Classes, kernels, load_classes
from ppcore.masks.make import coarse_mask, keep_outline, read_mask
from ppcore.masks.patches import to_image, to_mask, to_tensor
from ppcore.masks.sketches import resize_labels
from ppcore.methods.table import OURS, OURS_IMAGE, class_of, find, names
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file
from ppcore.study.runs import commit, data_folder
from ppcore.study.seeds import mixed
from ppcore.training.method import Method
from ppcore.training.model_card import load_model

MOST_VARIANTS = 8
BOX = Path(__file__).parent / "box"  # OURS as the demo trained it on PHANTOM, and typical outlines
_one_at_a_time = Lock()  # torch has one global random state, and two answers at once would share the cores


@dataclass(frozen=True)
class Models:
    """The trained models of a cohort. made_with: what a stored drawing records about them.

    fine: turns outlines into fine masks; method: its name in `ppcore.methods.table`. image: turns these into images,
    OURS_IMAGE; None if it is not trained. height, width: of a patch, px. coarsen: the cohort's C. hold: fine masks are
    held to their outlines (`ppcore.masks.make.keep_outline`). classes: of the cohort; with more than two, all masks are
    label maps, and sketches may be.
    """

    profile: str
    cohort: str
    height: int
    width: int
    method: str
    fine: Method
    image: Method | None
    coarsen: Callable[[np.ndarray], np.ndarray]
    hold: bool
    classes: Classes
    made_with: dict = field(repr=False)


@dataclass(frozen=True)
class Drawing:
    """A sketch (h, w) and its answer: coarse and fine masks (H, W), images (H, W, 3) uint8 or none yet."""

    sketch: np.ndarray
    coarse: np.ndarray
    seed: int
    fine: list[np.ndarray]
    images: list[np.ndarray] = field(default_factory=list)
    method: str = OURS  # what made the fine masks
    hold: bool = False  # whether they were held to the outline


def open_models(profile: str, cohort: str, precision: str = "auto", threads: int = 0, method: str = OURS,
                hold: bool = False, device: str = "") -> Models:
    """Load the trained models of a cohort. threads: CPU threads; 0: all, at most 8. device: "": the GPU if there is one.

    method: what makes fine masks. hold: hold them to their outlines.

    The demo's OURS on PHANTOM comes with the study (`in_the_box`) and answers before anything is trained.
    Raises `StudyError` if `method` is not trained, or a model cannot be read or knows other classes than the patches,
    with the command that trains it.
    """
    if method not in names(given="outline", trained=True):
        raise StudyError(f"method {method!r} makes no fine masks from outlines: wanted one of "
                         f"{', '.join(names(given='outline', trained=True))}")
    folder = data_folder(profile, cohort)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.deterministic = True
    loaded, hashes, classes = {"image": None}, {}, load_classes(folder / "patches")
    for task, maker in (("fine", method), ("image", OURS_IMAGE)):
        name = find(maker).model
        run = (BOX if in_the_box(profile, cohort, maker) else folder / "models") / name
        if task == "image" and not (run / "model.json").exists():
            continue
        try:
            loaded[task] = load_model(class_of(maker), run, device, precision)
            hashes[name] = {"card": hash_file(run / "model.json"), "weights": hash_file(run / "generator.safetensors")}
        except FileNotFoundError:
            raise StudyError(f"cohort {cohort} has no trained {name} in the profile {profile}: train it with\n"
                             f"  {training_command(profile, cohort)}") from None
        except Exception as error:  # a damaged file raises many kinds
            raise StudyError(f"{run} cannot be read: {error}. Remove the folder and train again with\n"
                             f"  {training_command(profile, cohort)}") from error
        if loaded[task].settings.classes != len(classes):
            raise StudyError(f"{run} knows {loaded[task].settings.classes} classes, the patches of {cohort} have "
                             f"{len(classes)}: train again with\n  {training_command(profile, cohort)}")
    cut = next(outlines_of(profile, cohort).glob("[!.]*.png"), None)
    if cut is None:
        raise StudyError(f"{folder / 'coarse'} holds no coarse mask, which gives the size of a patch: make them with\n"
                         f"  {training_command(profile, cohort)}")
    height, width = read_mask(cut).shape
    generator = loaded["fine"].networks[loaded["fine"].generators[0]]
    if hasattr(generator, "textures"):  # without transposed convolutions: a quarter faster so, in float32 on a CPU
        generator.to(memory_format=torch.channels_last)
    weight = next(generator.parameters())
    return Models(profile, cohort, height, width, method, **loaded, coarsen=_coarsen(folder, classes), hold=hold,
                  classes=classes, made_with={
        "profile": profile, "cohort": cohort, "method": method, "hold": hold, "commit": commit(), "models": hashes,
        "height": height, "width": width, "device": device,
        "precision": str(weight.dtype).removeprefix("torch."), "torch": torch.__version__,
        "threads": threads or min(8, os.cpu_count() or 1)})


def answers_at(height: int, width: int, device: str, precision: str) -> Callable[[np.ndarray, int], np.ndarray]:
    """The demo's default model on PHANTOM at another size of patch, px: from a sketch (h, w) and a seed to a fine mask.

    It is trained on smaller patches of the same um per px, or comes with the study (`in_the_box`).
    """
    models = replace(open_models("demo", "PHANTOM", precision, device=device), height=height, width=width)
    return lambda sketch, seed: draw_fine(models, sketch, seed).fine[0]


def held(models: Models, hold: bool) -> Models:
    """The same models, with or without holding masks to their outlines."""
    return replace(models, hold=hold, made_with=models.made_with | {"hold": hold})


def _coarsen(folder: Path, classes: Classes) -> Callable[[np.ndarray], np.ndarray]:
    """C with the kernels that a cohort's OURS was trained with; else the paper's. Further classes have their own."""
    card = folder / "models" / find(OURS).model / "model.json"
    given = json.loads(card.read_text())["settings"] if card.exists() else {}
    return partial(coarse_mask, dense=kernels(classes),
                   **{name: given[name] for name in ("open_size", "close_size") if name in given})


def in_the_box(profile: str, cohort: str, method: str = OURS) -> bool:
    """Whether the model that comes with the study answers: it is asked for, and none is trained."""
    trained = data_folder(profile, cohort) / "models" / find(OURS).model / "model.json"
    return (profile, cohort, method) == ("demo", "PHANTOM", OURS) and not trained.exists()


def outlines_of(profile: str, cohort: str) -> Path:
    """The folder of a cohort's coarse masks; for the model in the box, some typical ones."""
    cut = data_folder(profile, cohort) / "coarse"
    return BOX / "coarse" if in_the_box(profile, cohort) and not cut.exists() else cut


def answering(profile: str, cohort: str) -> list[str]:
    """Methods of a cohort that can answer an outline, the default first."""
    trained = [name for name in names(given="outline", trained=True)
               if (data_folder(profile, cohort) / "models" / find(name).model / "model.json").exists()]
    return sorted(trained, key=lambda name: name != OURS)


def training_command(profile: str, cohort: str) -> str:
    """The command that trains the models of a cohort; what is up to date is skipped."""
    from ppcore.slides.cohorts import EMBEDDED, TCGA  # here: an answer needs nothing that reads slides

    images = "" if cohort in EMBEDDED or cohort in TCGA else " --slides DIR --stain he|ihc"
    return f"./run_all.sh --profile {profile} --cohort {cohort}{images}"


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
    fine = [_held(models, to_mask(_generate(models, models.fine, coarse, own)), coarse) for own in seeds]
    return Drawing(_binarised(sketch), coarse, seed, fine, method=models.method, hold=models.hold)


def draw_images(models: Models, drawing: Drawing) -> Drawing:
    """The drawing with an image of every fine mask; unchanged if no image model is trained."""
    if models.image is None:
        return drawing
    images = [to_image(_generate(models, models.image, mask, own))
              for mask, own in zip(drawing.fine, mixed(len(drawing.fine), drawing.seed))]
    return replace(drawing, images=images)


def draw_canvas(models: Models, sketch: np.ndarray, seed: int, variant: int = 0) -> Drawing:
    """Variant number `variant`, from 0 up, of a sketch (H, W) of any size, and its image, by windows.

    The canvas keeps the sketch's size (`ppcore.drawing.canvas`). One variant per call, as it may be large. It depends
    only on the seed and its number. At a patch's size it differs from `draw_fine`, whose noise is not tied to a place.
    Raises `StudyError` as `draw_fine` does.
    """
    own = _seeds(seed, variant + 1)[-1]
    coarse, window = as_coarse(sketch, *sketch.shape[:2], len(models.classes)), (models.height, models.width)
    with _one_at_a_time:
        torch.set_num_threads(models.made_with["threads"])
        fine = _held(models, fill_mask(models.fine, coarse, window, own), coarse)
        images = [fill_image(models.image, fine, window, seed=own)] if models.image else []
    return Drawing(coarse, coarse, seed, [fine], images, models.method, models.hold)


def _binarised(sketch: np.ndarray) -> np.ndarray:
    """A sketch in [0, 1], tissue from .5 up; or a label map, as it is: uint8."""
    return np.where(sketch > 1, sketch, sketch >= 0.5).astype(np.uint8)


def _held(models: Models, fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    return keep_outline(fine, coarse, models.coarsen) if models.hold else fine


def _seeds(seed: int, variants: int) -> list[int]:
    if not 0 <= seed < 2**31 or not 1 <= variants <= MOST_VARIANTS:
        raise StudyError(f"seed {seed}, variants {variants}: wanted a seed from 0 to {2**31 - 1} and 1 to "
                         f"{MOST_VARIANTS} variants")
    return mixed(variants, seed)


def _generate(models: Models, method: Method, mask: np.ndarray, seed: int) -> torch.Tensor:
    with _one_at_a_time:  # per picture, so that a long job does not block the next stroke's mask
        torch.set_num_threads(models.made_with["threads"])  # a new thread of the server has not set it yet
        return method.generate(to_tensor(mask, len(models.classes))[None], [seed])[0]
