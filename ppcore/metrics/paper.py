"""What did the paper report? Its Table 2 and the factor of section 3.1, for comparison with ours.

They come from the paper's own four cohorts at its own scale. For any other cohort they are a guide, not a target.
"""

import math
from io import StringIO

import pandas as pd

from ppcore.slides.cohorts import TABLE_1

# Table 2: Kolmogorov-Smirnov, Kullback-Leibler, Frechet inception distance to the real test masks; lower is better.
# PriorPath there is pix2pix alone (section 2.6).
TABLE_2 = pd.read_csv(StringIO("""\
dataset,method,ks,kl,fid
PRAD,DCGAN,0.112,6.163,554.699
PRAD,DEPAS,0.309,261.584,198.704
PRAD,PriorPath,0.056,0.309,71.246
SKCM,DCGAN,0.251,82.569,495.516
SKCM,DEPAS,0.314,234.171,138.604
SKCM,PriorPath,0.074,0.355,61.892
LUSC,DCGAN,0.214,51.578,448.568
LUSC,DEPAS,0.282,260.163,437.812
LUSC,PriorPath,0.137,1.772,60.782
NSCLC,DCGAN,0.086,0.904,424.950
NSCLC,DEPAS,0.264,185.724,138.629
NSCLC,PriorPath,0.112,1.279,103.348
"""))
FID_FACTOR = {"he": 1.316, "ihc": 1.378}  # section 3.1: FID of CycleGAN over that of pix2pix
METHODS = {"DCGAN": "DCGAN", "DEPAS": "DEPAS", "PriorPath": "pix2pix"}  # the paper's name -> ours; PriorPath is pix2pix


def table_2_beside(metrics: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """Table 2: the paper's rows for each data set, with ours below: columns dataset, method, KS, KL, FID.

    metrics: tidy, of this cohort, protocol A as in the paper. Ours are `ks`, `kl_paper100` (the only form with values
    as large as the paper's, reading R24) and `fid`, each as stored: FID may be a word (R26).
    """
    value = metrics[metrics["protocol"] == "A"].set_index(["method", "metric"])["value"]
    rows = [(row.dataset, row.method, f"{row.ks:.3f}", f"{row.kl:.3f}", f"{row.fid:.1f}")
            for row in TABLE_2.itertuples()]
    for name, ours in METHODS.items():
        found = [value.get((ours, metric), "not run") for metric in ("ks", "kl_paper100", "fid")]
        rows.append((f"{cohort} here", f"{name} ({ours})" if name != ours else name, *map(_rounded, found)))
    return pd.DataFrame(rows, columns=["dataset", "method", "KS", "KL", "FID"])


def cyclegan_factor(metrics: pd.DataFrame, stain: str) -> pd.DataFrame:
    """CycleGAN's distance over pix2pix's (section 3.1): columns distance, pix2pix, CycleGAN, factor, paper.

    metrics: tidy, of one cohort; protocol A. Above 1, pix2pix is closer to the real test masks. The paper reports it
    for FID only, for `stain` "he" over three cohorts and for "ihc". A word if a number is missing; empty if an MMD² is
    not above 0, since about 0 means alike.
    """
    value = metrics[metrics["protocol"] == "A"].set_index(["method", "metric"])["value"]
    rows = []
    for metric, title in (("fid", "FID"), ("kd", "kd"), ("mmd2", "MMD²"), ("w1_mean", "W1 (sd)")):
        found = [value.get((method, metric), "not run") for method in ("pix2pix", "CycleGAN")]
        below, above = pd.to_numeric(pd.Series(found), errors="coerce")
        word = next((word for word in found if _is_word(word)), "")
        factor = f"{above / below:.3f}" if below > 0 and above > 0 else word
        rows.append((title, *map(_rounded, found), factor, f"{FID_FACTOR[stain]}" if metric == "fid" else ""))
    return pd.DataFrame(rows, columns=["distance", "pix2pix", "CycleGAN", "factor", "paper"])


def _is_word(text: str) -> bool:
    return pd.isna(pd.to_numeric(text, errors="coerce"))


def _rounded(text: str) -> str:
    return text if _is_word(text) else f"{float(text):.3f}"


def table_1(index: pd.DataFrame, height: int, width: int, stain: str) -> pd.DataFrame:
    """Table 1 of the paper for this cohort: columns parameter, value."""
    counts = index["split"].value_counts()
    values = _table_1_values(index["file"].nunique(), index["subject"].nunique(), counts.get("train", 0),
                             counts.get("test", 0), height=height, width=width, stain=stain, mpp=index["mpp"].mean())
    return pd.DataFrame(values.items(), columns=["parameter", "value"])


def table_1_beside(index: pd.DataFrame, height: int, width: int, stain: str, cohort: str) -> pd.DataFrame:
    """`table_1` in a column named `cohort`, next to the paper's four; one row per parameter."""
    ours = table_1(index, height, width, stain).set_index("parameter")["value"]
    papers = {f"paper's {name}": _table_1_values(**column, height=512, width=1024) for name, column in TABLE_1.items()}
    return pd.DataFrame({cohort: ours} | papers)


def _table_1_values(slides: int, participants: int, train: int, test: int, *, height: int, width: int, stain: str,
                    mpp: float = math.nan) -> dict[str, str]:
    return {"# of slides": str(slides), "# of participants": str(participants), "# of train patches": f"{train:,}",
            "# of test patches": f"{test:,}", "Patch size": f"{height} x {width}",
            "um per pixel": "not stated" if math.isnan(mpp) else f"{mpp:.2f}",
            "Staining method": {"he": "H&E", "ihc": "IHC"}[stain]}
