"""Which patches are for training and which for the test?

    train, test   as named
    gap           between the two regions of one slide; unused
    spare         beyond the number wanted; unused
"""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ppcore.study.errors import StudyError, some, warn


def join_duplicates(index: pd.DataFrame) -> pd.DataFrame:
    """Give one subject to all files that share a patch, equal in every pixel; a warning names them.

    A copied file would else stand in training and test. The subject is the first of theirs, by name.
    """
    names, codes = np.unique(index["subject"].to_numpy(str), return_inverse=True)
    first = pd.Series(codes, index.index).groupby(index["rgb_hash"]).transform("min")
    links = coo_array((np.ones(len(index)), (first, codes)), shape=(len(names),) * 2)
    _, group = connected_components(links, directed=False)
    joined = pd.Series(names[[np.flatnonzero(group == group[code])[0] for code in codes]], index.index, dtype=str)
    changed = joined != index["subject"]
    if changed.any():
        copies = index[index["rgb_hash"].isin(index.loc[changed, "rgb_hash"])].drop_duplicates("file")["file"].tolist()
        warn(f"{len(copies)} files of different subjects share patches that are equal in every pixel ({some(copies)}): "
             "they are taken as one subject each, so that no copy stands in training and test; remove the copies")
    return index.assign(subject=joined)


def split_patches(index: pd.DataFrame, test_fraction: float, seed: int, how: str = "auto", train: int = 0,
                  test: int = 0) -> pd.DataFrame:
    """Add the column `split`: train, test, gap or spare.

    By subject, never by patch (reading R5). Without counts, the test's share of patches is as close to `test_fraction`
    as whole subjects allow. With `test` patches wanted (and `train`; 0: all others), subjects are chosen so that both
    sides have enough. Surplus patches, drawn from `seed`, are spare; a warning says how far a side falls short. Each
    side gets at least one subject; `seed` decides between equal choices.

    A single subject cannot be split like this. If it is a single slide and `how` is auto, or if `how` is region, the
    lower rows of each file become the test, with one row between left out; a warning says that the test is not another
    patient. Several files of one subject under `auto`, and one subject under `subject`, raise `StudyError`.
    """
    if test:
        test_fraction = test / (test + (train or max(1, len(index) - test)))
    one = how == "region" or index["subject"].nunique() == 1
    split = _by_region(index, test_fraction, how) if one else _by_subject(index, test_fraction, seed, train, test)
    if test:
        wanted = {"train": train, "test": test}
        for side in ("train", "test"):
            members = split.index[split == side]
            if 0 < wanted[side] < len(members):
                split[np.random.default_rng(seed).permutation(members)[wanted[side]:]] = "spare"
        off = [f"{(split == side).sum():,} of {number:,} {side} patches ({(split == side).sum() / number - 1:.0%})"
               for side, number in wanted.items() if (split == side).sum() < number]
        if off:
            warn(f"whole subjects do not give the counts wanted: {' and '.join(off)}; {len(index):,} patches of "
                 f"{index['subject'].nunique()} subjects in all (train_patches, test_patches)")
    return index.assign(split=split)


def _by_subject(index: pd.DataFrame, test_fraction: float, seed: int, train: int, test: int) -> pd.Series:
    """train or test for each patch."""
    sizes = index["subject"].value_counts().sort_index()
    enough = test and len(index) >= train + test
    low = test if enough else test_fraction * len(index)
    chosen = _subjects_with(sizes, low, len(index) - train if enough else low, seed)
    return index["subject"].isin(chosen).map({True: "test", False: "train"})


def _subjects_with(sizes: pd.Series, low: float, high: float, seed: int) -> list[str]:
    """Some of the subjects, neither none nor all, with low to high patches in total, or as near to that as possible.

    All sums are tried: `last[s]` is the subject, in a shuffled order, with which the sum s was first reached.
    """
    order = np.random.default_rng(seed).permutation(len(sizes))
    last = np.full(sizes.sum() + 1, -1)
    reached = np.zeros(len(last), bool)
    reached[0] = True
    for subject in order:
        size = sizes.iloc[subject]
        new = size + np.flatnonzero(reached[:-size] & ~reached[size:])
        last[new], reached[new] = subject, True
    sums = np.flatnonzero(reached)[1:-1]
    left = sums[np.argmin(np.maximum(0, np.maximum(low - sums, sums - high)))]
    chosen = []
    while left:
        chosen.append(sizes.index[last[left]])
        left -= sizes.iloc[last[left]]
    return chosen


def _by_region(index: pd.DataFrame, test_fraction: float, how: str) -> pd.Series:
    """train, gap or test for each patch, by the row it lies in."""
    if how == "subject" or (how == "auto" and index["file"].nunique() > 1):
        raise StudyError(f"all {index['file'].nunique()} files belong to one subject ({index['subject'].iloc[0]}), and a "
                         "split by subject needs two or more: add slides of others, correct subjects.csv, or split "
                         "each file into regions with -p split=region (the test then says nothing about other "
                         "patients)")
    warn("the test is a region of the same slides, not another patient (split=region): the numbers are optimistic")
    split = pd.Series("train", index=index.index)
    for _, patches in index.groupby("file"):
        rows = np.sort(patches["row"].unique())
        tested = min(max(1, round(test_fraction * len(rows))), len(rows) - 1)
        split[patches.index[patches["row"].isin(rows[len(rows) - tested:])]] = "test" if tested else "train"
        if len(rows) - tested >= 3:
            split[patches.index[patches["row"] == rows[len(rows) - tested - 1]]] = "gap"
    again = index["rgb_hash"].isin(index["rgb_hash"][split == "test"])  # a copy within the slide
    split[again & (split == "train")] = "gap"
    if set(split) < {"train", "test"}:
        raise StudyError(f"{len(index)} patches in one row of one slide cannot be split into train and test: "
                         "run with a smaller -p patch_height=... or mpp=...")
    return split
