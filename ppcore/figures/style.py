"""How do figures look?

Every function draws into a new figure and returns it; `save` stores it. Colours are Okabe and Ito's, which readers
with a colour-vision deficiency can tell apart. A mask is drawn with tissue dark on white, a label map in the colours of
its classes.
"""

from collections.abc import Sequence
from pathlib import Path
from unicodedata import east_asian_width

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from ppcore.masks.labels import MASK, Classes, palette
from ppcore.methods.table import ROWS
from ppcore.study.files import atomic

INK = np.array([61, 43, 86], np.uint8)  # tissue
ADDED, REMOVED = np.array([86, 180, 233], np.uint8), np.array([213, 94, 0], np.uint8)
BLUE, ORANGE, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9"
COLOURS = {"real": "#000000", "train": SKY, "test": VERMILION} | {row.name: row.colour for row in ROWS}


def use_style() -> None:
    """Set the study's look for all figures and tables of a notebook."""
    pd.set_option("display.html.use_mathjax", False)  # Jupyter would show names with "$" as formulas
    sns.set_theme(context="notebook", style="ticks", font_scale=0.9, rc={
        "figure.dpi": 80, "savefig.dpi": 110, "figure.constrained_layout.use": True, "axes.spines.top": False,
        "axes.spines.right": False, "axes.titlesize": "medium", "legend.frameon": False})


def save(figure: Figure, path: str | Path, pdf: bool = False) -> None:
    """Store a figure as PNG, atomically; the bytes depend only on the picture. pdf: also as an undated PDF."""
    formats = {".png": {"Software": None}} | ({".pdf": {"CreationDate": None}} if pdf else {})
    for suffix, metadata in formats.items():
        with atomic(Path(path).with_suffix(suffix)) as temporary:
            figure.savefig(temporary, metadata=metadata)


def name_shown(name: str, longest: int = 20) -> str:
    """A name that a user chose, such as a file's, as text of a figure: of a long one the beginning and the end, and "$"
    as itself, not as the start of a formula."""
    if any(east_asian_width(letter) in "FW" for letter in name):
        longest = longest * 2 // 3  # letters twice as wide
    if len(name) > longest:
        name = f"{name[:longest // 2]}…{name[-((longest - 1) // 2):]}"
    return name.replace("$", r"\$")


def mask_picture(mask: np.ndarray, classes: Classes = MASK) -> np.ndarray:
    """Mask (H, W) in {0, 1} -> RGB (H, W, 3) uint8, tissue dark on white; a label map in the colours of its classes."""
    return np.where(mask[..., None] > 0, INK, np.uint8(255)) if classes == MASK else palette(classes)[mask]


def class_legend(figure: Figure, classes: Classes) -> None:
    """Name the colours of `mask_picture` in a line below a figure; of MASK nothing, as its pictures explain themselves."""
    if classes != MASK:
        handles = [Patch(facecolor=label.colour, edgecolor="0.5", linewidth=0.6, label=name_shown(label.name))
                   for label in classes]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), fontsize="small")


def change_picture(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """RGB picture of two masks: tissue in both dark, only before vermilion (removed), only after blue (added)."""
    before, after = before > 0, after > 0  # of label maps their tissue
    picture = mask_picture(before & after)
    picture[before & ~after] = REMOVED
    picture[~before & after] = ADDED
    return picture


def image_grid(rows: Sequence[Sequence[np.ndarray]], columns: Sequence[str] = (), labels: Sequence[str] = (),
               width: float = 11.0, classes: Classes = MASK) -> Figure:
    """A grid of pictures; masks (H, W), or label maps of `classes`, and RGB (H, W, 3) may be mixed.

    columns: titles above the first row. labels: names left of the rows. width: of the figure, inches. The legend of the
    classes is below.
    """
    height, across = rows[0][0].shape[:2]
    count = max(len(row) for row in rows)
    each = width / count
    figure, axes = plt.subplots(len(rows), count, squeeze=False,
                                figsize=(width, len(rows) * each * height / across + (0.35 if len(columns) else 0)
                                         + (0.35 if classes != MASK else 0)))
    for r, row in enumerate(rows):
        for c in range(count):
            axis = axes[r, c]
            axis.set_xticks([]), axis.set_yticks([])
            if c >= len(row):
                axis.set_visible(False)
                continue
            picture = row[c] if row[c].ndim == 3 else mask_picture(row[c], classes)
            axis.imshow(picture, interpolation="antialiased" if row[c].ndim == 3 else "nearest")
            for spine in axis.spines.values():
                spine.set_visible(True)
                spine.set(color="0.8", linewidth=0.6)
            if r == 0 and c < len(columns):
                axis.set_title(columns[c])
            if c == 0 and r < len(labels):
                axis.set_ylabel(labels[r])
    class_legend(figure, classes)
    return figure


def save_picture(picture: np.ndarray, path: str | Path) -> None:
    """Store an RGB picture (H, W, 3) uint8 as PNG, pixel by pixel, atomically."""
    with atomic(path) as temporary:
        Image.fromarray(picture).save(temporary)
