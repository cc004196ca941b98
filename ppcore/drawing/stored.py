"""How is a drawing stored, so that it can be reproduced bit for bit?

    drawings/<name>/sketch.png      as drawn or uploaded, 1 bit, white = tissue
    drawings/<name>/sketch.json     the same for Labelme; of a label map, its tissue
    drawings/<name>/sketch.geojson  a label map for QuPath, with all its classes; none of a mask
    drawings/<name>/coarse.png      the same at the size of a patch: the input of the model
    drawings/<name>/fine_<n>.png    fine mask of variant n, 1 bit
    drawings/<name>/rgb_<n>.webp    its image, lossless; if a model of images was trained
    drawings/<name>/drawing.json    what they were made with: cohort, profile, commit, models, seed
"""

import json
import re
import shutil
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np

from ppcore.drawing.answer import Drawing, draw_fine, draw_images
from ppcore.drawing.models import Choice, Models, open_models
from ppcore.masks.geojson import write_geojson
from ppcore.masks.labelme import EXACT, write_labelme
from ppcore.masks.labels import MASK, write_labels
from ppcore.masks.make import read_mask
from ppcore.masks.patches import read_image, write_image
from ppcore.methods.table import OURS_IMAGE, find
from ppcore.study.errors import StudyError
from ppcore.study.files import write_text
from ppcore.study.runs import data_folder

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")  # no slash and no leading dot: it stays in its folder


def named_folder(models: Models, kind: str, name: str) -> Path:
    """<kind>/<name> of a cohort. Raises `StudyError` for a name that could lead out of <kind>."""
    if not NAME.fullmatch(name):
        raise StudyError(f"{name[:100]!r} is no valid name for a folder in {kind}: wanted 1 to 80 letters, digits, "
                         "dots, dashes or underscores, starting with a letter or digit")
    return data_folder(models.profile, models.cohort) / kind / name


def save(models: Models, drawing: Drawing, name: str) -> Path:
    """Store a drawing as drawings/<name>/ of its cohort, completely or not at all; returns the folder.

    Raises `StudyError` for a name that could leave that folder or is taken, and if the files cannot be written.
    """
    folder = named_folder(models, "drawings", name)
    temporary = folder.with_name(f".{uuid.uuid4().hex[:12]}.part")
    record = models.made_with | {
        "seed": drawing.seed, "variants": len(drawing.fine), "asked": (drawing.coarse > 0).mean(),
        "obtained": [(mask > 0).mean() for mask in drawing.fine]}
    try:
        for file, array in _files(drawing).items():
            if array.ndim == 2:
                write_labels(temporary / file, array, models.classes)
            else:
                write_image(temporary / file, array)
        write_labelme(temporary / "sketch.json", np.minimum(drawing.sketch, 1), tolerance=0.96 * EXACT)
        if models.classes != MASK:
            write_geojson(temporary / "sketch.geojson", drawing.sketch, models.classes)
        write_text(temporary / "drawing.json", json.dumps(record, indent=1) + "\n")
        temporary.rename(folder)
    except OSError as error:
        raise StudyError(f"{folder} already exists: take another name" if folder.exists() else
                         f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def reproduce(folder: str | Path) -> list[str]:
    """Reproduce a stored drawing; returns the files whose pixels differ, none if all are the same bit for bit.

    Raises `StudyError` if the folder holds no drawing, or if the current models are not those it was made with.
    """
    path = Path(folder) / "drawing.json"
    try:
        record = json.loads(path.read_text())
        sketch, made_of = read_mask(path.with_name("sketch.png")), record["models"]
        precision = "float32" if record["precision"] == "float32" else "auto"
        models = open_models(record["profile"], record["cohort"], precision, record["threads"], record["method"],
                             Choice(record["hold"], record.get("one_mask", False), record.get("stain")))
        models = replace(models, height=record["height"], width=record["width"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{folder} holds no drawing that can be reproduced: {error}") from error
    for name, hashes in made_of.items():
        if models.made_with["models"].get(name) != hashes:
            raise StudyError(f"{folder} was made by another {name}, which has been trained again since: restore the "
                             f"one whose card has the hash {hashes['card']}")
    drawing = draw_fine(models, sketch, record["seed"], record["variants"])
    made = _files(draw_images(models, drawing) if find(OURS_IMAGE).model in made_of else drawing)
    stored = {file: path.with_name(file) for file in made}
    return [file for file, array in made.items() if not stored[file].exists() or not np.array_equal(
        array, (read_mask if array.ndim == 2 else read_image)(stored[file]))]


def _files(drawing: Drawing) -> dict[str, np.ndarray]:
    """File name -> mask or image."""
    return ({"sketch.png": drawing.sketch, "coarse.png": drawing.coarse}
            | {f"fine_{n}.png": mask for n, mask in enumerate(drawing.fine)}
            | {f"rgb_{n}.webp": image for n, image in enumerate(drawing.images)})
