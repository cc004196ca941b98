"""What did a run find? Its stored tables as numbers, and sentences derived from these numbers alone.

One method is called better than another only if their intervals over subjects do not overlap.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ppcore.methods.table import FLOOR, PRIORPATH
from ppcore.metrics.cells import LEAST, cell_means, read_cells
from ppcore.metrics.table import COLUMNS as METRIC_COLUMNS
from ppcore.metrics.table import LABELS, METHODS, NO_WEIGHTS, read_metrics
from ppcore.study.errors import StudyError, warn

COLUMNS = {"mmd2": "MMD²", "ks": "KS", "kl_paper100": "KL (100 points)", "fid": "FID", "kd": "kd",
           "coverage": "coverage", "repetition": "repetition", "diversity_ratio": "diversity / error",
           "control_iou": "IoU to outline", "control_boundary_f1": "boundary F1", "contract_control_iou": "IoU, held",
           "contract_kd": "kd, held", "contract_mmd2": "MMD², held"}
SHORT = {"mmd2": "MMD²", "ks": "KS"}
HIGHER = ("coverage", "density", "control_iou", "control_boundary_f1")  # higher is better; for all others, lower


def scores(metrics: pd.DataFrame, protocol: str = "A") -> pd.DataFrame:
    """Tidy metrics of one cohort as numbers: index (method, metric), columns value, low, high; words become nan.

    Over several trainings, value is their mean, and low to high spans the intervals over subjects of all of them.
    """
    table = metrics[metrics["protocol"] == protocol].set_index(["method", "metric"])[["value", "low", "high"]]
    trainings = table.apply(pd.to_numeric, errors="coerce").groupby(level=[0, 1])
    return trainings.agg({"value": "mean", "low": "min", "high": "max"})


def methods_of(metrics: pd.DataFrame, protocol: str = "A") -> list[str]:
    """Mask methods in a table: those of Table 2 in its order, then any others."""
    found = metrics[(metrics["protocol"] == protocol) & (metrics["metric"] == "mmd2")]["method"]
    return [name for name in METHODS if name in set(found)] + [name for name in found.unique() if name not in METHODS]


def told_apart(table: pd.DataFrame, metric: str, other: str, one: str = PRIORPATH) -> str:
    """Is `one` better than `other` on a metric? "better", "worse", "alike" (the intervals overlap) or "unknown"."""
    if (one, metric) not in table.index or (other, metric) not in table.index:
        return "unknown"
    (low, high), (other_low, other_high) = (table.loc[(name, metric), ["low", "high"]] for name in (one, other))
    if np.isnan([low, high, other_low, other_high]).any():
        return "unknown"
    below, above = ("worse", "better") if metric in HIGHER else ("better", "worse")
    return below if high < other_low else above if low > other_high else "alike"


def shown(table: pd.DataFrame, method: str, metric: str, digits: int = 3) -> str:
    """`value [low, high]` to `digits` significant digits; empty if there is no number."""
    if (method, metric) not in table.index or math.isnan(table.loc[(method, metric), "value"]):
        return ""
    value, low, high = table.loc[(method, metric)]
    return f"{value:.{digits}g}" + ("" if math.isnan(low) or low == high else f" [{low:.{digits}g}, {high:.{digits}g}]")


def reading(metrics: pd.DataFrame, cells: pd.DataFrame | None = None) -> list[str]:
    """Sentences that compare PriorPath's masks with those of the other methods, from the numbers alone: shapes, amount
    of tissue, control, then coverage, regions and FID if stored."""
    table, others = scores(metrics), [name for name in methods_of(metrics) if name not in (PRIORPATH, FLOOR)]
    titles = {"mmd2": "Shapes (MMD²)", "ks": "Amount of tissue (KS)"}
    lines = [f"{title}: {_verdict(table, metric, others)}" for metric, title in titles.items()]
    kept = [name for name in (PRIORPATH, *others) if (name, "control_iou") in table.index]
    for metric, title in (("control_iou", "Control (IoU to the outline)"),
                          ("control_boundary_f1", "Control (boundary F1)")):
        lines.append(f"{title}: {_verdict(table, metric, [name for name in kept if name not in (PRIORPATH, 'COPY')])}"
                     + (" COPY is the outline itself." if "COPY" in kept else ""))
    for name in kept:
        if name != "COPY" and told_apart(table, "mmd2", "COPY", one=name) == "alike":
            lines.append(f"{name} is indistinguishable from COPY in shapes: no better than returning the outline.")
    if (PRIORPATH, "coverage") in table.index:
        lines.append(f"Coverage: {_verdict(table, 'coverage', others)}")
    means = None if cells is None else cell_means(cells).query("space == 'kmeans'").set_index("method")
    if means is not None and means["of"].max():
        lines.append(f"Regions: left empty, of {means['of'].max()} K-means cells with {LEAST} or more real masks: "
                     + ", ".join(f"{LABELS.get(name, name)} {means.loc[name, 'no_sample']}"
                                 for name in (FLOOR, PRIORPATH, *others) if name in means.index) + ".")
    fid = metrics[(metrics["metric"] == "fid") & (metrics["protocol"] == "A")].set_index("method")
    if PRIORPATH in fid.index:
        lines.append("FID: not computed; the Inception weights were not available."
                     if fid.loc[PRIORPATH, "value"] == NO_WEIGHTS else f"FID: {fid.loc[PRIORPATH, 'value']} from "
                     f"{fid.loc[PRIORPATH, 'n']} masks, COPY {fid.loc['COPY', 'value']}.")
    return lines


def beside_copy(value: pd.Series, distances: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """Sentences on trained methods: is it closer to real masks than the outline itself, and which descriptor is worst?

    value: numbers of protocol A by (method, metric), as text. distances: Wasserstein-1, descriptors x all methods.
    """
    score = {name: {key: float(value[name, key]) for key in ("mmd2", "ks")} for name in distances}
    lines = []
    for name in methods:
        verdicts = [f"{'beats' if score[name][key] < score['COPY'][key] else 'does NOT beat'} COPY on {title} "
                    f"({score[name][key]:.3f} against {score['COPY'][key]:.3f})" for key, title in SHORT.items()]
        lines.append(f"{name} {' and '.join(verdicts)}; worst descriptor {distances[name].idxmax()} "
                     f"({distances[name].max():.2f} sd).")
    near = [name for name in distances if float(value[name, "nearest_train_ratio"]) < 1]
    return [*lines, f"Other subjects' real masks: MMD² {score[FLOOR]['mmd2']:.3f}, KS {score[FLOOR]['ks']:.3f}.",
            f"Closer to the training set than the test masks are: {', '.join(near)}."]


def beside_look_up(value: pd.Series) -> list[str]:
    """Is pix2pix better than looking an outline up in the training set? value: as in `beside_copy`."""
    look, gan = ({key: float(value[name, key]) for key in ("mmd2", "coverage", "control_iou")}
                 for name in ("nearest-train", PRIORPATH))
    rows = [f"{found['mmd2']:6.3f}{found['coverage']:6.2f}{found['control_iou']:6.2f}  {name}"
            for name, found in (("looked up in the training set", look), ("pix2pix", gan))]
    return ["MMD², coverage and IoU to the outline:", *rows,
            f"pix2pix {'is' if gan['mmd2'] < look['mmd2'] else 'is NOT'} closer to real masks (MMD²) than a look-up, "
            f"and {'keeps' if gan['control_iou'] > look['control_iou'] else 'does NOT keep'} to the outline better."]


def from_sketches(table: pd.DataFrame, methods: Sequence[str], source: str) -> list[str]:
    """What methods make of sketches. table: metrics x methods, of `table.compare`. source: simulated, or drawn."""
    return [f"From {source} sketches, {name} has an MMD² of {float(table.loc['mmd2', name]):.3f} (the sketch itself "
            f"{float(table.loc['mmd2', 'COPY']):.3f}) and an IoU to the sketch of "
            f"{float(table.loc['control_iou', name]):.3f}." for name in methods]


def images_beside(metrics: pd.DataFrame) -> str:
    """Are images better with a fine mask in between? metrics: tidy, of one cohort."""
    image = metrics[metrics["metric"] == "image_mmd2"].set_index("method")
    image = image[["value", "low", "high"]].apply(pd.to_numeric)
    chain, direct = image.loc["coarse-to-fine-to-image"], image.loc["coarse-to-image"]
    apart = direct["value"] < chain["low"] or direct["value"] > chain["high"]  # False without an interval
    return (f"Images: via the fine mask {chain['value']:.3f} [{chain['low']:.3f}, {chain['high']:.3f}], straight from "
            f"the outline {direct['value']:.3f} (image MMD², real-train {image.loc[FLOOR, 'value']:.3f}): the way via "
            f"the fine mask is {'closer' if chain['value'] < direct['value'] else 'NOT closer'} to real images"
            f"{'' if apart else ', but within the interval over subjects, so the two cannot be told apart here'}.")


def _verdict(table: pd.DataFrame, metric: str, others: Sequence[str]) -> str:
    groups: dict[str, list[str]] = {}
    for name in others:
        if (name, metric) in table.index:
            groups.setdefault(told_apart(table, metric, name), []).append(
                f"{LABELS.get(name, name)} ({table.loc[(name, metric), 'value']:.3g})")
    words = {"better": "better than", "alike": "indistinguishable from", "worse": "worse than",
             "unknown": "not compared (no intervals) with"}
    parts = [f"{words[outcome]} {_listed(groups[outcome])}" for outcome in words if outcome in groups]
    floor = shown(table, FLOOR, metric)
    return (f"{LABELS[PRIORPATH]} {shown(table, PRIORPATH, metric)}{' is ' if parts else ''}{'; '.join(parts)}."
            + (f" Real masks of other subjects: {floor}." if floor else ""))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def read_run(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame | None, dict]:
    """metrics.csv, cells.csv and run.json of a figures folder; None and {} if the last two are missing.

    Raises `StudyError` if metrics.csv is missing, or was stored by another version of the study.
    """
    folder = Path(folder)
    if not (folder / "metrics.csv").exists():
        raise StudyError(f"{folder / 'metrics.csv'} is missing: run the cohort first (./run_all.sh "
                         f"--cohort {folder.name} --profile {folder.parent.name})")
    cells = read_cells(folder / "cells.csv") if (folder / "cells.csv").exists() else None
    record = json.loads((folder / "run.json").read_text()) if (folder / "run.json").exists() else {}
    metrics = read_metrics(folder / "metrics.csv")
    if absent := [name for name in METRIC_COLUMNS if name not in metrics]:
        raise StudyError(f"{folder / 'metrics.csv'} has no {', '.join(absent)}: another version of the study stored "
                         "it; run the cohort again (--from 08)")
    return metrics, cells, record


def stored_runs(folder: str | Path) -> dict[str, tuple[pd.DataFrame, pd.DataFrame | None, dict]]:
    """Cohort -> `read_run` for every cohort in a profile's figures folder; skips unreadable ones with a warning."""
    runs = {}
    for path in sorted(Path(folder).glob("*/metrics.csv")):
        try:
            runs[path.parent.name] = read_run(path.parent)
        except StudyError as error:
            warn(str(error))
    return runs


def overview(runs: dict[str, tuple]) -> pd.DataFrame:
    """Cohorts by methods: MMD², its mean over K-means cells, KS and control of every run of `stored_runs`, as text."""
    rows = {}
    for cohort, (metrics, cells, _) in runs.items():
        table, methods = scores(metrics), methods_of(metrics)
        for metric in ("mmd2", "ks", "coverage", "control_iou", "control_boundary_f1"):
            if metric in set(metrics["metric"]):
                rows[cohort, COLUMNS[metric]] = {name: shown(table, name, metric) for name in methods}
        if cells is not None:
            means = cell_means(cells).query("space == 'kmeans'").set_index("method")
            rows[cohort, "MMD², mean over K-means cells"] = {
                name: f"{means.loc[name, 'mean']:.3g} in {means.loc[name, 'cells']} of {means.loc[name, 'of']}"
                if means.loc[name, "cells"] else f"none of {means.loc[name, 'of']}"
                for name in methods if name in means.index}
    return pd.DataFrame.from_dict(rows, orient="index").fillna("").rename_axis(["cohort", "distance"])
