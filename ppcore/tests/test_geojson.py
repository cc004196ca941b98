"""Does a drawn region cover the pixels that it should, whoever drew it, and does a label map come back from GeoJSON?"""

import base64
import json

import cv2
import numpy as np
import pytest

from ppcore.masks import documents, regions
from ppcore.masks.geojson import geojson_regions, write_geojson
from ppcore.masks.label_files import read_label_file, read_regions
from ppcore.masks.labels import MASK, Label, value_of
from ppcore.masks.regions import Region, outlines, paint_regions
from ppcore.study.errors import StudyError
from ppcore.tests.test_damage import mutated
from ppcore.tests.test_sketches import labelme

CLASSES = (Label("other", "#ffffff"), Label("tissue", "#f2c6d6"), Label("nuclei", "#3f2a82", 13, 25),
           Label("gland", "#009e73", 13, 25), Label("Tumor", "#d55e00", 13, 25))
H, W = 60, 100


def square(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def feature(coordinates: list, name: str | None = "tissue", kind: str = "Polygon", **properties) -> dict:
    given = {} if name is None else {"classification": {"name": name, "color": [1, 2, 3]}}
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates},
            "properties": {"objectType": "annotation", **given, **properties}}


def painted(path, content, classes=CLASSES, size=(H, W)) -> np.ndarray:
    """The label map of a file that nothing is wrong with."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    found = read_label_file(path, *size, classes)
    assert not found.unknown and not found.left_out
    return found.window((0, 0), size, (1, 1))


def boxes(*given: tuple[int, int, int, int, int]) -> np.ndarray:
    """A label map of boxes: left, top, right, bottom, value."""
    labels = np.zeros((H, W), np.uint8)
    for left, top, right, bottom, value in given:
        labels[top:bottom, left:right] = value
    return labels


@pytest.mark.parametrize("seed", range(12))
def test_a_label_map_comes_back_from_geojson_pixel_by_pixel(tmp_path, seed):
    """Noise of single pixels, corners that touch, holes in holes, parts at the frame; 2 to 5 classes."""
    rng, count = np.random.default_rng(seed), 2 + seed % 4
    field = cv2.GaussianBlur(rng.random((25, 40)).astype(np.float32), (0, 0), 0.01 + seed % 3)
    labels = np.digitize(field, np.quantile(field, np.arange(1, count) / count)).astype(np.uint8)
    path = tmp_path / "a.geojson"
    write_geojson(path, labels, CLASSES[:count])
    first = path.read_bytes()
    assert np.array_equal(painted(path, path.read_text(), CLASSES[:count], labels.shape), labels)
    write_geojson(path, labels, CLASSES[:count])
    assert path.read_bytes() == first


def test_what_is_written_keeps_to_the_format(tmp_path):
    """A ring with an island, joined to nothing at its corner: three parts, exact areas, closed rings, their turns."""
    labels = boxes((10, 10, 30, 30, 1), (15, 15, 25, 25, 0), (18, 18, 20, 20, 2), (30, 30, 40, 40, 1))
    write_geojson(tmp_path / "a.geojson", labels, CLASSES[:3])
    content = json.loads((tmp_path / "a.geojson").read_text())
    assert content["type"] == "FeatureCollection" and len({each["id"] for each in content["features"]}) == 3
    areas = []
    for each in content["features"]:
        assert each["type"] == "Feature" and each["geometry"]["type"] == "Polygon"
        rings = each["geometry"]["coordinates"]
        assert all(ring[0] == ring[-1] and len(ring) >= 5 for ring in rings)
        turns = [sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, ring[1:])) / 2 for ring in rings]
        assert turns[0] > 0 and all(turn < 0 for turn in turns[1:])
        areas.append(sum(turns))
    assert areas == [300, 100, 4]
    assert content["features"][2]["properties"] == {
        "objectType": "annotation", "classification": {"name": "nuclei", "color": [63, 42, 130]}}


def test_rings_of_a_part_meet_at_most_in_points():
    """No ring may pass a point twice, as a polygon's may not: also where a part touches itself with a corner."""
    mask = np.random.default_rng(1).integers(0, 2, (40, 40), np.uint8)
    for outer, holes in outlines(mask):
        for ring in (outer, *holes):
            assert len(np.unique(ring, axis=0)) == len(ring) >= 4
            assert (np.abs(np.diff(ring, axis=0, prepend=ring[-1:])) > 0).sum(axis=1).tolist() == [1] * len(ring)


def test_polygons_by_the_rules_of_the_format(tmp_path):
    """Holes, many polygons, an island in a hole, a third coordinate; wrapped in every way that is allowed."""
    ring = feature([square(10, 10, 50, 50), square(20, 20, 40, 40)])
    two = feature([[square(60, 5, 70, 15)], [square(65, 10, 80, 20)]], "gland", "MultiPolygon")
    island = feature([[[x, y, 7] for x, y in square(25, 25, 30, 30)]], "tissue")
    wanted = boxes((10, 10, 50, 50, 1), (20, 20, 40, 40, 0), (25, 25, 30, 30, 1), (60, 5, 70, 15, 3),
                   (65, 10, 80, 20, 3))
    for content in ({"type": "FeatureCollection", "features": [ring, two, island]}, [ring, two, island]):
        assert np.array_equal(painted(tmp_path / "a.geojson", content), wanted)
    assert painted(tmp_path / "b.json", ring).sum() == 40**2 - 20**2
    old = ring | {"properties": {"classification": "nuclei"}}
    assert painted(tmp_path / "b.json", old).max() == 2


def test_a_pixel_belongs_to_a_region_if_its_centre_does(tmp_path):
    """At any scale of the window; a triangle against the sign of its sides."""
    corners = np.array([[3.2, 4.1], [90.7, 20.3], [30.9, 55.8]])
    region = Region("tissue", corners)
    for (x, y), (across, down), size in (((0, 0), (1, 1), (H, W)), ((10, 7), (2.5, 1.3), (30, 20)),
                                         ((-5, 2), (0.5, 0.5), (50, 70))):
        rows, columns = np.mgrid[:size[0], :size[1]] + 0.5
        at = np.stack([x + columns * across, y + rows * down], axis=-1)
        sides = [(at - before) @ (before[1] - after[1], after[0] - before[0]) > 0
                 for before, after in zip(corners, np.roll(corners, -1, axis=0))]
        assert np.array_equal(paint_regions([(1, region)], *size, (x, y), (across, down)), np.all(sides, axis=0))


def test_classes_are_painted_in_their_order_and_holes_show_what_lies_beneath(tmp_path):
    nuclei = feature([square(20, 20, 30, 30)], "nuclei")
    gland = feature([square(0, 0, 50, 50), square(40, 40, 45, 45)], "gland")
    under = feature([square(35, 35, 60, 60)], "tissue")
    wanted = boxes((35, 35, 60, 60, 1), (0, 0, 50, 50, 3), (40, 40, 45, 45, 1))  # the gland comes after the nuclei
    assert np.array_equal(painted(tmp_path / "a.geojson", [nuclei, gland, under]), wanted)
    swapped = (CLASSES[0], CLASSES[1], CLASSES[3], CLASSES[2])
    assert painted(tmp_path / "a.geojson", [nuclei, gland, under], swapped)[25, 25] == 3


def test_qupath_counts_from_the_corner_of_the_scanned_part_and_others_do_not(tmp_path):
    (tmp_path / "a.geojson").write_text(json.dumps([feature([square(0, 0, 9, 9)])]))
    (tmp_path / "a.xml").write_text(ASAP.format(more=""))
    for name, wanted in (("a.geojson", boxes((40, 30, 49, 39, 1))), ("a.xml", boxes((10, 10, 30, 30, 3)))):
        found = read_label_file(tmp_path / name, H, W, CLASSES, (40, 30))
        assert np.array_equal(found.window((0, 0), (H, W), (1, 1)), wanted)


def test_a_class_that_qupath_derived_is_its_own_or_its_base():
    assert value_of("Tumor: Positive", CLASSES) == 4 and value_of("Stroma: Positive", CLASSES) is None
    assert value_of("Tumor: Positive", (*CLASSES, Label("Tumor: Positive", "#000000"))) == 5


ASAP = """<?xml version="1.0"?><ASAP_Annotations><Annotations>
<Annotation Name="A 0" Type="Polygon" PartOfGroup="gland" Color="#F4FA58"><Coordinates>
<Coordinate Order="2" X="30" Y="30"/><Coordinate Order="0" X="10,0" Y="10"/><Coordinate Order="10" X="10" Y="30"/>
<Coordinate Order="1" X="30" Y="10.0"/></Coordinates></Annotation>{more}
</Annotations><AnnotationGroups><Group Name="gland" PartOfGroup="None" Color="#64FE2E"/></AnnotationGroups>
</ASAP_Annotations>"""
APERIO = """<Annotations MicronsPerPixel="0.5"><Annotation Id="1" Name="tissue" LineColor="65280"><Regions>
{hole}<Region Type="0" NegativeROA="0"><Vertices>{outer}</Vertices></Region>
<Region Type="1" NegativeROA="0"><Vertices>{other}</Vertices></Region>{more}</Regions></Annotation>
<Annotation Id="2" Name="nuclei"><Regions><Region Type="0"><Vertices>{inner}</Vertices></Region></Regions></Annotation>
</Annotations>"""


def vertices(*box: float) -> str:
    return "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in square(*box))


def aperio(more: str = "") -> str:
    hole = f'<Region Type="0" NegativeROA="1"><Vertices>{vertices(20, 20, 30, 30)}</Vertices></Region>'
    return APERIO.format(hole=hole, outer=vertices(10, 10, 50, 50), other=vertices(60, 10, 70, 20), more=more,
                         inner=vertices(24, 24, 26, 26))


def test_xml_of_asap_and_of_imagescope(tmp_path):
    assert np.array_equal(painted(tmp_path / "a.xml", ASAP.format(more="")), boxes((10, 10, 30, 30, 3)))
    wanted = boxes((10, 10, 50, 50, 1), (20, 20, 30, 30, 0), (60, 10, 70, 20, 1), (24, 24, 26, 26, 2))
    assert np.array_equal(painted(tmp_path / "a.xml", aperio()), wanted)


def test_labelme_shapes_are_classes_and_its_holes_cut_what_stands_before_them(tmp_path):
    """As in a drawing: an island after the hole stays, and so does a class that was drawn before it."""
    shapes = [{"label": "tissue", "points": square(10, 10, 50, 50)}, {"label": "Hole", "points": square(20, 20, 40, 40)},
              {"label": "tissue", "points": square(25, 25, 30, 30)},
              {"label": "gland", "shape_type": "rectangle", "points": [[60, 10], [70, 20]]}]
    path = labelme(tmp_path / "a.json", shapes, H, W)
    wanted = boxes((10, 10, 50, 50, 1), (20, 20, 40, 40, 0), (25, 25, 30, 30, 1), (60, 10, 70, 20, 3))
    assert np.array_equal(painted(path, path.read_text()), wanted)
    with pytest.raises(StudyError, match="^a.json was drawn on 60 x 100 px; wanted 61 x 100"):
        read_regions(path, H + 1, W)


def test_a_labelme_bitmap_is_a_region_pixel_by_pixel(tmp_path):
    bitmap = np.random.default_rng(4).integers(0, 2, (20, 30), np.uint8)
    stored = base64.b64encode(cv2.imencode(".png", bitmap * 255)[1]).decode()
    shape = {"label": "gland", "shape_type": "mask", "points": [[50, 10], [79, 29]], "mask": stored}
    path = labelme(tmp_path / "a.json", [shape], H, W)
    wanted = np.pad(bitmap * np.uint8(3), ((10, H - 30), (50, W - 80)))
    assert np.array_equal(painted(path, path.read_text()), wanted)
    labelme(path, [shape | {"label": "hole"}], H, W)
    with pytest.raises(StudyError, match="^a.json: shape 1 of 1 is a mask that cuts out: draw it as a polygon"):
        read_regions(path, H, W)


def test_what_has_no_area_lies_outside_or_has_no_class_is_counted(tmp_path):
    good = feature([square(10, 10, 50, 50)])
    content = [good, feature([5, 5], kind="Point"), feature([[1, 1], [9, 9]], kind="LineString"),
               good | {"geometry": None}, feature([[[1, 1], [5, 5], [9, 9], [1, 1]]]), feature([square(W, 0, W + 9, 9)]),
               feature([square(-9, 0, 0, 9)]), feature([square(1, 1, 3, 3)], None)]
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    kept, left_out = read_regions(tmp_path / "a.geojson", H, W)
    assert len(kept) == 1 and left_out == {"Point": 1, "LineString": 1, "no geometry": 1, "that enclose nothing": 1,
                                           "outside of the image": 2, "without a class": 1}
    dot = '<Annotation Type="Dot" PartOfGroup="gland"/><Annotation Type="Polygon" PartOfGroup="None"><Coordinates>'
    dot += "".join(f'<Coordinate Order="{n}" X="{n}" Y="{n * n}"/>' for n in range(4)) + "</Coordinates></Annotation>"
    (tmp_path / "a.xml").write_text(ASAP.format(more=dot))
    assert read_regions(tmp_path / "a.xml", H, W)[1] == {"Dot": 1, "without a class": 1}
    (tmp_path / "a.xml").write_text(aperio(f'<Region Type="2"><Vertices>{vertices(1, 1, 9, 9)}</Vertices></Region>'))
    assert read_regions(tmp_path / "a.xml", H, W)[1] == {"ellipses": 1}


BAD = {
    "text": ("a.geojson", "no JSON", "^a.geojson is not JSON"),
    "a number": ("a.json", "3", "^a.json is no GeoJSON: wanted a FeatureCollection"),
    "no points": ("a.json", [feature([[[1, "x"]] * 4])], "^a.json feature 1 of 1 has no list of points"),
    "no rings": ("a.json", [feature([square(1, 1, 9, 9)]), feature([])], "feature 2 of 2 has a polygon without rings"),
    "not a number": ("a.json", [feature([[[1, 1], [9, 9], [float("nan"), 4]]])], "not within 10,000,000 px"),
    "another kind": ("a.json", [feature([], kind="Circle")], "is a 'Circle': wanted Polygon or MultiPolygon"),
    "no XML": ("a.xml", "<Annotations>", "^a.xml is not XML"),
    "other XML": ("a.xml", "<svg/>", "^a.xml begins with <svg>"),
    "an entity": ("a.xml", '<!DOCTYPE x [<!ENTITY a "aaaa">]><Annotations/>', "defines a document type"),
    "a coordinate": ("a.xml", ASAP.replace('X="30"', 'X="thirty"').format(more=""), "^a.xml annotation 1 has a point"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_broken_is_refused_by_name(name, tmp_path):
    file, content, said = BAD[name]
    (tmp_path / file).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(StudyError, match=said):
        read_regions(tmp_path / file, H, W)


def test_files_that_would_fill_the_memory_are_refused_before_they_are_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda text: pytest.fail("parsed"))
    monkeypatch.setattr(documents.ElementTree, "fromstring", lambda text: pytest.fail("parsed"))
    for name, content, said in (("a.geojson", "[" + "{}," * 3_100_000 + "{}]", "values; wanted at most 6,000,000"),
                                ("a.xml", "<a/>" * 2_000_001, "elements; wanted at most 1,000,000")):
        (tmp_path / name).write_text(content)
        with pytest.raises(StudyError, match=said):
            read_regions(tmp_path / name, H, W)
    monkeypatch.setattr(documents, "LARGEST_BYTES", 10)
    with pytest.raises(StudyError, match="MiB; wanted at most"):
        documents.read_xml(tmp_path / "a.xml", "ASAP")


def test_numbers_of_regions_points_and_cuts_are_limited(monkeypatch):
    ring = np.array(square(0, 0, 9, 9))
    monkeypatch.setattr(regions, "MOST_REGIONS", 5)
    with pytest.raises(StudyError, match="6 regions; wanted at most 5"):
        regions.sort_out([Region("a", ring)] * 6, H, W)
    with pytest.raises(StudyError, match="holes that cut more than 5"):
        regions.cut_out([ring] * 3, [(3, ring)] * 2)
    monkeypatch.setattr(regions, "MOST_POINTS", 9)
    with pytest.raises(StudyError, match="10 points; wanted at most 9"):
        regions.sort_out([Region("a", ring, (ring,))], H, W)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_are_read_or_refused_by_name(tmp_path, seed):
    """Whatever is cut, blanked or overwritten: no other error, and no value beyond the classes."""
    labels = np.random.default_rng(9).integers(0, 3, (20, 30), np.uint8)
    write_geojson(tmp_path / "a.geojson", labels, CLASSES[:3])
    labelme(tmp_path / "b.json", [{"label": "tissue", "points": square(1, 1, 9, 9)}] * 3, 20, 30)
    (tmp_path / "c.xml").write_text(ASAP.format(more=""))
    (tmp_path / "d.xml").write_text(aperio())
    cv2.imwrite(str(tmp_path / "e.png"), labels)
    draws, refused, files = np.random.default_rng(seed), 0, sorted(tmp_path.iterdir())
    for path in files * 60:
        broken = tmp_path / f"broken{path.suffix}"
        broken.write_bytes(mutated(path.read_bytes(), draws))
        try:
            found = read_label_file(broken, 20, 30, CLASSES)
        except StudyError as error:
            assert str(error).startswith(broken.name)
            refused += 1
        else:
            assert found.unknown or found.window((0, 0), (20, 30), (1, 1)).max() < len(CLASSES)
    assert 60 < refused < 300


def test_a_mask_needs_no_table(tmp_path):
    mask = boxes((3, 3, 9, 9, 1))
    write_geojson(tmp_path / "a.geojson", mask)
    (region,), _ = geojson_regions(json.loads((tmp_path / "a.geojson").read_text()))
    assert region.name == "tissue" and region.area == 36
    assert np.array_equal(painted(tmp_path / "a.geojson", (tmp_path / "a.geojson").read_text(), MASK), mask)
