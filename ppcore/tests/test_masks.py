"""The masks: hand-drawn pixels in, hand-counted pixels out."""

import cv2
import numpy as np
import pytest

from ppcore.masks.make import coarse_mask, read_mask, tissue_mask, write_mask


def noise_mask(seed: int, shape=(128, 160), blur: float = 1.5) -> np.ndarray:
    field = cv2.GaussianBlur(np.random.default_rng(seed).random(shape).astype(np.float32), (0, 0), blur)
    return (field > np.median(field)).astype(np.uint8)


def test_gray_exactly_at_the_threshold_is_tissue_and_one_above_is_air():
    rgb = np.array([[[204] * 3, [205] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    # luma of the pure colours: 76, 150, 29
    assert tissue_mask(rgb, 204).tolist() == [[1, 0, 1, 1, 1]]
    assert tissue_mask(rgb, 149).tolist() == [[0, 0, 1, 0, 1]]


def test_a_mask_of_the_wrong_form_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 4\).*wanted \(H, W, 3\)"):
        tissue_mask(np.zeros((4, 4), np.uint8), 204)


def test_coarse_mask_of_hand_drawn_shapes():
    mask = np.zeros((80, 80), np.uint8)
    mask[10:40, 10:40] = 1
    mask[20:29, 20:29] = 0  # a 9 x 9 hole is filled by the 10 x 10 closing
    mask[50:54, 50:54] = 1  # a 4 x 4 speck does not survive the 5 x 5 opening
    mask[60:65, 10:15] = 1  # a 5 x 5 one does
    wanted = np.zeros_like(mask)
    wanted[10:40, 10:40] = 1
    wanted[60:65, 10:15] = 1
    assert np.array_equal(coarse_mask(mask), wanted)
    mask[20:30, 20:30] = 0  # a 10 x 10 hole stays
    assert coarse_mask(mask)[20:30, 20:30].sum() == 0


@pytest.mark.parametrize("sizes", [(5, 10), (4, 12), (3, 7)])
def test_coarsening_twice_is_coarsening_once_and_moves_nothing(sizes):
    for seed in range(5):
        mask = noise_mask(seed)
        once = coarse_mask(mask, *sizes)
        assert np.array_equal(coarse_mask(once, *sizes), once)
        # what moves nothing commutes with a half turn (away from the frame, where an even kernel sees more of one side)
        turned = coarse_mask(mask[::-1, ::-1], *sizes)[::-1, ::-1]
        assert np.array_equal(turned[16:-16, 16:-16], once[16:-16, 16:-16])


def test_the_half_turn_would_show_the_literal_forms_move():
    mask = noise_mask(0)
    turned = coarse_mask(mask[::-1, ::-1], shifted=True)[::-1, ::-1]
    assert not np.array_equal(turned[16:-16, 16:-16], coarse_mask(mask, shifted=True)[16:-16, 16:-16])


def test_the_literal_form_is_opencvs_and_is_ours_moved_by_one_pixel():
    mask = noise_mask(7)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    literal = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((10, 10), np.uint8))
    shifted = coarse_mask(mask, shifted=True)
    assert np.array_equal(shifted, literal)
    assert np.array_equal(shifted[1:, 1:], coarse_mask(mask)[:-1, :-1])


def test_a_strip_of_tissue_at_the_border_stays():
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :3] = 1  # thinner than the opening, but cut by the frame, not by air
    assert np.array_equal(coarse_mask(mask), mask)


def test_masks_survive_the_disk(tmp_path):
    mask = noise_mask(1)
    write_mask(tmp_path / "m.png", mask)
    assert np.array_equal(read_mask(tmp_path / "m.png"), mask)
    assert (tmp_path / "m.png").read_bytes()[24] == 1  # the PNG header's bit depth
