"""Can this patch set be trusted? Are train and test alike, does the threshold matter, is the stain as stated?

The paper gives a threshold for each stain (section 2.1) and checks none of this. These checks drop nothing.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ppcore.masks.make import read_mask, tissue_mask
from ppcore.masks.patches import read_image
from ppcore.metrics.control import iou
from ppcore.metrics.distribution import ks
from ppcore.study.errors import StudyError, warn

# Thresholds on a pixel's optical density, a vector over R, G, B: its least length, and the share of that length by
# which one channel must exceed another. Haematoxylin (G - R = .05, G - B = .41) is neither pink nor brown. No mixture
# of it with DAB is pink, since G - R > .2 and G - B > .1 never hold together on the line between the two.
LEAST_DENSITY = 0.2  # in paler pixels (gray above about 195), JPEG's colour noise outweighs the stain
GREEN_OVER_RED, GREEN_OVER_BLUE = 0.2, 0.1  # pink. Eosin: .92, .88 (Ruifrok), .59, .24 (Macenko)
BLUE_OVER_GREEN, BLUE_OVER_RED = 0.02, 0.1  # brown. DAB: .21, .51
LEAST_SHARE = 0.02  # of tissue; pink was 20 % or more of it in all H&E files seen, under 1 % in all IHC files
NAMED = 5  # files that a warning names; the table lists all

_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / 255).astype(np.float32)  # of each gray level


def split_ks(index: pd.DataFrame) -> float:
    """KS between the tissue fractions of train and test, in [0, 1]; nan if either has fewer than two patches."""
    train, test = (index.loc[index["split"] == side, "tissue_fraction"].to_numpy() for side in ("train", "test"))
    return ks(train, test) if min(len(train), len(test)) > 1 else math.nan


def threshold_sensitivity(folder: str | Path, patches: list[str], threshold: int, step: int = 10) -> pd.DataFrame:
    """How another threshold would change the fine masks, one row per patch (section 2.1; reading R3).

    folder: of a patch set; reads `rgb/<patch>.webp`. threshold: gray level 1-254, the one in use. step: gray levels
    to either side; lower and upper threshold stay within 1 to 254. Columns: patch; lower, threshold, upper, in gray
    levels; fraction_lower, fraction, fraction_upper, tissue fractions in [0, 1]; iou_lower, iou_upper, of the mask at
    that threshold with the one in use, in [0, 1], 1 if both are empty.
    """
    levels = {"lower": max(threshold - step, 1), "threshold": threshold, "upper": min(threshold + step, 254)}
    rows = []
    for patch in tqdm(patches, desc="shifting the threshold", unit="patch"):
        rgb = read_image(Path(folder) / "rgb" / f"{patch}.webp")
        lower, used, upper = (tissue_mask(rgb, level) for level in levels.values())
        rows.append({"patch": patch, **levels, "fraction_lower": lower.mean(), "fraction": used.mean(),
                     "fraction_upper": upper.mean(), "iou_lower": iou(lower, used), "iou_upper": iou(upper, used)})
    return pd.DataFrame(rows)


def stain_shares(rgb: np.ndarray, fine: np.ndarray) -> tuple[float, float]:
    """Shares of the tissue that are pink (eosin) and brown (DAB), each in [0, 1]; (0, 0) without tissue.

    rgb: (H, W, 3) uint8. fine: (H, W) in {0, 1}, 1 = tissue. In optical density, -log10(I / 255), eosin absorbs green
    most, DAB blue, and haematoxylin red about as much as green (Ruifrok and Johnston 2001; Macenko et al. 2009). White
    is 255, not the patch's own glass: without glass, pixels above the threshold are pale tissue (seen in H&E: a median
    of 244, 204, 226). So if glass has a tenth less blue than red, pale H&E may look "neither" or "ihc".
    """
    density = _DENSITY[rgb[fine > 0]]
    if not len(density):
        return 0.0, 0.0
    length = np.linalg.norm(density, axis=1)
    red, green, blue = density.T
    seen = length > LEAST_DENSITY
    pink = seen & (green - red > GREEN_OVER_RED * length) & (green - blue > GREEN_OVER_BLUE * length)
    brown = seen & (blue - green > BLUE_OVER_GREEN * length) & (blue - red > BLUE_OVER_RED * length)
    return float(pink.mean()), float(brown.mean())


def stain_check(folder: str | Path, index: pd.DataFrame, stain: str, patches: list[str]) -> pd.DataFrame:
    """Does each file look like the stated stain? Warns of those that do not; one row per file, sorted by name.

    folder: of a patch set; reads `rgb/` and `fine/`. index: its index. stain: "he" or "ihc". patches: those to check.
    Columns: file; patches, how many were checked; pink, brown, shares of their tissue in [0, 1]; looks, "he" if pink
    makes up LEAST_SHARE or more and exceeds brown, "ihc" if brown does, else "neither"; stated; doubtful.
    H&E is doubtful unless it looks like H&E, as every H&E slide has eosin. IHC is doubtful only if it looks like H&E:
    without the antigen it has no brown. Raises `StudyError` for an unknown stain or a patch that is not in the index.
    """
    if stain not in ("he", "ihc"):
        raise StudyError(f"stain is {stain!r}: wanted he or ihc (--stain he|ihc)")
    file_of = dict(zip(index["patch"], index["file"]))
    if unknown := [patch for patch in patches if patch not in file_of]:
        raise StudyError(f"{len(unknown)} patches are not in the index, the first is {unknown[0]}: choose from its "
                         "column `patch`, or run notebook 01 again")
    rows = []
    for patch in tqdm(patches, desc="checking the stain", unit="patch"):
        fine = read_mask(Path(folder) / "fine" / f"{patch}.png")
        pink, brown = stain_shares(read_image(Path(folder) / "rgb" / f"{patch}.webp"), fine)
        tissue = int(np.count_nonzero(fine))
        rows.append({"file": file_of[patch], "patches": 1, "tissue": tissue, "pink": pink * tissue,
                     "brown": brown * tissue})
    columns = ["file", "patches", "tissue", "pink", "brown"]
    table = pd.DataFrame(rows, columns=columns).groupby("file", as_index=False).sum()
    table[["pink", "brown"]] = table[["pink", "brown"]].div(table.pop("tissue").clip(lower=1), axis=0)
    most = table[["pink", "brown"]].max(axis=1)
    looks = np.where(most < LEAST_SHARE, "neither", np.where(table["pink"] > table["brown"], "he", "ihc"))
    doubtful = looks != "he" if stain == "he" else looks == "he"
    table = table.assign(looks=looks, stated=stain, doubtful=doubtful)
    if doubtful.any():
        warn(_what_is_doubtful(table[doubtful], len(table), stain))
    return table


def _what_is_doubtful(table: pd.DataFrame, files: int, stain: str) -> str:
    what = {"he": "look like H&E", "ihc": "look like IHC", "neither": "show hardly any eosin or DAB"}
    found = []
    for looks, group in table.groupby("looks"):
        names = [f"{row.file} (pink {row.pink:.1%}, brown {row.brown:.1%})" for row in group.head(NAMED).itertuples()]
        more = f" and {len(group) - NAMED} more" if len(group) > NAMED else ""
        found.append(f"{len(group)} {what[looks]}: {', '.join(names)}{more}")
    return (f"stain {stain} is stated, but of {files} files {'; '.join(found)}. Look at them: the air threshold "
            "depends on the stain. Run with --stain he|ihc, or remove files of another stain")
