"""Names that users choose: text in every table, and in every figure as they are."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ppcore.figures import paper as paper_figures
from ppcore.figures.cohort import slide_grids
from ppcore.figures.style import name_shown, use_style
from ppcore.masks.patches import INDEX, PLACES, load_index, load_places, store_index
from ppcore.methods.quilting import Quilt
from ppcore.study.files import TEXT, read_table
from ppcore.study.runs import REPOSITORY
from ppcore.tests.test_paper_figures import CELLS, METRICS

LIKE_NOTHING = ["NA", "N/A", "null", "NULL", "None", "nan", "NaN", "#N/A", "-nan", "<NA>"]
LIKE_NUMBERS = ["001", "1", "1.0", "1e5", "TRUE", "inf", "0x10", "1_000"]
NAMES = [*LIKE_NOTHING, *LIKE_NUMBERS, " a", "a ", "a,b", 'a"b', "ü", "-x", "a#b"]


def index_of(names: list[str]) -> pd.DataFrame:
    """A patch of each file, in turn for training and the test; without a resolution."""
    count = len(names)
    return pd.DataFrame({
        "patch": [f"{name}_r000_c000" for name in names], "file": names, "subject": names,
        "split": [("train", "test")[i % 2] for i in range(count)], "x": range(count), "y": 0, "row": 0, "column": 0,
        "mpp": np.nan, "tissue_fraction": np.linspace(0.1, 0.9, count), "rgb_hash": [f"{i:016d}" for i in range(count)],
        "fine_hash": [f"{i}e{i:014d}"[:16] for i in range(count)]})[list(INDEX)]


@pytest.mark.parametrize("names", [NAMES, LIKE_NOTHING[:1], LIKE_NUMBERS[:2], ["1e5", "nan"]])
def test_a_patch_set_of_any_names_comes_back_as_it_was(names, tmp_path):
    index = index_of(names)
    store_index(index, pd.DataFrame({"file": names}), tmp_path)
    back = load_index(tmp_path)
    pd.testing.assert_frame_equal(back, index, atol=1e-6)
    places = pd.DataFrame([(name, 0, column, "kept" if column == 0 else "air") for name in names for column in (0, 1)],
                          columns=PLACES)
    places.to_csv(tmp_path / "places.csv", index=False)
    states = load_places(tmp_path, back)
    assert states["file"].tolist() == places["file"].tolist()
    assert states["state"].tolist() == [state for split in index["split"] for state in (split, "air")]


@pytest.mark.parametrize("column", TEXT)
def test_only_an_empty_cell_of_text_is_missing(column, tmp_path):
    pd.DataFrame({column: [*NAMES, None], "value": 1}).to_csv(tmp_path / "a.csv", index=False)
    read = read_table(tmp_path / "a.csv")[column]
    assert read[:-1].tolist() == NAMES and pd.isna(read.iloc[-1])


def test_numbers_are_read_as_before(tmp_path):
    numbers = pd.DataFrame({"count": [1, 2, 30], "share": [0.1, 1 / 3, 1e-12], "mpp": [0.25, np.nan, 1], "none": np.nan,
                            "seed": [np.nan, 2**31 - 1, 5], "held": [True, False, True],
                            "value": ["0.5", "no weights", "2"]})
    numbers.to_csv(tmp_path / "a.csv", index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.csv"), pd.read_csv(tmp_path / "a.csv"), check_exact=True)


def test_notebooks_read_tables_in_no_other_way():
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        assert "read_csv" not in path.read_text(encoding="utf-8"), path.name


def test_a_subject_called_na_lends_its_masks(tmp_path):
    """Quilting compares subjects; a missing one equals nothing, not even itself."""
    store_index(index_of(["NA", "b"]), pd.DataFrame(), tmp_path)
    mask = np.zeros((64, 128), np.uint8)
    mask[:, :64] = 1
    subjects = load_index(tmp_path)["subject"].to_numpy()
    assert np.array_equal(Quilt([mask] * 2, [mask] * 2, subjects).draw(mask, 1), mask)
    assert np.array_equal(Quilt([mask], [mask], subjects[:1]).draw(mask, 1), mask)


@pytest.fixture
def looks():
    with plt.rc_context(), pd.option_context("display.html.use_mathjax", True):
        use_style()
        yield
    plt.close("all")


def drawn(text: str, **how) -> np.ndarray:
    figure = plt.figure(figsize=(4, 0.5))
    figure.text(0, 0.3, text, **how)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


@pytest.mark.parametrize("name", ["$$", "s $a^$ 1", "a$", "$5 & $6", r"a\$b$", r"$\frac$", "a_b^c {x}", "$x^2$, $y$"])
def test_a_name_is_drawn_letter_by_letter(name, looks):
    assert np.array_equal(drawn(name_shown(name)), drawn(name, parse_math=False))


def test_slides_of_any_names_have_titles_that_fit(looks):
    names = ["标" * 79, "$$ $x^$ & $5", "s" * 240, "plain", "TCGA-XX-0001-01Z-00-DX1.0123-4567-89ab", "_" * 200]
    grid = pd.DataFrame({"row": [0, 0], "column": [0, 1], "state": ["train", "air"]})
    count = len(names)
    figure = slide_grids([np.zeros((8, 16, 3), np.uint8)] * count, [(128, 64)] * count, [grid] * count, names, 64, 64)
    with warnings.catch_warnings(action="ignore"):  # a font without these letters shows boxes as wide
        figure.canvas.draw()
        titles = [axis.title.get_window_extent() for axis in figure.axes]
    assert all(left.x1 < right.x0 for row in (titles[:3], titles[3:]) for left, right in zip(row, row[1:]))
    assert titles[0].x0 > 0 and max(title.x1 for title in titles) < figure.bbox.width


def test_a_long_name_keeps_its_beginning_and_its_end():
    long = "TCGA-XX-0001-" + "a" * 200 + "-DX1.svs"
    assert name_shown(long) == "TCGA-XX-00…a-DX1.svs" and len(name_shown(long)) == 20
    assert [len(name_shown(long, longest)) for longest in (5, 14, 60)] == [5, 14, 60]
    assert name_shown("a" * 20) == "a" * 20


@pytest.mark.parametrize("count", [2, 3, 5])
def test_cohorts_of_long_names_fit_their_panels(count, looks):
    paper_figures.use_print_style()
    runs = {"Cohort-of-Hospital_" * 9 + str(i): (METRICS, CELLS, {}) for i in range(count)}
    figure = paper_figures.cell_averages(runs)
    figure.canvas.draw()
    titles = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
    assert len(titles) == count and all(left.x1 < right.x0 for left, right in zip(titles, titles[1:]))
    assert titles[0].x0 > 0 and titles[-1].x1 < figure.bbox.width


def test_a_table_shows_dollars_and_not_formulas(looks):
    assert "mathjax_ignore" in pd.DataFrame({"file": ["$a$", "$b$"]})._repr_html_()
