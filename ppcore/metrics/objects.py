"""How many nuclei are there, how large are they, and how far apart?

An object is an 8-connected component of a further class of a label map. Nuclei that touch count as one: compare the
numbers with those of the real maps, which were made in the same way, and not with counts of cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from ppcore.masks.labels import Classes
from ppcore.metrics.sets import MaskSet
from ppcore.metrics.tidy import bootstrapped, prefixes

ALIKE = 0.05  # a difference from the real maps that is not worth a word


@dataclass(frozen=True)
class Objects:
    """The objects of one class in one map.

    surface: of the map, mm^2. areas: (N,), um^2. whole: (N,) bool, those that do not touch the frame. nearest: (N,),
    um from the centre of each to the nearest other; empty for a single one. Where the scale is unknown a px counts as a
    um: 10^6 px, px^2 and px.
    """

    surface: float
    areas: np.ndarray
    whole: np.ndarray
    nearest: np.ndarray


def measure(labels: np.ndarray, value: int, mpp: float = float("nan")) -> Objects:
    """The objects of class `value` in a label map (H, W). mpp: um per pixel, nan if unknown."""
    scale = 1.0 if np.isnan(mpp) else mpp
    _, _, stats, centres = cv2.connectedComponentsWithStats((labels == value).astype(np.uint8), connectivity=8)
    left, top, width, height, areas = stats[1:].T  # 0 is all the rest
    whole = (left > 0) & (top > 0) & (left + width < labels.shape[1]) & (top + height < labels.shape[0])
    nearest = KDTree(centres[1:]).query(centres[1:], k=2)[0][:, 1] if len(areas) > 1 else np.empty(0)
    return Objects(labels.size * scale**2 / 1e6, areas * scale**2, whole, nearest * scale)


def number(maps: Sequence[Objects]) -> float:
    """Objects per mm^2 over several maps; those that the frame cuts count too."""
    return sum(len(each.areas) for each in maps) / sum(each.surface for each in maps)


def area(maps: Sequence[Objects]) -> float:
    """Median area of all objects that the frame does not cut, um^2; nan if there are none."""
    return _quantiles(maps)[1]


def area_spread(maps: Sequence[Objects]) -> float:
    """Interquartile range of these areas, um^2."""
    return _quantiles(maps)[2] - _quantiles(maps)[0]


def nearest(maps: Sequence[Objects]) -> float:
    """Mean distance of an object to the nearest other of its map, centre to centre, um; nan if none has another."""
    distances = np.concatenate([each.nearest for each in maps])
    return float(distances.mean()) if len(distances) else float("nan")


PER_SET = {"number": number, "area": area, "area_spread": area_spread, "nearest": nearest}  # of a class, over maps


def _quantiles(maps: Sequence[Objects]) -> tuple[float, float, float]:
    areas = np.concatenate([each.areas[each.whole] for each in maps])
    return tuple(np.quantile(areas, (0.25, 0.5, 0.75)).tolist()) if len(areas) else (float("nan"),) * 3


def object_rows(masks: MaskSet, mpp: float, *, resamples: int, seed: int) -> list[dict]:
    """The numbers of PER_SET for each further class; none for masks. mpp: as in `measure`. n: objects."""
    rows = []
    for value, named in prefixes(masks.classes).items():
        found = [measure(labels, value, mpp) for labels in masks.masks]
        count = sum(len(each.areas) for each in found)
        rows += [bootstrapped(f"{named}{name}", count, lambda i, f=statistic, maps=found: f([maps[j] for j in i]),
                              masks.subjects, resamples=resamples, seed=seed) for name, statistic in PER_SET.items()]
    return rows


def object_table(scores: dict[str, list[dict]], classes: Classes, mpp: float) -> pd.DataFrame:
    """The objects of each further class, real and by method, and how they differ from the real ones, in words.

    scores: "real" and each method -> rows, those of `object_rows` among them. Index class and method, real first.
    """
    units = ("per 10⁶ px", "px²", "px") if np.isnan(mpp) else ("per mm²", "µm²", "µm")
    titles = (f"number {units[0]}", f"median area, {units[1]}", f"its spread, {units[1]}", f"nearest other, {units[2]}")
    tables = {}
    for named, label in zip(prefixes(classes).values(), classes[2:]):
        wanted = [f"{named}{name}" for name in PER_SET]
        values = {method: {row["metric"]: row["value"] for row in rows} for method, rows in scores.items()}
        table = pd.DataFrame(values).reindex(wanted).dropna(axis=1, how="all").T.astype(float).set_axis(PER_SET, axis=1)
        table = table.loc[["real", *table.index.drop("real")]]
        words = [in_words(table.loc["real"], table.loc[method]) for method in table.index[1:]]
        tables[label.name] = table.set_axis(titles, axis=1).assign(**{"beside the real ones": ["", *words]})
    return pd.concat(tables, names=["class", "method"]).round(1)


def in_words(real: Mapping[str, float], made: Mapping[str, float]) -> str:
    """How made objects differ from real ones; both hold number, area and nearest."""
    if not made["number"] or not real["number"]:
        return "none, as there" if made["number"] == real["number"] else "none" if real["number"] else "none are real"
    words = {"number": ("as many", "more", "fewer"), "area": ("as large", "larger", "smaller"),
             "nearest": ("as far apart", "farther apart", "closer together")}
    parts = []
    for name, (alike, above, below) in words.items():
        change = made[name] / real[name] - 1
        if not np.isnan(change):
            parts.append(alike if abs(change) < ALIKE else f"{abs(change):.0%} {above if change > 0 else below}")
    return ", ".join(parts)
