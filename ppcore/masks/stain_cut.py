"""What tells nuclei and DAB from other tissue in a cohort, how is it learnt, and where is it stored?

`masks.stain` labels with it. `patches/stain.json` keeps it, so that the evaluation can label made images alike.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ppcore.study.files import write_text

FILE = "stain.json"
OWN = "own"  # in place of a subject: an image that is scaled by its own tissue
QUANTILES = (0.01, 0.99)  # of the haematoxylin of tissue without DAB
TAIL = {"haematoxylin": 95.0, "dab": 99.5}  # percentile; samples are capped at it, lest a few dark pixels rule
PALEST = 0.03  # of either stain, in the units of `rgb2hed`: an optical density, base 10, of 0.18; paler is neither
SPAN = 2.0  # q99 - q01 counts as at least 1/2, at most 2 times the median: a subject without nuclei shall get none


@dataclass(frozen=True)
class Cut:
    """What tells nuclei and DAB from other tissue in a cohort.

    nuclei: of scaled haematoxylin. positive: amount of DAB; None for H&E. scale: q01 and q99 - q01 of each subject.
    palest: amount of haematoxylin that a nucleus has at least.
    """

    nuclei: float
    positive: float | None
    scale: dict[str, tuple[float, float]]
    palest: float = PALEST

    def scaled_to(self, haematoxylin: np.ndarray, dab: np.ndarray) -> "Cut":
        """The cut for one image, by its own tissue: `scale` is that of OWN alone.

        haematoxylin, dab: amounts (N,) in its tissue. The percentiles and the limits of their distance are those of
        `learn_cut`, which knows a subject by many patches.
        """
        counted = haematoxylin if self.positive is None else haematoxylin[dab <= self.positive]
        usual = float(np.median([span for _, span in self.scale.values()]))
        if not len(counted):
            return replace(self, scale={OWN: (0.0, usual)})
        low, high = np.quantile(counted, QUANTILES)
        return replace(self, scale={OWN: (float(low), float(np.clip(high - low, usual / SPAN, usual * SPAN)))})

    def times(self, factor: float) -> "Cut":
        """All cuts, multiplied by `factor`."""
        return replace(self, nuclei=self.nuclei * factor, positive=self.positive and self.positive * factor,
                       palest=self.palest * factor)


def learn_cut(index: pd.DataFrame, samples: Iterable[np.ndarray], stain: str) -> Cut:
    """Scales of all subjects, and the two cuts from the patches of split "train".

    index: columns subject, split. samples: for each of its rows those of `draw_pixels`.
    """
    from skimage.filters import threshold_otsu

    def otsu(values: pd.Series, what: str) -> float:
        return float(threshold_otsu(np.minimum(values, np.percentile(values, TAIL[what])).to_numpy()))

    pixels = pd.DataFrame(np.concatenate(list(samples)), columns=["haematoxylin", "dab"])
    rows = np.repeat(np.arange(len(index)), [len(sample) for sample in samples])
    pixels["subject"], train = index["subject"].to_numpy()[rows], index["split"].to_numpy()[rows] == "train"
    amount = pixels.loc[train, "dab"].clip(lower=0)
    positive = max(PALEST, otsu(amount**0.5, "dab") ** 2) if stain == "ihc" else None
    if positive is not None:
        train, pixels = train[pixels["dab"] <= positive], pixels[pixels["dab"] <= positive]
    quantiles = pixels.groupby("subject")["haematoxylin"].quantile(list(QUANTILES)).unstack()
    low, span = quantiles[QUANTILES[0]], quantiles[QUANTILES[1]] - quantiles[QUANTILES[0]]
    usual = span.median()
    span = span.clip(usual / SPAN, usual * SPAN).clip(lower=1e-6)
    scaled = (pixels["haematoxylin"] - pixels["subject"].map(low)) / pixels["subject"].map(span)
    scale = {subject: (float(low[subject]), float(span[subject])) for subject in low.index}
    return Cut(otsu(scaled[train], "haematoxylin"), positive, scale)


def write_cut(folder: str | Path, cut: Cut) -> None:
    """Store the cut in a folder of patches."""
    write_text(Path(folder) / FILE, json.dumps(asdict(cut), indent=1) + "\n")


def load_cut(folder: str | Path) -> Cut | None:
    """The cut that a folder of patches was labelled with; None if its labels were not made from the stain."""
    path = Path(folder) / FILE
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Cut(**found | {"scale": {subject: tuple(scale) for subject, scale in found["scale"].items()}})
