"""Is a difference the setting's, or the seed's? The trainings of notebook 13, and the rule by which they are read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t

from ppcore.training.pix2pix import Pix2PixSettings

OWN = "as in notebook 04"
CHANGES = {"lambda 100": {"recipe": "reference", "lambda_l1": 100.0}, "straight-through": {"straight_through": True},
           "losses of section 2.8": {"recipe": "paper28"}}


@dataclass(frozen=True)
class Variant:
    """One training of pix2pix. name: OWN, or what of CHANGES is changed. seed: of its weights, order and noise."""

    name: str
    seed: int
    settings: Pix2PixSettings

    def __str__(self) -> str:
        return f"{self.name.replace(' ', '-')}-{self.seed}"


def variants(own: Pix2PixSettings, seed: int, seeds: int) -> list[Variant]:
    """The study's own settings with `seeds` seeds from `seed` on, then one change at a time, with `seed`.

    A change that `own` has already is left out.
    """
    changed = {name: replace(own, **change) for name, change in CHANGES.items()}
    return [*(Variant(OWN, seed + i, own) for i in range(seeds)),
            *(Variant(name, seed, settings) for name, settings in changed.items() if settings != own)]


def one_more(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Where one more training would lie, of which `values` are the scores with other seeds: the prediction interval

        mean ± t sd sqrt(1 + 1/k),    t: quantile of Student's t with k - 1 degrees of freedom,

    for normal scores; wide for few seeds (k = 3: 5.0 sd to each side). Raises `ValueError` for fewer than two values.
    """
    k = len(values)
    if k < 2:
        raise ValueError(f"{k} trainings: wanted two or more, one has no spread")
    reach = t.ppf((1 + level) / 2, k - 1) * np.std(values, ddof=1) * np.sqrt(1 + 1 / k)
    return float(np.mean(values) - reach), float(np.mean(values) + reach)
