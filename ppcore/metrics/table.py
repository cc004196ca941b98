"""How does each method score? Table 2 and similar tables, from the tidy rows of metrics.csv."""

from collections.abc import Iterable, Sequence

import pandas as pd

from ppcore.masks.labels import Classes
from ppcore.methods.table import FLOOR, ROWS, names
from ppcore.metrics.tidy import prefixes
from ppcore.study.runs import Run

METHODS = names()  # the rows of Table 2, in their order
IMAGE_METHODS = (FLOOR, "nearest-train", *names(makes="image"))  # two of real images, then models
SKETCH_METHODS = names(given="outline")  # protocol B: only methods that take an outline
LABELS = {row.name: row.label for row in ROWS}
# protocol (reading R10): "A", outlines C(m) of test masks; "B drawn" or "B simulated", sketches
COLUMNS = ("cohort", "method", "protocol", "metric", "value", "low", "high", "n", "seed", "device", "commit")
NO_WEIGHTS = "no weights"  # written for FID and KID without the Inception weights (reading R26)

MASK_METRICS = ("ks", "kl_nats", "kl_paper100", "fid", "kid", "fid_infinity", "kd", "fd", "mmd2", "mmd_p", "mmd_p_holm",
                "w1_mean", "density", "coverage", "occupancy", "occupancy_tv", "repetition", "grid",
                "nearest_train_ratio", "copying_ct", "control_iou",
                "control_boundary_f1", "control_fraction_error", "control_fraction_bias", "control_fraction_rank",
                "diversity", "diversity_ratio")  # in the order in which notebook 08 shows them
OF_TISSUE = ("ks", "kl_nats", "kl_paper100", "repetition", "control_iou", "control_boundary_f1", "image_control_iou")
CLASS_METRICS = ("ks", "repetition", "grid", "control_iou", "control_boundary_f1", "control_fraction_asked",
                 "control_fraction_obtained", "control_fraction_error", "control_fraction_rank", "number", "area",
                 "area_spread", "nearest")  # of a further class of label maps
COPYING_METRICS = ("nearest_train_ratio", "copying_ct", "nearest_train_ratio_pixels", "copying_ct_pixels",
                   "nearest_train_ratio_windows", "copying_ct_windows")
IMAGE_METRICS = ("image_fid", "image_kid", "image_kd", "image_fd", "image_mmd2", "image_mmd_p", "image_w1_mean",
                 "image_air", "image_repetition", "image_grid", "image_nearest_train_ratio_windows",
                 "image_copying_ct_windows", "image_diversity", "image_control_iou")
DICE = ": image_dice"  # <class>: image_dice, of a further class


def mask_metrics(classes: Classes) -> tuple[str, ...]:
    """MASK_METRICS, then CLASS_METRICS of each further class: those that notebook 08 shows."""
    return MASK_METRICS + tuple(f"{named}{metric}" for named in prefixes(classes).values() for metric in CLASS_METRICS)


def image_metrics(classes: Classes) -> tuple[str, ...]:
    """IMAGE_METRICS, then the Dice of each further class."""
    return IMAGE_METRICS + tuple(f"{label.name}{DICE}" for label in classes[2:])


def compare(scores: dict[str, list[dict]], metrics: Sequence[str]) -> pd.DataFrame:
    """Values of several methods as they are written: one row per metric, one column per method, "" if missing."""
    columns = {name: {row["metric"]: row["value"] for row in rows} for name, rows in scores.items()}
    return pd.DataFrame(columns).reindex(metrics).fillna("")


def metrics_table(found: Iterable[tuple[str, str, int, list[dict]]], run: Run) -> pd.DataFrame:
    """metrics.csv: COLUMNS, a line per row. found: protocol, method, seed of its training, and rows of `tidy`."""
    return pd.DataFrame([{"cohort": run.cohort, "method": method, "protocol": protocol, **row, "seed": seed,
                          "device": run.device, "commit": run.commit}
                         for protocol, method, seed, rows in found for row in rows])[list(COLUMNS)]


def table_2(metrics: pd.DataFrame, protocol: str = "A") -> pd.DataFrame:
    """Table 2 from the tidy metrics of one cohort: one row per method of METHODS (from sketches: SKETCH_METHODS), run
    or not. Rows of several training seeds give `mean [least, largest]` over the seeds (reading R31)."""
    methods = METHODS if protocol == "A" else SKETCH_METHODS
    return _table(metrics[metrics["protocol"] == protocol], methods, _titled(metrics, {
        "ks": "KS", "kl_nats": "KL (nats)", "kl_paper100": "KL (100 points)", "fid": "FID", "kid": "KID", "kd": "kd",
        "mmd2": "MMD²", "mmd_p_holm": "MMD p (Holm)", "w1_mean": "W1 (sd)", "density": "density",
        "coverage": "coverage", "repetition": "repetition", "nearest_train_ratio": "nearest-train ratio",
        "control_iou": "IoU to outline", "control_boundary_f1": "boundary F1", "diversity_ratio": "diversity / error"}))


def _titled(metrics: pd.DataFrame, titles: dict[str, str]) -> dict[str, str]:
    """Metric -> title of its column; for a cohort of label maps it says what speaks of tissue alone."""
    several = metrics["metric"].str.contains(": ", regex=False).any()  # rows of further classes
    return {name: f"{title}, tissue" if several and name in OF_TISSUE else title for name, title in titles.items()}


def image_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """The same for images: one row per method of IMAGE_METHODS; a column for each further class that has a Dice."""
    own = metrics[metrics["metric"].str.contains(f"^image_|{DICE}$")]
    dice = {name: f"Dice of {name.removesuffix(DICE)}" for name in own["metric"].unique() if name.endswith(DICE)}
    return _table(own, IMAGE_METHODS, _titled(metrics, {
        "image_fid": "FID", "image_kid": "KID", "image_kd": "kd", "image_mmd2": "MMD²", "image_mmd_p": "MMD p",
        "image_w1_mean": "W1 (sd)", "image_control_iou": "IoU to fine mask", "image_air": "air colour",
        "image_repetition": "repetition", "image_nearest_train_ratio_windows": "nearest-train ratio (64 px)",
        "image_diversity": "diversity"} | dice))


def _table(metrics: pd.DataFrame, methods: Sequence[str], shown: dict[str, str]) -> pd.DataFrame:
    rows = []
    for method in methods:
        scores = metrics[metrics["method"] == method]
        row = {"method": LABELS.get(method, method), "n": str(scores["n"].iloc[0]) if len(scores) else "not run"}
        row |= {title: _cell(scores[scores["metric"] == name]) for name, title in shown.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _cell(scores: pd.DataFrame) -> str:
    """`value [low, high]` to three digits, over seeds if there are several rows; words stay."""
    values = pd.to_numeric(scores["value"], errors="coerce")
    if values.isna().any() or not len(scores):
        return ", ".join(scores["value"].unique())
    low, high = scores[["low", "high"]].iloc[0] if len(scores) == 1 else (values.min(), values.max())
    text = f"{values.mean():.3g}"
    return text if low == "" or low == high else f"{text} [{float(low):.3g}, {float(high):.3g}]"


def read_metrics(path) -> pd.DataFrame:
    """Read metrics.csv: values as text, words and empty cells included; `n` and `seed` as numbers."""
    return pd.read_csv(path, dtype=str, keep_default_na=False).astype({"n": int, "seed": int})
