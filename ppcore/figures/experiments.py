"""How are the experiments shown: speed, utility, variants?"""

from collections.abc import Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ppcore.figures.style import BLUE, COLOURS, ORANGE, VERMILION
from ppcore.methods.table import find


def ratio_bars(table: pd.DataFrame) -> Figure:
    """Left: rate relative to the textbook's, with quartiles. Right: share of the machine's peak.

    table: columns what, method, batch, ratio, ratio_low, ratio_high, float32_ratio, share_of_peak.
    """
    labels = [f"{row.what}, {row.method}" + (f", batch {row.batch}" if row.batch > 1 else "")
              for row in table.itertuples()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.6 + 0.32 * len(table)), sharey=True)
    places = np.arange(len(table))[::-1]
    spread = [table["ratio"] - table["ratio_low"], table["ratio_high"] - table["ratio"]]
    left.barh(places, table["ratio"], xerr=spread, height=0.6, color=BLUE, ecolor="0.3")
    left.plot(table["float32_ratio"], places, "D", markersize=5, color=ORANGE, markeredgecolor="0.2",
              label="without bfloat16")
    left.axvline(1, color="0.4", linewidth=0.8)
    left.set(yticks=places, yticklabels=labels, xlabel="our rate / textbook's rate")
    right.barh(places, table["share_of_peak"], height=0.6, color=ORANGE)
    right.axvline(1, color="0.4", linewidth=0.8)
    right.set(xlabel="share of the matrix-product peak")
    if table["float32_ratio"].notna().any():
        left.legend(loc="lower right")
    return figure


def ladder_lines(table: pd.DataFrame, titles: dict[str, str], beside: dict[str, dict[str, float]] | None = None) -> Figure:
    """Quality against minutes of one core, on a logarithmic axis; a panel per measure of `titles`, a line per method.

    table: columns method, minutes, and the measures. beside: measures of what is not trained, by its name: level lines.
    """
    figure, axes = plt.subplots(1, len(titles), figsize=(11, 3.2), squeeze=False)
    for axis, (measure, title) in zip(axes[0], titles.items()):
        for method, group in table.groupby("method", sort=False):
            axis.plot(group["minutes"], group[measure], "o-", color=COLOURS[method], label=find(method).label)
        for name, values in (beside or {}).items():
            axis.axhline(values[measure], color="0.4", linewidth=1, linestyle="--", label=name)
        axis.set(xlabel="minutes of one core", title=title)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda minutes, place: f"{minutes:g}")
    axes[0, 0].legend()
    return figure


def slides_speed(table: pd.DataFrame, cost: pd.DataFrame) -> Figure:
    """Left: rate of cutting relative to a bare OpenSlide loop. Middle and right: seconds and memory against slides.

    table: columns what, case, value, low, high, unit. cost: columns slides, seconds, MiB.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.2))
    shares = table[table["unit"] == "of its rate"]
    for number, (what, group) in enumerate(shares.groupby("what")):
        places = np.arange(len(group)) + 0.4 * number
        left.bar(places, group["value"], yerr=[group["value"] - group["low"], group["high"] - group["value"]],
                 width=0.38, color=(BLUE, ORANGE)[number], ecolor="0.3", label=what.split()[1].rstrip(","))
    left.axhline(1, color="0.4", linewidth=0.8)
    left.set(xticks=np.arange(len(group)) + 0.2, xticklabels=group["case"], ylabel="rate / rate of a bare loop",
             ylim=(0, 1.35))
    left.legend(loc="upper center", ncols=2)
    for axis, column, unit in ((middle, "seconds", "time (s)"), (right, "MiB", "memory above the start (MiB)")):
        axis.plot(cost["slides"], cost[column], "o", color=BLUE)
        axis.set(xlabel="slides", ylabel=unit, xlim=(0, None), ylim=(0, 1.25 * cost[column].max()))
    slope = (cost["slides"] * cost["seconds"]).sum() / (cost["slides"] ** 2).sum()
    middle.plot([0, cost["slides"].max()], [0, slope * cost["slides"].max()], color="0.6", linewidth=0.8, zorder=0,
                label=f"{slope:.2g} s per slide")
    middle.legend(loc="upper left")
    return figure


UTILITY = {"real": ("real", "o", COLOURS["real"]), "both": ("real + synthetic", "s", VERMILION),
           "copy-paste": ("real + copy-paste", "D", ORANGE), "synthetic": ("synthetic alone", "^", BLUE)}


def utility_curves(table: pd.DataFrame, tests: Sequence[str], sizes: Sequence[str], metrics: dict[str, str]) -> Figure:
    """One row per metric, one column per test: score against n, a line per arm.

    table: from `ppcore.experiments.utility.summarise`. Bars: intervals over seeds and subjects; small marks: single seeds.
    """
    figure, axes = plt.subplots(len(metrics), len(tests), figsize=(11, 3.4 * len(metrics)), sharex=True, sharey="row",
                                squeeze=False)
    for (row, metric), (column, test) in product(enumerate(metrics), enumerate(tests)):
        axis = axes[row, column]
        for offset, (arm, (label, marker, colour)) in zip((-0.15, -0.05, 0.05, 0.15), UTILITY.items()):
            own = table[(table["metric"] == metric) & (table["test"] == test) & (table["arm"] == arm)]
            own = own.assign(place=own["n"].map(list(sizes).index) + offset).sort_values("place")
            mean, seeds = own[own["seed"] == "mean"], own[own["seed"] != "mean"]
            axis.errorbar(mean["place"], mean["value"], marker=marker, color=colour, linewidth=1.4, markersize=6,
                          yerr=[mean["value"] - mean["low"], mean["high"] - mean["value"]], capsize=3, label=label)
            axis.plot(seeds["place"], seeds["value"], marker, color=colour, markersize=3, alpha=0.45)
        axis.set(xticks=range(len(sizes)), xticklabels=sizes, xlim=(-0.4, len(sizes) - 0.6),
                 ylabel=metrics[metric] if column == 0 else "", title="" if row else test,
                 xlabel="n, labelled patches" if row == len(metrics) - 1 else "")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(UTILITY))
    return figure


def difference_dots(table: pd.DataFrame, tests: Sequence[str], sizes: Sequence[str], title: str) -> Figure:
    """Dice of each arm minus that of real patches alone, against n; a panel per test. table: as of `utility_curves`."""
    figure, axes = plt.subplots(1, len(tests), figsize=(11, 3.2), sharey=True, squeeze=False)
    for axis, test in zip(axes[0], tests):
        axis.axhline(0, color=UTILITY["real"][2], linewidth=1)
        for offset, (arm, (label, marker, colour)) in zip((-0.15, 0, 0.15), list(UTILITY.items())[1:]):
            own = table[(table["metric"] == "dice") & (table["test"] == test) & (table["arm"] == f"{arm} - real")]
            own = own.assign(place=own["n"].map(list(sizes).index) + offset)
            mean, seeds = own[own["seed"] == "mean"], own[own["seed"] != "mean"]
            axis.errorbar(mean["place"], mean["value"], marker=marker, color=colour, linestyle="none", markersize=6,
                          yerr=[mean["value"] - mean["low"], mean["high"] - mean["value"]], capsize=3, label=label)
            axis.plot(seeds["place"], seeds["value"], marker, color=colour, markersize=3, alpha=0.45)
        axis.set(xticks=range(len(sizes)), xticklabels=sizes, xlim=(-0.4, len(sizes) - 0.6), title=test,
                 xlabel="n, labelled patches")
    axes[0, 0].set_ylabel(f"{title}, minus that of real")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def stress_lines(table: pd.DataFrame) -> Figure:
    """Dice along each axis, a panel an axis, a line a segmenter: means over outlines, which are the faint lines.

    table: from `ppcore.experiments.stress.stress`.
    """
    axes_of, colours = table["axis"].unique(), (COLOURS["real"], VERMILION, BLUE, ORANGE)
    figure, axes = plt.subplots(1, len(axes_of), figsize=(11, 3.2), sharey=True, squeeze=False)
    for axis, name in zip(axes[0], axes_of):
        for colour, (segmenter, own) in zip(colours, table[table["axis"] == name].groupby("segmenter", sort=False)):
            each = own.pivot(index="asked", columns="outline", values="dice")
            axis.plot(each, color=colour, linewidth=0.7, alpha=0.35)
            axis.plot(each.mean(axis=1), "o-", color=colour, linewidth=1.8, label=segmenter)
        axis.set(xlabel=name)
    axes[0, 0].set_ylabel("Dice")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(colours))
    return figure


def variant_dots(table: pd.DataFrame, bands: dict[str, tuple[float, float]], titles: dict[str, str],
                 others: pd.DataFrame) -> Figure:
    """One panel per metric of `titles`: scores of trainings, with intervals over subjects, and of other methods.

    table: columns training, name, metric, value, low, high; trainings of the first name are the study's own. bands:
    prediction interval for another seed. others: index method, one column per metric, nan if missing.
    """
    trainings = table["training"].unique()[::-1]
    own = table["name"].iloc[0]
    figure, axes = plt.subplots(1, len(titles), figsize=(11, 1.9 + 0.3 * len(trainings)), sharey=True)
    for axis, (metric, title) in zip(axes, titles.items()):
        axis.axvspan(*bands[metric], color=BLUE, alpha=0.13, linewidth=0)
        rows = table[table["metric"] == metric].set_index("training").loc[trainings]
        for place, row in enumerate(rows.itertuples()):
            colour = BLUE if row.name == own else COLOURS["real"]
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
    band = Patch(color=BLUE, alpha=0.13, linewidth=0, label="95 % prediction interval for another seed")
    figure.legend(handles=[band, *handles.values()], loc="outside lower center", ncols=4, fontsize="small")
    return figure
