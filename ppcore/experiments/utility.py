"""Is synthetic data worth training on? The arms of notebook 11, what each is trained on, and how it scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from ppcore.experiments.nuisance import NUISANCES, disturb, disturb_mildly
from ppcore.masks.make import read_mask, tissue_mask
from ppcore.masks.patches import image_to_tensor, read_image, to_tensor
from ppcore.methods.segmenter import Segmenter, SegmenterSettings
from ppcore.metrics.control import boundary_f1, iou
from ppcore.metrics.distribution import bootstrap_by_subject
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file, read_table
from ppcore.training.loop import train
from ppcore.training.model_card import load_model

SHARES = (0.05, 0.1, 1.0)  # of the real training patches
WINDOW, BATCH = 128, 4  # px per side; windows per step
CLEAN, DISTURBED = "clean", "mean of shifts"
METRICS = {"iou": iou, "boundary_f1": boundary_f1}
DIFFERENCE = "both - real"
COLUMNS = ("cohort", "arm", "share", "seed", "shift", "metric", "value", "low", "high", "n")

Pair = tuple[Path, Path]  # image, fine mask


@dataclass(frozen=True)
class Arm:
    """One training. name: "real", "synthetic" or "both". share: of the real training patches, 0 for none."""

    name: str
    share: float
    seed: int

    def __str__(self) -> str:
        return f"{self.name}-{self.share:g}-{self.seed}"


def arms(seeds: Iterable[int]) -> list[Arm]:
    """All trainings: synthetic once per seed, the others with each of SHARES."""
    return [Arm(name, share, seed) for seed in seeds for name, shares in
            (("synthetic", (0.0,)), ("real", SHARES), ("both", SHARES)) for share in shares]


def real_subset(index: pd.DataFrame, share: float, seed: int) -> list[str]:
    """A share of the training patches, at least one, from as few subjects as possible: subjects and the patches of each
    are taken in random order until there are enough. With one seed, a smaller share is part of a larger one.

    index: from `ppcore.masks.patches.load_index`. This mimics a small study: few participants, not few patches of many.
    """
    train = index[index["split"] == "train"].sort_values("patch")
    rng = np.random.default_rng(seed)
    subjects = rng.permutation(sorted(train["subject"].unique()))
    patches = [patch for subject in subjects
               for patch in rng.permutation(train.loc[train["subject"] == subject, "patch"].to_numpy())]
    return [str(patch) for patch in patches[:max(1, round(share * len(patches)))]]


def sources(arm: Arm, index: pd.DataFrame, patches: Path, pairs: Path) -> list[list[Pair]]:
    """What an arm is trained on: its real pairs, its synthetic ones, or both, each a list.

    index, patches: of the patch set. pairs: folder of `ppcore.drawing.pairs.generate_pairs`. Raises `StudyError` if a
    pair was not made from a training patch's outline: outlines of test subjects would leak.
    """
    found = []
    if arm.share:
        found.append([(patches / "rgb" / f"{patch}.webp", patches / "fine" / f"{patch}.png")
                      for patch in real_subset(index, arm.share, arm.seed)])
    if arm.name != "real":
        made = read_table(pairs / "index.csv")
        of = made["outline"].str.replace(r"_varied\d+$", "", regex=True)
        foreign = sorted(set(of) - set(index.loc[index["split"] == "train", "patch"]))
        if foreign:
            raise StudyError(f"{pairs} holds pairs made from {', '.join(foreign[:3])}, not in the training set: wanted "
                             "pairs of `from_kinds`, which takes training patches. Remove the folder and run again")
        found.append([(pairs / "rgb" / f"{name}.webp", pairs / "fine" / f"{name}.png") for name in made["pair"]])
    return found


class Windows(Dataset):
    """`count` windows of WINDOW px per side, flipped and mildly disturbed at random, from pairs drawn with replacement.

    Each source contributes equally. All draws come from torch's global generator, which `train` seeds by item number.
    So all arms of a seed see the same places, flips and disturbances, on their own pairs.
    """

    def __init__(self, sources: Sequence[Sequence[Pair]], count: int) -> None:
        self.sources, self.count = sources, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        source = self.sources[i % len(self.sources)]
        rgb, mask = _read_pair(*source[int(rng.random() * len(source))])
        place = []
        for size in mask.shape:
            start, step = int(rng.random() * (max(0, size - WINDOW) + 1)), rng.choice((1, -1))
            place.append((slice(start, start + WINDOW), slice(None, None, step)))
        (rows, flip_rows), (columns, flip_columns) = place
        rgb, mask = rgb[rows, columns][flip_rows, flip_columns], mask[rows, columns][flip_rows, flip_columns]
        return {"image": image_to_tensor(disturb_mildly(rgb, rng)), "fine": to_tensor(mask)}


@lru_cache(maxsize=512)  # decoding takes longer than a step; 1 GB at 512 x 1024 px
def _read_pair(rgb: Path, fine: Path) -> tuple[np.ndarray, np.ndarray]:
    return read_image(rgb), np.minimum(read_mask(fine), 1)  # of a label map, its tissue


def train_arm(arm: Arm, index: pd.DataFrame, patches: Path, pairs: Path, folder: Path, *, steps: int, width: int,
              device: str, precision: str, workers: int) -> Segmenter:
    """Train the segmenter of one arm in `folder`, or resume its training; returns it as stored.

    Every arm gets `steps` steps of BATCH windows, with a learning rate that falls linearly to 0.
    """
    given = [hash_file(patches / "index.csv"), hash_file(pairs / "index.csv"), str(arm)]
    train(Segmenter(SegmenterSettings(width)), Windows(sources(arm, index, patches, pairs), steps * BATCH), folder,
          epochs=0, decay_epochs=1, seed=arm.seed, data_fingerprint=" ".join(given), batch_size=BATCH,
          device=device, precision=precision, workers=workers)
    return load_model(Segmenter, folder, device, precision)


def otsu_mask(rgb: np.ndarray) -> np.ndarray:
    """Tissue where gray is at most the image's own threshold by Otsu (1979): (H, W) uint8 in {0, 1}."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)[1]


def spread(index: pd.DataFrame, each: int) -> pd.DataFrame:
    """The rows of the test patches, at most `each` per subject (0: all), evenly spread over its patches by name."""
    subjects = [group for _, group in index[index["split"] == "test"].sort_values("patch").groupby("subject")]
    return pd.concat([
        group.iloc[np.linspace(0, len(group) - 1, min(each or len(group), len(group))).round().astype(int)]
        for group in subjects])


def score(models: dict[Arm, Segmenter], test: pd.DataFrame, patches: Path, air_threshold: int,
          seed: int) -> pd.DataFrame:
    """METRICS of every model on every test patch, clean and under each nuisance, against the clean image's fine mask.

    Two rows need no training: "threshold", the rule that made the labels (reading R3), and "Otsu". Returns columns arm,
    share, seed (text), shift, metric, patch, subject, value.
    """
    rules = {("threshold", 0.0, ""): lambda rgb: tissue_mask(rgb, air_threshold), ("Otsu", 0.0, ""): otsu_mask}
    rules |= {(arm.name, arm.share, str(arm.seed)): model.predict for arm, model in models.items()}
    rows = []
    for patch, subject in tqdm(test[["patch", "subject"]].to_numpy(), desc="testing", unit="patch"):
        rgb, fine = read_image(patches / "rgb" / f"{patch}.webp"), read_mask(patches / "fine" / f"{patch}.png")
        label = np.minimum(fine, 1)
        for shift in (CLEAN, *NUISANCES):
            shown = rgb if shift == CLEAN else disturb(rgb, shift, patch, seed)
            for key, predict in rules.items():
                predicted = predict(shown)
                rows += [(*key, shift, metric, patch, subject, measure(predicted, label))
                         for metric, measure in METRICS.items()]
    return pd.DataFrame(rows, columns=("arm", "share", "seed", "shift", "metric", "patch", "subject", "value"))


def summarise(scores: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Means over patches, with 95 % intervals over subjects (reading R31): columns COLUMNS, without cohort.

    For each training seed, and as seed "mean" for the mean over seeds. The shift DISTURBED is the mean over
    nuisances. The arm DIFFERENCE is paired: both arms of a share have the same real patches, seeds and test patches.
    """
    key = ["arm", "share", "seed", "shift", "metric"]
    wide = scores.pivot(index=["subject", "patch"], columns=key, values="value")

    def mean_over(level: str, name: str, table: pd.DataFrame) -> pd.DataFrame:
        mean = table.T.groupby(level=[part for part in key if part != level]).mean().T
        return pd.concat({name: mean}, axis=1, names=[level]).reorder_levels(key, axis=1)

    shifted = wide.loc[:, wide.columns.get_level_values("shift") != CLEAN]
    wide = pd.concat([wide, mean_over("shift", DISTURBED, shifted)], axis=1)
    trained = wide.loc[:, wide.columns.get_level_values("seed") != ""]
    wide = pd.concat([wide, mean_over("seed", "mean", trained)], axis=1)
    paired = wide["both"] - wide["real"]
    wide = pd.concat([wide, pd.concat({DIFFERENCE: paired}, axis=1)], axis=1)
    subjects = wide.index.get_level_values("subject").to_numpy()
    rows = []
    for column, values in wide.items():
        values = values.to_numpy()
        low, high = bootstrap_by_subject(lambda chosen: values[chosen].mean(), subjects, resamples=resamples, seed=seed)
        rows.append((*column, values.mean(), low, high, len(values)))
    return pd.DataFrame(rows, columns=COLUMNS[1:])
