"""Does similarity hold everywhere in the space of masks, or only on average?

Figure 3 of the paper divides a t-SNE of real and synthetic masks into 3 x 3 cells and compares them cell by cell
(section 3.2; reading R28). This file does so too, and repeats it in K-means cells of the REAL masks, because extents
and distances in a t-SNE mean nothing. The paper compares Inception features; this study, 27 descriptors (R27).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.manifold import TSNE

from ppcore.masks.kinds import cluster, one_thread
from ppcore.metrics.coverage import CELLS
from ppcore.metrics.frechet import fid_kid
from ppcore.metrics.morphometry import gaussian_kernel, in_real_units
from ppcore.metrics.sets import MaskSet
from ppcore.metrics.table import NO_WEIGHTS
from ppcore.study.files import write_text

SIDE = 3  # cells per side of the grid (Figure 3)
LEAST = 5  # masks of each set that a cell needs for a number
LEAST_FID = 100  # likewise for FID, which is biased upwards and noisy below thousands of masks
FAR = 10.0  # real sd at which descriptors are clipped: a collapsed set would squeeze all others into one dot
NO_SAMPLE, TOO_FEW, NO_REAL = "no sample", "too few", "no real"  # written where there is no number
WORDS = (NO_SAMPLE, TOO_FEW, NO_REAL)
GRID_CELLS = tuple(f"{row}{column}" for row in "ABC" for column in "123")  # A1: upper left, C3: lower right


@one_thread
def embed(names: Mapping[str, Sequence[str]], descriptors: Mapping[str, np.ndarray], seed: int) -> pd.DataFrame:
    """Place all masks in one plane and in cells: columns method, patch, x, y, grid, kmeans; one row per mask.

    descriptors: (N, D) from `describe_all` for "real" and each method. names: N names for each.
    x, y: one t-SNE (van der Maaten and Hinton 2008) of all sets, in units of the real sd, clipped at FAR; perplexity
    30, or a third of the masks if they are few. grid: cell of GRID_CELLS, thirds of the plane's extent. kmeans: "1" to
    "9" from little tissue to much: the nearest of CELLS centres of the real masks, or of one centre fewer than there
    are distinct ones. `cell_shares` finds the same centres, but does not clip, and takes every distinct mask if they
    are few. The same seed gives the same numbers on one machine; on another, the t-SNE may be mirrored. Raises
    ValueError for no "real" or unequal lengths; `StudyError` for fewer than three distinct real masks.
    """
    if "real" not in descriptors:
        raise ValueError(f"descriptors of {', '.join(descriptors)}: wanted 'real' among them")
    for method, values in descriptors.items():
        if len(names[method]) != len(values):
            raise ValueError(f"{method}: {len(names[method])} names for {len(values)} masks, wanted one per mask")
    real = in_real_units(descriptors["real"], descriptors["real"])[0].clip(-FAR, FAR)
    scaled = np.concatenate([in_real_units(descriptors["real"], values)[1] for values in descriptors.values()])
    scaled = scaled.clip(-FAR, FAR)
    perplexity = min(30.0, (len(scaled) - 1) / 3)
    x, y = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled).astype(np.float64).T
    kinds = min(CELLS, max(2, len(np.unique(real, axis=0)) - 1))
    _, centres = cluster(real, kinds, seed, by=descriptors["real"][:, 0])
    column, row = (np.searchsorted(grid_lines(values)[1:-1], values, side="right") for values in (x, y))
    return pd.DataFrame({
        "method": np.repeat(list(descriptors), [len(values) for values in descriptors.values()]),
        "patch": [name for method in descriptors for name in names[method]],
        "x": x, "y": y, "grid": [f"{'CBA'[r]}{c + 1}" for r, c in zip(row, column)],
        "kmeans": (cdist(scaled, centres).argmin(axis=1) + 1).astype(str)})


def grid_lines(values: np.ndarray) -> np.ndarray:
    """The SIDE + 1 lines that divide the extent of `values` (N,) into cells of equal width, ends included."""
    return np.linspace(np.min(values), np.max(values), SIDE + 1)


def cell_table(places: pd.DataFrame, descriptors: Mapping[str, np.ndarray], seed: int,
               masks: Mapping[str, Sequence[np.ndarray]] | None = None, weights=None) -> pd.DataFrame:
    """Distance of each method's masks to the real ones, by cell: columns space, cell, method, n_real, n, mmd2, fid.

    places: from `embed` for these descriptors. space: "grid" or "kmeans". n_real, n: masks in the cell.
    mmd2: unbiased (`ppcore.metrics.morphometry.mmd`), with the scale and kernel of all real masks, so that cells can be
    compared with each other and with the MMD over all masks. About 0, of either sign, if real and synthetic are alike.
    It is a word if the cell holds no real mask (NO_REAL), none of the method's (NO_SAMPLE), or fewer than LEAST of
    either (TOO_FEW). fid: a number if `weights` (the Inception weights file) and `masks` are given and the cell holds
    LEAST_FID masks of each; otherwise a word (reading R26).
    """
    rows = []
    spaces = {"grid": GRID_CELLS, "kmeans": sorted(places["kmeans"].unique(), key=int)}
    real = places[places["method"] == "real"].reset_index(drop=True)
    for method in (name for name in descriptors if name != "real"):
        own = places[places["method"] == method].reset_index(drop=True)
        kernel = gaussian_kernel(descriptors["real"], descriptors[method])
        for space, cells in spaces.items():
            for cell in cells:
                a, b = (np.flatnonzero(table[space] == cell) for table in (real, own))
                few = TOO_FEW if min(len(a), len(b)) < LEAST else ""
                word = NO_REAL if not len(a) else NO_SAMPLE if not len(b) else few
                rows.append({"space": space, "cell": cell, "method": method, "n_real": len(a), "n": len(b),
                             "mmd2": word or f"{_mmd2(kernel, a, b + len(real)):.6g}",
                             "fid": word or _fid(masks, method, a, b, weights, seed)})
    return pd.DataFrame(rows)


def store_cells(folder: Path, sets: Mapping[str, MaskSet], names: Mapping[str, Sequence[str]], seed: int,
                weights=None) -> pd.DataFrame:
    """`cell_table` of "real" and each method, stored as cells.csv, with the places in embedding.csv.

    names: of the masks of each set. A second t-SNE, embedding_features.csv, places them by what `kd` compares.
    """
    descriptors = {name: masks.descriptors for name, masks in sets.items()}
    places = embed(names, descriptors, seed)
    seen = embed(names, {name: masks.features for name, masks in sets.items()}, seed)
    table = cell_table(places, descriptors, seed, {name: masks.pictures for name, masks in sets.items()}, weights)
    for name, placed in (("embedding", places), ("embedding_features", seen)):
        write_text(folder / f"{name}.csv", placed.to_csv(index=False, float_format="%.4f"))
    write_text(folder / "cells.csv", table.to_csv(index=False))
    return table


def _mmd2(kernel: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared MMD of the rows a and b of a kernel matrix with diagonal 0 (Gretton et al. 2012, eq. 3)."""
    within = [kernel[np.ix_(i, i)].sum() / (len(i) * (len(i) - 1)) for i in (a, b)]
    return sum(within) - 2 * kernel[np.ix_(a, b)].mean()


def _fid(masks, method: str, a: np.ndarray, b: np.ndarray, weights, seed: int) -> str:
    if weights is None or masks is None:
        return NO_WEIGHTS
    if min(len(a), len(b)) < LEAST_FID:
        return TOO_FEW
    return f"{fid_kid([masks[method][i] for i in b], [masks['real'][i] for i in a], weights, seed=seed)['fid']:.6g}"


def numbers(values: pd.Series) -> pd.Series:
    """A column of a stored table as numbers; words become nan."""
    return pd.to_numeric(values, errors="coerce")


def cell_means(cells: pd.DataFrame) -> pd.DataFrame:
    """Mean over the cells that have a number (Figure 3c): columns space, method, mean, cells, of, no_sample.

    cells: from `cell_table` or its file. of: number of cells with at least LEAST real masks, where a comparison is
    possible. no_sample: how many of those hold none of the method's masks. A method that leaves cells empty is averaged
    over the others only, so read the mean together with `cells` and `of`.
    """
    counts = cells["n_real"] >= LEAST
    table = cells.assign(value=numbers(cells["mmd2"]), counts=counts, empty=counts & (cells["n"] == 0))
    groups = table.groupby(["space", "method"], sort=False)
    return groups.agg(mean=("value", "mean"), cells=("value", "count"), of=("counts", "sum"),
                      no_sample=("empty", "sum")).reset_index()


def read_cells(path) -> pd.DataFrame:
    """Read cells.csv: values as text, counts as numbers."""
    return pd.read_csv(path, dtype=str, keep_default_na=False).astype({"n_real": int, "n": int})
