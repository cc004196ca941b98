"""Are nuclei counted, measured and compared as one would with a pencil?"""

import numpy as np
import pytest

from ppcore.masks.labels import MASK, Label
from ppcore.metrics.objects import PER_SET, area, area_spread, in_words, measure, nearest, number, object_rows, object_table
from ppcore.metrics.sets import MaskSet

CLASSES = (*MASK, Label("nuclei", "#3f2a82", 7, 9), Label("gland", "#d55e00", 7, 9))
FEW = {"resamples": 20, "seed": 1}


def drawn(*boxes: tuple[int, int, int], value: int = 2) -> np.ndarray:
    """Tissue of 100 x 200 px with squares of the class: top, left, side."""
    labels = np.ones((100, 200), np.uint8)
    for top, left, side in boxes:
        labels[top:top + side, left:left + side] = value
    return labels


def test_drawn_nuclei_are_counted_and_measured():
    found = measure(drawn((10, 10, 4), (10, 40, 6), (50, 10, 10), (96, 100, 4)), 2)
    assert sorted(found.areas) == [16, 16, 36, 100] and found.whole.sum() == 3  # the last touches the frame
    assert number([found]) == 4 / (100 * 200 / 1e6) and area([found]) == 36
    assert area_spread([found]) == (100 + 36) / 2 - (16 + 36) / 2
    # centres (11.5, 11.5), (12.5, 42.5), (54.5, 14.5), (97.5, 101.5): the first and second are nearest to each other
    assert nearest([found]) == pytest.approx(np.mean([np.hypot(1, 31), np.hypot(1, 31), np.hypot(43, 3), np.hypot(43, 87)]))


def test_px_that_touch_at_a_corner_are_one_nucleus_and_other_classes_are_none():
    labels = drawn((10, 10, 3), (13, 13, 3))
    labels[40:50, 40:50] = 3
    assert measure(labels, 2).areas.tolist() == [18] and measure(labels, 3).areas.tolist() == [100]
    assert measure(labels, 2).nearest.size == 0


def test_with_a_scale_numbers_are_in_um_and_mm():
    maps = [drawn((10, 10, 4), (10, 40, 6))]
    plain, scaled = measure(maps[0], 2), measure(maps[0], 2, mpp=0.5)
    assert number([scaled]) == pytest.approx(4 * number([plain])) and number([scaled]) == pytest.approx(2 / (0.05 * 0.1))
    assert area([scaled]) == area([plain]) / 4 and nearest([scaled]) == nearest([plain]) / 2


def test_a_set_pools_its_maps_and_one_without_nuclei_counts_as_surface():
    maps = [measure(drawn((10, 10, 4), (10, 20, 4)), 2), measure(drawn(), 2), measure(drawn((20, 20, 8)), 2)]
    assert number(maps) == 3 / (3 * 0.02) and area(maps) == 16 and nearest(maps) == 10
    empty = [measure(drawn(), 2)]
    assert number(empty) == 0 and np.isnan([area(empty), area_spread(empty), nearest(empty)]).all()


def test_a_difference_is_put_into_words():
    real = {"number": 100.0, "area": 40.0, "nearest": 12.0}
    assert in_words(real, {"number": 88.0, "area": 41.0, "nearest": 15.0}) == "12% fewer, as large, 25% farther apart"
    assert in_words(real, {"number": 150.0, "area": 30.0, "nearest": 6.0}) == "50% more, 25% smaller, 50% closer together"
    nothing = {"number": 0.0, "area": np.nan, "nearest": np.nan}
    assert in_words(real, nothing) == "none" and in_words(nothing, real) == "none are real"
    assert in_words(nothing, nothing) == "none, as there"
    assert in_words(real, {"number": 100.0, "area": 40.0, "nearest": np.nan}) == "as many, as large"


def test_the_table_stands_each_method_beside_the_real_maps():
    who = np.array(["a", "a", "b", "b"])
    real = MaskSet([drawn((10, 10, 4), (10, 30, 4), (40, 40, 4))] * 4, who, CLASSES)
    half = MaskSet([drawn((10, 10, 4), (10, 30, 4), (40, 40, 4)), drawn()] * 2, who, CLASSES)
    scores = {"half": [{"metric": "ks", "value": "0.1"}, *object_rows(half, float("nan"), **FEW)],
              "real": object_rows(real, float("nan"), **FEW), "no masks": [{"metric": "image_fid", "value": "no weights"}]}
    assert [row["metric"] for row in scores["real"]] == [f"{name}: {each}" for name in ("nuclei", "gland") for each in PER_SET]
    assert scores["real"][0]["value"] == "150" and scores["real"][0]["n"] == 12
    assert scores["half"][1]["low"] == scores["half"][1]["high"] == "75"  # both subjects have as many
    table = object_table(scores, CLASSES, float("nan"))
    assert table.index.tolist() == [("nuclei", "real"), ("nuclei", "half"), ("gland", "real"), ("gland", "half")]
    assert table["number per 10⁶ px"].tolist() == [150, 75, 0, 0]
    assert table["beside the real ones"].tolist() == ["", "50% fewer, as large, as far apart", "", "none, as there"]
    assert object_rows(MaskSet([np.ones((9, 9), np.uint8)], np.zeros(1)), 0.5, **FEW) == []  # a mask has no further class
