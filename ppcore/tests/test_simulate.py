"""Simulated sketches and variations: coarser than C(m), within the amounts of reading R13, the same bytes again."""

import warnings

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ppcore.masks import simulate
from ppcore.masks.labels import MASK, Label
from ppcore.masks.make import coarse_mask, read_mask, tissue_mask
from ppcore.masks.simulate import HANDS, INDEX, Sketch, augment, simulate_sketch, sketch_set
from ppcore.metrics.control import iou
from ppcore.slides.phantom import Phantom, draw_slide
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file

SHAPE = (256, 512)


@pytest.fixture(scope="module")
def masks() -> list[np.ndarray]:
    """Fine masks of phantom tissue of two kinds, 2 um/px as in the study."""
    return [tissue_mask(draw_slide(Phantom(width_um=1024, height_um=512, mpp=2, seed=seed), number), 204)
            for seed in (1, 2) for number in (1, 3)]


@pytest.fixture
def sketch() -> np.ndarray:
    """An L with an island, clear of the frame."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[60:200, 100:160] = mask[160:200, 100:380] = 1
    return cv2.circle(mask, (330, 90), 30, 1, -1)


def edge_length(mask: np.ndarray) -> int:
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())


def areas(mask: np.ndarray) -> list[int]:
    """Of the islands, then of the holes, px."""
    return [int(area) for tone in (mask, 1 - mask) for area in cv2.connectedComponentsWithStats(tone)[2][1:, -1]]


def test_a_sketch_is_much_coarser_than_c_and_a_hastier_hand_coarser_still(masks):
    rounds = {"fine": masks, "coarse": [coarse_mask(mask) for mask in masks]}
    rounds |= {hand: [simulate_sketch(mask, seed, hand) for seed, mask in enumerate(masks)] for hand in HANDS}
    edge = {name: np.mean([edge_length(mask) for mask in each]) for name, each in rounds.items()}
    parts = {name: np.mean([len(areas(mask)) for mask in each]) for name, each in rounds.items()}
    agree = {name: np.mean([iou(a, b) for a, b in zip(each, masks)]) for name, each in rounds.items()}
    assert edge["careful"] < 0.7 * edge["coarse"] and parts["careful"] < 0.5 * parts["coarse"]
    for measure in (edge, parts, agree):
        assert measure["fine"] > measure["coarse"] > measure["careful"] > measure["quick"] > measure["rough"]
    assert agree["rough"] > 0.5  # but still of that patch


@pytest.mark.parametrize("accuracy", HANDS)
def test_nothing_is_drawn_that_the_brush_or_the_patience_cannot(accuracy, masks):
    hand, unit = HANDS[accuracy], SHAPE[0] / 512
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, [int(0.7 * hand.brush * unit) | 1] * 2)
    for seed, mask in enumerate(masks):
        drawn = simulate_sketch(mask, seed, accuracy)
        assert drawn.shape == mask.shape and drawn.dtype == np.uint8 and set(np.unique(drawn)) == {0, 1}
        assert min(areas(drawn)) >= hand.least * drawn.size
        assert (cv2.morphologyEx(drawn, cv2.MORPH_OPEN, disc) != drawn).mean() < 0.004  # corners at the frame


def test_a_seed_is_a_sketch(masks):
    first, again, other = (simulate_sketch(masks[0], seed, "quick") for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    state = np.random.get_state()[1].copy()
    simulate_sketch(masks[0], 1, "quick"), augment(first, 1)
    assert np.array_equal(np.random.get_state()[1], state)  # nothing is drawn from the global generator


def test_the_hand_misses_the_edge_by_its_wobble_and_is_not_drawn_to_the_frame():
    half = np.zeros(SHAPE, np.uint8)
    half[:, :250] = 1
    for accuracy, hand in HANDS.items():
        missed = [simulate_sketch(half, seed, accuracy).sum(axis=1) - 250.0 for seed in range(12)]
        assert 0.4 < np.std(missed) / (hand.wobble * SHAPE[0] / 512) < 1.4
        assert np.abs(missed).max() < 60  # all rows, those at the frame too: tissue reaches it, and its air


@pytest.mark.parametrize("accuracy", HANDS)
def test_an_island_in_a_hole_stays_an_island_in_a_hole(accuracy):
    mask = np.zeros(SHAPE, np.uint8)
    for radius, tone in ((120, 1), (85, 0), (40, 1)):
        cv2.circle(mask, (256, 128), radius, tone, -1)
    drawn = simulate_sketch(mask, 3, accuracy)
    assert len(areas(drawn)) == len(areas(mask)) and iou(drawn, mask) > 0.65


@pytest.mark.parametrize("accuracy", HANDS)
def test_a_sketch_is_of_one_tone_only_where_its_mask_is(accuracy):
    for tone in (0, 1):
        plain = np.full(SHAPE, tone, np.uint8)
        assert np.array_equal(simulate_sketch(plain, 1, accuracy), plain)
        plain[100:103, 400:403] = 1 - tone  # a speck
        drawn = simulate_sketch(plain, 1, accuracy)
        assert drawn[101, 401] == 1 - tone and (drawn == tone).mean() > 0.95
    with pytest.raises(StudyError, match="'fast' is not known: take one of careful, quick, rough"):
        simulate_sketch(plain, 1, "fast")


def test_lengths_go_with_the_size_of_the_patch(masks):
    large = cv2.resize(masks[0], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    for accuracy in HANDS:
        small = simulate_sketch(masks[0], 5, accuracy)
        assert iou(np.ascontiguousarray(simulate_sketch(large, 5, accuracy)[::2, ::2]), small) > 0.95


def still(monkeypatch, **amounts) -> None:
    """Switch off all variation except `amounts`."""
    for name, value in ({"TURN": 0, "ZOOM": (1, 1), "THICKEN": 0, "ELASTIC": 0, "WINDOW": 1} | amounts).items():
        monkeypatch.setattr(simulate, name, value)


def test_with_all_amounts_at_nought_a_variation_is_one_of_the_four_mirror_images(sketch, monkeypatch):
    still(monkeypatch)
    images = [sketch, sketch[::-1], sketch[:, ::-1], sketch[::-1, ::-1]]
    found = [[np.array_equal(augment(sketch, seed), image) for image in images].index(True) for seed in range(80)]
    assert np.bincount(found).min() > 8 and len(set(found)) == 4


def test_tissue_and_air_are_warped_alike(sketch, monkeypatch):
    still(monkeypatch, TURN=15, ZOOM=(0.8, 1.25))
    assert all((augment(sketch, seed) == augment(1 - sketch, seed)).mean() < 0.0005 for seed in range(8))


def varied_disc(monkeypatch, seeds: int = 60, **amounts) -> np.ndarray:
    """Radii (px) of a disc of 60 px in its variations."""
    still(monkeypatch, **amounts)
    disc = cv2.circle(np.zeros(SHAPE, np.uint8), (256, 128), 60, 1, -1)
    return np.sqrt([augment(disc, seed).sum(dtype=int) / np.pi for seed in range(seeds)])


def test_zoom_window_and_thickness_keep_to_their_amounts_and_use_them(monkeypatch):
    zoomed = varied_disc(monkeypatch, ZOOM=(0.8, 1.25))
    assert 47 < zoomed.min() < 50 and 72 < zoomed.max() < 76
    cut = varied_disc(monkeypatch, WINDOW=0.75)
    assert 59 < cut.min() < 61 and 77 < cut.max() < 81
    thick = varied_disc(monkeypatch, THICKEN=8)  # of 512 px, so 4 here
    assert 55.5 < thick.min() < 57 and 63 < thick.max() < 64.5
    assert np.ptp(varied_disc(monkeypatch, TURN=15)) < 0.2


def test_a_window_is_cut_out_anywhere(monkeypatch):
    still(monkeypatch, WINDOW=0.5)
    dot = cv2.circle(np.zeros(SHAPE, np.uint8), (256, 128), 8, 1, -1)
    places = np.array([np.argwhere(augment(dot, seed)).mean(axis=0) for seed in range(40)]) / SHAPE
    assert (places.min(axis=0) < 0.35).all() and (places.max(axis=0) > 0.65).all()


def test_the_turn_is_15_degrees_at_most(monkeypatch):
    still(monkeypatch, TURN=15)
    bar = np.zeros(SHAPE, np.uint8)
    bar[118:138, 160:352] = 1
    angles = []
    for seed in range(60):
        rows, columns = np.nonzero(augment(bar, seed))
        angles.append(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))
    assert 13 < max(angles) < 16 and -16 < min(angles) < -13


def test_the_elastic_part_bends_and_does_not_tear(sketch, monkeypatch):
    still(monkeypatch, ELASTIC=simulate.ELASTIC)
    bent = [augment(sketch, seed) for seed in range(30)]
    images = [sketch, sketch[::-1], sketch[:, ::-1], sketch[::-1, ::-1]]
    near = [max(iou(each, np.ascontiguousarray(image)) for image in images) for each in bent]
    assert min(near) > 0.6 and np.median(near) < 0.97
    assert all(len(areas(each)) == len(areas(sketch)) for each in bent)


def test_outside_is_more_of_the_same_and_never_air(sketch):
    framed = 1 - sketch  # tissue all along the frame
    for seed in range(24):
        varied = augment(framed, seed)
        assert varied.shape == SHAPE and varied.dtype == np.uint8 and set(np.unique(varied)) == {0, 1}
        assert varied[0].mean() + varied[-1].mean() > 1.2
    assert all(augment(np.ones(SHAPE, np.uint8), seed).all() for seed in range(20))
    assert not any(augment(np.zeros(SHAPE, np.uint8), seed).any() for seed in range(5))


def test_a_variation_never_loses_the_last_of_a_tone():
    dot = np.zeros(SHAPE, np.uint8)
    dot[2:7, 2:7] = 1  # a window of three quarters mostly leaves it out, an erosion eats it
    assert all(0 < augment(mask, seed).mean() < 1 for seed in range(20) for mask in (dot, 1 - dot))


def test_a_set_says_where_each_sketch_comes_from_and_can_be_made_again(sketch, masks, tmp_path):
    mine = [Sketch("bob", sketch, "drawn"),
            Sketch("p1_rough", simulate_sketch(masks[0], 1, "rough"), "simulated", "rough", origin="p1")]
    index = sketch_set(mine, 3, 7, tmp_path / "a")
    stored = pd.read_csv(tmp_path / "a" / "index.csv", dtype={"seed": "Int64"}, keep_default_na=False,
                         na_values={"seed": ""})
    assert tuple(stored.columns) == INDEX and len(stored) == len(index) == 8
    assert stored["sketch"].tolist() == [f"{name}_{i}" for name in ("bob", "p1_rough") for i in range(4)]
    assert stored.groupby("source")["origin"].unique().map(list).to_dict() == {"drawn": ["bob"], "simulated": ["p1"]}
    assert stored["accuracy"].tolist() == [""] * 4 + ["rough"] * 4
    by_name = {each.name: each.mask for each in mine}
    for row in stored.itertuples():
        mask = read_mask(tmp_path / "a" / f"{row.sketch}.png")
        whole = by_name[row.sketch.rsplit("_", 1)[0]]
        assert np.array_equal(mask, whole if row.sketch.endswith("_0") else augment(whole, row.seed))
        assert pd.isna(row.seed) == row.sketch.endswith("_0")
        assert row.tissue_fraction == pytest.approx(mask.mean(), abs=1e-6)
        assert row.sketch_hash == hash_file(tmp_path / "a" / f"{row.sketch}.png")
    assert stored["sketch_hash"].nunique() == 8

    sketch_set(mine, 3, 7, tmp_path / "b")
    files = [path.name for path in (tmp_path / "b").iterdir()]
    assert sorted(files) == sorted([*(stored["sketch"] + ".png"), "index.csv", simulate.MARK])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    more = sketch_set([Sketch("ann", sketch, "drawn"), *mine], 4, 7, tmp_path / "b")  # replaces the earlier set
    assert set(stored["sketch_hash"]) < set(more["sketch_hash"]) and len(list((tmp_path / "b").iterdir())) == 17
    assert set(sketch_set(mine, 3, 8, tmp_path / "c")["sketch_hash"]) & set(stored["sketch_hash"]) == set(
        stored["sketch_hash"][::4])


def test_a_set_is_whole_or_not_there_and_drawings_are_not_written_over(sketch, tmp_path, monkeypatch):
    mine = [Sketch("bob", sketch, "drawn")]
    sketch_set(mine, 1, 7, tmp_path / "set")
    before = (tmp_path / "set" / "index.csv").read_bytes()

    def full(path, text):
        assert len(list(path.parent.glob("*.png"))) == 6  # all masks lie there before the index
        raise OSError("disk full")

    monkeypatch.setattr(simulate, "write_text", full)
    for place in ("set", "other"):
        with pytest.raises(OSError, match="disk full"):
            sketch_set(mine, 5, 8, tmp_path / place)
    assert (tmp_path / "set" / "index.csv").read_bytes() == before and not (tmp_path / "other").exists()
    monkeypatch.undo()
    (tmp_path / "set" / "index.csv").unlink()  # as the workflow does with what it has made anew
    sketch_set(mine, 1, 7, tmp_path / "set")
    assert (tmp_path / "set" / "index.csv").read_bytes() == before
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings" / "bob_1.png").write_bytes(b"mine")
    with pytest.raises(StudyError, match="holds files but no set of sketches"):
        sketch_set(mine, 1, 7, tmp_path / "drawings")
    assert (tmp_path / "drawings" / "bob_1.png").read_bytes() == b"mine"
    with pytest.raises(StudyError, match="sketches of the same name: bob"):
        sketch_set(mine * 2, 1, 7, tmp_path / "other")
    with pytest.raises(StudyError, match="no sketches: draw some"):
        sketch_set([], 1, 7, tmp_path / "other")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(sketch_set(mine, 0, 7, tmp_path / "other")) == 1


def labelled(sketch: np.ndarray) -> np.ndarray:
    """The L with nuclei dense in its foot, and a gland in its stem."""
    labels = sketch.copy()
    labels[160:200, 200:360:6] = labels[160:200, 201:360:6] = labels[160:200, 202:360:6] = 2
    labels[80:140, 110:150] = 3
    return labels


DENSE = ((7, 9), (7, 9))


def test_a_mask_has_the_sketches_it_had_before_there_were_classes(sketch):
    """Tissue in px, computed before a label map could be sketched."""
    assert [int(simulate_sketch(sketch, 7, hand).sum()) for hand in HANDS] == [19992, 19855, 15543]
    assert [int(augment(sketch, seed).sum()) for seed in (1, 2, 3)] == [15470, 36225, 38458]


@pytest.mark.parametrize("accuracy", HANDS)
def test_the_hand_draws_tissue_as_ever_and_each_class_where_it_is_dense(accuracy, sketch):
    labels = labelled(sketch)
    drawn = simulate_sketch(labels, 7, accuracy, DENSE)
    assert np.array_equal(np.minimum(drawn, 1), simulate_sketch(sketch, 7, accuracy))
    coarse = coarse_mask(labels, dense=DENSE)
    for value in (2, 3):  # not nucleus by nucleus, but where they are dense
        agreed = iou((drawn == value).astype(np.uint8), (coarse == value).astype(np.uint8))
        assert agreed > {"careful": 0.75, "quick": 0.55, "rough": 0.3}[accuracy]
    whole = simulate_sketch(sketch * np.uint8(2), 7, accuracy, DENSE)  # a class that is all the tissue is missed like it
    assert (whole == 2).sum() > 0.99 * (whole > 0).sum()
    assert len(areas((drawn == 2).astype(np.uint8))) == 2 < len(areas((labels == 2).astype(np.uint8)))  # one island, and all around it


def test_a_variation_moves_the_classes_with_their_tissue(sketch):
    labels = labelled(sketch)
    labels[labels == 2] = 1
    for seed in range(12):
        varied = augment(labels, seed)
        assert np.array_equal(np.minimum(varied, 1), augment(sketch, seed))
        assert np.array_equal(augment(sketch * np.uint8(2), seed), augment(sketch, seed) * 2)  # a class that is all the tissue
        gland = (varied == 3).astype(np.uint8)
        if gland.any():  # it lies in the stem, as before: air is no nearer than the elastic part and the brush allow
            assert cv2.erode(np.minimum(varied, 1), np.ones((3, 3), np.uint8))[gland > 0].mean() > 0.9


def test_a_set_of_label_maps_shows_its_colours_and_counts_its_tissue(sketch, tmp_path):
    classes = (*MASK, Label("nuclei", "#3f2a82", 7, 9), Label("gland", "#d55e00", 7, 9))
    labels = labelled(sketch)
    index = sketch_set([Sketch("bob", labels, "drawn")], 1, 7, tmp_path / "a", classes)
    assert np.array_equal(read_mask(tmp_path / "a" / "bob_0.png"), labels)
    assert index["tissue_fraction"][0] == (labels > 0).mean()
    with Image.open(tmp_path / "a" / "bob_0.png") as image:
        assert (0x3f, 0x2a, 0x82) in {colour for _, colour in image.convert("RGB").getcolors()}
