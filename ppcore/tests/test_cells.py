"""Cells of the space of masks: are masks put where they belong, and is a method that leaves a cell out named?"""

import numpy as np
import pandas as pd
import pytest

from ppcore.metrics import cells as cells_module
from ppcore.metrics.cells import (GRID_CELLS, LEAST, NO_REAL, NO_SAMPLE, TOO_FEW, cell_means, cell_table, embed,
                                  grid_lines, numbers)
from ppcore.metrics.morphometry import mmd

CENTRES = 8 * np.random.default_rng(5).normal(size=(9, 6))  # nine kinds of mask, far apart
CENTRES[:, 0] = np.arange(9)  # in place of the tissue fraction, by which kinds are numbered


def kinds(seed: int, of: list[int], each: int = 20) -> np.ndarray:
    """`each` vectors of every kind in `of`."""
    rng = np.random.default_rng(seed)
    return np.concatenate([CENTRES[kind] + 0.3 * rng.normal(size=(each, 6)) for kind in of])


def places_and_cells(descriptors: dict[str, np.ndarray], seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = {name: [f"{name}-{i}" for i in range(len(values))] for name, values in descriptors.items()}
    places = embed(names, descriptors, seed)
    return places, cell_table(places, descriptors, seed)


@pytest.fixture(scope="module")
def planted() -> tuple[dict[str, np.ndarray], pd.DataFrame, pd.DataFrame]:
    """Real masks of nine kinds; "alike" of the same, "collapsed" of the first three, "off" of all but with another
    spread, "sparse" with three masks a kind."""
    descriptors = {"real": kinds(0, range(9)), "alike": kinds(1, range(9)), "collapsed": kinds(2, [0, 1, 2], each=60),
                   "off": kinds(3, range(9)) + 2.5, "sparse": kinds(4, range(9), each=3)}
    return descriptors, *places_and_cells(descriptors)


def test_masks_of_known_kinds_come_into_the_cells_of_their_kind(planted):
    _, places, _ = planted
    for method, each in (("real", 20), ("alike", 20), ("sparse", 3)):
        found = places.loc[places["method"] == method, "kmeans"].to_numpy()
        assert found.tolist() == np.repeat([str(kind) for kind in range(1, 10)], each).tolist()


def test_a_method_that_leaves_a_cell_empty_is_named_there_and_nowhere_else(planted):
    _, _, cells = planted
    table = cells[(cells["method"] == "collapsed") & (cells["space"] == "kmeans")].set_index("cell")
    assert (table.loc[list("456789"), "mmd2"] == NO_SAMPLE).all() and (table.loc[list("456789"), "n"] == 0).all()
    assert numbers(table.loc[list("123"), "mmd2"]).notna().all()
    assert not (cells.loc[cells["method"] == "alike", "mmd2"] == NO_SAMPLE).any()
    sparse = cells[(cells["method"] == "sparse") & (cells["space"] == "kmeans")]
    assert (sparse["mmd2"] == TOO_FEW).all() and (sparse["n"] == 3).all()
    means = cell_means(cells).set_index(["space", "method"])
    assert means.loc[("kmeans", "collapsed"), ["cells", "of", "no_sample"]].tolist() == [3, 9, 6]


def test_real_against_real_is_about_zero_in_every_cell_and_another_spread_is_not(planted):
    _, _, cells = planted
    value = cells.assign(value=numbers(cells["mmd2"])).set_index(["space", "method"])["value"].sort_index()
    alike = value["kmeans", "alike"]
    assert len(alike) == 9 and alike.abs().max() < 0.02 and alike.min() < 0 < alike.max()  # unbiased: of either sign
    assert value["kmeans", "off"].min() > 10 * alike.max()


def test_one_cell_that_holds_everything_gives_the_mmd_over_all(planted):
    descriptors, places, _ = planted
    cells = cell_table(places.assign(kmeans="1"), descriptors, seed=0)
    found = cells[(cells["space"] == "kmeans") & (cells["method"] == "off")]["mmd2"]
    assert len(found) == 1 and float(found.iloc[0]) == pytest.approx(mmd(descriptors["real"], descriptors["off"])[0], rel=1e-5)


def test_the_grid_divides_the_extent_in_thirds_from_the_upper_left(planted):
    _, places, cells = planted
    x, y = grid_lines(places["x"]), grid_lines(places["y"])
    inner = places[(places["x"] > x[1]) & (places["x"] < x[2]) & (places["y"] > y[1]) & (places["y"] < y[2])]
    assert set(inner["grid"]) <= {"B2"}
    assert places.loc[places["x"].idxmax(), "grid"][1] == "3" and places.loc[places["y"].idxmax(), "grid"][0] == "A"
    assert set(cells.loc[cells["space"] == "grid", "cell"]) == set(GRID_CELLS)
    grid = cells[cells["space"] == "grid"]
    counted = grid.groupby("method")[["n_real", "n"]].sum()
    assert (counted["n_real"] == 180).all() and counted.loc["sparse", "n"] == 27  # every mask is in one cell
    assert (grid.loc[grid["n_real"] == 0, "mmd2"] == NO_REAL).all()
    enough = (grid["n_real"] >= LEAST) & (grid["n"] >= LEAST)
    assert (numbers(grid["mmd2"]).notna() == enough).all()


def test_the_same_seed_gives_the_same_bytes_and_no_weights_say_so(planted):
    descriptors, places, cells = planted
    again, cells_again = places_and_cells(descriptors)
    assert again.to_csv() == places.to_csv() and cells_again.to_csv() == cells.to_csv()
    assert set(cells["fid"]) <= {"no weights", NO_SAMPLE, TOO_FEW, NO_REAL} and "no weights" in set(cells["fid"])


def test_few_masks_get_fewer_cells_and_no_masks_no_plane():
    places, cells = places_and_cells({"real": kinds(0, [0, 1, 2], each=2), "made": kinds(1, [0, 1, 2], each=2)})
    assert set(places["kmeans"]) <= set("12345") and len(cells) == 9 + places["kmeans"].nunique()
    _, many = places_and_cells({"real": kinds(0, [0, 1, 2], each=3), "made": kinds(1, [0, 1, 2])})
    assert many["n_real"].max() < LEAST < many["n"].max() and numbers(many["mmd2"]).isna().all()  # too few real masks
    with pytest.raises(ValueError, match="wanted 'real' among them"):
        embed({"made": ["a"]}, {"made": kinds(0, [0], each=1)}, 0)
    with pytest.raises(ValueError, match="made: 1 names for 2 masks"):
        embed({"real": ["a", "b"], "made": ["a"]}, {"real": kinds(0, [0], 2), "made": kinds(0, [0], 2)}, 0)


def test_fid_compares_the_masks_of_one_cell_where_there_are_enough(monkeypatch):
    """Inception weights cannot be had here, so the score is replaced by what it was given."""
    descriptors = {"real": kinds(0, range(9), each=4), "made": kinds(1, range(9), each=3)}
    places, _ = places_and_cells(descriptors)
    masks = {name: [np.full((2, 2), i) for i in range(len(values))] for name, values in descriptors.items()}
    asked = []
    monkeypatch.setattr(cells_module, "fid_kid", lambda generated, real, weights, seed: asked.append(
        ([int(m[0, 0]) for m in generated], [int(m[0, 0]) for m in real])) or {"fid": 12.5})
    monkeypatch.setattr(cells_module, "LEAST", 2)
    monkeypatch.setattr(cells_module, "LEAST_FID", 4)
    table = cell_table(places.assign(grid="A1"), descriptors, 0, masks, weights="file")
    assert asked == [(list(range(27)), list(range(36)))]  # of the one cell that holds all; the others hold 3 and 4
    assert table.loc[(table["space"] == "grid") & (table["cell"] == "A1"), "fid"].tolist() == ["12.5"]
    assert set(table.loc[table["space"] == "kmeans", "fid"]) == {TOO_FEW}
    assert set(cell_table(places, descriptors, 0, masks, weights=None)["fid"]) <= {"no weights", NO_SAMPLE, TOO_FEW, NO_REAL}
