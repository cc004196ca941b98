"""How do trained models make a paired data set, from sketches or from a cohort's kinds of mask?

    <folder>/coarse/<pair>.png    the outline that was asked for, 1 bit, white = tissue; or a label map with a palette
    <folder>/fine/<pair>.png      the fine mask that a model made of it
    <folder>/rgb/<pair>.webp      its image, lossless; if a model of images is trained
    <folder>/classes.csv          the classes of label maps
    <folder>/made_with.json       models, cohort, commit, seed
    <folder>/axis.csv             of variants along an axis: pair, axis, asked, obtained
    <folder>/index.csv            one line per pair, columns INDEX; written last: without it the set is incomplete

What goes to QuPath besides is written afterwards, see `ppcore.drawing.export`.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ppcore.drawing.answer import Drawing, as_coarse, draw_canvas, draw_fine, draw_images
from ppcore.drawing.axis import STAIN
from ppcore.drawing.models import Models
from ppcore.masks.kinds import spread_exemplars
from ppcore.masks.labels import TABLE, Classes, write_classes, write_labels
from ppcore.masks.make import read_mask
from ppcore.masks.patches import load_index, write_image
from ppcore.masks.simulate import augment
from ppcore.masks.sketches import LARGEST_PX, Tissue, load_sketches
from ppcore.methods.along import share_of
from ppcore.study.errors import StudyError, some, warn
from ppcore.study.files import hash_file, read_table, write_text
from ppcore.study.runs import data_folder
from ppcore.study.seeds import mix

INDEX = ("pair", "outline", "kind", "variant", "seed", "asked", "obtained", "coarse_hash", "fine_hash", "rgb_hash")
EXPORTS = ("fine/{}.geojson", "slides/{}.tif", "slides/{}_labels.tif", "slides/{}.geojson")  # of a pair
LARGEST_SIDE = 16383  # px, the limit of WebP


@dataclass(frozen=True)
class Outline:
    """What is asked for: mask (H, W), a patch or a canvas; kind: from notebook 03, 0 for a sketch."""

    name: str
    mask: np.ndarray
    kind: int = 0


def from_sketches(models: Models, folder: str | Path, tissue: Tissue = "auto",
                  canvas: tuple[int, int] | None = None) -> list[Outline]:
    """The drawings of a folder, stretched to a patch, or to a `canvas` (H, W); raises as `load_sketches` does.

    With models of further classes, a warning names the drawings that ask for none of them.
    """
    size = canvas or (models.height, models.width)
    outlines = [Outline(name, mask) for name, mask, _ in load_sketches(folder, *size, tissue, models.classes)]
    further = [label.name for label in models.classes[2:]]
    if further and (plain := [one.name for one in outlines if one.mask.max() < 2]):
        warn(f"{len(plain)} of the {len(outlines)} drawings in {folder} ask for tissue and air alone, and nowhere for "
             f"dense {' or '.join(further)}: {some(plain)}. To ask for that, draw it in the colour that "
             f"{TABLE} of the patches gives it, or as outlines of that class")
    return outlines


def canvas_size(text: str, sketches: str | None) -> tuple[int, int]:
    """Height and width in px of a canvas given as HEIGHTxWIDTH, for the drawings of the folder `sketches`.

    Raises `StudyError` for other text, for a size that cannot be stored, and if no drawings are given.
    """
    sides = re.fullmatch(r"(\d+)x(\d+)", text)
    height, width = map(int, sides.groups()) if sides else (0, 0)
    if not sketches or not 0 < height * width <= LARGEST_PX or max(height, width) > LARGEST_SIDE:
        raise StudyError(f"--canvas {text}: wanted HEIGHTxWIDTH, as in 4096x4096, with --sketches DIR; at most "
                         f"{LARGEST_PX / 1e6:.0f} million px, and {LARGEST_SIDE} per side")
    return height, width


def from_kinds(models: Models, count: int, seed: int) -> list[Outline]:
    """`count` outlines, equally many of each kind (to within one), so that the set covers rare kinds, too.

    Coarse masks of training patches, the most typical first, alternating between subjects; when all are used,
    variations of them (reading R13). Raises `StudyError` if notebook 03 has not been run.
    """
    folder = data_folder(models.profile, models.cohort)
    kinds = folder / "clusters" / "index.csv"
    if not kinds.exists():
        raise StudyError(f"{kinds} is missing: run notebook 03 first (./run_all.sh --profile {models.profile} "
                         f"--cohort {models.cohort} --only 03)")
    table = read_table(kinds).merge(load_index(folder / "patches")[["patch", "subject"]])
    of_kind = {kind: spread_exemplars(group, len(group)) for kind, group in table.groupby("cluster")}
    outlines = []
    for number in range(count):
        kind = sorted(of_kind)[number % len(of_kind)]
        again, place = divmod(number // len(of_kind), len(of_kind[kind]))
        patch = of_kind[kind][place]
        mask = read_mask(folder / "coarse" / f"{patch}.png")
        name = patch if not again else f"{patch}_varied{again}"
        outlines.append(Outline(name, mask if not again else augment(mask, _own_seed(seed, name)), int(kind)))
    return outlines


def generate_pairs(models: Models, outlines: list[Outline], folder: str | Path, seed: int, variants: int = 1,
                   anew: bool = False) -> pd.DataFrame:
    """Store `variants` pairs of each outline as <name>_<variant>; returns the index.

    An outline that is not of a patch's size is filled by windows (`ppcore.drawing.answer.draw_canvas`). A pair depends
    only on its outline, the seed and the models. Pairs that an interrupted call stored are kept if their outline is the
    same. Raises `StudyError` for a folder made with other models or another seed (`anew` removes that instead), and if
    no outline has tissue. Single empty outlines are left out with a warning.
    """
    rows = []
    for rows in tqdm(growing_rows(models, outlines, folder, seed, variants, anew), total=len(outlines),
                     desc="generating pairs", unit="outline"):
        pass
    return pd.DataFrame(rows, columns=INDEX)


def growing_rows(models: Models, outlines: list[Outline], folder: str | Path, seed: int,
                 variants: int = 1, anew: bool = False) -> Iterator[list[tuple]]:
    """`generate_pairs` outline by outline: yields the rows of the index so far; it is stored after the last outline."""
    folder = Path(folder)
    sizes = sorted({outline.mask.shape for outline in outlines})
    made_with = json.dumps(models.made_with | {"seed": seed, "variants": variants, "sizes": sizes}, indent=1) + "\n"
    record = folder / "made_with.json"
    if folder.exists() and any(folder.iterdir()) and (not record.exists() or record.read_text() != made_with):
        if not anew:
            raise StudyError(f"{folder} holds pairs of other models, or of another seed, number of variants, commit or "
                             "size: give another folder")
        shutil.rmtree(folder)
    write_text(record, made_with)
    write_classes(folder, models.classes)
    (folder / "index.csv").unlink(missing_ok=True)  # an old one, of fewer outlines
    rows = []
    for outline in outlines:
        own, names = _own_seed(seed, outline.name), [f"{outline.name}_{variant}" for variant in range(variants)]
        try:
            paths = _stored(models, outline, folder, own, names)
        except StudyError as error:
            warn(f"{outline.name} is left out: {error}")
            paths = []
        for variant, (name, (coarse, fine, rgb)) in enumerate(zip(names, paths)):
            asked, obtained = ((read_mask(path) > 0).mean() for path in (coarse, fine))
            rows.append((name, outline.name, outline.kind, variant, own, asked, obtained, hash_file(coarse),
                         hash_file(fine), hash_file(rgb) if models.image else ""))
        yield rows
    if models.choice.axis and rows:
        write_text(folder / "axis.csv", _places(models, folder, rows, variants).to_csv(index=False, float_format="%.6f"))
    if not rows:
        raise StudyError(f"none of the {len(outlines)} outlines has tissue: nothing was made")
    write_text(folder / "index.csv", pd.DataFrame(rows, columns=INDEX).to_csv(index=False, float_format="%.6f"))


def _places(models: Models, folder: Path, rows: list[tuple], variants: int) -> pd.DataFrame:
    """Where each pair lies on the axis; of the stain, what is obtained is what is asked."""
    name, values, places = models.choice.axis[0], [label.name for label in models.classes], models.choice.places(variants)
    table = []
    for pair, _, _, variant, *_ in rows:
        asked = obtained = places[variant]
        if name != STAIN:
            outline, fine = (read_mask(folder / part / f"{pair}.png") for part in ("coarse", "fine"))
            obtained = share_of(fine, outline, values.index(name))
        table.append((pair, name, asked, obtained))
    return pd.DataFrame(table, columns=["pair", "axis", "asked", "obtained"])


def _stored(models: Models, outline: Outline, folder: Path, seed: int,
            names: list[str]) -> list[tuple[Path, Path, Path]]:
    """Paths of the three files of each name; makes those that are missing or belong to another outline."""
    paths = [(folder / "coarse" / f"{name}.png", folder / "fine" / f"{name}.png", folder / "rgb" / f"{name}.webp")
             for name in names]
    asked = as_coarse(outline.mask, *outline.mask.shape, len(models.classes))
    missing = [number for number, (coarse, *others) in enumerate(paths)
               if not all(path.exists() for path in (coarse, *others[:2 if models.image else 1]))
               or not np.array_equal(read_mask(coarse), asked)]
    if outline.mask.shape != (models.height, models.width):
        for number in missing:
            _store(draw_canvas(models, outline.mask, seed, number), paths[number:number + 1], models.classes)
    elif missing:
        _store(draw_images(models, draw_fine(models, outline.mask, seed, len(names))), paths, models.classes)
    return paths


def _store(drawing: Drawing, paths: list[tuple[Path, Path, Path]], classes: Classes) -> None:
    for number, (coarse, fine, rgb) in enumerate(paths):
        for export in EXPORTS:  # of an older mask
            (fine.parents[1] / export.format(fine.stem)).unlink(missing_ok=True)
        write_labels(coarse, drawing.coarse, classes)
        write_labels(fine, drawing.fine[number], classes)
        if drawing.images:
            write_image(rgb, drawing.images[number])


def _own_seed(seed: int, name: str) -> int:
    return mix(seed, name) >> 1  # 31 bits, the most that the drawing page accepts
