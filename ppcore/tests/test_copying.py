"""Are copies of training masks found, and held-out masks not taken for copies?"""

import cv2
import numpy as np
import pytest
from scipy.stats import ranksums

from ppcore.masks.labels import MASK, Label
from ppcore.masks.shapes import describe_all
from ppcore.metrics.control import iou
from ppcore.metrics.copying import (SIZE, copying_ct, descriptor_distance, nearest_outline, nearest_train_ratio,
                                    pixel_distances, small_masks)
from ppcore.metrics.rows import window_rows
from ppcore.metrics.windows import draw_windows, window_distances


def blobs(count: int, seed: int) -> list[np.ndarray]:
    """Masks of smooth random tissue with pores, all of one distribution."""
    rng = np.random.default_rng(seed)
    return [((cv2.GaussianBlur(rng.normal(size=(128, 256)), (0, 0), rng.uniform(5, 15)) > 0)
             & (rng.random((128, 256)) > 0.02)).astype(np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def sets() -> dict[str, list[np.ndarray]]:
    made = blobs(160, 0)
    train, test, other = made[:60], made[60:110], made[110:]
    return {"train": train, "test": test, "held out": other, "copies": train[:50],
            "flipped copies": [mask[:, ::-1].copy() for mask in train[:50]]}


def scores(sets, name: str, space: str) -> tuple[float, float]:
    if space == "morphometry":
        train = describe_all(sets["train"], progress=False)
        distances = [descriptor_distance(train, describe_all(sets[key], progress=False)) for key in ("test", name)]
    else:
        small = {key: small_masks(sets[key]) for key in ("train", "test", name)}
        distances = [pixel_distances(small[key], small["train"]).min(axis=1) for key in ("test", name)]
    return nearest_train_ratio(*distances), copying_ct(*distances)


@pytest.mark.parametrize("space", ["morphometry", "pixels"])
def test_copies_have_ratio_0_and_held_out_masks_about_1(sets, space):
    ratio, ct = scores(sets, "copies", space)
    assert ratio == pytest.approx(0, abs=1e-6) and ct < -8
    ratio, ct = scores(sets, "held out", space)
    assert ratio == pytest.approx(1, abs=0.15) and abs(ct) < 2.5


def test_morphometry_finds_flipped_copies_and_pixels_do_not(sets):
    ratio, ct = scores(sets, "flipped copies", "morphometry")
    assert ratio < 0.01 and ct < -8
    assert scores(sets, "flipped copies", "pixels")[0] > 0.9


def test_half_of_the_masks_copied_shows_in_ct(sets):
    sets = sets | {"half": sets["copies"][:25] + sets["held out"][:25]}
    assert scores(sets, "half", "morphometry")[1] < -3


def test_ratio_and_ct_by_hand():
    """Of 3 x 2 pairs the synthetic distance is larger in 1 and equal in 1: U = 1.5, mean 3, variance 3 x 2 x 6 / 12."""
    held_out, synthetic = np.array([2.0, 3.0]), np.array([1.0, 2.0, 2.5])
    assert nearest_train_ratio(held_out, synthetic) == 2 / 2.5
    assert copying_ct(held_out, synthetic) == pytest.approx((1.5 - 3) / np.sqrt(3))
    assert np.isnan(nearest_train_ratio(np.zeros(3), synthetic))
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=40), rng.normal(size=30) + 0.3
    assert copying_ct(a, b) == pytest.approx(ranksums(b, a).statistic)


def test_descriptor_distance_by_hand_is_in_sd_of_the_training_set():
    train = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 3.0]])  # sd 2 and sqrt(3)
    found = descriptor_distance(train, np.array([[2.0, -3.0], [5.0, 3.0], [0.0, 0.0]]))
    assert found == pytest.approx([np.sqrt(3), 0.5, 0])


def test_pixel_distance_is_1_less_the_mean_iou_of_tissue_and_air_of_small_masks():
    masks = blobs(5, 1)
    small = small_masks(masks)
    assert small.shape == (5, SIZE[0] * SIZE[1])
    square = small.reshape(5, *SIZE).astype(np.uint8)
    expected = [[1 - (iou(a, b) + iou(1 - a, 1 - b)) / 2 for b in square[:3]] for a in square]
    np.testing.assert_allclose(pixel_distances(small, small[:3]), expected, atol=1e-6)
    empty = np.zeros((1, 8), bool)
    assert pixel_distances(empty, np.vstack([empty, ~empty])).tolist() == [[0, 1]]


def test_a_fuller_mask_is_not_nearer_for_being_full():
    """Six of ten pixels are tissue; of the other mask, too, four of them in common: IoU 4 / 8 of tissue, 2 / 6 of air. The
    full mask has 6 / 10 and 0: by tissue alone it would win."""
    outline, other, full = np.arange(10) < 6, np.arange(10) % 5 < 3, np.ones(10, bool)
    distances = pixel_distances(outline[None], np.stack([full, other]))
    np.testing.assert_allclose(distances, [[1 - (6 / 10 + 0) / 2, 1 - (4 / 8 + 2 / 6) / 2]], rtol=1e-6)
    assert nearest_outline(outline[None], np.stack([full, other])) == [1]


def test_the_nearest_outline_is_the_training_mask_itself_where_it_is_one():
    small = small_masks(blobs(12, 2))
    np.testing.assert_array_equal(nearest_outline(small[[7, 3]], small), [7, 3])
    moved = np.roll(small[5].reshape(SIZE), 1, axis=1).reshape(1, -1)
    assert nearest_outline(moved, small) == [5]


def test_a_copied_window_is_found_however_it_is_turned_and_a_new_one_is_not():
    rng = np.random.default_rng(0)
    train = [(rng.random((128, 192)) < 0.6).astype(np.uint8) for _ in range(3)]
    copies = [np.rot90(train[0]), train[1][:, ::-1], train[2].T]
    others = [(rng.random((128, 192)) < 0.6).astype(np.uint8) for _ in range(3)]
    who = np.array(["a", "b", "c"])
    known = draw_windows(train, who, 10_000, 1)
    assert len(known.cells) == 3 * 9 * 17 and set(known.subjects) == set(who)
    found, new = (window_distances(draw_windows(masks, who, 60, 1), known) for masks in (copies, others))
    assert found.max() < 1e-3 and new.min() > 0.1
    rows = {row["metric"]: row for row in window_rows(known, draw_windows(others, who, 60, 2), draw_windows(copies, who, 60, 1),
                                                      resamples=20, seed=0)}
    assert float(rows["nearest_train_ratio_windows"]["value"]) < 0.01 and float(rows["copying_ct_windows"]["value"]) < -8


def test_masks_too_small_or_all_tissue_have_no_windows_to_compare():
    for mask in (np.ones((64, 128), np.uint8), np.zeros((32, 32), np.uint8)):
        windows = draw_windows([mask], np.array(["a"]), 5, 0)
        assert windows.cells.shape == (0, 256) and window_rows(windows, windows, windows, resamples=9, seed=0) == []


def with_nuclei(masks: list[np.ndarray], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.where((mask > 0) & (cv2.GaussianBlur(rng.normal(size=mask.shape), (0, 0), 3) > 0.1), 2, mask).astype(np.uint8)
            for mask in masks]


def test_masks_have_the_distances_they_had_before_there_were_classes():
    masks = blobs(6, 3)
    small = small_masks(masks)
    assert pixel_distances(small[:2], small[2:]).sum() == pytest.approx(5.359468837827056, rel=1e-12)
    windows, known = draw_windows(masks[:3], np.arange(3), 50, 1), draw_windows(masks[3:], np.arange(3), 500, 1)
    assert windows.cells.sum() == 6267.75
    assert window_distances(windows, known).sum() == pytest.approx(17.973773956298828, rel=1e-6)


def test_small_label_maps_have_the_tissue_of_small_masks_and_its_commonest_class():
    block = np.zeros((64, 128), np.uint8)
    block[:3, :8], block[3:5, :8], block[5:, :8] = 2, 1, 0  # 3, 2 and 3 eighths of a block of 8 x 8
    large = np.kron(block, np.ones((1, 1), np.uint8))
    small = small_masks([cv2.resize(large, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)], 3)
    assert np.array_equal(small[0].reshape(SIZE), block)
    mixed = np.zeros((64 * 8, 128 * 8), np.uint8)
    mixed[:3, :8], mixed[3:5, :8] = 2, 1  # 5 of 8 rows of the first block are tissue, more of them nuclei than not
    assert small_masks([mixed], 3)[0, :2].tolist() == [2, 0]
    masks = blobs(4, 5)
    assert np.array_equal(small_masks(with_nuclei(masks, 1), 3) > 0, small_masks(masks))


def test_pixel_distance_of_label_maps_is_a_mean_over_classes_by_hand():
    one, other = np.array([[0, 1, 1, 2, 2, 2]]), np.array([[0, 1, 2, 2, 2, 1]])
    assert pixel_distances(one, other, 3) == pytest.approx(1 - (1 / 1 + 1 / 3 + 2 / 4) / 3)
    assert pixel_distances(one, one, 4) == 0  # a class that neither has
    assert nearest_outline(one, np.vstack([other, one]), 3) == [1]


def test_windows_of_full_tissue_are_compared_by_their_further_classes():
    full, who = [np.ones((128, 192), np.uint8)] * 3, np.array(["a", "b", "c"])
    train, others = with_nuclei(full, 1), with_nuclei(full, 2)
    known = draw_windows(train, who, 5000, 1, classes=3)
    assert len(known.cells) > 400 and known.cells.shape[1] == 2 * 256 and (known.cells[:, :256] == 1).all()
    copies, new = (window_distances(draw_windows(maps, who, 60, 1, classes=3), known)
                   for maps in ([each[:, ::-1].copy() for each in train], others))
    assert copies.max() < 1e-3 and new.min() > 0.1
    with pytest.raises(ValueError, match="holds the value 2"):
        draw_windows(train, who, 5, 1)


def test_a_copied_map_is_found_by_its_classes_where_its_tissue_is_like_any_other():
    classes = (*MASK, Label("nuclei", "#3f2a82", 7, 9))
    train, test = with_nuclei(blobs(30, 1), 3), with_nuclei(blobs(30, 2), 4)
    described = describe_all(train, progress=False, classes=classes)
    copies = describe_all(train[:10], progress=False, classes=classes)
    held_out = descriptor_distance(described, describe_all(test, progress=False, classes=classes))
    assert nearest_train_ratio(held_out, descriptor_distance(described, copies)) == pytest.approx(0, abs=1e-6)
