"""Labels from the stain: painted nuclei in, the same nuclei out, whatever the slide's strength; and nothing else."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ppcore.masks import stain as stain_module
from ppcore.masks.labels import load_classes
from ppcore.masks.make import read_mask, tissue_mask, write_mask
from ppcore.masks.patches import load_index, write_image
from ppcore.masks.stain import draw_pixels, label, label_set
from ppcore.masks.stain_cut import PALEST, Cut, learn_cut, load_cut
from ppcore.metrics.agreement import compare_classes, cut_sensitivity, object_agreement, pixel_agreement
from ppcore.slides import phantom as phantom_module
from ppcore.slides.phantom import Phantom, beer_lambert, draw_slide, write_cohort
from ppcore.study.errors import StudyWarning
from ppcore.study.files import hash_file
from ppcore.study.runs import REPOSITORY
from ppcore.tests.test_run import run_all

NUCLEI = REPOSITORY.parent / "shared" / "histology" / "NUCLEI"
SHAPE = (128, 192)


def discs(centres, radius: float, shape=SHAPE) -> np.ndarray:
    """Discs (H, W) in {0, 1}."""
    y, x = np.mgrid[:shape[0], :shape[1]]
    return np.any([np.hypot(y - a, x - b) <= radius for a, b in centres], axis=0).astype(np.uint8)


GRID = [(y, x) for y in range(12, 128, 20) for x in range(12, 160, 20)]  # 48 nuclei; glass from column 172 on
CELLS = discs(GRID, 5)


def paint(haematoxylin, eosin=0.25, dab=0.0, strength: float = 1.0, seed: int = 0) -> np.ndarray:
    """A patch with glass on the right, the blur of a lens and the noise of a sensor."""
    haematoxylin, eosin, dab = (cv2.GaussianBlur(np.full(SHAPE, 0.0) + amount, (0, 0), 0.7)
                                for amount in (haematoxylin, eosin, dab))
    on = np.zeros(SHAPE, np.float32)
    on[:, :172] = strength
    amounts = {"haematoxylin": on * (0.05 + haematoxylin), "eosin": on * eosin, "dab": on * dab}
    noise = np.random.default_rng(seed).normal(0, 2, (*SHAPE, 3))
    return np.clip(beer_lambert(amounts, np.full(SHAPE, 245.0)) + noise, 0, 255).astype(np.uint8)


def learnt(patches: list[np.ndarray], stain: str = "he", split=None, subjects=None, mpp: float = 1.0) -> Cut:
    """The cut of painted patches, each of a subject 0, 1, ... of its own unless said."""
    subjects = subjects or [str(i) for i in range(len(patches))]
    index = pd.DataFrame({"subject": subjects, "split": split or ["train"] * len(patches)})
    return learn_cut(index, [draw_pixels(rgb, tissue_mask(rgb, 204 if stain == "he" else 235), stain, mpp,
                                         np.random.default_rng(i)) for i, rgb in enumerate(patches)], stain)


def labels_of(rgb: np.ndarray, cut: Cut, subject: str = "0", mpp: float = 1.0, air: int = 204) -> np.ndarray:
    return label(rgb, tissue_mask(rgb, air), cut, subject, mpp)


def count(mask: np.ndarray) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8))[0] - 1


def test_nuclei_are_found_in_a_pale_and_in_a_dark_slide_with_one_cut():
    slides = [paint(0.4 * CELLS, strength=strength, seed=i) for i, strength in enumerate((0.6, 1.0, 1.6))]
    cut = learnt(slides)
    for i, rgb in enumerate(slides):
        found = (labels_of(rgb, cut, str(i)) == 2).astype(np.uint8)
        assert count(found) == 48 and pixel_agreement(found, CELLS)["dice"] > 0.9
    flat = replace(cut, scale=dict.fromkeys("012", cut.scale["2"]), palest=0)
    assert count(labels_of(slides[0], flat, "0") == 2) < 24  # what the scaling is for


def test_air_stays_what_the_threshold_says():
    rgb = paint(0.4 * CELLS)
    rgb[11:13, 11:13] = 250  # a hole in a nucleus, small enough to be filled
    assert np.array_equal(labels_of(rgb, learnt([rgb])) > 0, tissue_mask(rgb, 204))


def test_the_test_set_does_not_move_the_cut():
    train, other = [paint(0.4 * CELLS, seed=i) for i in range(2)], paint(0.8 * CELLS, dab=0.5 * CELLS)
    for stain in ("he", "ihc"):
        cuts = [learnt([*train, rgb], stain, ["train", "train", "test"]) for rgb in (train[0], other)]
        assert cuts[0].positive == cuts[1].positive and cuts[0].nuclei == pytest.approx(cuts[1].nuclei, rel=1e-6)
        assert learnt([*train, other], stain).nuclei != pytest.approx(cuts[0].nuclei, rel=1e-3)


def test_what_is_no_nucleus_is_none():
    slab = np.zeros(SHAPE)
    slab[20:110, 20:150] = 1  # basophilic, 90 um wide: cartilage
    red_cells = paint(0.0, eosin=0.25 + 1.2 * CELLS)
    pen = paint(0.4 * CELLS)
    for row in range(0, 40, 10):
        pen[row:row + 8, :150] = (20, 45, 90)
    cut = learnt([paint(0.4 * CELLS), red_cells, paint(0.3 * slab), paint(0.0), pen], split=["train", *["test"] * 4])
    assert not (labels_of(red_cells, cut, "1") == 2).any()
    assert (labels_of(paint(0.3 * slab), cut, "2") == 2).mean() < 0.01
    assert not (labels_of(paint(0.0), cut, "3") == 2).any()  # a slide without nuclei
    found = labels_of(pen, cut, "4") == 2
    assert not found[2:38, 2:148].any() and count(found) >= 30  # blue ink is none, and does not hide the others


def test_a_slide_without_nuclei_has_none_though_it_is_scaled():
    shadows = paint(0.25 + 0.06 * CELLS)  # basophilic, with unevenness that scaling alone would make nuclei of
    cut = learnt([paint(0.4 * CELLS), paint(0.4 * CELLS, seed=1), shadows])
    assert not (labels_of(shadows, cut, "2") == 2).any()
    pale = paint(0.06 * CELLS)  # and a cohort of nothing else
    cut = learnt([pale])
    assert not (labels_of(pale, cut) == 2).any() and (labels_of(pale, replace(cut, palest=0)) == 2).any()


def test_nuclei_that_touch_are_cut_apart_and_a_long_or_waisted_one_is_not():
    pair = discs([(64, 50), (64, 62)], 6)  # and the lens blurs them into one
    y, x = np.mgrid[:SHAPE[0], :SHAPE[1]]
    long = (np.hypot((y - 64) / 3, (x - 120) / 12) <= 1).astype(np.uint8) | discs([(100, 120), (100, 126)], 5)
    cut = learnt([paint(0.4 * CELLS), paint(0.4 * (pair | long))])
    found = labels_of(paint(0.4 * (pair | long)), cut, "1") == 2
    assert count(found[:, :90]) == 2 and count(found[:, 90:]) == 2


def test_lengths_are_in_um_and_not_in_pixels():
    rgb = paint(0.4 * CELLS)
    large = cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    assert count(labels_of(large, learnt([large], mpp=0.5), mpp=0.5) == 2) == 48
    assert count(labels_of(rgb, learnt([rgb], mpp=0.25), mpp=0.25) == 2) == 0  # discs of 2.5 um are no nuclei


def test_brown_nuclei_are_positive_alone_and_a_slide_without_brown_has_none():
    brown = discs(GRID[::3], 5)
    slides = [paint(0.3 * CELLS, 0.0, 0.7 * discs(GRID[::3], 4)), paint(0.3 * CELLS, 0.0, seed=1)]
    cut = learnt(slides, "ihc")
    found = labels_of(slides[0], cut, "0", air=235)
    assert count(found == 3) == 16 and pixel_agreement((found == 3).astype(np.uint8), brown)["dice"] > 0.85
    assert count(found == 2) == 32  # no rims of brown ones among them
    assert not (labels_of(slides[1], cut, "1", air=235) == 3).any()
    none = learnt(slides[1:], "ihc", subjects=["1"])
    assert none.positive >= PALEST  # Otsu always cuts somewhere


def test_a_set_is_labelled_on_disk(tmp_path):
    patches = {"a": paint(0.4 * CELLS), "b": paint(0.4 * CELLS, seed=1)}
    for name, rgb in patches.items():
        write_image(tmp_path / "rgb" / f"{name}.webp", rgb)
        write_mask(tmp_path / "fine" / f"{name}.png", tissue_mask(rgb, 204))
    index = pd.DataFrame({"patch": list("ab"), "file": list("ab"), "subject": list("ab"), "split": ["train", "test"],
                          "mpp": [1.0, np.nan], "tissue_fraction": 0.8, "fine_hash": ""})
    with pytest.warns(StudyWarning, match="1 files state no um per px"):
        made, cut = label_set(index, tmp_path, "he", 1.0, seed=1)
    assert [label.name for label in load_classes(tmp_path)] == ["air", "tissue", "nuclei"]
    assert load_cut(tmp_path) == cut and load_cut(tmp_path / "fine") is None
    for name, rgb in patches.items():  # with what was stored, the labeller gives back the map, pixel by pixel
        assert np.array_equal(label(rgb, tissue_mask(rgb, 204), load_cut(tmp_path), name, 1.0),
                              read_mask(tmp_path / "fine" / f"{name}.png"))
    assert made["fine_hash"].tolist() == [hash_file(tmp_path / "fine" / f"{name}.png") for name in "ab"]
    assert count(read_mask(tmp_path / "fine" / "a.png") == 2) == 48
    with pytest.warns(StudyWarning):
        again, _ = label_set(index, tmp_path, "he", 1.0, seed=1, jobs=2)  # of label maps, in another order
    pd.testing.assert_frame_equal(again, made)
    assert cut.times(2).palest == 2 * cut.palest  # else a cohort near it would seem not to depend on the cut
    table = cut_sensitivity(tmp_path, made.fillna({"mpp": 1.0}), cut, load_classes(tmp_path))
    assert table.loc[("nuclei", 0.9), "share_other"] > table.loc[("nuclei", 0.9), "share"]
    assert table.loc[("nuclei", 1.1), "share_other"] < table.loc[("nuclei", 1.1), "share"]
    with pytest.warns(StudyWarning, match="single nuclei cannot be seen"):
        label_set(index.assign(mpp=8.0), tmp_path, "he", 8.0, seed=1)


def test_nuclei_of_the_phantom_are_those_that_were_laid(monkeypatch):
    laid = []
    lay_out = phantom_module.lay_out
    monkeypatch.setattr(phantom_module, "lay_out", lambda *args: laid.append(lay_out(*args)) or laid[-1])
    slides = [draw_slide(Phantom("he", 4, 256.0, 256.0, 0.5, 1), number) for number in (1, 2, 3)]
    cut = learnt(slides, mpp=0.5)
    both = np.zeros(3)
    for i, (rgb, (_, nuclei, _)) in enumerate(zip(slides, laid)):
        wanted = phantom_module._ellipses(nuclei, np.ones(len(nuclei["x"])), rgb.shape[:2], 0.5) > 0.5
        found = labels_of(rgb, cut, str(i), mpp=0.5) == 2
        both += [(found & wanted).sum(), found.sum(), wanted.sum()]
    assert 2 * both[0] / (both[1] + both[2]) > 0.85


@pytest.mark.skipif(not NUCLEI.is_dir(), reason=f"no fields with outlined nuclei in {NUCLEI}")
def test_nuclei_are_those_that_experts_outlined_better_with_the_scaling_than_without():
    table = pd.read_csv(NUCLEI / "subjects.csv").groupby("subject").head(5)
    fields = [np.asarray(Image.open(NUCLEI / file).convert("RGB")) for file in table["file"]]
    wanted = [np.asarray(Image.open(NUCLEI / "labels" / file)).clip(0, 1).astype(np.uint8) for file in table["file"]]
    dice = []
    for subjects in (table["subject"].tolist(), ["one"] * len(table)):
        cut = learnt(fields, subjects=subjects, mpp=0.35)
        found = [(labels_of(rgb, cut, subject, 0.35) == 2).astype(np.uint8) for rgb, subject in zip(fields, subjects)]
        dice.append(pixel_agreement(np.vstack(found), np.vstack(wanted))["dice"])
    assert dice[0] > 0.75 and dice[0] > dice[1] + 0.02


def test_agreement_by_hand():
    found, wanted = np.zeros((2, 10, 20), np.uint8)
    found[2:6, 2:6], wanted[2:6, 3:7] = 1, 1  # 16 px each, 12 shared: IoU 12 / 20
    found[2:6, 12:16], wanted[2:6, 14:18] = 1, 1  # 8 shared: IoU 8 / 24
    assert pixel_agreement(found, wanted) == {"dice": 40 / 64, "precision": 20 / 32, "recall": 20 / 32}
    assert object_agreement(found, wanted) == {"matched": 1, "found": 2, "wanted": 2}
    assert object_agreement(found, wanted, 0.6)["matched"] == 0  # more than, not as much as
    none = np.zeros_like(found)
    assert pixel_agreement(none, wanted) == {"dice": 0, "precision": 0, "recall": 0}
    assert pixel_agreement(none, none)["dice"] == 1 and object_agreement(none, wanted)["matched"] == 0
    with pytest.raises(ValueError, match="wanted 0.5 or more"):
        object_agreement(found, wanted, 0.3)
    classes = stain_module.classes_of("ihc", 1.0)
    row = compare_classes([(2 * found, 2 * wanted)], classes).loc["nuclei"]
    assert row.tolist() == [32 / 200, 32 / 200, 2, 2, 20 / 44, 40 / 64]
    assert np.isnan(compare_classes([(2 * found, 2 * wanted)], classes).loc["positive", "iou"])


def test_the_command_makes_label_maps_and_learns_how_small_a_nucleus_is(tmp_path):
    """Notebook 01 on real slides; what it stored is a patch set that the next notebook accepts."""
    write_cohort(Phantom("he", 3, 512.0, 512.0, 1.0, 1), tmp_path / "drawn")
    status, said = run_all("--profile", "smoke", "--cohort", "MINE", "--slides", str(tmp_path / "drawn"), "--stain", "he",
                           "-p", "labels=stain", "--only", "01", home=tmp_path)
    assert status == 0, said
    folder = tmp_path / "data" / "smoke" / "MINE" / "patches"
    index, nuclei = load_index(folder), load_classes(folder)[2]
    assert nuclei.least_object == nuclei.least_hole >= 2 and set(index["split"]) == {"train", "test"}
