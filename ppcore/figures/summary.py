"""What does the paper not show about a cohort? Similarity against control, coverage, and a one-page summary.

Drawn from the stored tables, like the paper's own figures in `ppcore.figures.paper`.
"""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ppcore.figures.paper import MARKERS, WIDTH, colour_of
from ppcore.figures.style import class_legend, mask_picture, name_shown
from ppcore.masks.labels import MASK, Classes
from ppcore.methods.table import FLOOR
from ppcore.metrics.cells import cell_means
from ppcore.metrics.findings import methods_of, scores, shown
from ppcore.metrics.table import LABELS


def draw_plane(axis: Axes, metrics: pd.DataFrame, control: str, title: str, protocol: str = "A") -> None:
    """Draw distance to real masks against control, with intervals, into `axis`.

    Upper left is best: realistic, and true to the outline. Line and band: real masks of other subjects.
    """
    table, fixed = scores(metrics, protocol), scores(metrics)
    for method in (name for name in methods_of(metrics, protocol) if (name, control) in table.index):
        x, y = table.loc[(method, "mmd2")], table.loc[(method, control)]
        axis.errorbar(x["value"], y["value"], xerr=_arms(x), yerr=_arms(y), fmt=MARKERS.get(method, "X"), markersize=6,
                      color=colour_of(method), elinewidth=1, markeredgecolor="white", markeredgewidth=0.5, zorder=3,
                      label=LABELS.get(method, method))
    floor = fixed.loc[(FLOOR, "mmd2")]
    axis.axvspan(*floor[["low", "high"]].fillna(floor["value"]), color="0.9", zorder=0)
    axis.axvline(floor["value"], color="0.55", linewidth=1, zorder=1)
    axis.axhline(1, color="0.8", linewidth=0.7, zorder=0)
    every = pd.concat([each.xs("mmd2", level="metric") for each in (table, fixed)])  # so that the strip below fits too
    left, right = every.min(axis=None), every.max(axis=None)
    bottom = min(0.75, axis.get_ylim()[0])
    axis.set(xlabel="MMD² to the real test masks", ylabel=title, ylim=(bottom, 1 + 0.06 * (1 - bottom)),
             xlim=(left - 0.03 * (right - left), right + 0.03 * (right - left)))


def _arms(score: pd.Series) -> np.ndarray:
    """(2, 1) lengths of the error bar; 0 where there is no interval."""
    return np.nan_to_num([[score["value"] - score["low"]], [score["high"] - score["value"]]]).clip(0)


def draw_strip(axis: Axes, metrics: pd.DataFrame, control: str) -> None:
    """Below a plane, on the same x axis: methods that are given no outline, one line each, with intervals."""
    table = scores(metrics)
    methods = [name for name in methods_of(metrics) if (name, control) not in table.index]
    for i, method in enumerate(reversed(methods)):
        x = table.loc[(method, "mmd2")]
        axis.errorbar(x["value"], i, xerr=_arms(x), fmt=MARKERS.get(method, "X"), markersize=6, elinewidth=1,
                      color=colour_of(method), markeredgecolor="white", markeredgewidth=0.4)
    axis.set(yticks=range(len(methods)), yticklabels=list(reversed(methods)), ylim=(-0.6, len(methods) - 0.4),
             xlabel="MMD² to the real test masks")
    axis.set_title("given no outline", fontsize=7, loc="left", pad=2)


def plane(metrics: pd.DataFrame, protocol: str = "A") -> Figure:
    """Similarity against control: left by IoU to the outline, right by boundary F1; below, methods without an outline.

    For sketches (protocol B) the strip below is still that of protocol A, as these methods see no sketch.
    """
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 3.6), height_ratios=[3, 1.1], sharex=True)
    for column, (control, title) in enumerate((("control_iou", "IoU to the outline"),
                                               ("control_boundary_f1", "boundary F1 (2 px)"))):
        draw_plane(axes[0, column], metrics, control, title, protocol)
        axes[0, column].set_xlabel("")
        draw_strip(axes[1, column], metrics, control)
    _plane_legend(figure, axes[0, 0])
    return figure


def _plane_legend(figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend([*(handle[0] for handle in handles), Patch(color="0.9")],
                  [*labels, "real masks of other subjects, 95 %"], loc="outside upper center", ncols=4)


def coverage_bars(metrics: pd.DataFrame, cells: pd.DataFrame) -> Figure:
    """How much of the space of real masks each method reaches: the stored metrics, and the K-means cells reached."""
    table, methods = scores(metrics), methods_of(metrics)
    titles = {"density": "density", "coverage": "coverage", "occupancy": "occupancy",
              "diversity_ratio": "diversity\nover real"}
    titles = {metric: title for metric, title in titles.items() if metric in set(metrics["metric"])}
    figure, axes = plt.subplots(1, len(titles) + 1, figsize=(WIDTH, 0.8 + 0.22 * len(methods)), sharey=True,
                                squeeze=False)
    places = np.arange(len(methods))[::-1]
    for axis, (metric, title) in zip(axes[0], titles.items()):
        for place, method in zip(places, methods):
            if (method, metric) in table.index:
                row = table.loc[(method, metric)]
                axis.barh(place, row["value"], xerr=_arms(row), height=0.65, color=colour_of(method), ecolor="0.3",
                          error_kw={"elinewidth": 0.8})
        axis.axvline(1, color="0.6", linewidth=0.7, linestyle=":")
        axis.set(title=title, xlim=(0, None))
    means = cell_means(cells).query("space == 'kmeans'").set_index("method")
    for place, method in zip(places, methods):
        if method in means.index:
            reached = means.loc[method, "of"] - means.loc[method, "no_sample"]
            axes[0, -1].barh(place, reached, height=0.65, color=colour_of(method))
            axes[0, -1].text(reached + 0.1, place, f"{reached}", va="center", fontsize=7)
    axes[0, -1].axvline(means["of"].max(), color="0.6", linewidth=0.7, linestyle=":")
    axes[0, -1].set(title=f"K-means cells\nreached, of {means['of'].max()}", xlim=(0, means["of"].max() + 0.8))
    axes[0, 0].set_yticks(places, [LABELS.get(name, name) for name in methods])
    return figure


def one_page(title: str, metrics: pd.DataFrame, sentences: Sequence[str],
             rows: Mapping[str, Sequence[np.ndarray]], classes: Classes = MASK) -> Figure:
    """One page per cohort: two sentences, the key table, similarity against control, masks and images.

    sentences: from `ppcore.metrics.findings.reading`; the first two are shown. rows: name -> pictures, masks or label
    maps of `classes`, or RGB.
    """
    across = max(map(len, rows.values()))
    height, width = next(iter(rows.values()))[0].shape[:2]
    lines = [part for sentence in sentences[:2] for part in textwrap.wrap(sentence, 122)]
    heights = [0.5 + 0.15 * len(lines), 0.25 + 0.2 * len(methods_of(metrics)), 2.6,
               len(rows) * (WIDTH - 0.4) / across * height / width + (0.3 if classes != MASK else 0)]  # inches
    figure = plt.figure(figsize=(WIDTH, sum(heights)))
    text, tabular, graph, pictures = figure.subfigures(4, 1, height_ratios=heights)
    text.text(0.01, 1 - 0.08 / heights[0], name_shown(title, 60), fontsize=12, weight="bold", va="top")
    text.text(0.01, 1 - 0.38 / heights[0], "\n".join(lines), fontsize=7.5, va="top", linespacing=1.35)
    _key_table(tabular.subplots(), metrics)
    left, right = graph.subplots(1, 2, sharex=True)
    draw_plane(left, metrics, "control_iou", "IoU to the outline")
    draw_plane(right, metrics, "control_boundary_f1", "boundary F1 (2 px)")
    _plane_legend(graph, left)
    for line, (name, row) in zip(pictures.subplots(len(rows), across, squeeze=False), rows.items()):
        for axis, picture in zip(line, row):
            axis.imshow(picture if picture.ndim == 3 else mask_picture(picture, classes))
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(visible=True, color="0.8")
        line[0].set_ylabel(name.replace(" ", "\n"), fontsize=7)
    class_legend(pictures, classes)
    return figure


def _key_table(axis: Axes, metrics: pd.DataFrame) -> None:
    axis.set_axis_off()
    table, methods = scores(metrics), methods_of(metrics)
    columns = {"mmd2": "MMD²", "kd": "kd", "ks": "KS", "coverage": "coverage", "control_iou": "IoU to outline",
               "control_boundary_f1": "boundary F1"}
    columns = {metric: title for metric, title in columns.items() if metric in set(metrics["metric"])}
    cells = [[shown(table, method, metric, digits=2) for metric in columns] for method in methods]
    letters = [max(map(len, column)) for column in zip(*cells, columns.values())]
    drawn = axis.table(cells, rowLabels=[LABELS.get(name, name) for name in methods], colLabels=list(columns.values()),
                       colWidths=[count / sum(letters) for count in letters], cellLoc="center", bbox=[0.19, 0, 0.81, 1],
                       edges="horizontal")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(6)
    for (row, _), cell in drawn.get_celld().items():
        cell.set(edgecolor="0.8", linewidth=0.5)
        if row == 0:
            cell.set_text_props(weight="bold")
