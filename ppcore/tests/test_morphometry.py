"""Do the descriptors measure what they say, and does MMD tell unequal sets, and only those, apart?"""

import cv2
import numpy as np
import pytest
from scipy.stats import kstest

from ppcore.masks.labels import MASK, Label
from ppcore.masks.make import coarse_mask, tissue_mask
from ppcore.masks.shapes import DESCRIPTORS, RADII, SD_FLOOR, describe, describe_all, names_of
from ppcore.metrics import morphometry
from ppcore.metrics.distribution import bootstrap_by_subject, ks
from ppcore.metrics.morphometry import mmd, mmd_interval, wasserstein
from ppcore.slides.phantom import Phantom, draw_slide


NUCLEI, GLAND, STROMA = Label("nuclei", "#3f2a82", 7, 9), Label("gland", "#d55e00", 7, 9), Label("stroma", "#009e73", 7, 9)
FOUR = (*MASK, NUCLEI, GLAND)


def labelled(seed: int) -> np.ndarray:
    """Tissue with square nuclei and one gland."""
    labels, rng = blobs(seed), np.random.default_rng(seed)
    labels[30:60, 40:80] = 3
    for y, x in rng.integers(0, 90, (40, 2)):
        labels[y:y + 5, x:x + 5] = 2
    return labels


def named(mask: np.ndarray) -> dict[str, float]:
    return dict(zip(DESCRIPTORS, describe(mask), strict=True))


def blobs(seed: int, shape: tuple[int, int] = (96, 128), pores: float = 0.05) -> np.ndarray:
    """Smooth random tissue with single-pixel pores."""
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), 8) > 0
    return (smooth & (rng.random(shape) > pores)).astype(np.uint8)


def phantom_tiles(number: int) -> list[np.ndarray]:
    """A drawn slide as 16 masks of 96 x 128 px at 1 um/px, without the mostly empty ones (reading R4)."""
    rgb = draw_slide(Phantom(width_um=512, height_um=384, mpp=1.0), number)
    mask = tissue_mask(rgb, 204)
    tiles = [mask[y:y + 96, x:x + 128] for y in range(0, 384, 96) for x in range(0, 512, 128)]
    return [tile for tile in tiles if tile.mean() >= 0.15]


def test_counts_areas_and_edges_of_a_drawn_mask():
    mask = np.zeros((50, 80), np.uint8)
    mask[5:15, 5:15] = 1
    mask[8:12, 8:12] = 0  # a ring: 84 px, a hole of 16, edges 40 + 16
    mask[30, 30] = mask[31, 31] = 1  # two pixels that touch at a corner: one component of 2 px, edges 8
    mask[40:45, 40:45] = 1
    mask[41, 41] = mask[42, 42] = 0  # two pores that touch at a corner: two holes in 23 px, edges 20 + 8
    mask[45:50, 0:3] = 1
    mask[48:50, 1] = 0  # a bay open to the frame is no hole: 13 px, edges 5 + 3 + 2 + 1 + 2
    d = named(mask)
    area, tissue = mask.size, np.array([84, 2, 23, 13])
    assert d["tissue_fraction"] == tissue.sum() / area
    assert d["edge_density"] == (40 + 16 + 8 + 20 + 8 + 5 + 3 + 2 + 1 + 2) / area
    assert d["log_components"] == np.log(5) and d["log_holes"] == np.log(4)
    assert d["euler_density"] == pytest.approx(1e4 * (4 - 3) / area)
    assert d["component_log_area_mean"] == pytest.approx(np.log(tissue).mean())
    assert d["component_log_area_sd"] == pytest.approx(np.log(tissue).std())
    assert d["hole_log_area_mean"] == pytest.approx(np.log([16, 1, 1]).mean())
    assert d["hole_log_area_sd"] == pytest.approx(np.log([16, 1, 1]).std())


@pytest.mark.parametrize("seed", range(3))
def test_euler_number_agrees_with_bit_quads(seed):
    """Gray 1971: the Euler number of 8-connected tissue counts 2 x 2 windows, (Q1 - Q3 - 2 Qd) / 4."""
    mask = np.random.default_rng(seed).integers(0, 2, (60, 70), dtype=np.uint8)
    p = np.pad(mask, 1).astype(int)
    a, b, c, e = p[:-1, :-1], p[:-1, 1:], p[1:, :-1], p[1:, 1:]
    ones, diagonal = a + b + c + e, (a == e) & (b == c) & (a != b)
    euler = (np.sum(ones == 1) - np.sum(ones == 3) - 2 * np.sum(diagonal)) / 4
    assert named(mask)["euler_density"] == pytest.approx(1e4 * euler / mask.size)


def test_granulometry_of_known_widths():
    mask = np.zeros((100, 160), np.uint8)
    mask[20:37, 20:37] = 1  # 17 px: kept by the square of side 17 (r = 8), lost to that of 33
    mask[60:63, 20:120] = 1  # 3 px: kept by 3 (r = 1), lost to 5
    mask[0:3, 60:160] = 1  # 3 px at the frame: it may go on outside, so that it counts as 6 px wide
    d = named(mask)
    square, bar = 17 * 17, 3 * 100
    all_tissue = square + 2 * bar
    removed = [0, bar, 2 * bar, 2 * bar, all_tissue, all_tissue]
    assert [d[f"opening_{r}"] for r in RADII] == pytest.approx(np.array(removed) / all_tissue)
    inverse = named(1 - mask)  # a closing opens the air
    assert [inverse[f"closing_{r}"] for r in RADII] == [d[f"opening_{r}"] for r in RADII]


def test_correlation_of_stripes_and_of_noise():
    stripes = np.tile(np.array([1, 1, 0, 0], np.uint8), (64, 16))  # period 4 px across, constant down
    d, full = named(stripes), 0.25 / 0.26
    assert d["correlation_across_2"] == pytest.approx(-full, rel=1e-3)  # the shifted parts are not quite even
    assert d["correlation_across_8"] == d["correlation_down_2"] == d["correlation_down_32"]
    assert d["correlation_across_8"] == pytest.approx(full)
    noise = named(np.random.default_rng(0).integers(0, 2, (256, 256), dtype=np.uint8))
    assert all(abs(v) < 0.02 for k, v in noise.items() if k.startswith("correlation"))


def test_descriptors_do_not_see_flips():
    mask = blobs(0)
    for flipped in (mask[::-1], mask[:, ::-1]):
        np.testing.assert_allclose(describe(flipped), describe(mask), rtol=1e-9)
    turned = dict(zip([name.replace("down", "_").replace("across", "down").replace("_" * 3, "_across_")
                       for name in DESCRIPTORS], describe(mask.T)))
    assert named(mask) == pytest.approx(turned)


def test_constant_masks_are_finite():
    for value in (0, 1):
        d = named(np.full((64, 64), value, np.uint8))
        assert np.isfinite(list(d.values())).all()
        assert d.pop("tissue_fraction") == value
        assert d.pop("log_components") == np.log1p(value)
        d.pop("euler_density"), d.pop("component_log_area_mean")
        assert not any(d.values())


def test_bad_masks_are_named():
    for bad, words in ((np.zeros((64, 20), np.uint8), "33 px"), (np.full((64, 64), 255, np.uint8), "255"),
                       (np.zeros((1, 64, 64), np.uint8), r"\(1, 64, 64\)")):
        with pytest.raises(ValueError, match=words):
            describe(bad)
    with pytest.raises(ValueError, match="one shape"):
        describe_all([blobs(0), blobs(0, (64, 64))], progress=False)
    with pytest.raises(ValueError, match="0 masks"):
        describe_all([], progress=False)


def test_mmd_by_hand():
    """Points 0 and 2: an sd of sqrt 2, in its units a distance of sqrt 2, which is s; so k = exp(-1 / 2)."""
    points, k = np.array([[0.0], [2.0]]), np.exp(-0.5)
    mmd2, p = mmd(points, points)
    assert mmd2 == pytest.approx(k + k - 2 * (2 + 2 * k) / 4)  # below 0: it is unbiased
    assert p == 1


def test_mmd_is_unbiased_and_p_uniform_for_equal_sets():
    results = np.array([mmd(*np.random.default_rng(seed).normal(size=(2, 60, 5)), permutations=99, seed=seed)
                        for seed in range(40)])
    mmd2, p = results.T
    assert abs(mmd2.mean()) < 3 * mmd2.std() / np.sqrt(40)
    assert 0.3 < np.mean(p <= 0.5) < 0.7 and np.mean(p <= 0.1) < 0.25 and np.mean(p > 0.9) > 0


def test_p_is_uniform_over_random_halves_of_one_set_of_phantom_masks_and_tiny_for_copy():
    masks = [tile for number in range(1, 7) for tile in phantom_tiles(number)]
    fine = describe_all(masks, progress=False)
    rng = np.random.default_rng(0)
    halves = [np.array_split(rng.permutation(len(fine)), 2) for _ in range(100)]
    p = [mmd(fine[one], fine[other], permutations=199, seed=seed)[1] for seed, (one, other) in enumerate(halves)]
    assert kstest(p, "uniform").pvalue > 0.01
    copy = describe_all([coarse_mask(mask) for mask in masks], progress=False)
    one, other = halves[0]
    assert mmd(fine[one], copy[other], permutations=199)[1] == mmd(fine, copy, permutations=199)[1] == 1 / 200


def test_mmd_finds_a_shift_and_a_collapse():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(80, 6))
    for other in (rng.normal(size=(60, 6)) + 0.7, 0.3 * rng.normal(size=(60, 6))):
        mmd2, p = mmd(real, other, permutations=199)
        assert mmd2 > 0.02 and p == 1 / 200


def test_what_ks_misses_mmd_sees():
    """A coarse copy has nearly the tissue fraction of its fine mask, and none of its pores (reading R27)."""
    fine = [blobs(seed, pores=0.01) for seed in range(24)]
    coarse = [coarse_mask(mask) for mask in fine]
    real, copy = describe_all(fine, progress=False), describe_all(coarse, progress=False)
    assert ks(real[:, 0], copy[:, 0]) < 0.25
    assert mmd(real, copy)[1] < 0.01
    distances = dict(zip(DESCRIPTORS, wasserstein(real, copy)))
    assert distances["log_holes"] > 10 * distances["tissue_fraction"]


def test_wasserstein_is_in_sd_of_the_real_set():
    real = np.random.default_rng(0).normal(3, 4, (500, 2))
    real[:, 1] = 7  # constant: its sd counts as SD_FLOOR
    shifted, sd = real + [2.0, 0.05], [real[:, 0].std(ddof=1), SD_FLOOR]
    assert wasserstein(real, shifted) == pytest.approx([2 / sd[0], 0.05 / sd[1]])
    thrice = real[:, :1] * 3  # in the same order, so that each value moves by twice itself
    assert wasserstein(real[:, :1], thrice) == pytest.approx([2 * np.abs(real[:, 0]).mean() / sd[0]])
    assert np.isfinite(mmd(real, shifted)[0])
    np.testing.assert_array_equal(wasserstein(real, real), 0)
    assert np.isfinite(mmd(np.ones((4, 2)), np.ones((4, 2)))).all()  # every real mask alike


def test_interval_counts_pairs_as_it_says(monkeypatch):
    """The weights against a plain loop over the copies; with every subject drawn once it is mmd2."""
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(6, 3)), rng.normal(size=(5, 3)) + 1
    labels_r, labels_s = np.array(list("aabbbc")), np.array(list("abcxy"))
    copies = {"a": 2, "b": 0, "c": 1, "x": 3, "y": 1}
    kernel = morphometry.gaussian_kernel(real, synthetic)

    def drawn(times: dict) -> list[np.ndarray]:
        return [np.array([[times[label] for label in labels]]) for labels in (labels_r, labels_s)]

    def mean(first: list, second: list) -> float:
        pairs = [(i, j) for i, s, c in first for j, t, e in second if i != j and (s != t or c == e)]
        return np.mean([kernel[pair] for pair in pairs])

    sets = [[(offset + i, label, copy) for i, label in enumerate(labels) for copy in range(copies[label])]
            for offset, labels in ((0, labels_r), (6, labels_s))]
    expected = mean(sets[0], sets[0]) + mean(sets[1], sets[1]) - 2 * mean(*sets)
    for times, value in ((copies, expected), (dict.fromkeys(copies, 1), mmd(real, synthetic)[0])):
        monkeypatch.setattr(morphometry, "draw_subjects", lambda *_, times=times, **__: drawn(times))
        assert mmd_interval(real, synthetic, labels_r, labels_s) == pytest.approx((value, value))


def test_duplicates_do_not_raise_the_interval():
    """Equal sets of 40: repeated indices pair copies, and raise mmd2 by about 2 / 40 x (1 - mean kernel)."""
    subjects, ours, naive = np.arange(40), [], []
    for seed in range(12):
        real, synthetic = np.random.default_rng(seed).normal(size=(2, 40, 5))
        low, high = mmd_interval(real, synthetic, subjects, 100 + subjects)
        ours.append((low + high) / 2)
        naive.append(sum(bootstrap_by_subject(lambda i, j: mmd(real[i], synthetic[j], permutations=0)[0],
                                              subjects, 100 + subjects, resamples=60)) / 2)
        assert low < 0 < high
    assert abs(np.mean(ours)) < 0.006 and np.mean(naive) > 0.015


def test_interval_needs_subjects():
    x = np.random.default_rng(0).normal(size=(6, 2))
    assert np.isnan(mmd_interval(x, x, np.zeros(6), np.zeros(6))).all()
    assert np.isnan(mmd_interval(x, x, np.arange(6), np.full(6, 99))).all()
    with pytest.raises(ValueError, match="one label per mask"):
        mmd_interval(x, x, np.arange(5), np.arange(6))
    # Two subjects of one mask: a draw with a single subject has no pair, and is left out.
    assert np.isfinite(mmd_interval(x[:2], x[2:4], np.arange(2), 2 + np.arange(2))).all()


@pytest.mark.parametrize("bad", [np.ones((1, 3)), np.ones((4, 2)), np.full((4, 3), np.nan), np.ones(3)])
def test_descriptor_sets_are_checked(bad):
    with pytest.raises(ValueError, match="descriptors"):
        mmd(np.ones((4, 3)), bad)


def test_a_mask_has_the_numbers_it_had_before_there_were_classes():
    """Computed before a label map could be described."""
    found = dict(zip(DESCRIPTORS, describe_all([blobs(0)], progress=False)[0], strict=True))
    before = {"tissue_fraction": 0.5518391927083334, "edge_density": 0.15047200520833334, "euler_density": -214.84375,
              "hole_log_area_mean": 0.10243544027480596, "correlation_down_8": 0.4158250272246341,
              "opening_4": 0.7282111782922873, "closing_2": 0.062284365353186856}
    assert {name: found[name] for name in before} == pytest.approx(before, rel=1e-12)
    assert sum(found.values()) == pytest.approx(-189.74181464791562, rel=1e-12)


def test_a_label_map_is_described_class_by_class_and_its_tissue_like_a_mask():
    labels = labelled(1)
    found = dict(zip(names_of(FOUR), describe_all([labels], progress=False, classes=FOUR)[0], strict=True))
    for prefix, layer in (("", labels > 0), ("nuclei: ", labels == 2), ("gland: ", labels == 3)):
        assert {name: found[prefix + name] for name in DESCRIPTORS} == named(layer.astype(np.uint8))


def test_another_order_of_the_further_classes_permutes_the_descriptors_and_nothing_else():
    names, swapped = names_of(FOUR), names_of((*MASK, GLAND, NUCLEI))
    labels = [labelled(seed) for seed in range(6)]
    turned = [np.array([0, 1, 3, 2], np.uint8)[each] for each in labels]
    one = describe_all(labels, progress=False, classes=FOUR)
    other = describe_all(turned, progress=False, classes=(*MASK, GLAND, NUCLEI))
    order = [swapped.index(name) for name in names]
    np.testing.assert_array_equal(one, other[:, order])
    assert not np.array_equal(one, other)
    assert mmd(one[:3], one[3:])[0] == pytest.approx(mmd(other[:3], other[3:])[0])


def test_a_class_that_no_map_has_is_described_like_an_empty_mask_and_changes_no_distance():
    labels = [labelled(seed) for seed in range(8)]
    three = describe_all(labels, progress=False, classes=FOUR)
    four = describe_all(labels, progress=False, classes=(*FOUR, STROMA))
    np.testing.assert_array_equal(four[:, :81], three)
    np.testing.assert_array_equal(four[:, 81:], np.tile(describe(np.zeros_like(labels[0])), (8, 1)))
    assert np.isfinite(four).all()
    assert mmd(four[:4], four[4:])[0] == pytest.approx(mmd(three[:4], three[4:])[0])


def test_a_class_without_a_name_is_not_taken_for_tissue():
    with pytest.raises(ValueError, match="holds the value 3: wanted 0 to 2"):
        describe_all([labelled(0)], progress=False, classes=FOUR[:3])
    with pytest.raises(ValueError, match="holds the value 3: wanted only 0"):
        describe_all([labelled(0)], progress=False)
