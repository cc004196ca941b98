"""What is a row of metrics.csv?

A dict of metric, value, low, high, n. low and high: 95 % bootstrap interval over subjects (reading R31), empty if there
is none. n: number of synthetic masks, images, outlines or objects. A metric of a further class of label maps is named
`<class>: <metric>`.
"""

from collections.abc import Callable

import numpy as np

from ppcore.masks.labels import Classes
from ppcore.metrics.distribution import bootstrap_by_subject


def row_of(metric: str, value: float | str, n: int, low: float = np.nan, high: float = np.nan) -> dict:
    """A number, to six digits, or a word."""
    return {"metric": metric, "value": value if isinstance(value, str) else f"{value:.6g}",
            "low": "" if np.isnan(low) else f"{low:.6g}", "high": "" if np.isnan(high) else f"{high:.6g}", "n": n}


def bootstrapped(metric: str, n: int, statistic: Callable[..., float], *subjects: np.ndarray, resamples: int,
                 seed: int) -> dict:
    """Row with the statistic over all patches and its interval over subjects."""
    low, high = bootstrap_by_subject(statistic, *subjects, resamples=resamples, seed=seed)
    return row_of(metric, statistic(*(np.arange(len(labels)) for labels in subjects)), n, low, high)


def mean_row(metric: str, values: np.ndarray, subjects: np.ndarray, *, resamples: int, seed: int) -> dict:
    """Row with the mean of one value per patch, and its interval; of those that are not nan."""
    kept = ~np.isnan(values)
    if not kept.any():
        return row_of(metric, float("nan"), 0)
    values = values[kept]
    return bootstrapped(metric, len(values), lambda i: values[i].mean(), subjects[kept], resamples=resamples, seed=seed)


def prefixes(classes: Classes) -> dict[int, str]:
    """The further classes, by value, and how the names of their metrics begin."""
    return {value: f"{label.name}: " for value, label in enumerate(classes) if value > 1}
