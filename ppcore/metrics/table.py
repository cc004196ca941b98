"""How does each method score? Every metric of a set of masks against the real test masks, as tidy rows; Table 2."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ppcore.masks import tissue_mask
from ppcore.metrics.control import control, diversity, iou
from ppcore.metrics.distribution import bootstrap_by_subject, kl_nats, kl_paper100, ks
from ppcore.metrics.frechet import fid_kid
from ppcore.metrics.image import DESCRIPTORS as IMAGE_DESCRIPTORS
from ppcore.metrics.image import describe_images
from ppcore.metrics.morphometry import DESCRIPTORS, describe_all, mmd, mmd_interval, wasserstein

# The rows of Table 2 in their order: a floor, a baseline, what starts from an outline, what starts from noise.
METHODS = ("real-train", "COPY", "pix2pix", "CycleGAN", "DCGAN", "DEPAS")
# What makes an image: of the real fine mask; of pix2pix's fine mask (PriorPath as a whole); of the outline directly.
IMAGE_METHODS = ("real-train", "fine-to-image", "coarse-to-fine-to-image", "coarse-to-image")
LABELS = {"DEPAS": "DEPAS (our reading)"}  # reading R21
# From sketches (protocol B): nothing that needs the outline's own real mask, or none at all.
SKETCH_METHODS = ("COPY", "pix2pix", "CycleGAN")
# protocol (reading R10): "A", outlines C(m) of test masks; "B drawn" or "B simulated", sketches
COLUMNS = ("cohort", "method", "protocol", "metric", "value", "low", "high", "n", "seed", "device", "commit")
NO_WEIGHTS = "no weights"  # what stands for FID and KID without the Inception weights (reading R26)


@dataclass(frozen=True)
class MaskSet:
    """Masks of one method (or the real ones) and the subject of each.

    masks: N arrays (H, W) in {0, 1}. subjects: (N,) labels; a mask made from an outline carries its subject.
    """

    masks: Sequence[np.ndarray]
    subjects: np.ndarray

    @cached_property
    def fractions(self) -> np.ndarray:
        """Tissue fraction of each mask, (N,)."""
        return np.array([mask.mean() for mask in self.masks])

    @cached_property
    def descriptors(self) -> np.ndarray:
        """Morphometry of each mask, (N, D) (reading R27)."""
        return describe_all(self.masks)


def similarity_rows(real: MaskSet, synthetic: MaskSet, *, permutations: int, resamples: int, seed: int,
                    weights=None) -> list[dict]:
    """Rows metric, value, low, high, n for everything that compares two sets: KS, KL, FID, KID, MMD, Wasserstein.

    low and high: 95 % bootstrap over subjects (reading R31), empty where none is defined. weights: the Inception
    weights file, or None, in which case FID and KID say so (R26). n: number of synthetic masks compared.
    """
    n = len(synthetic.masks)
    rows = []
    for metric in (ks, kl_nats, kl_paper100):
        low, high = bootstrap_by_subject(lambda r, s, metric=metric: metric(real.fractions[r], synthetic.fractions[s]),
                                         real.subjects, synthetic.subjects, resamples=resamples, seed=seed)
        rows.append(_row(metric.__name__, metric(real.fractions, synthetic.fractions), n, low, high))
    scores = {"fid": NO_WEIGHTS, "kid": NO_WEIGHTS, "n": n}
    if weights is not None:
        scores = fid_kid(synthetic.masks, real.masks, weights, seed=seed)
    rows += [_row(name, scores[name], scores["n"]) for name in ("fid", "kid")]
    distance, p = mmd(real.descriptors, synthetic.descriptors, permutations, seed)
    rows.append(_row("mmd2", distance, n, *mmd_interval(real.descriptors, synthetic.descriptors, real.subjects,
                                                        synthetic.subjects, resamples, seed)))
    rows.append(_row("mmd_p", p, n))
    distances = wasserstein(real.descriptors, synthetic.descriptors)
    rows.append(_row("w1_mean", distances.mean(), n))
    return rows + [_row(f"w1_{name}", value, n) for name, value in zip(DESCRIPTORS, distances)]


def control_rows(outlines: Sequence[np.ndarray], generated: MaskSet, coarsen: Callable[[np.ndarray], np.ndarray], *,
                 resamples: int, seed: int) -> list[dict]:
    """Rows for how well each mask keeps to its outline (reading R30): means over masks, bootstrap over subjects."""
    each = pd.DataFrame([control(x, y, coarsen) for x, y in zip(outlines, generated.masks)])
    rows = []
    for name, values in each.items():
        values = values.to_numpy()
        low, high = bootstrap_by_subject(lambda i, values=values: values[i].mean(), generated.subjects,
                                         resamples=resamples, seed=seed)
        rows.append(_row(f"control_{name}", values.mean(), len(values), low, high))
    return rows


def diversity_row(samples: Sequence[np.ndarray]) -> dict:
    """Row for the diversity (reading R30): mean over outlines, each with its (S, H, W) samples."""
    return _row("diversity", float(np.mean([diversity(group) for group in samples])), len(samples))


def image_rows(real: Sequence[np.ndarray], synthetic: Sequence[np.ndarray], subjects_real: np.ndarray,
               subjects_synthetic: np.ndarray, *, permutations: int, resamples: int, seed: int,
               weights=None) -> list[dict]:
    """Rows that compare two sets of RGB images (H, W, 3): FID and KID (as for masks), MMD and Wasserstein of colours
    and detail (`ppcore.metrics.image`). subjects_*: label of each image, (N,), as in `MaskSet`."""
    n = len(synthetic)
    scores = {"fid": NO_WEIGHTS, "kid": NO_WEIGHTS, "n": n}
    if weights is not None:
        scores = fid_kid(synthetic, real, weights, seed=seed)
    described = describe_images(real), describe_images(synthetic)
    distance, p = mmd(*described, permutations, seed)
    interval = mmd_interval(*described, subjects_real, subjects_synthetic, resamples, seed)
    distances = wasserstein(*described)
    return [*(_row(f"image_{name}", scores[name], scores["n"]) for name in ("fid", "kid")),
            _row("image_mmd2", distance, n, *interval), _row("image_mmd_p", p, n), _row("image_w1_mean", distances.mean(), n),
            *(_row(f"image_w1_{name}", value, n) for name, value in zip(IMAGE_DESCRIPTORS, distances))]


def image_control_row(masks: Sequence[np.ndarray], images: Sequence[np.ndarray], air_threshold: int) -> dict:
    """Row for how well an image keeps to the mask it was to fill: IoU of that mask and of the image's own tissue, by
    the threshold that made the real masks (gray 0-255, reading R3); mean over the images."""
    return _row("image_control_iou", float(np.mean([iou(mask, tissue_mask(rgb, air_threshold))
                                                    for mask, rgb in zip(masks, images)])), len(masks))


def _row(metric: str, value: float | str, n: int, low: float = np.nan, high: float = np.nan) -> dict:
    return {"metric": metric, "value": value if isinstance(value, str) else f"{value:.6g}",
            "low": "" if np.isnan(low) else f"{low:.6g}", "high": "" if np.isnan(high) else f"{high:.6g}", "n": n}


def table_2(metrics: pd.DataFrame, protocol: str = "A") -> pd.DataFrame:
    """Table 2 from the tidy metrics of one cohort: a row a method of METHODS (from sketches: SKETCH_METHODS), also of
    those not run."""
    return _table(metrics[metrics["protocol"] == protocol], METHODS if protocol == "A" else SKETCH_METHODS, {
        "ks": "KS", "kl_nats": "KL (nats)", "kl_paper100": "KL (100 points)", "fid": "FID", "kid": "KID", "mmd2": "MMD²",
        "mmd_p": "MMD p", "w1_mean": "W1 (sd)", "control_iou": "IoU to outline", "control_boundary_f1": "boundary F1",
        "diversity": "diversity"})


def image_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """The same for the images: a row for each of IMAGE_METHODS."""
    return _table(metrics[metrics["metric"].str.startswith("image_")], IMAGE_METHODS, {
        "image_fid": "FID", "image_kid": "KID", "image_mmd2": "MMD²", "image_mmd_p": "MMD p",
        "image_w1_mean": "W1 (sd)", "image_control_iou": "IoU to fine mask"})


def _table(metrics: pd.DataFrame, methods: Sequence[str], shown: dict[str, str]) -> pd.DataFrame:
    rows = []
    for method in methods:
        scores = metrics[metrics["method"] == method].set_index("metric")
        row = {"method": LABELS.get(method, method), "n": str(scores["n"].iloc[0]) if len(scores) else "not run"}
        row |= {title: _cell(scores.loc[name]) if name in scores.index else "" for name, title in shown.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _cell(score: pd.Series) -> str:
    """`value [low, high]` to three digits; words as they are."""
    try:
        text = f"{float(score['value']):.3g}"
    except ValueError:
        return str(score["value"])
    return f"{text} [{float(score['low']):.3g}, {float(score['high']):.3g}]" if score["low"] != "" else text


def read_metrics(path) -> pd.DataFrame:
    """Read metrics.csv with every value as it is written, words and empty cells too; `n` and `seed` are numbers."""
    return pd.read_csv(path, dtype=str, keep_default_na=False).astype({"n": int, "seed": int})
