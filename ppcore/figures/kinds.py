"""How are the kinds of mask shown? The figures of notebook 03."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from ppcore.figures.style import BLUE, ORANGE, VERMILION, class_legend, mask_picture, name_shown
from ppcore.masks.labels import MASK, Classes
from ppcore.masks.shapes import DESCRIPTORS


def cluster_colours(count: int) -> list[tuple[float, float, float]]:
    """One colour per cluster, in order; Okabe and Ito's for up to 10."""
    return sns.color_palette("colorblind" if count <= 10 else "husl", count)


def cluster_curves(table: pd.DataFrame, k: int) -> Figure:
    """Inertia (the elbow), silhouette, and agreement between seeds against K; the chosen K is marked.

    table: columns k, inertia, silhouette, ari, ari_least.
    """
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.3))
    titles = {"inertia": "how far from the centres", "silhouette": "how far apart", "ari": "agreement between seeds"}
    names = {"inertia": "inertia", "silhouette": "silhouette, mean", "ari": "adjusted Rand index"}
    for axis, (column, title) in zip(axes, titles.items()):
        axis.axvline(k, color=ORANGE, linewidth=6, alpha=0.35, zorder=0)
        axis.plot(table["k"], table[column], "o-", color=BLUE, markersize=4, linewidth=1.3)
        axis.plot(k, table.loc[table["k"] == k, column], "o", color=VERMILION, markersize=8, label=f"K = {k}")
        axis.set(title=title, xlabel="number of clusters K", ylabel=names[column], ylim=(0, None))
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[1].set_ylim(min(0, 1.1 * table["silhouette"].min()), max(0.5, 1.1 * table["silhouette"].max()))
    axes[2].fill_between(table["k"], table["ari_least"], table["ari"], color=BLUE, alpha=0.15, linewidth=0,
                         label="down to the least similar pair of seeds")
    axes[2].set_ylim(min(0, table["ari_least"].min()), 1.03)
    handles = [axis.get_legend_handles_labels()[0][-1] for axis in (axes[0], axes[2])]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small")
    return figure


def cluster_montage(nearest: Sequence[Sequence[np.ndarray]], odd: Sequence[Sequence[np.ndarray]], labels: Sequence[str],
                    width: float = 11.0, classes: Classes = MASK) -> Figure:
    """One row per cluster: the masks nearest to its centre, a gap, the odd ones out, framed in the cluster's colour.

    nearest, odd: masks (H, W), or label maps of `classes`, of each cluster, best first. labels: left of the rows.
    width: inches.
    """
    left, right = max(map(len, nearest)), max(1, *map(len, odd))
    shape = nearest[0][0].shape[0] / nearest[0][0].shape[1]
    figure, axes = plt.subplots(len(labels), left + 1 + right, squeeze=False,
                                width_ratios=[1] * left + [0.12] + [1] * right,
                                figsize=(width, len(labels) * (width - 1) / (left + right) * shape + 0.4))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for row, label, colour, near, far in zip(axes, labels, cluster_colours(len(labels)), nearest, odd):
        for axis, mask in [*zip(row, near), *zip(row[left + 1:], far)]:
            axis.imshow(mask_picture(mask, classes))
            axis.spines[:].set(visible=True, color=colour, linewidth=2)
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8, fontsize="small")
    axes[0, 0].set_title("nearest to the centre", loc="left")
    axes[0, left + 1].set_title("odd ones out", loc="left")
    class_legend(figure, classes)
    return figure


def cluster_scatter(points: np.ndarray, shares: Sequence[float], labels: np.ndarray, centres: np.ndarray) -> Figure:
    """Masks on the first two principal components of their features, coloured by cluster; numbers at the centres.

    points: (N, 2). shares: of the variance, for each component. labels: (N,) in 1 to K. centres: (K, 2).
    """
    figure, axis = plt.subplots(figsize=(7.5, 4.6))
    for number, (colour, centre) in enumerate(zip(cluster_colours(len(centres)), centres), start=1):
        axis.scatter(*points[labels == number].T, s=18, alpha=0.7, linewidths=0, color=[colour])
        axis.text(*centre, str(number), ha="center", va="center", weight="bold", color="white", zorder=3,
                  bbox={"boxstyle": "circle,pad=0.3", "facecolor": colour, "edgecolor": "0.15"})
    axis.set(xlabel=f"first component ({shares[0]:.0%} of the variance)",
             ylabel=f"second component ({shares[1]:.0%})")
    axis.set_aspect("equal", adjustable="datalim")
    return figure


def centre_heatmap(table: pd.DataFrame, classes: Classes = MASK) -> Figure:
    """Mean descriptors, one row per cluster, in sd of all masks: red above their mean, blue below.

    table: a column per descriptor, of `masks.shapes.names_of(classes)`. The tissue and each further class have a panel.
    """
    names = ["", *(label.name for label in classes[2:])]
    figure, axes = plt.subplots(len(names), 1, squeeze=False, sharex=True,
                                figsize=(11, 1.9 + 0.32 * len(table) + (len(names) - 1) * (0.6 + 0.32 * len(table))))
    for number, (axis, name) in enumerate(zip(axes[:, 0], names)):
        own = table.iloc[:, number * len(DESCRIPTORS):(number + 1) * len(DESCRIPTORS)].set_axis(DESCRIPTORS, axis=1)
        sns.heatmap(own, ax=axis, cmap="RdBu_r", center=0, vmin=-2, vmax=2, linewidths=0.5, xticklabels=True,
                    cbar_kws={"label": "sd from the mean", "extend": "both", "ticks": [-2, 0, 2]})
        axis.set(xlabel="", ylabel="")
        axis.tick_params(axis="x", rotation=40, length=0)
        axis.tick_params(axis="y", rotation=0, length=0)
        plt.setp(axis.get_xticklabels(), ha="right", rotation_mode="anchor")
        if len(names) > 1:
            axis.set_title(name_shown(name) or "tissue", loc="left")
    return figure
