"""Do the rulers see wallpaper? Known cases: real against real, a tiled crop, white noise of the same fraction."""

from functools import partial

import cv2
import numpy as np
import pytest

from ppcore.masks.labels import MASK, Label
from ppcore.masks.make import coarse_mask, keep_outline
from ppcore.metrics.control import iou
from ppcore.metrics.morphometry import mmd, mmd_interval
from ppcore.metrics.perception import cubic_kernel, frechet, perceived
from ppcore.metrics.repetition import repetition
from ppcore.metrics.sets import MaskSet

H, W = 192, 256


def tissue(seed: int) -> np.ndarray:
    """Wide tissue with round gaps at random places."""
    field = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((H, W)), (0, 0), 3)
    return (field > np.quantile(field, 0.12)).astype(np.uint8)


def wallpaper(seed: int) -> np.ndarray:
    return np.tile(tissue(seed)[:32, :32], (H // 32, W // 32))


def snow(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((H, W)) >= 0.05).astype(np.uint8)


@pytest.fixture(scope="module")
def seen():
    groups = {"real": tissue, "others": lambda seed: tissue(seed + 50), "wallpaper": wallpaper, "snow": snow}
    return {name: perceived([make(seed) for seed in range(8)]) for name, make in groups.items()}


def test_the_kernel_distance_sees_wallpaper_and_noise(seen):
    distance = {name: mmd(seen["real"], seen[name], 0, kernel=cubic_kernel)[0] for name in seen}
    assert abs(distance["others"]) < 0.1 * distance["wallpaper"] and abs(distance["others"]) < 0.1 * distance["snow"]


def test_the_frechet_distance_sees_them_too(seen):
    distance = {name: frechet(seen["real"], seen[name]) for name in seen}
    assert distance["real"] == pytest.approx(0, abs=1e-6)
    assert distance["others"] < 0.5 * min(distance["wallpaper"], distance["snow"])


def test_the_kernel_distance_is_that_of_kid_by_hand():
    """Unbiased: pairs within a set without the diagonal, all pairs across (Binkowski et al. 2018, eq. 4)."""
    rng = np.random.default_rng(0)
    a, b = rng.random((4, 6)), rng.random((5, 6)) + 0.2
    k = lambda u, v: (u @ v / 6 + 1) ** 3
    within = [np.mean([k(u, v) for i, u in enumerate(s) for j, v in enumerate(s) if i != j]) for s in (a, b)]
    across = np.mean([k(u, v) for u in a for v in b])
    assert mmd(a, b, 0, kernel=cubic_kernel)[0] == pytest.approx(sum(within) - 2 * across)
    low, high = mmd_interval(a, b, np.arange(4) % 2, np.arange(5) % 2, 50, kernel=cubic_kernel)
    assert low <= sum(within) - 2 * across <= high


def test_repetition_is_one_for_wallpaper_and_small_for_chance():
    found = {name: repetition([make(seed) for seed in range(6)], coarse_mask)
             for name, make in (("tissue", tissue), ("wallpaper", wallpaper), ("snow", snow))}
    assert found["wallpaper"]["repetition"] > 0.9 and found["wallpaper"]["grid"] > 0.9
    assert found["tissue"]["repetition"] < 0.35 and found["snow"]["repetition"] < 0.1
    assert found["tissue"]["grid"] < 0.5 * found["tissue"]["repetition"] and found["tissue"]["n"] == 6


def test_tissue_without_gaps_has_no_texture_to_repeat():
    found = repetition([np.ones((H, W), np.uint8), np.zeros((H, W), np.uint8)], coarse_mask)
    assert np.isnan(found["repetition"]) and np.isnan(found["grid"]) and found["n"] == 0


def test_scattered_tissue_has_nothing_to_repeat_and_changes_no_other_mask():
    """Squares of 30 px, each uniform in its 14 x 14 px: they meet themselves at no lag of 16 px, and one another at few."""
    rng, scattered = np.random.default_rng(0), np.zeros((1024, 1024), np.uint8)
    for top in range(0, 960, 64):
        for left in rng.integers(34, size=16) + 64 * np.arange(16):
            scattered[top + rng.integers(34):, left:left + 30][:30] = 1
    gaps = scattered * (rng.random(scattered.shape) >= 0.05)
    assert repetition([gaps], lambda mask: scattered)["n"] == 0
    whole = tissue(0)
    alone = repetition([whole], coarse_mask)
    assert repetition([gaps, whole], lambda mask: scattered if mask is gaps else coarse_mask(mask)) == alone


@pytest.mark.parametrize("make", [tissue, snow])
def test_a_mask_of_any_model_can_be_held_to_its_outline(make):
    for seed in range(3):
        field = cv2.GaussianBlur(np.random.default_rng(seed + 99).standard_normal((H, W)), (0, 0), 12)
        outline = coarse_mask((field > 0).astype(np.uint8))
        fine = make(seed)
        held = keep_outline(fine, outline, coarse_mask)
        assert iou(coarse_mask(fine), outline) < 0.8 and iou(coarse_mask(held), outline) >= 0.998
    far = keep_outline(np.ones((64, 64), np.uint8) * snow(0)[:64, :64], np.pad(np.ones((8, 8), np.uint8), 28), coarse_mask)
    assert not far[:8].any() and far.any()
    assert not keep_outline(snow(0), np.zeros((H, W), np.uint8), coarse_mask).any()


def test_held_label_maps_keep_their_tissue_and_no_block_of_a_further_class():
    """x asks for a half that is dense in nuclei: y's tissue fits afterwards, and its nuclei are as many as they were."""
    coarsen = partial(coarse_mask, dense=((7, 9),))
    field = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((H, W)), (0, 0), 12)
    outline = coarse_mask((field > 0).astype(np.uint8))
    x = outline.copy()
    x[:, :W // 2] *= 2
    fine = snow(0) * np.where(np.random.default_rng(1).random((H, W)) < 0.1, 2, 1).astype(np.uint8)
    held = keep_outline(fine, x, coarsen)
    assert iou(np.minimum(coarsen(fine), 1), outline) < 0.8 and iou(np.minimum(coarsen(held), 1), outline) >= 0.998
    np.testing.assert_array_equal(np.minimum(held, 1), keep_outline(np.minimum(fine, 1), outline, coarse_mask))
    both = (fine > 0) & (held > 0)
    np.testing.assert_array_equal(held[both], fine[both])  # what stays tissue keeps its class
    assert (held[fine == 0] < 2).all()  # what becomes tissue is of none


def nuclei(seed: int, lattice: bool) -> np.ndarray:
    """Tissue without gaps, with nuclei of 6 px on a lattice of 24 px, or at random."""
    labels, rng = np.ones((H, W), np.uint8), np.random.default_rng(seed)
    places = ([(y, x) for y in range(6, H, 24) for x in range(6, W, 24)] if lattice else
              rng.integers(0, (H - 6, W - 6), (80, 2)))
    for y, x in places:
        labels[y:y + 6, x:x + 6] = 2
    return labels


def test_nuclei_on_a_lattice_repeat_and_those_at_random_do_not():
    def whole(labels: np.ndarray) -> np.ndarray:
        return np.ones_like(labels) * 2  # dense everywhere: still uniform tissue

    at_random, on_lattice = ([nuclei(seed, lattice) for seed in range(4)] for lattice in (False, True))
    assert repetition(on_lattice, whole, of=2)["grid"] > 0.9 and repetition(on_lattice, whole, of=2)["n"] == 4
    assert repetition(at_random, whole, of=2)["repetition"] < 0.4
    assert repetition(on_lattice, whole)["n"] == 0  # no air in the tissue
    assert repetition(at_random, whole, of=3)["n"] == 0  # none of the class


def test_the_air_in_tissue_is_that_of_the_mask_whatever_classes_lie_in_it():
    masks = [tissue(seed) for seed in range(3)]
    before = repetition(masks, coarse_mask)
    assert before == pytest.approx({"repetition": 0.1103659546864963, "grid": 0.054834055220880515, "n": 3}, rel=1e-9)
    labelled = [np.where((mask > 0) & (nuclei(seed, False) == 2), 2, mask).astype(np.uint8) for seed, mask in enumerate(masks)]
    assert repetition(labelled, lambda labels: coarse_mask(labels, dense=((7, 9),))) == before


def test_a_network_is_shown_a_mask_as_ever_and_a_label_map_in_colours():
    masks = [tissue(0)]
    assert MaskSet(masks, np.zeros(1)).pictures is masks
    classes = (MASK[0], Label("tissue", "#f2c6d6"), Label("nuclei", "#3f2a82", 7, 9))
    labels = np.where(nuclei(0, True) == 2, 2, tissue(0)).astype(np.uint8)
    shown = MaskSet([labels], np.zeros(1), classes).pictures
    assert len(shown) == 1 and shown[0].shape == (H, W, 3)
    for value, colour in enumerate(((255, 255, 255), (0xf2, 0xc6, 0xd6), (0x3f, 0x2a, 0x82))):
        assert (shown[0][labels == value] == colour).all()
    with pytest.raises(ValueError, match="holds the value 2"):
        perceived([labels])
