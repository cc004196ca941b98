"""Is a difference due to the setting or to the seed? The trainings of notebook 12, and the rule that compares them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import t

from ppcore.methods.pix2pix import Pix2PixSettings

OWN = "as in notebook 04"
CHANGES = {"lambda 100": {"recipe": "reference", "lambda_l1": 100.0}, "straight-through": {"straight_through": True},
           "losses of section 2.8": {"recipe": "paper28"}}


@dataclass(frozen=True)
class Variant:
    """One training of pix2pix. name: OWN, or one of CHANGES. seed: of its weights, order and noise."""

    name: str
    seed: int
    settings: Pix2PixSettings

    def __str__(self) -> str:
        return f"{self.name.replace(' ', '-')}-{self.seed}"


def variants(own: Pix2PixSettings, seed: int, seeds: int, changes: bool = True) -> list[Variant]:
    """The study's own settings with `seeds` seeds from `seed` up; if `changes`, then one change at a time with `seed`.

    A change that `own` already has is left out.
    """
    changed = {name: replace(own, **change) for name, change in CHANGES.items()} if changes else {}
    return [*(Variant(OWN, seed + i, own) for i in range(seeds)),
            *(Variant(name, seed, settings) for name, settings in changed.items() if settings != own)]


def one_more(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Prediction interval for the score of one more training, from the scores `values` of k other seeds:

        mean ± t sd sqrt(1 + 1/k),    t: quantile of Student's t with k - 1 degrees of freedom,

    for normal scores; wide for few seeds (k = 3: 5.0 sd to each side). Raises `ValueError` for fewer than two values.
    """
    k = len(values)
    if k < 2:
        raise ValueError(f"{k} trainings: wanted two or more, one has no spread")
    reach = t.ppf((1 + level) / 2, k - 1) * np.std(values, ddof=1) * np.sqrt(1 + 1 / k)
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def reading(table: pd.DataFrame, others: dict[str, float]) -> list[str]:
    """Sentences on what seeds do to the MMD², and changes to MMD², coverage and control, from the numbers alone.

    table: columns variant, metric, value, as notebook 12 stores it. others: MMD² of the other methods, by name.
    """
    table = table.assign(value=pd.to_numeric(table["value"], errors="coerce"))
    own = table[table["variant"] == OWN].groupby("metric")["value"].apply(list)
    low, high = one_more(own["mmd2"])
    sides = {"worse with any seed": [], "better with any seed": [], "better or worse, depending on the seed": []}
    for name, value in others.items():
        side = "better with any seed" if value < low else (
            "worse with any seed" if value > high else "better or worse, depending on the seed")
        sides[side].append(f"{name} ({value:.3g})")
    lines = [f"Seeds (MMD²): {len(own['mmd2'])} trainings of PriorPath that differ only in their seed give "
             f"{', '.join(f'{value:.3g}' for value in own['mmd2'])}; prediction interval: [{low:.3g}, {high:.3g}]. "
             + "; ".join(f"{', '.join(names)}: {side}" for side, names in sides.items() if names) + "."]
    for name, group in table[table["variant"] != OWN].groupby("variant", sort=False):
        value, said = group.set_index("metric")["value"], []
        for metric, title in {"mmd2": "MMD²", "coverage": "coverage", "control_iou": "IoU to the outline"}.items():
            least, top = one_more(own[metric])
            place = "below" if value[metric] < least else "above" if value[metric] > top else "within"
            said.append(f"{title} {value[metric]:.3g} ({place})")
        lines.append(f"Changed: {name}. Against the prediction intervals of other seeds: {', '.join(said)}.")
    return lines
