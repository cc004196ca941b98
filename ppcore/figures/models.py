"""How are trained models and their output shown?"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ppcore.figures.style import BLUE, COLOURS, VERMILION, image_grid, mask_picture, name_shown, save_picture
from ppcore.masks.labels import MASK, Classes
from ppcore.masks.shapes import DESCRIPTORS
from ppcore.study.seeds import rng_of


def loss_curves(log: pd.DataFrame) -> Figure:
    """Losses against the step, one panel each; the last one, in grey, is the learning rate."""
    names = [name for name in log.columns if name not in ("step", "epoch", "learning_rate")]
    figure, axes = plt.subplots(1, len(names) + 1, figsize=(11, 2.6))
    for axis, name in zip(axes, [*names, "learning_rate"]):
        axis.plot(log["step"], log[name], color="0.5" if name == "learning_rate" else BLUE, linewidth=1.3)
        axis.set(title=name.replace("_", " "), xlabel="step")
    axes[-1].set_ylim(bottom=0)
    return figure


def fraction_densities(fractions: dict[str, np.ndarray]) -> Figure:
    """Cumulative tissue fraction of each method and of the real test masks: KS is the largest vertical gap."""
    figure, axis = plt.subplots(figsize=(7, 3))
    for name, values in fractions.items():
        axis.ecdf(values, label=f"{name} (n = {len(values)})", color=COLOURS.get(name, "0.4"),
                  linewidth=2.6 if name == "real" else 1.4)
    axis.set(xlabel="tissue fraction of a mask", ylabel="share of masks", xlim=(0, 1))
    axis.legend(loc="upper left")
    return figure


def scatter_sets(places: dict[str, np.ndarray]) -> Figure:
    """Points of several sets, each (N, 2), in one plane whose axes mean nothing (a t-SNE); real ones on top."""
    figure, axis = plt.subplots(figsize=(6, 4.2))
    for name, points in sorted(places.items(), key=lambda item: item[0] == "real"):
        axis.scatter(*points.T, s=16, alpha=0.75, linewidths=0, color=COLOURS.get(name, "0.4"),
                     label=f"{name} (n = {len(points)})")
    axis.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def descriptor_map(table: pd.DataFrame, classes: Classes = MASK) -> Figure:
    """Wasserstein-1 distance to the real test masks, a row per method and a column per descriptor.

    table: descriptors, of `masks.shapes.names_of(classes)`, x methods. Light is near. The distance is written where
    it exceeds 1 standard deviation. The tissue and each further class have a panel of their own.
    """
    names, count = ["tissue", *(label.name for label in classes[2:])], len(DESCRIPTORS)
    figure, axes = plt.subplots(len(names), 1, sharex=True, squeeze=False, figsize=(
        11, 1.6 + 0.26 * len(table.columns) + (len(names) - 1) * (0.4 + 0.26 * len(table.columns))))
    for number, (axis, name) in enumerate(zip(axes[:, 0], names)):
        own = table.iloc[number * count:(number + 1) * count].T
        far = np.where(own > 1, own.map("{:.0f}".format), "")
        sns.heatmap(own, norm=LogNorm(0.1, 10), cmap="cividis_r", annot=far, fmt="", annot_kws={"fontsize": "x-small"},
                    linewidths=0.5, ax=axis,
                    cbar_kws={"label": "Wasserstein-1, sd\nof real masks", "extend": "both", "pad": 0.01})
        axis.set_xticks(np.arange(count) + 0.5, [each.replace("_", " ") for each in DESCRIPTORS], rotation=45,
                        ha="right", rotation_mode="anchor", fontsize="small")
        axis.set(xlabel="", title=name_shown(name) if len(names) > 1 else "")
        axis.tick_params(length=0)
    return figure


def seam_crops(masks: dict[str, np.ndarray], row: int, column: int, side: int = 192) -> Figure:
    """The same square of several masks (H, W) in {0, 1}, by name; ticks on its frame mark where windows end.

    row, column: of the seams, px, in the middle of the square of `side` px.
    """
    figure, axes = plt.subplots(1, len(masks), figsize=(11, 11 / len(masks) + 0.3), squeeze=False)
    top, left = row - side // 2, column - side // 2
    for axis, (name, mask) in zip(axes[0], masks.items()):
        axis.imshow(mask_picture(mask[top:top + side, left:left + side]), interpolation="nearest",
                    extent=(left, left + side, top + side, top))
        axis.set(xticks=[column], yticks=[row], title=name)
        axis.tick_params(color=VERMILION, length=9, width=2.5, right=True, labelleft=axis is axes[0, 0])
        axis.spines[:].set(visible=True, color="0.8", linewidth=0.6)
    return figure


def which_is_real(real: Sequence[np.ndarray], made: Sequence[np.ndarray], seed: int, pairs: int = 8) -> Figure:
    """A page to test oneself: real and made images of the same masks, side by side, in an order drawn from `seed`.

    real, made: images (H, W, 3) uint8, in the same order of masks; with more than `pairs`, some are drawn. The key is
    at the very bottom, upside down. Raises `ValueError` for lists of unequal length.
    """
    if len(real) != len(made):
        raise ValueError(f"{len(real)} real and {len(made)} made images: wanted as many, of the same masks")
    rng = rng_of(seed, "which is real")
    chosen = rng.permutation(len(real))[:pairs]
    right = rng.integers(0, 2, len(chosen))  # 1: the real one is on the right
    rows = [(made[i], real[i]) if side else (real[i], made[i]) for i, side in zip(chosen, right)]
    figure = image_grid(rows, ("left", "right"), [f"{number}" for number in range(1, len(rows) + 1)], width=6)
    for axis in figure.axes[::2]:
        axis.yaxis.label.set(rotation=0, ha="right", va="center")
    figure.suptitle("One image of each pair is real, the other was made from the same mask. Which is real?")
    key = ", ".join(f"{number} {('left', 'right')[side]}" for number, side in enumerate(right, start=1))
    figure.supxlabel(f"real: {key}", rotation=180, fontsize=6, color="0.4")
    return figure


def keep_samples(folder: Path, make: Callable[[Any], Sequence[np.ndarray]],
                 classes: Classes = MASK) -> Callable[[Any, int], None]:
    """A callback for training: it stores samples of a method as samples/step-<step>.png in `folder`.

    make: from a method to masks (H, W), or label maps of `classes`, or images (H, W, 3), shown side by side.
    """
    def sample(method: Any, step: int) -> None:
        made = [one if one.ndim == 3 else mask_picture(one, classes) for one in make(method)]
        picture = np.hstack([np.pad(one, ((2, 2), (2, 2), (0, 0)), constant_values=255) for one in made])
        save_picture(picture, folder / "samples" / f"step-{step:08d}.png")

    return sample
