"""Does a drawing from QuPath ask for the classes that its regions have, at the size that it was drawn at?"""

import json

import numpy as np
import pytest
from PIL import Image

from ppcore.masks.geojson import SLIP, write_geojson
from ppcore.masks.labels import MASK, Label
from ppcore.masks.sketches import load_sketches, read_sketch
from ppcore.study.errors import StudyError, StudyWarning
from ppcore.tests.test_geojson import CLASSES, H, W, boxes, feature, square

TWO = (Label("other", "#ffffff"), Label("Tumor", "#d55e00"))  # of own labels: two classes with names


def drawn(path, *features: dict):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def test_regions_are_the_classes_that_they_name_and_of_a_binary_cohort_all_tissue(tmp_path):
    """A gland drawn before the tissue around it, nuclei in a hole, a class that QuPath derived, a point."""
    path = drawn(tmp_path / "a.geojson", feature([square(30, 20, 50, 40)], "gland"),
                 feature([square(10, 10, 80, 50), square(60, 20, 70, 30)]), feature([square(62, 22, 66, 26)], "nuclei"),
                 feature([square(0, 52, 90, 58)], "Tumor: Positive"), feature([5, 5], "nuclei", "Point"))
    wanted = boxes((10, 10, 80, 50, 1), (60, 20, 70, 30, 0), (62, 22, 66, 26, 2), (30, 20, 50, 40, 3), (0, 52, 90, 58, 4))
    labels, remark = read_sketch(path, H, W, classes=CLASSES)
    np.testing.assert_array_equal(labels, wanted)
    assert remark == "outlines: tissue 1, nuclei 1, gland 1, Tumor 1; left out: 1 Point"
    mask, remark = read_sketch(path, H, W)
    np.testing.assert_array_equal(mask, wanted > 0)
    assert remark == "outlines: tissue 4; left out: 1 Point"


def test_without_names_for_classes_a_region_needs_none_but_air_stays_air(tmp_path):
    path = drawn(tmp_path / "a.geojson", feature([square(10, 10, 40, 40)], None), feature([square(50, 10, 80, 40)], "air"),
                 feature([square(0, 50, 90, 60)], "Stroma"))
    np.testing.assert_array_equal(read_sketch(path, H, W)[0], boxes((10, 10, 40, 40, 1), (0, 50, 90, 60, 1)))
    for classes, found in ((CLASSES, "1 without a class, 1 of air, 1 of Stroma. Wanted other, tissue, nuclei, gland, Tumor"),
                           (TWO, "1 without a class, 1 of air, 1 of Stroma. Wanted other, Tumor")):
        with pytest.raises(StudyError, match=f"a.geojson has regions that are of no class of the cohort: {found}"):
            read_sketch(path, H, W, classes=classes)


def test_what_was_drawn_on_another_size_is_scaled_by_its_picture_or_refused(tmp_path):
    half = feature([square(0, 0, W, H), square(W, H, 1.5 * W, 2 * H)], "gland")  # drawn on 2 H x 2 W
    path = drawn(tmp_path / "a.geojson", half, feature([square(W, 0, 2 * W, 2 * H)]))
    with pytest.raises(StudyError, match=r"a.geojson has a region from \(100, 0\) to \(200, 120\) px; wanted it within 60 x"):
        read_sketch(path, H, W, classes=CLASSES)
    Image.new("L", (2 * W, 2 * H)).save(tmp_path / "a.PNG")
    labels, remark = read_sketch(path, H, W, classes=CLASSES)
    np.testing.assert_array_equal(labels, boxes((W // 2, 0, W, H, 1), (0, 0, W // 2, H // 2, 3)))
    assert remark == "outlines: tissue 1, gland 1; resized from 120 x 200 px"
    [(name, found, _)] = load_sketches(tmp_path, H, W, classes=CLASSES)  # the picture is no drawing of its own
    assert name == "a" and np.array_equal(found, labels)
    (tmp_path / "a.PNG").write_bytes(b"no picture")
    with pytest.raises(StudyError, match="a.PNG, on which a.geojson was drawn, cannot be read"):
        read_sketch(path, H, W, classes=CLASSES)


def test_a_hand_may_slip_over_the_edge(tmp_path):
    reach = SLIP * H
    near = drawn(tmp_path / "a.geojson", feature([square(-reach, -reach, 50, H + reach)], "x"))
    np.testing.assert_array_equal(read_sketch(near, H, W)[0], boxes((0, 0, 50, H, 1)))
    for far in (square(10, 10, 20, H + reach + 1), square(10, -reach - 1, 20, 20)):
        with pytest.raises(StudyError, match="wanted it within 60 x 100 px"):
            read_sketch(drawn(tmp_path / "b.geojson", feature([far])), H, W)


@pytest.mark.parametrize("classes", [MASK, TWO, CLASSES], ids=["mask", "two", "five"])
def test_what_the_study_stores_as_geojson_comes_back_as_a_sketch(classes, tmp_path):
    labels = np.random.default_rng(0).integers(0, len(classes), (H, W), np.uint8)
    write_geojson(tmp_path / "a.geojson", labels, classes)
    np.testing.assert_array_equal(read_sketch(tmp_path / "a.geojson", H, W, classes=classes)[0], labels)


@pytest.mark.parametrize("content, words", [
    ("{}", "a.geojson is no GeoJSON: wanted a FeatureCollection"), ("{", "a.geojson is not JSON"),
    ('{"shapes": []}', "is no GeoJSON"), ("[]", r"a.geojson is all air at 60 x 100 px \(outlines: none\)"),
    ('[{"geometry": {"type": "Polygon", "coordinates": [[1]]}}]', "a.geojson feature 1 of 1 has no list of points")])
def test_what_is_no_drawing_is_refused_and_the_others_are_read(content, words, tmp_path):
    (tmp_path / "a.geojson").write_text(content)
    with pytest.raises(StudyError, match=words):
        read_sketch(tmp_path / "a.geojson", H, W)
    write_geojson(tmp_path / "b.geojson", boxes((10, 10, 40, 40, 1)))
    with pytest.warns(StudyWarning, match="1 of the 2 drawings in .* are left out: a.geojson"):
        assert [name for name, _, _ in load_sketches(tmp_path, H, W)] == ["b"]
