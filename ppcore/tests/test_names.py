"""Names that users choose: text in every table."""

import numpy as np
import pandas as pd
import pytest

from ppcore.masks.patches import INDEX, PLACES, load_index, load_places, store_index
from ppcore.methods.quilting import Quilt
from ppcore.study.files import TEXT, read_table
from ppcore.study.runs import REPOSITORY

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
