"""How is it shown?

Every function draws into a new figure and returns it; `save` stores it. Colours are Okabe and Ito's, which readers
with a colour-vision deficiency can tell apart. A mask is drawn with tissue dark on white.
"""

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from ppcore.study.files import atomic

INK = np.array([61, 43, 86], np.uint8)  # tissue
ADDED, REMOVED = np.array([86, 180, 233], np.uint8), np.array([213, 94, 0], np.uint8)
COLOURS = {"real": "#000000", "COPY": "#E69F00", "real-train": "#999999", "nearest-train": "#56B4E9", "pix2pix": "#0072B2",
           "CycleGAN": "#009E73", "DCGAN": "#CC79A7", "DEPAS": "#D55E00", "train": "#56B4E9", "test": "#D55E00"}

DROPPED = {"air": "mostly air", "black": "black", "ink": "ink", "glass": "glass, not read", "unused": "not used",
           "gap": "gap", "spare": "spare"}
FRAMES = {"kept": "#0072B2", "train": COLOURS["train"], "test": COLOURS["test"], "air": "0.55", "glass": "0.8",
          "black": "#000000", "ink": "#009E73", "unused": "#E69F00", "gap": "#CC79A7", "spare": "#F0E442"}


def use_style() -> None:
    """Set the study's look for all figures of a notebook."""
    sns.set_theme(context="notebook", style="ticks", font_scale=0.9, rc={
        "figure.dpi": 80, "savefig.dpi": 110, "figure.constrained_layout.use": True, "axes.spines.top": False,
        "axes.spines.right": False, "axes.titlesize": "medium", "legend.frameon": False})


def save(figure: Figure, path: str | Path, pdf: bool = False) -> None:
    """Store a figure as PNG, atomically; the bytes depend on the picture alone. pdf: and as PDF beside it, undated."""
    formats = {".png": {"Software": None}} | ({".pdf": {"CreationDate": None}} if pdf else {})
    for suffix, metadata in formats.items():
        with atomic(Path(path).with_suffix(suffix)) as temporary:
            figure.savefig(temporary, metadata=metadata)


def mask_picture(mask: np.ndarray) -> np.ndarray:
    """Mask (H, W) in {0, 1} -> RGB (H, W, 3) uint8, tissue dark on white."""
    return np.where(mask[..., None] > 0, INK, np.uint8(255))


def change_picture(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """RGB picture of two masks: tissue in both dark, only before vermilion (removed), only after blue (added)."""
    picture = mask_picture(before & after)
    picture[(before == 1) & (after == 0)] = REMOVED
    picture[(before == 0) & (after == 1)] = ADDED
    return picture


def image_grid(rows: Sequence[Sequence[np.ndarray]], columns: Sequence[str] = (), labels: Sequence[str] = (),
               width: float = 11.0) -> Figure:
    """A grid of pictures; masks (H, W) in {0, 1} and RGB (H, W, 3) may be mixed.

    columns: titles above the first row. labels: names left of the rows. width: of the figure, inches.
    """
    height, across = rows[0][0].shape[:2]
    count = max(len(row) for row in rows)
    each = width / count
    figure, axes = plt.subplots(len(rows), count, squeeze=False,
                                figsize=(width, len(rows) * each * height / across + (0.35 if len(columns) else 0)))
    for r, row in enumerate(rows):
        for c in range(count):
            axis = axes[r, c]
            axis.set_xticks([]), axis.set_yticks([])
            if c >= len(row):
                axis.set_visible(False)
                continue
            picture = row[c] if row[c].ndim == 3 else mask_picture(row[c])
            axis.imshow(picture, interpolation="antialiased" if row[c].ndim == 3 else "nearest")
            for spine in axis.spines.values():
                spine.set_visible(True)
                spine.set(color="0.8", linewidth=0.6)
            if r == 0 and c < len(columns):
                axis.set_title(columns[c])
            if c == 0 and r < len(labels):
                axis.set_ylabel(labels[r])
    return figure


def slide_grids(slides: Sequence, places: Sequence[pd.DataFrame], names: Sequence[str], height: int, width: int,
                across: int = 3, each: float = 2.7, longest: int = 500) -> Figure:
    """Slides with the grid of places over them: kept ones framed by their split, others veiled, framed by the reason.

    slides: as `ppcore.slides.read.open_slide` returns. places: the lines of places.csv of each slide; `state` of a kept place
    may say its split instead. height, width: of a patch, px. each: width of a slide's picture, inches. longest: its
    longer side, px.
    """
    across = min(across, len(slides))
    down = -(-len(slides) // across)
    shape = np.median([slide.size[1] / slide.size[0] for slide in slides])
    figure, axes = plt.subplots(down, across, figsize=(across * each, down * (each * shape + 0.4)), squeeze=False)
    for axis in axes.flat[len(slides):]:
        axis.set_visible(False)
    shown = set()
    for axis, slide, grid, name in zip(axes.flat, slides, places, names):
        axis.imshow(slide.thumbnail(longest), extent=(0, *slide.size, 0))
        for line in grid.itertuples():
            corner, box = (line.column * width, line.row * height), {"width": width, "height": height}
            dropped = line.state in DROPPED
            if dropped:
                axis.add_patch(Rectangle(corner, **box, facecolor="white", alpha=0.55, edgecolor="none"))
            axis.add_patch(Rectangle(corner, **box, facecolor="none", edgecolor=FRAMES[line.state],
                                     linewidth=0.6 if dropped else 1.2, zorder=2 if dropped else 3))
            shown.add(line.state)
        short = name if len(name) <= 20 else f"…{name[-19:]}"
        axis.set_title(f"{short}: {(~grid['state'].isin(DROPPED)).sum()} kept", fontsize="small")
        axis.set_axis_off()
    handles = [Patch(facecolor="none", edgecolor=colour, linewidth=1.5, label=DROPPED.get(state, state))
               for state, colour in FRAMES.items() if state in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), fontsize="small")
    return figure


def fraction_histogram(index: pd.DataFrame, ks: float = math.nan) -> Figure:
    """Tissue fraction of the patches, train and test, each scaled to its own number.

    ks: between the two, for the title, as `ppcore.metrics.quality.split_ks` gives it; nan: no title.
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

    table: as `ppcore.metrics.quality.threshold_sensitivity` returns.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6))
    sides = {"lower": ("o", COLOURS["pix2pix"]), "upper": ("^", COLOURS["DEPAS"])}
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
    """Pink share of the tissue against brown share, a dot a file; words say which stain lies where.

    table: as `ppcore.metrics.quality.stain_check` returns. least: its LEAST_SHARE. The shares span decades: the axes are linear
    up to a tenth of `least` and logarithmic above.
    """
    figure, axis = plt.subplots(figsize=(6.4, 5))
    stated = table["stated"].iloc[0]
    axis.fill([0, least, 1, 0], [least, least, 1, 1], color=COLOURS["DCGAN"], alpha=0.15, linewidth=0)
    axis.fill([least, least, 1, 1], [0, least, 1, 0], color=COLOURS["COPY"], alpha=0.2, linewidth=0)
    words = {"he": (0.03, 0.58, "left", "bottom", "like H&E: pink exceeds brown"),  # where few dots are to be expected
             "ihc": (0.97, 0.4, "right", "center", "like IHC:\nbrown exceeds pink"),
             "neither": (0.03, 0.53, "left", "top", "neither: haematoxylin alone,\nas in IHC without antigen")}
    for stain, (x, y, across, down, text) in words.items():
        axis.text(x, y, text + "\n(the stated stain)" * (stain == stated), transform=axis.transAxes, ha=across, va=down,
                  fontsize="small", weight="bold" if stain == stated else "normal", color="0.25")
    for doubtful, group in table.groupby("doubtful"):
        axis.plot(group["brown"], group["pink"], "X" if doubtful else "o", markersize=9 if doubtful else 6, alpha=0.8,
                  color=COLOURS["DEPAS" if doubtful else "pix2pix"], markeredgecolor="white", markeredgewidth=0.5,
                  clip_on=False, zorder=3, label=f"{'doubtful' if doubtful else 'as stated'} (n = {len(group)})")
    ticks = [0, least / 10, least, 10 * least, 1]
    labels = [f"{tick:.1%}" if 0 < tick < least else f"{tick:.0%}" for tick in ticks]
    for which, name in (("x", "brown"), ("y", "pink")):
        axis.set(**{f"{which}label": f"{name} share of the tissue", f"{which}lim": (0, 1)})
        getattr(axis, f"set_{which}scale")("symlog", linthresh=least / 10)
        getattr(axis, f"set_{which}ticks")(ticks, labels)
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def change_panels(table: pd.DataFrame) -> Figure:
    """What C does to each mask: `table` has pairs of columns `<name> fine`, `<name> coarse`, and `IoU`."""
    names = [name.removesuffix(" fine") for name in table.columns if name.endswith(" fine")]
    figure, axes = plt.subplots(1, len(names) + 1, figsize=(11, 2.9))
    for axis, name in zip(axes, names):
        axis.plot(table[f"{name} fine"], table[f"{name} coarse"], ".", markersize=3, alpha=0.5,
                  color=COLOURS["pix2pix"])
        top = max(table[f"{name} fine"].max(), table[f"{name} coarse"].max(), 1)
        axis.plot([0, top], [0, top], color="0.6", linewidth=0.8)
        unit = "px" if name == "edge length" else "count"
        if unit == "count":
            axis.set_xscale("symlog"), axis.set_yscale("symlog")
        axis.set(title=name, xlabel=f"fine ({unit})", ylabel=f"coarse ({unit})")
    axes[-1].hist(table["IoU"], bins=25, color=COLOURS["COPY"])
    axes[-1].set(title="IoU(fine, coarse)", xlabel="IoU", ylabel="masks")
    return figure


def cluster_colours(count: int) -> list[tuple[float, float, float]]:
    """A colour a cluster, in order: Okabe and Ito's as far as they go."""
    return sns.color_palette("colorblind" if count <= 10 else "husl", count)


def cluster_curves(table: pd.DataFrame, k: int) -> Figure:
    """Inertia (the elbow), silhouette, and agreement between seeds against K; the chosen K is marked.

    table: columns k, inertia, silhouette, ari, ari_least.
    """
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.3))
    titles = {"inertia": "how far from the centres", "silhouette": "how far apart", "ari": "how alike for other seeds"}
    names = {"inertia": "inertia", "silhouette": "silhouette, mean", "ari": "adjusted Rand index"}
    for axis, (column, title) in zip(axes, titles.items()):
        axis.axvline(k, color=COLOURS["COPY"], linewidth=6, alpha=0.35, zorder=0)
        axis.plot(table["k"], table[column], "o-", color=COLOURS["pix2pix"], markersize=4, linewidth=1.3)
        axis.plot(k, table.loc[table["k"] == k, column], "o", color=COLOURS["DEPAS"], markersize=8, label=f"K = {k}")
        axis.set(title=title, xlabel="number of clusters K", ylabel=names[column], ylim=(0, None))
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[1].set_ylim(min(0, 1.1 * table["silhouette"].min()), max(0.5, 1.1 * table["silhouette"].max()))
    axes[2].fill_between(table["k"], table["ari_least"], table["ari"], color=COLOURS["pix2pix"], alpha=0.15, linewidth=0,
                         label="down to the pair of seeds that is least alike")
    axes[2].set_ylim(min(0, table["ari_least"].min()), 1.03)
    handles = [axis.get_legend_handles_labels()[0][-1] for axis in (axes[0], axes[2])]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small")
    return figure


def cluster_montage(nearest: Sequence[Sequence[np.ndarray]], odd: Sequence[Sequence[np.ndarray]], labels: Sequence[str],
                    width: float = 11.0) -> Figure:
    """A row a cluster: the masks nearest to its centre, a gap, the odd ones out, framed in the cluster's colour.

    nearest, odd: masks (H, W) in {0, 1} of each cluster, best first. labels: left of the rows. width: inches.
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
            axis.imshow(mask_picture(mask))
            axis.spines[:].set(visible=True, color=colour, linewidth=2)
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8, fontsize="small")
    axes[0, 0].set_title("nearest to the centre", loc="left")
    axes[0, left + 1].set_title("odd ones out", loc="left")
    return figure


def cluster_scatter(points: np.ndarray, shares: Sequence[float], labels: np.ndarray, centres: np.ndarray) -> Figure:
    """Masks on the first two principal components of their features, coloured by cluster; numbers at the centres.

    points: (N, 2). shares: of the variance, that each component holds. labels: (N,) in 1 to K. centres: (K, 2).
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


def centre_heatmap(table: pd.DataFrame) -> Figure:
    """Mean descriptors of each cluster, a row a cluster, in sd of all masks: red above their mean, blue below."""
    figure, axis = plt.subplots(figsize=(11, 1.9 + 0.32 * len(table)))
    sns.heatmap(table, ax=axis, cmap="RdBu_r", center=0, vmin=-2, vmax=2, linewidths=0.5, xticklabels=True,
                cbar_kws={"label": "sd from the mean", "extend": "both", "ticks": [-2, 0, 2]})
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="x", rotation=40, length=0)
    axis.tick_params(axis="y", rotation=0, length=0)
    plt.setp(axis.get_xticklabels(), ha="right", rotation_mode="anchor")
    return figure


def loss_curves(log: pd.DataFrame) -> Figure:
    """Losses against the step, one panel each; the grey line below is the learning rate."""
    names = [name for name in log.columns if name not in ("step", "epoch", "learning_rate")]
    figure, axes = plt.subplots(1, len(names) + 1, figsize=(11, 2.6))
    for axis, name in zip(axes, [*names, "learning_rate"]):
        axis.plot(log["step"], log[name], color="0.5" if name == "learning_rate" else COLOURS["pix2pix"], linewidth=1.3)
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


def descriptor_bars(table: pd.DataFrame) -> Figure:
    """Wasserstein-1 distance to the real test masks, a group of bars a descriptor; columns of `table` are methods."""
    figure, axis = plt.subplots(figsize=(11, 3.6))
    table.plot.bar(ax=axis, width=0.8, color=[COLOURS.get(name, "0.4") for name in table.columns], log=True)
    axis.axhline(1, color="0.6", linewidth=0.8, zorder=0)
    axis.set(ylabel="Wasserstein-1\n(real standard deviations)", xlabel="", ylim=(0.01, None))
    axis.legend(loc="upper right", ncols=len(table.columns))
    axis.tick_params(axis="x", rotation=40)
    plt.setp(axis.get_xticklabels(), ha="right", rotation_mode="anchor")
    return figure


def ratio_bars(table: pd.DataFrame) -> Figure:
    """Left: how many times the textbook's rate, with quartiles. Right: share of the machine's peak.

    table: columns what, method, batch, ratio, ratio_low, ratio_high, float32_ratio, share_of_peak, a row a comparison.
    """
    labels = [f"{row.what}, {row.method}" + (f", batch {row.batch}" if row.batch > 1 else "") for row in table.itertuples()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.6 + 0.32 * len(table)), sharey=True)
    places = np.arange(len(table))[::-1]
    spread = [table["ratio"] - table["ratio_low"], table["ratio_high"] - table["ratio"]]
    left.barh(places, table["ratio"], xerr=spread, height=0.6, color=COLOURS["pix2pix"], ecolor="0.3")
    left.plot(table["float32_ratio"], places, "D", markersize=5, color=COLOURS["COPY"], markeredgecolor="0.2",
              label="without bfloat16")
    left.axvline(1, color="0.4", linewidth=0.8)
    left.set(yticks=places, yticklabels=labels, xlabel="rate of ours / rate of the textbook")
    right.barh(places, table["share_of_peak"], height=0.6, color=COLOURS["COPY"])
    right.axvline(1, color="0.4", linewidth=0.8)
    right.set(xlabel="share of the matrix-product peak")
    if table["float32_ratio"].notna().any():
        left.legend(loc="lower right")
    return figure


def slides_speed(table: pd.DataFrame, cost: pd.DataFrame) -> Figure:
    """Left: rate of cutting beside a bare OpenSlide loop. Middle and right: seconds and memory against slides.

    table: columns what, case, value, low, high, unit. cost: columns slides, seconds, MiB.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.2))
    shares = table[table["unit"] == "of its rate"]
    for number, (what, group) in enumerate(shares.groupby("what")):
        places = np.arange(len(group)) + 0.4 * number
        left.bar(places, group["value"], yerr=[group["value"] - group["low"], group["high"] - group["value"]], width=0.38,
                 color=(COLOURS["pix2pix"], COLOURS["COPY"])[number], ecolor="0.3", label=what.split()[1].rstrip(","))
    left.axhline(1, color="0.4", linewidth=0.8)
    left.set(xticks=np.arange(len(group)) + 0.2, xticklabels=group["case"], ylabel="rate / rate of a bare loop",
             ylim=(0, 1.35))
    left.legend(loc="upper center", ncols=2)
    for axis, column, unit in ((middle, "seconds", "time (s)"), (right, "MiB", "memory above the start (MiB)")):
        axis.plot(cost["slides"], cost[column], "o", color=COLOURS["pix2pix"])
        axis.set(xlabel="slides", ylabel=unit, xlim=(0, None), ylim=(0, 1.25 * cost[column].max()))
    slope = (cost["slides"] * cost["seconds"]).sum() / (cost["slides"] ** 2).sum()
    middle.plot([0, cost["slides"].max()], [0, slope * cost["slides"].max()], color="0.6", linewidth=0.8, zorder=0,
                label=f"{slope:.2g} s a slide")
    middle.legend(loc="upper left")
    return figure


def seam_crops(masks: dict[str, np.ndarray], row: int, column: int, side: int = 192) -> Figure:
    """The same square of several masks (H, W) in {0, 1}, by name; ticks at its frame stand where windows end.

    row, column: of the seams, px, in the middle of the square of `side` px.
    """
    figure, axes = plt.subplots(1, len(masks), figsize=(11, 11 / len(masks) + 0.3), squeeze=False)
    top, left = row - side // 2, column - side // 2
    for axis, (name, mask) in zip(axes[0], masks.items()):
        axis.imshow(mask_picture(mask[top:top + side, left:left + side]), interpolation="nearest",
                    extent=(left, left + side, top + side, top))
        axis.set(xticks=[column], yticks=[row], title=name)
        axis.tick_params(color=COLOURS["DEPAS"], length=9, width=2.5, right=True, labelleft=axis is axes[0, 0])
        axis.spines[:].set(visible=True, color="0.8", linewidth=0.6)
    return figure


def save_picture(picture: np.ndarray, path: str | Path) -> None:
    """Store an RGB picture (H, W, 3) uint8 as PNG, pixel by pixel, atomically."""
    with atomic(path) as temporary:
        Image.fromarray(picture).save(temporary)


def utility_curves(table: pd.DataFrame, shifts: Sequence[str]) -> Figure:
    """A row a metric, a column one of `shifts`: score against the share of real data, a line an arm, rules dashed.

    table: as `ppcore.experiments.utility.summarise` returns. Bars and the band are intervals over subjects; dots, single seeds.
    """
    metrics = {"iou": "IoU", "boundary_f1": "boundary F1 (2 px)"}
    looks = {"real": ("real alone", "o", COLOURS["real"]), "both": ("real and synthetic", "s", COLOURS["DEPAS"])}
    rules = {"threshold": ((0, (5, 3)), "the labels' own threshold"), "Otsu": ((0, (1, 2)), "Otsu's threshold")}
    figure, axes = plt.subplots(2, len(shifts), figsize=(11, 7.5), sharex=True, squeeze=False)
    for (row, metric), (column, shift) in product(enumerate(metrics), enumerate(shifts)):
        axis = axes[row, column]
        shown = table[(table["metric"] == metric) & (table["shift"] == shift)]
        shares = sorted(shown.loc[shown["arm"] == "real", "share"].unique())
        for offset, (arm, (label, marker, colour)) in zip((-0.04, 0.04), looks.items()):
            own = shown[shown["arm"] == arm].assign(place=lambda rows: rows["share"].map(shares.index) + offset)
            mean = own[own["seed"] == "mean"].sort_values("share")
            seeds = own[own["seed"] != "mean"]
            axis.errorbar(mean["place"], mean["value"], yerr=[mean["value"] - mean["low"], mean["high"] - mean["value"]],
                          marker=marker, color=colour, linewidth=1.6, markersize=7, capsize=4, label=label)
            axis.plot(seeds["place"] + 2.5 * offset, seeds["value"], marker, color=colour, markersize=3.5, alpha=0.45)
        alone = shown[(shown["arm"] == "synthetic") & (shown["seed"] == "mean")].iloc[0]
        axis.axhline(alone["value"], color=COLOURS["pix2pix"], linewidth=1.6, label="synthetic alone (no share)")
        axis.axhspan(alone["low"], alone["high"], color=COLOURS["pix2pix"], alpha=0.12, linewidth=0)
        for rule, (dashes, label) in rules.items():
            axis.axhline(shown.loc[shown["arm"] == rule, "value"].iloc[0], color="0.45", linewidth=1.4, linestyle=dashes,
                         label=label)
        axis.set(xticks=range(len(shares)), xticklabels=[f"{share:.0%}" for share in shares],
                 xlim=(-0.4, len(shares) - 0.6), ylabel=metrics[metric] if column == 0 else "",
                 xlabel="share of the real training patches" if row else "", title="" if row else shift)
    handles = dict(zip(*axes[0, 0].get_legend_handles_labels()[::-1]))
    order = sorted(handles, key=lambda label: "threshold" in label)
    figure.legend([handles[label] for label in order], order, loc="outside lower center", ncols=3)
    return figure


def variant_dots(table: pd.DataFrame, bands: dict[str, tuple[float, float]], titles: dict[str, str],
                 others: pd.DataFrame) -> Figure:
    """A panel a metric of `titles`: each training's score with its interval over subjects; the band is where one more
    seed would lie; in the last row other methods.

    table: columns training, name, metric, value, low, high; trainings of the first name are the study's own. others:
    index method, a column a metric, nan where a method has none.
    """
    trainings = table["training"].unique()[::-1]
    own = table["name"].iloc[0]
    figure, axes = plt.subplots(1, len(titles), figsize=(11, 1.9 + 0.3 * len(trainings)), sharey=True)
    for axis, (metric, title) in zip(axes, titles.items()):
        axis.axvspan(*bands[metric], color=COLOURS["pix2pix"], alpha=0.13, linewidth=0)
        rows = table[table["metric"] == metric].set_index("training").loc[trainings]
        for place, row in enumerate(rows.itertuples()):
            colour = COLOURS["pix2pix" if row.name == own else "real"]
            axis.plot([row.low, row.high], [place, place], color=colour, linewidth=1.5)
            axis.plot(row.value, place, "o" if row.name == own else "s", color=colour, markersize=6)
        for method, value in others[metric].dropna().items():
            axis.plot(value, -1, "D", color=COLOURS[method], markersize=7, markeredgecolor="white", clip_on=False,
                      label=method)
        axis.axhline(-0.5, color="0.8", linewidth=0.8)
        ends = pd.concat([rows["value"], rows["low"], rows["high"], others[metric]])
        margin = 0.06 * (ends.max() - ends.min())
        axis.set(title=title, xlim=(ends.min() - margin, ends.max() + margin), ylim=(-1.5, len(trainings) - 0.5))
        axis.set_yticks([-1, *range(len(trainings))], ["other methods", *trainings])
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels())}
    band = Patch(color=COLOURS["pix2pix"], alpha=0.13, linewidth=0, label="where another seed would lie, 95 %")
    figure.legend(handles=[band, *handles.values()], loc="outside lower center", ncols=4, fontsize="small")
    return figure
