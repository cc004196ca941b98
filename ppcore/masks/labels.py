"""Which classes does a label map have, and how is it stored?

A label map is a numpy array (H, W) of uint8 in {0, ..., K - 1}: 0 = air, or whatever is outside; 1 = tissue that belongs
to no further class; 2 and on = further classes, as nuclei. With K = 2 it is a mask. `classes.csv` beside it names the
classes:

    value,name,colour,close_size,open_size,least_object,least_hole
    0,air,#ffffff,,,,
    1,tissue,#f2c6d6,,,,
    2,nuclei,#3f2a82,13,25,8,8

colour: as #rrggbb. close_size, open_size: kernels in px of a further class's coarse form (`make.coarse_mask`).
least_object, least_hole: px, learned from the training patches (`ppcore.masks.specks`). Only the first three must be
there.
"""

import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ppcore.masks.make import check_mask, write_mask
from ppcore.study.errors import StudyError
from ppcore.study.files import atomic, read_table, write_text

TABLE = "classes.csv"
COLUMNS = ("value", "name", "colour", "close_size", "open_size", "least_object", "least_hole")
MOST = 16  # classes


@dataclass(frozen=True)
class Label:
    """One class. colour: #rrggbb. close_size, open_size: of its coarse form, px. least_object, least_hole: areas, px.

    All sizes are 0 for the first two classes.
    """

    name: str
    colour: str
    close_size: int = 0
    open_size: int = 0
    least_object: int = 0
    least_hole: int = 0

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Its colour, 0 to 255 each."""
        return tuple(int(self.colour[at:at + 2], 16) for at in (1, 3, 5))


Classes = tuple[Label, ...]  # by value
MASK: Classes = (Label("air", "#ffffff"), Label("tissue", "#000000"))  # of a cohort without a table


def kernels(classes: Classes) -> tuple[tuple[int, int], ...]:
    """close_size and open_size of the further classes, for `make.coarse_mask`."""
    return tuple((label.close_size, label.open_size) for label in classes[2:])


def value_of(name: str, classes: Classes) -> int | None:
    """The value of a class by its name or, for one that QuPath derived, as "Tumor: Positive", that before the colon."""
    names = [label.name for label in classes]
    return next((names.index(own) for own in (name, name.split(":")[0].strip()) if own in names), None)


def palette(classes: Classes) -> np.ndarray:
    """Colours (K, 3) uint8: `palette(classes)[labels]` is the picture of a label map."""
    return np.array([label.rgb for label in classes], np.uint8)


def shares(labels: np.ndarray, count: int) -> np.ndarray:
    """Share of the area of each of `count` classes, (count,)."""
    return np.bincount(labels.ravel(), minlength=count) / labels.size


def layers(labels: np.ndarray, count: int) -> list[np.ndarray]:
    """A label map as count - 1 masks (H, W) uint8 in {0, 1}: its tissue, labels > 0, then each further class.

    count: K. Of a mask, K = 2, it is the mask alone. Raises ValueError for anything but (H, W) uint8 below K.
    """
    check_mask(labels, count=count)
    return [np.minimum(labels, 1), *((labels == value).astype(np.uint8) for value in range(2, count))]


def write_classes(folder: str | Path, classes: Classes) -> None:
    """Store `classes.csv` in a folder; nothing for MASK, which needs no table."""
    if classes == MASK:
        (Path(folder) / TABLE).unlink(missing_ok=True)
        return
    rows = [(value, *(part or "" for part in astuple(label))) for value, label in enumerate(classes)]
    write_text(Path(folder) / TABLE, pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False))


def load_classes(folder: str | Path) -> Classes:
    """The classes of a folder of patches; MASK if it has no `classes.csv`."""
    path = Path(folder) / TABLE
    return read_classes(path) if path.exists() else MASK


def read_classes(path: str | Path, close_size: int = 13, open_size: int = 25) -> Classes:
    """Read a table of classes. close_size, open_size: px, of further classes for which it has none.

    Raises `StudyError` that names the line for one that is not as wanted.
    """
    path = Path(path)
    table = read_table(path)
    if missing := [column for column in COLUMNS[:3] if column not in table]:
        raise StudyError(f"{path} has no column {' and '.join(missing)}: wanted {','.join(COLUMNS[:3])}")
    table = table.reindex(columns=list(COLUMNS))
    if table["value"].tolist() != list(range(len(table))) or not 2 <= len(table) <= MOST:
        raise StudyError(f"{path} has the values {', '.join(map(str, table['value']))}: wanted 0, 1, 2 and so on, at most {MOST}")
    classes = []
    for line, row in enumerate(table.itertuples(index=False), start=2):
        name, colour = str(row.name).strip(), str(row.colour).strip().lower()
        if pd.isna(row.name) or not name or name in (label.name for label in classes):
            raise StudyError(f"{path}, line {line}: found the name {row.name!r}; wanted one that no other class has")
        if not re.fullmatch("#[0-9a-f]{6}", colour):
            raise StudyError(f"{path}, line {line}: found the colour {row.colour!r}; wanted one like #3f2a82")
        sizes = [default if pd.isna(size) else size for size, default in
                 ((row.close_size, close_size), (row.open_size, open_size))] if row.value > 1 else (0, 0)
        if not all(0 <= size <= 501 and size == int(size) for size in sizes):
            raise StudyError(f"{path}, line {line}: found the kernels {row.close_size:g} and {row.open_size:g}; wanted whole px, 1 to 501")
        least = [0 if pd.isna(size) else size for size in (row.least_object, row.least_hole)]
        if not all(size >= 0 and size == int(size) for size in least):
            raise StudyError(f"{path}, line {line}: found the areas {row.least_object:g} and {row.least_hole:g}; wanted whole px")
        classes.append(Label(name, colour, *map(int, (*sizes, *least))))
    return tuple(classes)


def write_labels(path: str | Path, labels: np.ndarray, classes: Sequence[Label] = MASK) -> None:
    """Store a label map as a PNG, atomically: of MASK as a 1-bit mask, else with a palette, so that it shows in colour.

    `make.read_mask` reads both.
    """
    if classes == MASK:
        write_mask(path, labels)
        return
    image = Image.fromarray(labels, "P")
    image.putpalette(palette(classes).tobytes())
    with atomic(path) as temporary:
        image.save(temporary, optimize=False)
