"""Which kinds of mask does a cohort contain?

The paper groups real masks by K-means and has sketches drawn of each kind (section 2.4; reading R11). It names neither
the features nor K. A mask is a row of `features` (N, D) here; kinds are numbered 1 to K.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

import cv2
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

from ppcore.masks.labels import layers
from ppcore.masks.shapes import SD_FLOOR
from ppcore.study.errors import StudyError

STARTS = 20  # of K-means, of which the best counts; with ten, the adjusted Rand index of two seeds was about .03 lower
one_thread = threadpool_limits.wrap(limits=1)  # several add in varying order: two runs would differ by rounding


def standardise(descriptors: np.ndarray, by: np.ndarray | None = None, ddof: int = 0) -> np.ndarray:
    """Descriptors (N, D) of `describe_all` minus the mean of `by` (M, D), over its sd (reading R27).

    by: None for the descriptors themselves. ddof: 0 is the sd of these masks, 1 estimates that of all such masks.
    The sd is at least SD_FLOOR: otherwise a descriptor that hardly varies would count as much as any other.
    """
    by = descriptors if by is None else by
    return (descriptors - by.mean(axis=0)) / np.maximum(by.std(axis=0, ddof=ddof), SD_FLOOR)


def shrink(masks: Iterable[np.ndarray], height: int = 16, width: int = 32, count: int = 2) -> np.ndarray:
    """Masks (H, W) in {0, 1} as tissue fractions in [0, 1] on a height x width grid: (N, height * width).

    They say where tissue lies, nothing about its texture. All have the same unit, so they are not standardised.
    Keeping 90 % of their variance by PCA hardly changed silhouette and stability, so it is left out. Of label maps of
    `count` classes, the fractions of each further class follow: (N, (count - 1) * height * width).
    """
    def share(layer: np.ndarray) -> np.ndarray:
        return cv2.resize(layer.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA).ravel()

    rows = [np.concatenate([share(layer) for layer in layers(mask, count)]) for mask in masks]
    return np.stack(rows).astype(np.float64)


def numbers_to_try(features: np.ndarray, k: int) -> range:
    """The values of K to compare with k: 2 to 2 k, as far as the masks allow. Raises `StudyError` like `cluster`."""
    return range(2, max(k, min(2 * k, _distinct(features, k) - 1)) + 1)


def kmeans(features: np.ndarray, k: int, seed: int) -> KMeans:
    """K-means (Lloyd 1982, k-means++ starts) of features (N, D), the best of STARTS; call it inside `one_thread`."""
    return KMeans(k, n_init=STARTS, random_state=seed).fit(features)


@one_thread
def cluster(features: np.ndarray, k: int, seed: int, by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`kmeans` with numbered kinds: labels (N,) in 1 to k, and centres (k, D), of kind i in row i - 1.

    features: (N, D). by: (N,) values that order the kinds, lowest mean first; the study uses the tissue fraction. Two
    seeds that find the same kinds then number them alike. Raises `StudyError` unless there are more different masks
    than k, which a silhouette needs too.
    """
    fitted = _fit(features, k, seed)
    means = [np.asarray(by)[fitted.labels_ == kind].mean() for kind in range(k)]
    order = sorted(range(k), key=lambda kind: (means[kind], *fitted.cluster_centers_[kind]))
    return np.argsort(order)[fitted.labels_] + 1, fitted.cluster_centers_[order]


@one_thread
def choose_k(features: np.ndarray, ks: Iterable[int], seed: int) -> pd.DataFrame:
    """What each K, 2 or more, would give: columns k, inertia, silhouette. Raises `StudyError` like `cluster`.

    inertia: sum of squared distances to the centres, in the features' unit; it falls with K, less
    steeply beyond a good K (the elbow). silhouette: mean over masks of (b - a) / max(a, b), where a and b are the mean
    distances to its own and to the nearest other kind (Rousseeuw 1987); in [-1, 1], about 0 where kinds touch.
    """
    rows = []
    for k in ks:
        fitted = _fit(features, k, seed)
        rows.append({"k": k, "inertia": fitted.inertia_, "silhouette": silhouette_score(features, fitted.labels_)})
    return pd.DataFrame(rows)


@one_thread
def stability(features: np.ndarray, k: int, seeds: Sequence[int]) -> tuple[float, float]:
    """How far the seeds agree: mean and minimum adjusted Rand index over pairs of them (Hubert and Arabie 1985).

    1: the same kinds for every seed; 0: no more alike than by chance. It says nothing about other subjects' masks.
    Raises `StudyError` for fewer than two seeds, or like `cluster`.
    """
    if len(seeds) < 2:
        raise StudyError(f"stability over {len(seeds)} seed(s): wanted 2 or more to compare (-p cluster_seeds=2)")
    labels = [_fit(features, k, seed).labels_ for seed in seeds]
    agreement = [adjusted_rand_score(a, b) for a, b in combinations(labels, 2)]
    return float(np.mean(agreement)), float(np.min(agreement))


def rank(features: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> pd.DataFrame:
    """Columns cluster, distance, rank; one row per mask.

    distance: to the centre of its kind, in the features' unit. rank: within the kind, 1 = nearest to the centre; of
    equal distances the earlier row comes first.
    """
    table = pd.DataFrame({"cluster": labels, "distance": np.linalg.norm(features - centres[labels - 1], axis=1)})
    return table.assign(rank=table.groupby("cluster")["distance"].rank(method="first").astype(int))


def exemplars(features: np.ndarray, labels: np.ndarray, centres: np.ndarray,
              count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each kind, in order: rows of the `count` masks nearest to its centre, nearest first, and of the `count`
    outliers, farthest first. A small kind has fewer: no mask is in both.
    """
    ranked = rank(features, labels, centres).sort_values(["cluster", "rank"])
    rows = [group.index.to_numpy() for _, group in ranked.groupby("cluster")]
    return [(row[:count], row[count:][::-1][:count]) for row in rows]


def _distinct(features: np.ndarray, k: int) -> int:
    found = len(np.unique(features, axis=0))
    if found <= k:
        raise StudyError(f"{len(features)} train masks, {found} of them different, for {k} clusters: wanted at least "
                         f"{k + 1}. Add slides, or ask for fewer (-p clusters={max(2, found - 1)})")
    return found


def _fit(features: np.ndarray, k: int, seed: int) -> KMeans:
    _distinct(features, k)
    return kmeans(features, k, seed)


def spread_exemplars(table: pd.DataFrame, count: int) -> list[str]:
    """`count` patches (or all, if fewer) that represent all kinds: kinds in turn, within a kind subjects in turn, masks
    nearest to the centre first. table: columns patch, subject, cluster, rank (of `rank`)."""
    table = table.sort_values("rank")
    table = table.assign(turn=table.groupby(["cluster", "subject"]).cumcount()).sort_values(["turn", "rank"], kind="stable")
    table = table.assign(place=table.groupby("cluster").cumcount())
    return table.sort_values(["place", "cluster"])["patch"].head(count).tolist()
