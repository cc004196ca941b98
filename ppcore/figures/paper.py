"""Which figures does the paper have, what do they hide, and which of ours may be published?

Figures 1d, 2 and 3 from stored tables and masks; `ppcore.figures.summary` has those that the paper lacks. All are WIDTH
wide, with fonts for print at that size. `store` saves them as PNG and PDF.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from ppcore.figures.style import COLOURS, name_shown, save, use_style
from ppcore.masks.labels import Classes, load_classes
from ppcore.masks.make import read_mask
from ppcore.masks.patches import load_index
from ppcore.methods.table import OURS, PRIORPATH, ROWS, SKETCHED, names
from ppcore.metrics.cells import (GRID_CELLS, LEAST, NO_REAL, NO_SAMPLE, SIDE, TOO_FEW, WORDS, cell_means, grid_lines,
                                  numbers)
from ppcore.metrics.findings import methods_of, scores
from ppcore.metrics.table import LABELS
from ppcore.slides.cohorts import EMBEDDED
from ppcore.study.runs import home

WIDTH = 7.0  # inches: text width of a page
RIVAL = "DEPAS"  # in the paper's Figure 2
MARKERS = {row.name: row.marker for row in ROWS}
HATCH = {NO_SAMPLE: "////", TOO_FEW: "..", NO_REAL: ""}
# Of a cohort of real tissue only these may be published, and .gitignore lets only these through: tables, the record,
# plots of numbers, and pictures of model output alone. Real images, real masks and their outlines may not.
KEPT = ("*.csv", "run.json", "figure1d.*", "figure3*.*", "plane*.*", "coverage.*", "*_generated.*", "11_utility.*",
        "11_difference.*", "11_stress.*", "11_axes.*")


def may_be_kept(cohort: str, name: str) -> bool:
    """May a file of this name in the cohort's figures folder be published, for example in git? (see KEPT)"""
    return cohort in EMBEDDED or any(Path(name).match(pattern) for pattern in KEPT)


def use_print_style() -> None:
    """The study's look, with fonts of 7 to 8 pt on a page WIDTH inches wide."""
    use_style()
    plt.rcParams.update({"font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7,
                         "ytick.labelsize": 7, "legend.fontsize": 7, "axes.linewidth": 0.7, "xtick.major.width": 0.7,
                         "ytick.major.width": 0.7, "xtick.major.size": 3, "ytick.major.size": 3, "hatch.linewidth": 0.5,
                         "figure.dpi": 90, "savefig.dpi": 150, "pdf.fonttype": 42})


def store(figure: Figure, folder: Path, name: str) -> None:
    """Save a figure as <name>.png and <name>.pdf."""
    save(figure, folder / f"{name}.png", pdf=True)


def colour_of(method: str) -> str:
    """A method's colour; sky blue for one that is not in Table 2."""
    return COLOURS.get(method, COLOURS["train"])


def mask_rows(profile: str, cohort: str, generated_only: bool = False) -> tuple[list, list[str], list[str]]:
    """Figure 2 for this and every other available cohort: rows of masks, column titles, row names.

    One row per patch, from little tissue to much: outline, PriorPath, ground truth, DEPAS. An embedded cohort, whose
    figures may be published, is shown only with embedded ones; all have the same classes. generated_only: masks from
    sketches and noise alone, with those of our own model.
    """
    method = PRIORPATH + SKETCHED if generated_only else PRIORPATH
    classes = _classes(home() / "data" / profile / cohort)
    found = [path.parents[2] for path in sorted((home() / "data" / profile).glob(f"*/generated/{method}/index.csv"))
             if not generated_only or (path.parents[1] / (OURS + SKETCHED)).exists()
             if cohort not in EMBEDDED or path.parents[2].name in EMBEDDED if _classes(path.parents[2]) == classes]
    quantiles = (0.2, 0.8) if len(found) > 1 else (0.15, 0.4, 0.65, 0.9)
    rows, labels = [], []
    for data in found:
        test = load_index(data / "patches").query("split == 'test'").sort_values("tissue_fraction")["patch"].tolist()
        made = data / "generated"
        noise = {name: sorted((made / name).glob("*.png")) for name in names(given="noise")}
        drawn = sorted((made / method).glob("*_0.png"))
        for i, q in enumerate(quantiles):
            name, sketch = (each[round((len(each) - 1) * q)] for each in (test, drawn))
            ours = made / (OURS + SKETCHED) / sketch.name
            chosen = [ours, sketch, *(masks[i % len(masks)] for masks in noise.values())] if generated_only else [
                data / "coarse" / f"{name}.png", made / PRIORPATH / f"{name}_0.png",
                data / "patches" / "fine" / f"{name}.png", noise[RIVAL][i % len(noise[RIVAL])]]
            rows.append([read_mask(mask) for mask in chosen])
            labels.append(name_shown(data.name, 14) if i == 0 else "")
    of_sketch = [f"{LABELS[OURS]},\nfrom a sketch", "PriorPath,\nfrom the same"]
    return rows, ([*of_sketch, *(LABELS[name] for name in noise)] if generated_only else
                  ["coarse outline", "PriorPath", "ground truth", LABELS[RIVAL]]), labels


def _classes(data: Path) -> Classes:
    return load_classes(data / "patches")


def embedding_panels(places: pd.DataFrame, methods: Sequence[str], grid: bool = False) -> Figure:
    """Figures 1d and 3a: one t-SNE of all masks, one panel per method, over the real test masks in black.

    places: from `ppcore.metrics.cells.embed`. grid: draw the 3 x 3 cells and their names, too.
    """
    methods = [name for name in methods if name in set(places["method"])]
    across = min(3, len(methods))
    down = -(-len(methods) // across)
    figure, axes = plt.subplots(down, across, figsize=(WIDTH, 0.3 + down * (WIDTH / across) * 0.8), squeeze=False,
                                sharex=True, sharey=True)
    real = places[places["method"] == "real"]
    x, y = grid_lines(places["x"]), grid_lines(places["y"])
    for axis in axes.flat[len(methods):]:
        axis.set_visible(False)
    for axis, method in zip(axes.flat, methods):
        own = places[places["method"] == method]
        axis.scatter(real["x"], real["y"], s=9, color=COLOURS["real"], linewidths=0, zorder=2)
        axis.scatter(own["x"], own["y"], s=13, color=colour_of(method), marker=MARKERS.get(method, "X"), alpha=0.8,
                     linewidths=0.2, edgecolors="white", zorder=3)
        axis.set(xticks=[], yticks=[], title=f"{LABELS.get(method, method)}, n = {len(own)}",
                 xlim=x[[0, -1]] + np.array([-0.02, 0.02]) * np.ptp(x),
                 ylim=y[[0, -1]] + np.array([-0.02, 0.02]) * np.ptp(y))
        axis.spines[:].set_visible(True)
        if grid:
            for place in x[1:-1]:
                axis.axvline(place, color="#F0C000", linewidth=1, zorder=1)
            for place in y[1:-1]:
                axis.axhline(place, color="#F0C000", linewidth=1, zorder=1)
            for i, cell in enumerate(GRID_CELLS):
                axis.text(x[i % SIDE] + 0.01 * np.ptp(x), y[SIDE - i // SIDE] - 0.01 * np.ptp(y), cell, fontsize=6.5,
                          color="0.35", ha="left", va="top", zorder=4,
                          bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5})
    figure.supxlabel(f"t-SNE of all masks together; black: the {len(real)} real test masks", fontsize=8)
    return figure


def _paint_cell(axis: Axes, x: float, y: float, row, colours, short: bool = False) -> None:
    """One cell of 1 x 1 at (x, y): its MMD² on its colour, or its word on a hatch."""
    if row.mmd2 in WORDS:
        axis.add_patch(Rectangle((x, y), 1, 1, facecolor="white" if row.mmd2 == NO_REAL else "0.95", edgecolor="0.6",
                                 hatch=HATCH[row.mmd2], linewidth=0.5, clip_on=False))
        text = {NO_SAMPLE: "no\nsample" if short else NO_SAMPLE, TOO_FEW: f"n = {row.n}",
                NO_REAL: "" if short else NO_REAL}
        axis.text(x + 0.5, y + 0.5, text[row.mmd2], ha="center", va="center", fontsize=6.5, color="0.25",
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})
        return
    colour = colours.to_rgba(float(row.mmd2))
    axis.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", linewidth=1))
    dark = np.dot(colour[:3], (0.3, 0.6, 0.1)) < 0.55
    axis.text(x + 0.5, y + 0.5, f"{float(row.mmd2):.2f}\nn = {row.n}", ha="center", va="center", fontsize=6.5,
              color="white" if dark else "black", linespacing=1.1)


def _cell_colours(cells: pd.DataFrame) -> plt.cm.ScalarMappable:
    top = max(0.5, float(numbers(cells["mmd2"]).max()))
    return plt.cm.ScalarMappable(plt.Normalize(0, top if np.isfinite(top) else 1), "cividis_r")


def _cell_legend(figure: Figure, cells: pd.DataFrame) -> None:
    meaning = {NO_SAMPLE: "no sample: real masks, none of the method's",
               TOO_FEW: f"fewer than {LEAST} masks, real or the method's", NO_REAL: "no real mask"}
    figure.legend(handles=[Patch(facecolor="white" if word == NO_REAL else "0.95", edgecolor="0.6", hatch=HATCH[word],
                                 label=text) for word, text in meaning.items() if word in set(cells["mmd2"])],
                  loc="outside lower center", ncols=3)


def cell_maps(cells: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Figure 3b: MMD² to the real masks in each cell of the 3 x 3 grid, or a word; one map per method."""
    table = cells[cells["space"] == "grid"]
    methods = [name for name in methods if name in set(table["method"])]
    colours, across = _cell_colours(cells), min(4, len(methods))
    down = -(-len(methods) // across)
    figure, axes = plt.subplots(down, across, figsize=(WIDTH, 0.5 + down * 1.75), squeeze=False)
    for axis in axes.flat[len(methods):]:
        axis.set_visible(False)
    for axis, method in zip(axes.flat, methods):
        for row in table[table["method"] == method].itertuples():
            place = GRID_CELLS.index(row.cell)
            _paint_cell(axis, place % SIDE, SIDE - 1 - place // SIDE, row, colours, short=True)
        axis.set(xlim=(0, SIDE), ylim=(0, SIDE), xticks=np.arange(SIDE) + 0.5, xticklabels=["1", "2", "3"],
                 yticks=np.arange(SIDE) + 0.5, yticklabels=["C", "B", "A"], title=LABELS.get(method, method))
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    figure.colorbar(colours, ax=axes, label="MMD² in the cell", fraction=0.03, pad=0.01)
    _cell_legend(figure, table)
    return figure


def cell_matrix(cells: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """The same in K-means cells of the real masks: one row per method, one column per cell, ordered by tissue."""
    table = cells[cells["space"] == "kmeans"]
    methods = [name for name in methods if name in set(table["method"])]
    names = sorted(table["cell"].unique(), key=int)
    counts = table.drop_duplicates("cell").set_index("cell")["n_real"]
    colours = _cell_colours(cells)
    figure, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.36 * len(methods)))
    for row in table[table["method"].isin(methods)].itertuples():
        _paint_cell(axis, names.index(row.cell), len(methods) - 1 - methods.index(row.method), row, colours)
    axis.set(xlim=(0, len(names)), ylim=(0, len(methods)), xticks=np.arange(len(names)) + 0.5,
             xticklabels=[f"{name}\n{counts[name]} real" for name in names], yticks=np.arange(len(methods)) + 0.5,
             yticklabels=[LABELS.get(name, name) for name in reversed(methods)],
             xlabel="K-means cell of the real masks, from little tissue to much")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(colours, ax=axis, label="MMD² in the cell", fraction=0.03, pad=0.01)
    _cell_legend(figure, table)
    return figure


def cell_averages(runs: Mapping[str, tuple]) -> Figure:
    """Figure 3c for every cohort whose cells are stored: each cell, their mean, and the MMD² over all masks.

    runs: cohort -> (metrics, cells, ...), from `ppcore.metrics.findings.stored_runs`. On the right of each row: in how
    many of the cells with LEAST real masks the method could be compared. Its mean omits the others.
    """
    runs = {cohort: run for cohort, run in runs.items() if run[1] is not None}
    methods = list(dict.fromkeys(name for metrics, *_ in runs.values() for name in methods_of(metrics)))
    places = dict(zip(reversed(methods), range(len(methods))))
    figure, axes = plt.subplots(2, len(runs), figsize=(WIDTH, 1 + 0.5 * len(methods)), squeeze=False, sharex=True,
                                sharey=True)
    for column, (cohort, (metrics, cells, *_)) in enumerate(runs.items()):
        overall, means = scores(metrics), cell_means(cells).set_index(["space", "method"])
        for axis, space in zip(axes[:, column], ("grid", "kmeans")):
            for method, y in places.items():
                if (space, method) not in means.index:
                    continue
                each = numbers(cells[(cells["space"] == space) & (cells["method"] == method)]["mmd2"]).dropna()
                mean = means.loc[(space, method)]
                axis.plot(each, np.full(len(each), y - 0.15), "o", markersize=3.5, markerfacecolor="none",
                          markeredgewidth=0.7, color=colour_of(method), zorder=2)
                axis.plot([overall.loc[(method, "mmd2"), "value"]] * 2, [y - 0.36, y + 0.36], color="0.2",
                          linewidth=1.2, zorder=1)
                axis.plot(mean["mean"], y + 0.15, MARKERS.get(method, "X"), markersize=6, color=colour_of(method),
                          markeredgecolor="white", markeredgewidth=0.5, zorder=3)
                axis.text(0.99, y, f"{int(mean['cells'])}/{int(mean['of'])}", ha="right", va="center", fontsize=6.5,
                          color="0.35", transform=axis.get_yaxis_transform())
            axis.axvline(0, color="0.8", linewidth=0.7, zorder=0)
        parts = [name_shown(part, 84 // len(runs)) for part in cohort.split("-")]
        axes[0, column].set_title("-\n".join(parts), fontsize="small")
    right = max(axis.get_xlim()[1] for axis in axes.flat)
    axes[0, 0].set(yticks=list(places.values()), yticklabels=[LABELS.get(name, name) for name in places],
                   ylabel="3 x 3 cells of the t-SNE", xlim=(None, 1.35 * right))  # room for the counts
    axes[1, 0].set_ylabel("K-means cells")
    figure.supxlabel("MMD² to the real masks; on the right, in how many cells it could be compared", fontsize=8)
    figure.legend(handles=[Line2D([], [], marker="o", linestyle="", markerfacecolor="none", color="0.4", markersize=4,
                                  label="one cell"),
                           Line2D([], [], marker="o", linestyle="", color="0.4", markersize=6,
                                  label="mean over the cells"),
                           Line2D([], [], marker="|", linestyle="", color="0.2", markersize=8, label="over all masks")],
                  loc="outside upper center", ncols=3)
    return figure
