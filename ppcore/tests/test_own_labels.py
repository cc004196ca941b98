"""Do the user's labels lie on the right pixels of each patch, and is nothing of them lost without a word?"""

import json
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
from PIL import Image

from ppcore.masks.labels import load_classes
from ppcore.masks.make import read_mask
from ppcore.masks.patches import check_set, load_places, store_index
from ppcore.slides.cohorts import fingerprint
from ppcore.slides.cut import STATES, cut_patches
from ppcore.slides.folder import list_folder
from ppcore.slides.own_labels import match_labels, own_labels
from ppcore.slides.split import join_duplicates, split_patches
from ppcore.study.errors import StudyError, StudyWarning
from ppcore.study.files import hash_file
from ppcore.tests.test_geojson import feature, square
from ppcore.tests.test_sketches import labelme
from ppcore.tests.test_slides import GRID, picture, write_field, write_slide

TABLE = "value,name,colour,close_size,open_size\n0,other,#ffffff,,\n1,tissue,#f2c6d6,,\n2,nuclei,#3f2a82,3,5\n"
NUCLEI = Path(__file__).parents[3] / "shared" / "histology" / "NUCLEI"


def cohort(place, *files: str):
    """A folder of dark fields of 128 x 256 px, each of its own picture, and its labels' table."""
    for seed, name in enumerate(files):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        write_field(place / name, picture(128, 256, seed))
    (place / "labels").mkdir(parents=True)
    (place / "labels" / "classes.csv").write_text(TABLE)
    return place


def label(place, name: str, content) -> None:
    """Store a label map as PNG, or features as GeoJSON."""
    path = place / "labels" / name
    path.parent.mkdir(exist_ok=True)
    if name.endswith(".png"):
        Image.fromarray(content).save(path)
    else:
        path.write_text(json.dumps(content))


def values(seed: int = 0, height: int = 128, width: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, (height, width), np.uint8)


def labelled(place, out, strict: bool = False, **grid) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As notebook 01: cut, labels, split, store."""
    grid = GRID | grid
    sources, others = list_folder(place, True)
    index, table = cut_patches(sources, out, **grid)
    index, table = own_labels(index, table, out, sources, place, grid["mpp"], strict)
    if index["subject"].nunique() > 1:
        index = split_patches(join_duplicates(index), 0.5, 1)
    else:
        index = index.assign(split="train")
    store_index(index, table, out, others)
    return index, table


def whole(out, index: pd.DataFrame, file: str, height: int = 128, width: int = 256) -> np.ndarray:
    """The patches of an image put together again at their places, 9 where there is none."""
    found = np.full((height, width), 9, np.uint8)
    for row in index[index["file"] == file].itertuples():
        mask = read_mask(out / "fine" / f"{row.patch}.png")
        found[row.row * mask.shape[0]:, row.column * mask.shape[1]:][:mask.shape[0], :mask.shape[1]] = mask
    return found


@pytest.mark.filterwarnings("ignore:.*states no um")
def test_each_patch_gets_its_part_of_the_labels_of_its_image(tmp_path):
    place, out = cohort(tmp_path / "in", "a.png", "b.png", "c.jpg"), tmp_path / "out"
    label(place, "a.png", values())
    label(place, "b.geojson", [feature([square(30, 20, 200, 110), square(60, 40, 90, 70)]),
                               feature([square(64, 44, 80, 60)], "nuclei")])
    labelme(place / "labels" / "c.json", [{"label": "nuclei", "points": square(0, 0, 256, 128)}], 128, 256)
    index, table = labelled(place, out)
    assert np.array_equal(whole(out, index, "a.png"), values())
    drawn = np.zeros((128, 256), np.uint8)
    drawn[20:110, 30:200], drawn[40:70, 60:90], drawn[44:60, 64:80] = 1, 0, 2
    found = whole(out, index, "b.png")
    assert np.array_equal(found[found < 9], drawn[found < 9]) and (found == 9).sum() == 0
    assert (whole(out, index, "c.jpg") == 2).all()
    assert [label.name for label in load_classes(out)] == ["other", "tissue", "nuclei"]
    with Image.open(out / "fine" / f"{index['patch'][0]}.png") as image:
        assert image.mode == "P"
    shares = [(read_mask(out / "fine" / f"{patch}.png") > 0).mean() for patch in index["patch"]]
    assert index["tissue_fraction"].tolist() == pytest.approx(shares)
    assert index["fine_hash"].tolist() == [hash_file(out / "fine" / f"{patch}.png") for patch in index["patch"]]
    assert check_set(out) == len(index) == table["kept"].sum()


def test_labels_of_a_slide_are_read_at_the_scale_of_its_patches(tmp_path):
    """A slide of 0.5 um per px, patches of 1.25: px of the labels at the centres of theirs, polygons at their own."""
    place, out = cohort(tmp_path / "in"), tmp_path / "out"
    full = values(1, 320, 640)
    for name in ("a.tif", "b.tif"):
        write_slide(place / name, picture(320, 640, ord(name[0])), mpp=0.5)
    label(place, "a.png", full)
    label(place, "b.geojson", [feature([square(50, 40, 600, 300)])])
    index, _ = labelled(place, out, height=64, width=128, mpp=1.25)
    rows, columns = ((np.arange(count) + 0.5) * 2.5 for count in (128, 256))
    at = np.ix_(rows.astype(int), columns.astype(int))
    assert np.array_equal(whole(out, index, "a.tif"), full[at]) and index["mpp"].eq(1.25).all()
    inside = ((rows > 40) & (rows < 300))[:, None] & (columns > 50) & (columns < 600)
    assert np.array_equal(whole(out, index, "b.tif"), inside.astype(np.uint8))


@pytest.mark.filterwarnings("ignore:.*states no um")
def test_the_corner_that_a_slide_states_for_its_scanned_part_reaches_qupaths_labels(tmp_path, monkeypatch):
    """As a MIRAX slide does, of which none is small enough for a test."""
    monkeypatch.setattr(openslide, "PROPERTY_NAME_BOUNDS_X", tile := "openslide.level[0].tile-width")
    place, out = cohort(tmp_path / "in"), tmp_path / "out"
    write_slide(place / "a.tif", picture(320, 640), mpp=1.0)
    label(place, "a.geojson", [feature([square(0, 0, 100, 64)])])
    index, _ = labelled(place, out)
    found = whole(out, index, "a.tif", 320, 640)
    with openslide.OpenSlide(place / "a.tif") as slide:
        at = int(slide.properties[tile])
    assert at and (found[:64, at:at + 100] == 1).all() and (found == 1).sum() == 64 * 100


@pytest.mark.filterwarnings("ignore:.*states no um")
def test_images_without_good_labels_leave_the_cohort_and_say_why(tmp_path):
    place, out = cohort(tmp_path / "in", "good.png", "none.png", "small.png", "broken.png", "rgb.png"), tmp_path / "out"
    label(place, "good.png", values())
    label(place, "small.png", values()[::2, ::2])
    label(place, "rgb.png", np.stack([values()] * 3, -1))
    (place / "labels" / "broken.geojson").write_text("{")
    label(place, "nobody.png", values())
    (place / "labels" / "none.tif").write_bytes(b"a mask")
    with pytest.warns(StudyWarning) as said:
        index, table = labelled(place, out)
    said = [str(each.message) for each in said]
    assert any(line == "1 label files belong to no image: nobody.png" for line in said)
    assert any("1 files of" in line and "are not read: none.tif: wanted .png .geojson" in line for line in said)
    assert any(line.startswith("4 of 5 images are left out: broken.png: broken.geojson is not JSON") for line in said)
    stored = pd.read_csv(out / "sources.csv", keep_default_na=False).set_index("file")
    assert stored.loc["none.png", "skipped"].startswith("no labels: wanted labels/none with one of .png .geojson")
    assert stored.loc["small.png", "skipped"].startswith("small.png has 64 x 128 px; wanted 128 x 256")
    assert "mode RGB; wanted one channel" in stored.loc["rgb.png", "skipped"] and stored.loc["good.png", "skipped"] == ""
    assert stored.loc["labels/good.png", "skipped"] == "labels of the images"
    assert set(index["file"]) == {"good.png"} and check_set(out) == len(index)
    assert {path.stem for path in (out / "thumbnails").iterdir()} == {"good"}
    assert set(load_places(out, index)["file"]) == {"good.png"}
    assert stored.loc["none.png", ["places", *STATES]].eq(0).all()
    with pytest.raises(StudyError, match="^broken.png: broken.geojson is not JSON.*strict=true"):
        labelled(place, out, strict=True)


@pytest.mark.filterwarnings("ignore:.*states no um")
def test_a_patch_without_labels_is_dropped_as_air(tmp_path):
    place, out = cohort(tmp_path / "in", "a.png", "b.png"), tmp_path / "out"
    label(place, "a.geojson", [feature([square(0, 0, 10, 10)]), feature([3, 3], kind="Point")])
    label(place, "b.png", values())
    with pytest.warns(StudyWarning) as said:
        index, table = labelled(place, out)
    said = [str(each.message) for each in said]
    assert "left out of the labels: 1 Point" in said
    assert "3 patches in which nothing is labelled are dropped as air" in said
    table = table.set_index("file")
    assert (index["file"] == "a.png").sum() == table.loc["a.png", "kept"] == 1 and check_set(out) == len(index)
    assert table.loc["a.png", "air"] == table.loc["a.png", "places"] - 1 == table.loc["b.png", "kept"] - 1
    states = load_places(out, index).groupby("file")["state"].value_counts()
    assert states["a.png", "air"] == table.loc["a.png", "air"] and table.loc["b.png", "air"] == 0


@pytest.mark.filterwarnings("ignore:.*states no um")
def test_classes_that_the_table_lacks_are_listed_with_the_lines_wanted(tmp_path):
    place = cohort(tmp_path / "in", "a.png", "b.png")
    label(place, "a.geojson", [feature([square(0, 0, 99, 99)], "gland"), feature([square(0, 0, 9, 9)]),
                               *(feature([square(1, 1, side, side)], "Tumor: Negative") for side in (4, 5))])
    label(place, "b.png", values() * 2)
    found = r"gland \(1 region\), Tumor: Negative \(2 regions\), value 4 \(1 PNG\)"
    with pytest.raises(StudyError, match=found) as error:
        labelled(place, tmp_path / "out")
    assert str(error.value).splitlines()[1:] == ["3,gland,#009e73", "4,class 4,#f0e442", "5,Tumor: Negative,#0072b2"]
    label(place, "b.png", values() // 2 * 255)
    with pytest.raises(StudyError, match=r"value 255 \(1 PNG\). At most 16 classes are possible: store them as 0, 1, 2"):
        labelled(place, tmp_path / "out")
    (place / "labels" / "classes.csv").unlink()
    (place / "labels" / "b.png").unlink()
    with pytest.raises(StudyError, match="classes.csv is missing; classes of") as error:
        labelled(place, tmp_path / "out")
    lines = str(error.value).splitlines()[1:]
    assert lines == ["value,name,colour", "0,other,#ffffff", "1,gland,#e69f00", "2,tissue,#56b4e9",
                     "3,Tumor: Negative,#009e73"]
    (place / "labels" / "classes.csv").write_text("\n".join(lines))  # as they stand
    with pytest.warns(StudyWarning):
        labelled(place, tmp_path / "out")


@pytest.mark.filterwarnings("ignore:.*states no um")
def test_without_a_table_and_without_any_class_the_reasons_are_told(tmp_path):
    place = cohort(tmp_path / "in", "a.png", "b.png", "c.png")
    (place / "labels" / "classes.csv").unlink()
    label(place, "a.geojson", [feature([square(0, 0, 99, 99)], None)])
    (place / "labels" / "b.geojson").write_text("{}")
    with pytest.raises(StudyError, match="classes.csv is missing, and the label files name no class for it: b.png: "
                                         "b.geojson is no GeoJSON.*, c.png: no labels: wanted.*, 1 without a class"):
        labelled(place, tmp_path / "out")


@pytest.mark.parametrize("text", [b"", b"\xff\xfe\x00", b"value,name\n0,a\n",
                                  b"value,name,colour\n0,a,red\n1,b,#ffffff\n",
                                  b"value,name,colour,close_size\n0,a,#000000,\n1,b,#ffffff,\n2,c,#ff0000,wide\n"])
def test_a_broken_table_of_classes_is_named(tmp_path, text):
    place = cohort(tmp_path, "a.png")
    (place / "labels" / "classes.csv").write_bytes(text)
    with pytest.raises(StudyError, match="classes.csv"), pytest.warns(StudyWarning):
        labelled(place, tmp_path / "out")


def test_labels_belong_to_images_by_stem_folder_whole_name_or_table(tmp_path):
    place = cohort(tmp_path, "a.png", "x/b.png", "x/c.png", "y/c.png", "d.e.png")
    for name in ("a.json", "b.png", "x/c.png", "y/c.xml", "d.e.png.geojson"):
        (place / "labels" / name).parent.mkdir(exist_ok=True)
        (place / "labels" / name).write_text("")
    files = ["a.png", "d.e.png", "x/b.png", "x/c.png", "y/c.png"]
    found = {file: path.relative_to(place / "labels").as_posix() for file, path in match_labels(files, place).items()}
    assert found == {"a.png": "a.json", "d.e.png": "d.e.png.geojson", "x/b.png": "b.png", "x/c.png": "x/c.png",
                     "y/c.png": "y/c.xml"}
    (place / "labels" / "a.xml").write_text("")
    with pytest.raises(StudyError, match="labels holds a.json, a.xml for a.png: keep one"):
        match_labels(files, place)
    (place / "labels" / "labels.csv").write_text("file,labels\na.png,a.xml\nx/b.png,b.png\ngone.png,a.json\n")
    with pytest.warns(StudyWarning, match="names gone.png: not there|3 label files belong to no image"):
        assert set(match_labels(files, place)) == {"a.png", "x/b.png"}
    for text, said in (("file,labels\na.png,a.xml\na.png,b.png\n", "names a.png twice"),
                       ("a,b\n1,2\n", "wanted the columns")):
        (place / "labels" / "labels.csv").write_text(text)
        with pytest.raises(StudyError, match=said):
            match_labels(files, place)
    (place / "labels" / "labels.csv").unlink()
    for name in ("a.xml", "x/c.png", "y/c.xml"):
        (place / "labels" / name).unlink()
    (place / "labels" / "c.png").write_text("")
    with pytest.raises(StudyError, match="c.png would belong to two images"):
        match_labels(files, place)


def test_labels_are_no_images_and_a_change_of_them_is_seen(tmp_path):
    place = cohort(tmp_path, "a.png")
    label(place, "a.png", values())
    assert [source.name for source in list_folder(place)[0]] == ["a.png"]
    before = fingerprint(place)
    assert set(before) == {"a.png", "labels/a.png", "labels/classes.csv"}
    label(place, "a.png", values(1))
    assert {name for name, found in fingerprint(place).items() if before[name] != found} == {"labels/a.png"}
    (place / "labels" / "classes.csv").unlink()  # now it is a folder like any other, unless labels are asked for
    assert [source.name for source in list_folder(place)[0]] == ["a.png", "labels/a.png"]
    assert [source.name for source in list_folder(place, True)[0]] == ["a.png"]
    assert "labels/a.png" in fingerprint(place, True)


@pytest.mark.filterwarnings("ignore:.*states no um")
@pytest.mark.parametrize("before, after", [("2,nuclei,#3f2a82,3,5", "2,nuclei,#3f2a82,3,7"),
                                           ("1,tissue,#f2c6d6", "1,tissue,#f2c6d7"), ("nuclei", "lymphocytes")])
def test_a_changed_class_changes_the_index_that_every_notebook_watches(tmp_path, before, after):
    place, indices = cohort(tmp_path / "in", "a.png"), []
    label(place, "a.png", values())
    for old, new in ((before, before), (before, after), (after, before)):
        (place / "labels" / "classes.csv").write_text(TABLE.replace(old, new))
        labelled(place, tmp_path / "out")
        indices.append((tmp_path / "out" / "index.csv").read_bytes())
    assert indices[0] == indices[2] != indices[1]
    stored = tmp_path / "out" / "classes.csv"
    stored.write_text(stored.read_text().replace(before, after))  # by hand, which nothing watches
    with pytest.raises(StudyError, match="differs from the patch set that was cut: classes.csv was changed or is missing"):
        check_set(tmp_path / "out")


@pytest.mark.skipif(not NUCLEI.is_dir(), reason="needs ../shared/histology/NUCLEI, nuclei outlined by experts")
@pytest.mark.filterwarnings("ignore:.*states no um")
def test_nuclei_outlined_by_experts_come_in_pixel_by_pixel(tmp_path):
    index, table = labelled(NUCLEI, tmp_path, height=256, width=320, max_air=1.0)
    assert len(index) == len(table) == 76 and check_set(tmp_path) == 76
    for row in index.head(10).itertuples():
        with Image.open(NUCLEI / "labels" / row.file) as image:
            assert np.array_equal(read_mask(tmp_path / "fine" / f"{row.patch}.png"), np.array(image))
