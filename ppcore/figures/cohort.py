"""How are a cohort's slides, patches and thresholds shown? The figures of notebooks 01 and 02."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ppcore.figures.style import BLUE, COLOURS, ORANGE, PURPLE, VERMILION, name_shown

DROPPED = {"air": "mostly air", "black": "black", "ink": "ink", "glass": "glass, not read", "unused": "not used",
           "gap": "gap", "spare": "spare"}
FRAMES = {"kept": "#0072B2", "train": COLOURS["train"], "test": COLOURS["test"], "air": "0.55", "glass": "0.8",
          "black": "#000000", "ink": "#009E73", "unused": "#E69F00", "gap": "#CC79A7", "spare": "#F0E442"}


def slide_grids(pictures: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], places: Sequence[pd.DataFrame],
                names: Sequence[str], height: int, width: int, across: int = 3, each: float = 2.7) -> Figure:
    """Slides overlaid with their grid: kept places framed by their split, dropped ones faded and framed by the reason.

    pictures: of the whole slides, (h, w, 3) uint8. sizes: width and height of each slide, px. places: the rows of
    places.csv of each slide; the `state` of a kept place may be its split instead. height, width: of a patch, px. each:
    width of a slide's picture, inches.
    """
    across = min(across, len(pictures))
    down = -(-len(pictures) // across)
    shape = np.median([size[1] / size[0] for size in sizes])
    figure, axes = plt.subplots(down, across, figsize=(across * each, down * (each * shape + 0.4)), squeeze=False)
    for axis in axes.flat[len(pictures):]:
        axis.set_visible(False)
    shown = set()
    for axis, picture, size, grid, name in zip(axes.flat, pictures, sizes, places, names):
        axis.imshow(picture, extent=(0, *size, 0))
        for line in grid.itertuples():
            corner, box = (line.column * width, line.row * height), {"width": width, "height": height}
            dropped = line.state in DROPPED
            if dropped:
                axis.add_patch(Rectangle(corner, **box, facecolor="white", alpha=0.55, edgecolor="none"))
            axis.add_patch(Rectangle(corner, **box, facecolor="none", edgecolor=FRAMES[line.state],
                                     linewidth=0.6 if dropped else 1.2, zorder=2 if dropped else 3))
            shown.add(line.state)
        axis.set_title(f"{name_shown(name)}: {(~grid['state'].isin(DROPPED)).sum()} kept", fontsize="small")
        axis.set_axis_off()
    handles = [Patch(facecolor="none", edgecolor=colour, linewidth=1.5, label=DROPPED.get(state, state))
               for state, colour in FRAMES.items() if state in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), fontsize="small")
    return figure


def fraction_histogram(index: pd.DataFrame, ks: float = math.nan) -> Figure:
    """Tissue fraction of the train and test patches, each scaled to its own number.

    ks: between the two, from `ppcore.metrics.quality.split_ks`, for the title; nan: no title.
    """
    figure, axis = plt.subplots(figsize=(7, 2.8))
    for split, group in index[index["split"].isin(("train", "test"))].groupby("split"):
        axis.hist(group["tissue_fraction"], bins=np.linspace(0, 1, 26), density=True, histtype="step", linewidth=1.8,
                  color=COLOURS[split], label=f"{split} (n = {len(group)})")
    axis.set(xlabel="tissue fraction of a patch", ylabel="density", xlim=(0, 1))
    if not math.isnan(ks):
        axis.set_title(f"KS between train and test: {ks:.3f}")
    axis.legend(loc="upper left")
    return figure


def threshold_panels(table: pd.DataFrame) -> Figure:
    """Left: tissue fraction at the shifted thresholds against that in use. Right: IoU of the masks, cumulative.

    table: from `ppcore.metrics.quality.threshold_sensitivity`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6))
    sides = {"lower": ("o", BLUE), "upper": ("^", VERMILION)}
    for side, (marker, colour) in sides.items():
        level = f"threshold {table[side].iloc[0]}"
        left.plot(table["fraction"], table[f"fraction_{side}"], marker, markersize=4, alpha=0.6, color=colour,
                  markeredgewidth=0, label=level)
        right.ecdf(table[f"iou_{side}"], color=colour, linewidth=1.8, linestyle="-" if side == "lower" else "--",
                   label=f"{level}, median {table[f'iou_{side}'].median():.3f}")
    left.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
    used = table["threshold"].iloc[0]
    left.set(xlabel=f"tissue fraction at threshold {used}", ylabel="tissue fraction, shifted", xlim=(0, 1.02),
             ylim=(0, 1.02), title=f"{len(table)} patches")
    least = min(0.9, table[["iou_lower", "iou_upper"]].min(axis=None))
    right.set(xlabel=f"IoU with the mask at threshold {used}", ylabel="share of patches", xlim=(least - 0.02, 1.005),
              title="agreement of masks")
    for axis in (left, right):
        axis.legend(loc="upper left")
    return figure


def stain_scatter(table: pd.DataFrame, least: float) -> Figure:
    """Pink share of the tissue against brown share, one dot per file; text marks the region of each stain.

    table: from `ppcore.metrics.quality.stain_check`. least: its LEAST_SHARE. The shares span decades: the axes are
    linear up to a tenth of `least` and logarithmic above.
    """
    figure, axis = plt.subplots(figsize=(6.4, 5))
    stated = table["stated"].iloc[0]
    axis.fill([0, least, 1, 0], [least, least, 1, 1], color=PURPLE, alpha=0.15, linewidth=0)
    axis.fill([least, least, 1, 1], [0, least, 1, 0], color=ORANGE, alpha=0.2, linewidth=0)
    words = {"he": (0.03, 0.58, "left", "bottom", "like H&E: pink exceeds brown"),  # where few dots are expected
             "ihc": (0.97, 0.4, "right", "center", "like IHC:\nbrown exceeds pink"),
             "neither": (0.03, 0.53, "left", "top", "neither: haematoxylin alone,\nas in IHC without antigen")}
    for stain, (x, y, across, down, text) in words.items():
        axis.text(x, y, text + "\n(the stated stain)" * (stain == stated), transform=axis.transAxes, ha=across, va=down,
                  fontsize="small", weight="bold" if stain == stated else "normal", color="0.25")
    for doubtful, group in table.groupby("doubtful"):
        axis.plot(group["brown"], group["pink"], "X" if doubtful else "o", markersize=9 if doubtful else 6, alpha=0.8,
                  color=VERMILION if doubtful else BLUE, markeredgecolor="white", markeredgewidth=0.5,
                  clip_on=False, zorder=3, label=f"{'doubtful' if doubtful else 'as stated'} (n = {len(group)})")
    ticks = [0, least / 10, least, 10 * least, 1]
    labels = [f"{tick:.1%}" if 0 < tick < least else f"{tick:.0%}" for tick in ticks]
    for which, name in (("x", "brown"), ("y", "pink")):
        axis.set(**{f"{which}label": f"{name} share of the tissue", f"{which}lim": (0, 1)})
        getattr(axis, f"set_{which}scale")("symlog", linthresh=least / 10)
        getattr(axis, f"set_{which}ticks")(ticks, labels)
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def amount_picture(amount: np.ndarray, low: float, span: float) -> np.ndarray:
    """Amount of a stain (H, W) as an RGB picture: white at `low` and less, black at `low` + `span` and more."""
    gray = 255 * (1 - np.clip((amount - low) / span, 0, 1))
    return np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=2)


def change_panels(table: pd.DataFrame) -> Figure:
    """What C does to each mask: `table` has pairs of columns `<name> fine`, `<name> coarse`, and `IoU`."""
    names = [name.removesuffix(" fine") for name in table.columns if name.endswith(" fine")]
    figure, axes = plt.subplots(1, len(names) + 1, figsize=(11, 2.9))
    for axis, name in zip(axes, names):
        axis.plot(table[f"{name} fine"], table[f"{name} coarse"], ".", markersize=3, alpha=0.5,
                  color=BLUE)
        top = max(table[f"{name} fine"].max(), table[f"{name} coarse"].max(), 1)
        axis.plot([0, top], [0, top], color="0.6", linewidth=0.8)
        unit = "px" if name == "edge length" else "count"
        if unit == "count":
            axis.set_xscale("symlog"), axis.set_yscale("symlog")
        axis.set(title=name, xlabel=f"fine ({unit})", ylabel=f"coarse ({unit})")
    axes[-1].hist(table["IoU"], bins=25, color=ORANGE)
    axes[-1].set(title="IoU(fine, coarse)", xlabel="IoU", ylabel="masks")
    return figure
