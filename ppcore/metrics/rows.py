"""How does each method score? All metrics of a set of masks against the real test set, as rows of `tidy`.

Of label maps, a metric without a class speaks of all classes together where it compares descriptors, pixels, windows,
pictures or draws, and else of tissue. Those of a further class are named `<class>: <metric>`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ppcore.masks.make import keep_outline
from ppcore.masks.shapes import DESCRIPTORS
from ppcore.metrics.control import class_control, disagreement, diversity, fraction_rank
from ppcore.metrics.copying import copying_ct, descriptor_distance, nearest_train_ratio, pixel_distances
from ppcore.metrics.coverage import cell_shares, coverage, density, occupancy, total_variation
from ppcore.metrics.distribution import holm, kl_nats, kl_paper100, ks
from ppcore.metrics.frechet import LEAST_MASKS, fid_infinity, fid_kid, inception_features
from ppcore.metrics.morphometry import mmd, mmd_interval, wasserstein
from ppcore.metrics.perception import cubic_kernel, frechet
from ppcore.metrics.repetition import repetition
from ppcore.metrics.sets import MaskSet
from ppcore.metrics.table import NO_WEIGHTS
from ppcore.metrics.tidy import bootstrapped, mean_row, prefixes, row_of
from ppcore.metrics.windows import Windows, window_distances

TOO_FEW = "too few masks"  # written in place of FID at infinity
HELD = ("control_iou", "control_boundary_f1")


def similarity_rows(real: MaskSet, synthetic: MaskSet, *, permutations: int, resamples: int, seed: int,
                    weights=None) -> list[dict]:
    """Everything that compares two sets: KS, KL, FID, KID, MMD, Wasserstein, density, coverage, occupancy of cells.

    KS and KL compare tissue fractions, and KS the shares of each further class. weights: the Inception weights file; if
    None, FID and KID are NO_WEIGHTS (R26). Density resamples only synthetic subjects, coverage only real ones: repeats
    in the other set would change the balls or cover less.
    """
    n, options = len(synthetic.masks), {"resamples": resamples, "seed": seed}
    rows = [bootstrapped(metric.__name__, n, lambda r, s, f=metric: f(real.fractions[r], synthetic.fractions[s]),
                         real.subjects, synthetic.subjects, **options) for metric in (ks, kl_nats, kl_paper100)]
    for value, named in prefixes(real.classes).items():
        rows.append(bootstrapped(f"{named}ks", n, lambda r, s, v=value: ks(real.shares[r, v], synthetic.shares[s, v]),
                                 real.subjects, synthetic.subjects, **options))
    scores = _inception_scores(synthetic.pictures, real.pictures, weights, seed)
    rows += [row_of(name, scores[name], scores["n"]) for name in ("fid", "kid", "fid_infinity")]
    described = real.descriptors, synthetic.descriptors
    distance, p = mmd(*described, permutations, seed)
    interval = mmd_interval(*described, real.subjects, synthetic.subjects, **options)
    distances = wasserstein(*described)
    described_by = [f"{named}w1_{name}" for named in ("", *prefixes(real.classes).values()) for name in DESCRIPTORS]
    shares = cell_shares(*described, seed=seed)
    near, covered = density(*described), coverage(*described)
    return [*rows, row_of("mmd2", distance, n, *interval), row_of("mmd_p", p, n),
            row_of("w1_mean", distances.mean(), n),
            *(row_of(name, value, n) for name, value in zip(described_by, distances, strict=True)),
            bootstrapped("density", n, lambda i: near[i].mean(), synthetic.subjects, **options),
            bootstrapped("coverage", n, lambda i: covered[i].mean(), real.subjects, **options),
            row_of("occupancy", occupancy(*shares), n), row_of("occupancy_tv", total_variation(*shares), n)]


def perception_rows(real: np.ndarray, synthetic: np.ndarray, subjects_real: np.ndarray,
                    subjects_synthetic: np.ndarray, *, resamples: int, seed: int, prefix: str = "") -> list[dict]:
    """Kernel and Fréchet distance, `kd` and `fd`, of features (N, 1280), (M, 1280) of `perception.perceived`.

    subjects_*: label of each, as in `MaskSet`. prefix: of the names of the metrics.
    """
    distance, _ = mmd(real, synthetic, permutations=0, kernel=cubic_kernel)
    interval = mmd_interval(real, synthetic, subjects_real, subjects_synthetic, resamples, seed, kernel=cubic_kernel)
    return [row_of(f"{prefix}kd", distance, len(synthetic), *interval),
            row_of(f"{prefix}fd", frechet(real, synthetic), len(synthetic))]


def repetition_rows(masks: MaskSet, coarsen: Callable[[np.ndarray], np.ndarray]) -> list[dict]:
    """Do textures repeat like wallpaper? `repetition` and `grid`, of the air in tissue and of each further class.

    n counts the masks with enough texture.
    """
    rows = []
    for value, named in {0: "", **prefixes(masks.classes)}.items():
        found = repetition(masks.masks, coarsen, value)
        rows += [row_of(f"{named}{name}", found[name], found["n"]) for name in ("repetition", "grid")]
    return rows


def likeness_rows(real: MaskSet, synthetic: MaskSet, coarsen: Callable[[np.ndarray], np.ndarray], *, permutations: int,
                  weights=None, **options) -> list[dict]:
    """Everything that compares a set with the real one, and how much it repeats itself.

    options: resamples and seed. The rows of `similarity_rows`, `perception_rows` and `repetition_rows`.
    """
    seen = real.features, synthetic.features
    return [*similarity_rows(real, synthetic, permutations=permutations, weights=weights, **options),
            *perception_rows(*seen, real.subjects, synthetic.subjects, **options),
            *repetition_rows(synthetic, coarsen)]


def contract_rows(outlines: Sequence[np.ndarray], generated: MaskSet, real: MaskSet,
                  coarsen: Callable[[np.ndarray], np.ndarray], *, resamples: int, seed: int) -> list[dict]:
    """What it costs to hold masks to their outlines (`ppcore.masks.make.keep_outline`): the measures afterwards."""
    held = MaskSet([keep_outline(y, x, coarsen) for x, y in zip(outlines, generated.masks, strict=True)],
                   generated.subjects, generated.classes)
    options = {"resamples": resamples, "seed": seed}
    distance, _ = mmd(real.descriptors, held.descriptors, permutations=0)
    covered = coverage(real.descriptors, held.descriptors)
    kept = [row for row in control_rows(outlines, held, coarsen, **options) if row["metric"] in HELD]
    return [row_of("contract_mmd2", distance, len(outlines),
                 *mmd_interval(real.descriptors, held.descriptors, real.subjects, held.subjects, **options)),
            bootstrapped("contract_coverage", len(outlines), lambda i: covered[i].mean(), real.subjects, **options),
            *perception_rows(real.features, held.features, real.subjects, held.subjects, **options, prefix="contract_"),
            *(row | {"metric": f"contract_{row['metric']}"} for row in kept)]


def copying_rows(train: MaskSet, real: MaskSet, synthetic: MaskSet, *, resamples: int, seed: int) -> list[dict]:
    """Are they copies of training masks? Ratio of distances and C_T, by morphometry and (`_pixels`) by pixels.

    train: all training masks. real: held-out masks of other subjects, the test set.
    """
    rows, n = [], len(synthetic.masks)
    spaces = {"": lambda masks: descriptor_distance(train.descriptors, masks.descriptors),
              "_pixels": lambda masks: pixel_distances(masks.small, train.small, len(train.classes)).min(axis=1)}
    for space, distance in spaces.items():
        held_out, ours = distance(real), distance(synthetic)
        rows += [bootstrapped(f"nearest_train_ratio{space}", n,
                               lambda r, s, a=held_out, b=ours: nearest_train_ratio(a[r], b[s]),
                               real.subjects, synthetic.subjects, resamples=resamples, seed=seed),
                 row_of(f"copying_ct{space}", copying_ct(held_out, ours), n)]
    return rows


def window_rows(train: Windows, real: Windows, synthetic: Windows, *, resamples: int, seed: int) -> list[dict]:
    """Are windows of 64 px copies of training windows? As `copying_rows`; none if a set has too few windows."""
    if min(len(part.cells) for part in (train, real, synthetic)) < 2:
        return []
    held_out, ours = (window_distances(part, train) for part in (real, synthetic))
    return [bootstrapped("nearest_train_ratio_windows", len(ours),
                          lambda r, s: nearest_train_ratio(held_out[r], ours[s]), real.subjects, synthetic.subjects,
                          resamples=resamples, seed=seed),
            row_of("copying_ct_windows", copying_ct(held_out, ours), len(ours))]


def control_rows(outlines: Sequence[np.ndarray], generated: MaskSet, coarsen: Callable[[np.ndarray], np.ndarray], *,
                 resamples: int, seed: int) -> list[dict]:
    """How well each mask keeps to its outline (reading R30): means over masks, rank correlation of tissue fractions.

    Of label maps, all of it for each further class too (`control.class_control`), and the mean share asked for and
    obtained. A mean leaves out maps without a number; n says how many are left.
    """
    pairs, count = zip(outlines, generated.masks, strict=True), len(generated.classes)
    every = [class_control(x, y, coarsen, count) for x, y in pairs]
    asked = np.array([(outline > 0).mean() for outline in outlines])
    rows = []
    for named, found in zip(("", *prefixes(generated.classes).values()), zip(*every)):
        each = pd.DataFrame(found)
        asked = each["fraction_asked"].to_numpy() if named else asked
        obtained = asked + each["fraction_bias"].to_numpy()
        columns = {f"{named}control_{name}": each[name].to_numpy() for name in each}
        rows += [mean_row(name, values, generated.subjects, resamples=resamples, seed=seed)
                 for name, values in columns.items()]
        rows.append(bootstrapped(f"{named}control_fraction_rank", len(each),
                                  lambda i, a=asked, o=obtained: fraction_rank(a[i], o[i]), generated.subjects,
                                  resamples=resamples, seed=seed))
    return rows


def diversity_rows(samples: Sequence[np.ndarray], real: MaskSet, *, resamples: int, seed: int) -> list[dict]:
    """Mean diversity over outlines, and its ratio to the mean error (`control.disagreement`; reading R30).

    samples: (S, H, W) for each outline; real: its fine mask.
    """
    spread = np.array([diversity(group, len(real.classes)) for group in samples])
    error = np.array([disagreement(group, mask) for group, mask in zip(samples, real.masks, strict=True)])
    return [bootstrapped(name, len(spread), statistic, real.subjects, resamples=resamples, seed=seed)
            for name, statistic in (("diversity", lambda i: spread[i].mean()),
                                    ("diversity_ratio", lambda i: _share(spread[i].sum(), error[i].sum())))]


def add_holm(scores: dict[str, list[dict]]) -> None:
    """Add the row mmd_p_holm to every method that has an mmd_p: Holm's correction over all of them (`holm`)."""
    found = {name: row for name, rows in scores.items() for row in rows if row["metric"] == "mmd_p"}
    corrected = holm([float(row["value"]) for row in found.values()])
    for (name, row), p in zip(found.items(), corrected):
        scores[name].append(row_of("mmd_p_holm", p, row["n"]))


def _inception_scores(generated: Sequence[np.ndarray], real: Sequence[np.ndarray], weights, seed: int) -> dict:
    """`fid_kid` and `fid_infinity`, or words that say why they are missing."""
    if weights is None:
        return {"fid": NO_WEIGHTS, "kid": NO_WEIGHTS, "fid_infinity": NO_WEIGHTS, "n": len(generated)}
    scores = fid_kid(generated, real, weights, seed=seed)
    if scores["n"] < LEAST_MASKS:
        return scores | {"fid_infinity": TOO_FEW}
    features = (inception_features(masks, weights) for masks in (generated, real))
    return scores | {"fid_infinity": fid_infinity(*features, seed=seed)}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
