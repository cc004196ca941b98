"""Is a quilt made of training masks alone, and does it keep to its outline?"""

import cv2
import numpy as np
import pytest

from ppcore.masks.make import coarse_mask
from ppcore.methods.quilting import BACK, Quilt, seam, turned

H, W = 96, 160


def tissue(seed: int, holes: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.standard_normal((H, W)), (0, 0), 10)
    return ((field > np.quantile(field, 0.3)) & (rng.random((H, W)) >= holes)).astype(np.uint8)


@pytest.mark.parametrize("turn", range(8))
def test_every_turn_has_its_inverse(turn):
    square = np.arange(9).reshape(3, 3)
    np.testing.assert_array_equal(turned(turned(square, turn), BACK[turn]), square)


def test_the_seam_takes_the_cheapest_path():
    error = np.ones((5, 4), bool)
    for row, column in enumerate([2, 1, 1, 2, 3]):
        error[row, column] = False
    np.testing.assert_array_equal(seam(error).sum(1), [2, 1, 1, 2, 3])


def test_masks_without_texture_give_back_the_outline():
    solid = [coarse_mask(tissue(seed, 0.0)) for seed in range(3)]
    quilt = Quilt(solid, solid, np.array(["a", "b", "b"]))
    outline = coarse_mask(tissue(9, 0.0))
    np.testing.assert_array_equal(quilt.draw(outline, 1), outline)


def test_texture_is_that_of_one_subject_and_the_seed_decides_which():
    coarse = [coarse_mask(tissue(seed, 0.0)) for seed in range(4)]
    fine = [mask & (np.random.default_rng(9).random((H, W)) >= holes) for mask, holes in zip(coarse, (0.02, 0.02, 0.3, 0.3))]
    quilt = Quilt(fine, coarse, np.array(["dense", "dense", "loose", "loose"]))
    outline = coarse_mask(tissue(9, 0.0))
    made = [quilt.draw(outline, seed) for seed in range(8)]
    shares = np.array([1 - mask[outline == 1].mean() for mask in made])
    near = np.minimum(abs(shares - shares.min()), abs(shares - shares.max()))
    assert shares.min() < 0.08 and shares.max() > 0.15 and near.max() < 0.05
    np.testing.assert_array_equal(quilt.draw(outline, 3), made[3])


def test_a_quilt_of_label_maps_is_made_of_their_windows_and_holds_the_tissue():
    """Nuclei lie on a lattice in training: they do so in the quilt, and never where the outline asks for air."""
    coarse = [coarse_mask(tissue(seed, 0.0)) for seed in range(4)]
    lattice = np.zeros((H, W), np.uint8)
    lattice[::4, ::4] = 1
    fine = [mask + (mask & lattice) for mask in coarse]
    quilt = Quilt(fine, coarse, np.array(["a"] * 4), classes=3)
    outline = coarse_mask(tissue(9, 0.0))
    made = quilt.draw(outline, 1)
    np.testing.assert_array_equal(made > 0, outline > 0)
    assert 0.03 < (made == 2).sum() / (made > 0).sum() < 0.08  # 1 / 16 of tissue


def test_windows_are_chosen_by_where_further_classes_are_dense():
    """All is tissue, and nuclei lie in one corner of the training patch: an outline of nuclei is made of that corner."""
    patch = np.ones((H, W), np.uint8)
    patch[:56, :56] = 2
    quilt = Quilt([patch], [patch], np.array(["a"]), classes=3)
    assert np.mean(quilt.draw(np.full((H, W), 2, np.uint8), 1) == 2) > 0.9
    assert np.mean(quilt.draw(np.ones((H, W), np.uint8), 1) == 2) < 0.1


def test_what_has_to_become_tissue_is_of_no_further_class():
    """The lender is all air, and the outline all nuclei."""
    air = np.zeros((H, W), np.uint8)
    quilt = Quilt([air], [air], np.array(["a"]), classes=3)
    assert (quilt.draw(air + 2, 1) == 1).all()
