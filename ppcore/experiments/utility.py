"""Given n labelled patches, do pairs made from these alone help on other patients? The arms and tests of notebook 11."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from tqdm import tqdm

from ppcore.experiments.few import Pair, foreground, pairs_of
from ppcore.experiments.nuisance import NUISANCES, disturb
from ppcore.experiments.windows import Windows
from ppcore.masks.labels import load_classes, write_labels
from ppcore.masks.make import read_mask
from ppcore.masks.patches import load_index, read_image
from ppcore.methods.segmenter import Segmenter, SegmenterSettings
from ppcore.metrics.agreement import object_agreement, pixel_agreement
from ppcore.metrics.control import boundary_f1
from ppcore.study.files import hash_file
from ppcore.study.seeds import rng_of
from ppcore.training.loop import train
from ppcore.training.model_card import load_model

SIZES, ALL = (4, 8, 16), "all"  # n, labelled patches
HELD_OUT = 0.25  # least share of the patches of the home look that is kept for the test
LEAST = 6  # subjects; fewer are not parted into looks
BATCH = 4  # windows per step
ARMS = {"real": ("patches",), "synthetic": ("synthetic",), "both": ("patches", "synthetic"),
        "copy-paste": ("patches", "pasted")}  # what each is trained on, in equal parts
CHANGES = ("1 x n", "4 x n", "filtered", "relabelled")  # of the synthetic pairs of "both"
SAME, OTHER, DISTURBED = "same look", "another look", "disturbed"
METRICS = {"dice": "Dice", "f1_50": "F1 of objects, IoU > .5", "f1_75": "F1 of objects, IoU > .75",
           "boundary_f1": "boundary F1, 2 px"}
COLUMNS = ("n", "arm", "test", "metric", "seed", "value", "low", "high")


@dataclass(frozen=True)
class Plan:
    """Who is trained on and who is tested, for one seed. few: by n, rows of the index. tests: the same, by test."""

    few: dict[str, pd.DataFrame]
    tests: dict[str, pd.DataFrame]


def part_looks(index: pd.DataFrame, folder: Path, seed: int) -> pd.Series:
    """Which of two looks each subject has, by name: SAME for the one with more patches, else OTHER.

    Two means of the subjects' mean optical densities of red, green and blue around the foreground, so that neither the
    amount of nuclei nor of air counts. All are SAME if there are fewer than LEAST subjects, or if the larger group has
    but one.
    """
    classes, density = load_classes(folder), {}
    for patch in tqdm(index["patch"], desc="looks", unit="patch"):
        around = read_mask(folder / "fine" / f"{patch}.png") == min(1, len(classes) - 2)
        if around.any():
            rgb = read_image(folder / "rgb" / f"{patch}.webp")[around]
            density[patch] = -np.log((rgb.astype(float) + 1) / 256).mean(0)
    means = pd.DataFrame(density).T.groupby(index.set_index("patch")["subject"]).mean()
    subjects = sorted(index["subject"].unique())
    if len(means) < LEAST:
        return pd.Series(SAME, index=subjects)
    group = pd.Series(KMeans(2, n_init=10, random_state=seed).fit_predict(means), index=means.index)
    home = index["subject"].map(group).value_counts().idxmax()
    apart = (group == home).sum() > 1
    return group.map(lambda one: OTHER if apart and one != home else SAME).reindex(subjects, fill_value=SAME)


def make_plan(index: pd.DataFrame, looks: pd.Series, seed: int, each: int) -> Plan:
    """Draw the patches to train on, and the subjects to test on, from a patch set.

    Of the home look, subjects drawn at random are held out until HELD_OUT of its patches are; one is always left. The
    others give n patches from as few subjects as possible, a smaller n as a part of a larger one: this is a small study,
    with few participants, not with few patches of many. The other look is for the test alone. each: test patches per
    subject, evenly spread; 0: all. The split of the study plays no part: its generators are not used.
    """
    rng, look = rng_of(seed, "plan"), index["subject"].map(looks)
    home = index[look == SAME].sort_values("patch")
    subjects, counts = [str(one) for one in rng.permutation(sorted(home["subject"].unique()))], home["subject"].value_counts()
    taken = 1 + int(np.searchsorted(counts[subjects].cumsum(), HELD_OUT * len(home)))
    taken = min(taken, len(subjects) - 1)
    known = pd.concat([home[home["subject"] == subject].sample(frac=1, random_state=rng) for subject in subjects[taken:]])
    few = {str(n): known.iloc[:n] for n in SIZES if n < len(known)} | {ALL: known}
    held_out = spread(home[home["subject"].isin(subjects[:taken])], each)
    tests = {SAME: held_out, OTHER: spread(index[look == OTHER], each), DISTURBED: held_out}
    return Plan(few, {name: rows for name, rows in tests.items() if len(rows)})


def spread(index: pd.DataFrame, each: int) -> pd.DataFrame:
    """At most `each` rows per subject (0: all), evenly spread over its patches by name."""
    parts = [group.iloc[np.linspace(0, len(group) - 1, min(each or len(group), len(group))).round().astype(int)]
             for _, group in index.sort_values("patch").groupby("subject")]
    return pd.concat(parts) if parts else index


def changed(chain: Path, change: str, segmenter: Segmenter) -> list[Pair]:
    """The synthetic pairs of a chain after one of CHANGES.

    segmenter: trained on the real patches of the chain. "1 x n" and "4 x n" keep so many pairs. "filtered" keeps the
    half whose labels agree best, by Dice, with what the segmenter finds in their images. "relabelled" takes what it
    finds for the label.
    """
    pairs, classes = pairs_of(chain, "synthetic"), load_classes(chain / "patches")
    if change in ("1 x n", "4 x n"):
        return pairs[:int(change[0]) * len(load_index(chain / "patches"))]
    found = [segmenter.predict(read_image(rgb)) for rgb, _ in pairs]
    if change == "filtered":
        dice = [pixel_agreement(mask, foreground(read_mask(fine), classes))["dice"]
                for mask, (_, fine) in zip(found, pairs)]
        return [pairs[place] for place in sorted(np.argsort(dice, kind="stable")[len(pairs) // 2:])]
    relabelled = []
    for mask, (rgb, fine) in zip(found, pairs):
        path = chain / "relabelled" / fine.name
        write_labels(path, mask * np.uint8(min(2, len(classes) - 1)), classes)
        relabelled.append((rgb, path))
    return relabelled


def train_arm(chain: Path, name: str, sources: Sequence[Sequence[Pair]], *, steps: int, width: int, seed: int,
              device: str, precision: str, workers: int) -> Segmenter:
    """Train the segmenter of one arm of a chain, or resume its training; returns it as stored.

    Every arm gets `steps` steps of BATCH windows, with a learning rate that falls linearly to 0.
    """
    given = " ".join(hash_file(path) for source in sources for pair in source for path in pair)
    classes, folder = load_classes(chain / "patches"), chain / "segmenters" / name.replace(" ", "")
    train(Segmenter(SegmenterSettings(width)), Windows(sources, classes, steps * BATCH), folder, epochs=0,
          decay_epochs=1, seed=seed, data_fingerprint=given, batch_size=BATCH, device=device, precision=precision,
          workers=workers)
    return load_model(Segmenter, folder, device, precision)


def train_arms(chain: Path, changes: Sequence[str], **how) -> dict[str, Segmenter]:
    """The segmenters of ARMS and of `changes` of a chain, by name. how: the options of `train_arm`."""
    models = {arm: train_arm(chain, arm, [pairs_of(chain, part) for part in parts], **how) for arm, parts in ARMS.items()}
    return models | {change: train_arm(chain, change, [pairs_of(chain, "patches"), changed(chain, change, models["real"])],
                                       **how) for change in changes}


def score(models: dict[str, Segmenter], tests: dict[str, pd.DataFrame], folder: Path, seed: int) -> pd.DataFrame:
    """METRICS of each arm's segmenter on each test patch of a plan: columns arm, test, metric, subject, patch, value.

    The test DISTURBED shows each patch under each of NUISANCES; its value is their mean. The labels are those of the
    clean image.
    """
    classes, rows = load_classes(folder), []
    for test, index in tests.items():
        for patch, subject in tqdm(index[["patch", "subject"]].to_numpy(), desc=f"testing, {test}", unit="patch"):
            rgb = read_image(folder / "rgb" / f"{patch}.webp")
            wanted = foreground(read_mask(folder / "fine" / f"{patch}.png"), classes)
            views = [disturb(rgb, name, patch, seed) for name in NUISANCES] if test == DISTURBED else [rgb]
            for arm, model in models.items():
                values = pd.DataFrame([measure(model.predict(view), wanted) for view in views]).mean()
                rows += [(arm, test, metric, subject, patch, value) for metric, value in values.items()]
    return pd.DataFrame(rows, columns=["arm", "test", "metric", "subject", "patch", "value"])


def measure(found: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """METRICS of a mask (H, W) in {0, 1} against the one wanted, each in [0, 1]; 1 where neither has an object."""
    values = {"dice": pixel_agreement(found, wanted)["dice"]}
    for least in (0.5, 0.75):
        objects = object_agreement(found, wanted, least)
        total = objects["found"] + objects["wanted"]
        values[f"f1_{100 * least:.0f}"] = 2 * objects["matched"] / total if total else 1.0
    return values | {"boundary_f1": boundary_f1(found, wanted)}


def summarise(scores: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Means over seeds and test patches, with 95 % intervals over both seeds and subjects (reading R31): COLUMNS.

    scores: those of `score` with columns n and seed. seed "mean": over the seeds; a single one has no interval. Each
    arm but "real" has a second row, "<arm> - real": the paired difference, on the same patches, of the same seed and n.
    An interval comes from resamples of the seeds, and of the test subjects within each.
    """
    wide = scores.pivot(index=["seed", "subject", "patch"], columns=["test", "n", "arm", "metric"], values="value")
    real = wide.xs("real", axis=1, level="arm")
    for arm in wide.columns.unique("arm"):
        if arm != "real":
            both = wide.xs(arm, axis=1, level="arm")
            paired = pd.concat({f"{arm} - real": both - real[both.columns]}, axis=1, names=["arm"])
            wide = pd.concat([wide, paired.reorder_levels(wide.columns.names, axis=1)], axis=1)
    rows = []
    for test in wide.columns.unique("test"):
        table = wide[test].dropna(how="all").dropna(axis=1)  # without an n that not every seed has
        groups = [[np.flatnonzero((table.index.get_level_values(0) == one) & (table.index.get_level_values(1) == subject))
                   for subject in table.loc[one].index.unique(0)] for one in table.index.unique(0)]
        values, rng = table.to_numpy(), rng_of(seed, "resamples", test)
        seeds = np.array([values[np.concatenate(subjects)].mean(0) for subjects in groups])
        drawn = np.array([_resampled(values, groups, rng) for _ in range(resamples)])
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        for place, (n, arm, metric) in enumerate(table.columns):
            rows.append((n, arm, test, metric, "mean", seeds[:, place].mean(), low[place], high[place]))
            rows += [(n, arm, test, metric, str(one), value, np.nan, np.nan)
                     for one, value in zip(table.index.unique(0), seeds[:, place])]
    return pd.DataFrame(rows, columns=COLUMNS)


def _resampled(values: np.ndarray, groups: list[list[np.ndarray]], rng: np.random.Generator) -> np.ndarray:
    """Means (D,) of values (N, D) over seeds drawn with replacement, and subjects drawn so within each. groups: rows."""
    means = []
    for seed in rng.integers(len(groups), size=len(groups)):
        subjects = groups[seed]
        rows = np.concatenate([subjects[one] for one in rng.integers(len(subjects), size=len(subjects))])
        means.append(values[rows].mean(0))
    return np.mean(means, axis=0)


def verdict(low: float, high: float) -> str:
    """What an interval of a difference says: "HELPS", "HARMS" or "not told apart"."""
    return "HELPS" if low > 0 else "HARMS" if high < 0 else "not told apart"


def differences(table: pd.DataFrame, arms: Sequence[str]) -> str:
    """The Dice of arms minus that of "real", with verdicts, a line each. table: from `summarise`."""
    shown = table[(table["seed"] == "mean") & (table["metric"] == "dice")].set_index(["arm", "test", "n"])
    return "\n".join(f"{arm}, {test}, n = {n}: {verdict(row['low'], row['high'])}, {row['value']:+.3f} "
                     f"[{row['low']:+.3f}, {row['high']:+.3f}]"
                     for arm in arms for (test, n), row in shown.loc[f"{arm} - real"].iterrows())
