"""How does each method score? All metrics of a set of masks or images against the real test set, as tidy rows.

A row is a dict of metric, value, low, high, n. low and high: 95 % bootstrap interval over subjects (reading R31), empty
if there is none. n: number of synthetic masks, images or outlines.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ppcore.masks.make import keep_outline, tissue_mask
from ppcore.masks.shapes import DESCRIPTORS
from ppcore.metrics.control import control, disagreement, diversity, fraction_rank, iou
from ppcore.metrics.copying import copying_ct, descriptor_distance, nearest_train_ratio, pixel_distances
from ppcore.metrics.coverage import cell_shares, coverage, density, occupancy, total_variation
from ppcore.metrics.distribution import bootstrap_by_subject, holm, kl_nats, kl_paper100, ks
from ppcore.metrics.frechet import LEAST_MASKS, fid_infinity, fid_kid, inception_features
from ppcore.metrics.image import DESCRIPTORS as IMAGE_DESCRIPTORS
from ppcore.metrics.image import describe_images
from ppcore.metrics.morphometry import mmd, mmd_interval, wasserstein
from ppcore.metrics.perception import cubic_kernel, frechet, perceived
from ppcore.metrics.repetition import repetition
from ppcore.metrics.sets import MaskSet
from ppcore.metrics.table import NO_WEIGHTS
from ppcore.metrics.windows import Windows, window_distances

TOO_FEW = "too few masks"  # written in place of FID at infinity
HELD = ("control_iou", "control_boundary_f1")


def similarity_rows(real: MaskSet, synthetic: MaskSet, *, permutations: int, resamples: int, seed: int,
                    weights=None) -> list[dict]:
    """Everything that compares two sets: KS, KL, FID, KID, MMD, Wasserstein, density, coverage, occupancy of cells.

    weights: the Inception weights file; if None, FID and KID are NO_WEIGHTS (R26). Density resamples only synthetic
    subjects, coverage only real ones: repeats in the other set would change the balls or cover less.
    """
    n, options = len(synthetic.masks), {"resamples": resamples, "seed": seed}
    rows = [_bootstrapped(metric.__name__, n, lambda r, s, f=metric: f(real.fractions[r], synthetic.fractions[s]),
                          real.subjects, synthetic.subjects, **options) for metric in (ks, kl_nats, kl_paper100)]
    scores = _inception_scores(synthetic.masks, real.masks, weights, seed)
    rows += [_row(name, scores[name], scores["n"]) for name in ("fid", "kid", "fid_infinity")]
    described = real.descriptors, synthetic.descriptors
    distance, p = mmd(*described, permutations, seed)
    interval = mmd_interval(*described, real.subjects, synthetic.subjects, **options)
    distances = wasserstein(*described)
    shares = cell_shares(*described, seed=seed)
    near, covered = density(*described), coverage(*described)
    return [*rows, _row("mmd2", distance, n, *interval), _row("mmd_p", p, n), _row("w1_mean", distances.mean(), n),
            *(_row(f"w1_{name}", value, n) for name, value in zip(DESCRIPTORS, distances)),
            _bootstrapped("density", n, lambda i: near[i].mean(), synthetic.subjects, **options),
            _bootstrapped("coverage", n, lambda i: covered[i].mean(), real.subjects, **options),
            _row("occupancy", occupancy(*shares), n), _row("occupancy_tv", total_variation(*shares), n)]


def perception_rows(real: np.ndarray, synthetic: np.ndarray, subjects_real: np.ndarray,
                    subjects_synthetic: np.ndarray, *, resamples: int, seed: int, prefix: str = "") -> list[dict]:
    """Kernel and Fréchet distance, `kd` and `fd`, of features (N, 1280), (M, 1280) of `perception.perceived`.

    subjects_*: label of each, as in `MaskSet`. prefix: of the names of the metrics.
    """
    distance, _ = mmd(real, synthetic, permutations=0, kernel=cubic_kernel)
    interval = mmd_interval(real, synthetic, subjects_real, subjects_synthetic, resamples, seed, kernel=cubic_kernel)
    return [_row(f"{prefix}kd", distance, len(synthetic), *interval),
            _row(f"{prefix}fd", frechet(real, synthetic), len(synthetic))]


def repetition_rows(masks: Sequence[np.ndarray], coarsen: Callable[[np.ndarray], np.ndarray]) -> list[dict]:
    """Do textures repeat like wallpaper? `repetition` and `grid`; n counts the masks with enough texture."""
    found = repetition(masks, coarsen)
    return [_row(name, found[name], found["n"]) for name in ("repetition", "grid")]


def contract_rows(outlines: Sequence[np.ndarray], generated: MaskSet, real: MaskSet,
                  coarsen: Callable[[np.ndarray], np.ndarray], *, resamples: int, seed: int) -> list[dict]:
    """What it costs to hold masks to their outlines (`ppcore.masks.make.keep_outline`): the measures afterwards."""
    held = MaskSet([keep_outline(y, x, coarsen) for x, y in zip(outlines, generated.masks, strict=True)],
                   generated.subjects)
    options = {"resamples": resamples, "seed": seed}
    distance, _ = mmd(real.descriptors, held.descriptors, permutations=0)
    covered = coverage(real.descriptors, held.descriptors)
    kept = [row for row in control_rows(outlines, held, coarsen, **options) if row["metric"] in HELD]
    return [_row("contract_mmd2", distance, len(outlines),
                 *mmd_interval(real.descriptors, held.descriptors, real.subjects, held.subjects, **options)),
            _bootstrapped("contract_coverage", len(outlines), lambda i: covered[i].mean(), real.subjects, **options),
            *perception_rows(real.features, held.features, real.subjects, held.subjects, **options, prefix="contract_"),
            *(row | {"metric": f"contract_{row['metric']}"} for row in kept)]


def copying_rows(train: MaskSet, real: MaskSet, synthetic: MaskSet, *, resamples: int, seed: int) -> list[dict]:
    """Are they copies of training masks? Ratio of distances and C_T, by morphometry and (`_pixels`) by pixels.

    train: all training masks. real: held-out masks of other subjects, the test set.
    """
    rows, n = [], len(synthetic.masks)
    spaces = {"": lambda masks: descriptor_distance(train.descriptors, masks.descriptors),
              "_pixels": lambda masks: pixel_distances(masks.small, train.small).min(axis=1)}
    for space, distance in spaces.items():
        held_out, ours = distance(real), distance(synthetic)
        rows += [_bootstrapped(f"nearest_train_ratio{space}", n,
                               lambda r, s, a=held_out, b=ours: nearest_train_ratio(a[r], b[s]),
                               real.subjects, synthetic.subjects, resamples=resamples, seed=seed),
                 _row(f"copying_ct{space}", copying_ct(held_out, ours), n)]
    return rows


def window_rows(train: Windows, real: Windows, synthetic: Windows, *, resamples: int, seed: int) -> list[dict]:
    """Are windows of 64 px copies of training windows? As `copying_rows`; none if a set has too few windows."""
    if min(len(part.cells) for part in (train, real, synthetic)) < 2:
        return []
    held_out, ours = (window_distances(part, train) for part in (real, synthetic))
    return [_bootstrapped("nearest_train_ratio_windows", len(ours),
                          lambda r, s: nearest_train_ratio(held_out[r], ours[s]), real.subjects, synthetic.subjects,
                          resamples=resamples, seed=seed),
            _row("copying_ct_windows", copying_ct(held_out, ours), len(ours))]


def control_rows(outlines: Sequence[np.ndarray], generated: MaskSet, coarsen: Callable[[np.ndarray], np.ndarray], *,
                 resamples: int, seed: int) -> list[dict]:
    """How well each mask keeps to its outline (reading R30): means over masks, rank correlation of tissue fractions."""
    each = pd.DataFrame([control(x, y, coarsen) for x, y in zip(outlines, generated.masks, strict=True)])
    asked = np.array([outline.mean() for outline in outlines])
    obtained = asked + each["fraction_bias"].to_numpy()

    def row(name: str, statistic: Callable[[np.ndarray], float]) -> dict:
        return _bootstrapped(f"control_{name}", len(each), statistic, generated.subjects, resamples=resamples,
                             seed=seed)

    return [*(row(name, lambda i, name=name: each[name].to_numpy()[i].mean()) for name in each),
            row("fraction_rank", lambda i: fraction_rank(asked[i], obtained[i]))]


def diversity_rows(samples: Sequence[np.ndarray], real: MaskSet, *, resamples: int, seed: int) -> list[dict]:
    """Mean diversity over outlines, and its ratio to the mean error (`control.disagreement`; reading R30).

    samples: (S, H, W) for each outline; real: its fine mask.
    """
    spread = np.array([diversity(group) for group in samples])
    error = np.array([disagreement(group, mask) for group, mask in zip(samples, real.masks, strict=True)])
    return [_bootstrapped(name, len(spread), statistic, real.subjects, resamples=resamples, seed=seed)
            for name, statistic in (("diversity", lambda i: spread[i].mean()),
                                    ("diversity_ratio", lambda i: _share(spread[i].sum(), error[i].sum())))]


def add_holm(scores: dict[str, list[dict]]) -> None:
    """Add the row mmd_p_holm to every method that has an mmd_p: Holm's correction over all of them (`holm`)."""
    found = {name: row for name, rows in scores.items() for row in rows if row["metric"] == "mmd_p"}
    corrected = holm([float(row["value"]) for row in found.values()])
    for (name, row), p in zip(found.items(), corrected):
        scores[name].append(_row("mmd_p_holm", p, row["n"]))


def image_rows(real: Sequence[np.ndarray], synthetic: Sequence[np.ndarray], subjects_real: np.ndarray,
               subjects_synthetic: np.ndarray, *, permutations: int, resamples: int, seed: int,
               weights=None) -> list[dict]:
    """Rows that compare two sets of RGB images (H, W, 3): FID, KID, kd and fd (as for masks), MMD and Wasserstein of
    colours and detail (`ppcore.metrics.image`). subjects_*: label of each image, (N,), as in `MaskSet`."""
    n = len(synthetic)
    scores = {"fid": NO_WEIGHTS, "kid": NO_WEIGHTS, "n": n}
    if weights is not None:
        scores = fid_kid(synthetic, real, weights, seed=seed)
    described = describe_images(real), describe_images(synthetic)
    distance, p = mmd(*described, permutations, seed)
    interval = mmd_interval(*described, subjects_real, subjects_synthetic, resamples, seed)
    distances = wasserstein(*described)
    seen = [perceived(images) for images in (real, synthetic)]
    return [*(_row(f"image_{name}", scores[name], scores["n"]) for name in ("fid", "kid")),
            *perception_rows(*seen, subjects_real, subjects_synthetic, resamples=resamples, seed=seed, prefix="image_"),
            _row("image_mmd2", distance, n, *interval), _row("image_mmd_p", p, n),
            _row("image_w1_mean", distances.mean(), n),
            *(_row(f"image_w1_{name}", value, n) for name, value in zip(IMAGE_DESCRIPTORS, distances))]


def image_control_row(masks: Sequence[np.ndarray], images: Sequence[np.ndarray], air_threshold: int) -> dict:
    """Mean IoU of each mask and its image's own tissue, found with the threshold of the real masks (gray 0-255; R3)."""
    return _row("image_control_iou", float(np.mean([iou(mask, tissue_mask(rgb, air_threshold))
                                                    for mask, rgb in zip(masks, images)])), len(masks))


def _inception_scores(generated: Sequence[np.ndarray], real: Sequence[np.ndarray], weights, seed: int) -> dict:
    """`fid_kid` and `fid_infinity`, or words that say why they are missing."""
    if weights is None:
        return {"fid": NO_WEIGHTS, "kid": NO_WEIGHTS, "fid_infinity": NO_WEIGHTS, "n": len(generated)}
    scores = fid_kid(generated, real, weights, seed=seed)
    if scores["n"] < LEAST_MASKS:
        return scores | {"fid_infinity": TOO_FEW}
    features = (inception_features(masks, weights) for masks in (generated, real))
    return scores | {"fid_infinity": fid_infinity(*features, seed=seed)}


def _bootstrapped(metric: str, n: int, statistic: Callable[..., float], *subjects: np.ndarray, resamples: int,
                  seed: int) -> dict:
    """Row with the statistic over all patches and its interval over subjects."""
    low, high = bootstrap_by_subject(statistic, *subjects, resamples=resamples, seed=seed)
    return _row(metric, statistic(*(np.arange(len(labels)) for labels in subjects)), n, low, high)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _row(metric: str, value: float | str, n: int, low: float = np.nan, high: float = np.nan) -> dict:
    return {"metric": metric, "value": value if isinstance(value, str) else f"{value:.6g}",
            "low": "" if np.isnan(low) else f"{low:.6g}", "high": "" if np.isnan(high) else f"{high:.6g}", "n": n}
