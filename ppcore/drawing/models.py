"""Which models answer a sketch, and what can one choose beside it?"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ppcore.masks.labels import Classes, kernels, load_classes
from ppcore.masks.make import coarse_mask, read_mask
from ppcore.methods.table import OURS, OURS_IMAGE, class_of, find, names
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file
from ppcore.study.runs import commit, data_folder
from ppcore.training.method import Method
from ppcore.training.model_card import load_model

BOX = Path(__file__).parent / "box"  # OURS and OURS_IMAGE as the demo trained them on PHANTOM, and typical outlines


@dataclass(frozen=True)
class Choice:
    """What one chooses beside the sketch.

    hold: fine masks are held to their outlines (`ppcore.masks.make.keep_outline`). one_mask: variants differ in their
    images alone. stain: number of the training patch that lends its colour map to all images; None: drawn by the seed.
    axis: along which variants differ, and in nothing else: its name and its ends (`ppcore.drawing.axis`).
    """

    hold: bool = False
    one_mask: bool = False
    stain: int | None = None
    axis: tuple[str, float, float] | None = None

    def places(self, count: int) -> list[float]:
        """Of `count` variants on the axis, at equal distances."""
        return [float(place) for place in np.linspace(*self.axis[1:], count)]


@dataclass(frozen=True)
class Models:
    """The trained models of a cohort. made_with: what a stored drawing records about them.

    fine: turns outlines into fine masks; method: its name in `ppcore.methods.table`. image: turns these into images,
    OURS_IMAGE; None if it is not trained. height, width: of a patch, px. coarsen: the cohort's C. classes: of the cohort; with more than two, all masks are
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
    choice: Choice
    classes: Classes
    made_with: dict = field(repr=False)

def open_models(profile: str, cohort: str, precision: str = "auto", threads: int = 0, method: str = OURS,
                choice: Choice = Choice(), device: str = "") -> Models:
    """Load the trained models of a cohort. threads: CPU threads; 0: all, at most 8. device: "": the GPU if there is one.

    method: what makes fine masks.

    The demo's OURS and OURS_IMAGE on PHANTOM come with the study (`in_the_box`) and answer before anything is trained.
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
    weight = next(generator.parameters())
    return Models(profile, cohort, height, width, method, **loaded, coarsen=_coarsen(folder, classes),
                  choice=choice, classes=classes, made_with={
        "profile": profile, "cohort": cohort, "method": method, **vars(choice), "commit": commit(), "models": hashes,
        "height": height, "width": width, "device": device,
        "precision": str(weight.dtype).removeprefix("torch."), "torch": torch.__version__,
        "threads": threads or min(8, os.cpu_count() or 1)})

def chosen(models: Models, choice: Choice) -> Models:
    """The same models with another choice."""
    return replace(models, choice=choice, made_with=models.made_with | vars(choice))


def _coarsen(folder: Path, classes: Classes) -> Callable[[np.ndarray], np.ndarray]:
    """C with the kernels that a cohort's OURS was trained with; else the paper's. Further classes have their own."""
    card = folder / "models" / find(OURS).model / "model.json"
    given = json.loads(card.read_text())["settings"] if card.exists() else {}
    return partial(coarse_mask, dense=kernels(classes),
                   **{name: given[name] for name in ("open_size", "close_size") if name in given})


def in_the_box(profile: str, cohort: str, method: str = OURS) -> bool:
    """Whether a model that comes with the study answers: it is asked for, and OURS is not trained yet."""
    trained = data_folder(profile, cohort) / "models" / find(OURS).model / "model.json"
    return (profile, cohort) == ("demo", "PHANTOM") and method in (OURS, OURS_IMAGE) and not trained.exists()


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
