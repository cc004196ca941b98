"""Do KS, KL, intervals, Holm's correction and the control metrics give the values one can work out by hand?"""

import numpy as np
import pytest
from scipy.stats import beta, gaussian_kde, norm

from ppcore.masks.make import coarse_mask
from ppcore.metrics import distribution
from ppcore.metrics.control import boundary_f1, class_control, control, disagreement, diversity, fraction_rank, iou
from ppcore.metrics.distribution import bootstrap_by_subject, draw_subjects, holm, kl_nats, kl_paper100, ks


def normal_sample(mean: float, sd: float, n: int = 2000) -> np.ndarray:
    """n values that stand as a normal law does, without chance: its quantiles."""
    return norm.ppf((np.arange(n) + 0.5) / n, mean, sd)


def box(top: int, left: int, side: int = 20, shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[top:top + side, left:left + side] = 1
    return mask


def test_ks_by_hand():
    # The gap is widest between .3 and .4: 3/4 of the first sample lie below, none of the second.
    assert ks([0.1, 0.2, 0.3, 0.9], [0.4, 0.95]) == 0.75
    assert ks([0.1, 0.2], [0.2, 0.1]) == 0


def test_density_is_scipys():
    sample, grid = np.random.default_rng(0).beta(4, 2, 300), np.linspace(-0.3, 1.3, 50)
    np.testing.assert_allclose(distribution._density(sample, grid), gaussian_kde(sample)(grid), rtol=1e-9)


@pytest.mark.parametrize("mean, sd", [(0.5, 0.07), (0.54, 0.07), (0.47, 0.08)])
def test_kl_of_two_normals(mean, sd):
    """The kernel density of a normal sample is normal, of variance sd^2 + h^2; KL of two normals is known."""
    p, q = normal_sample(0.5, 0.06), normal_sample(mean, sd)
    variance_p, variance_q = (x.var(ddof=1) * (1 + len(x) ** -0.4) for x in (p, q))
    closed = 0.5 * (np.log(variance_q / variance_p) + (variance_p + (0.5 - mean) ** 2) / variance_q - 1)
    assert kl_nats(p, q) == pytest.approx(closed, rel=0.02)
    assert kl_paper100(p, q) == pytest.approx(99 * kl_nats(p, q), rel=1e-3)  # all mass inside [0, 1]


def test_kl_of_the_papers_size_is_not_in_nats():
    """DCGAN on PRAD: KS .112, KL 6.163. Only the sum without its bin width gives KL in units there."""
    real, synthetic = normal_sample(0.5, 0.12), normal_sample(0.533, 0.12)
    assert ks(real, synthetic) == pytest.approx(0.11, abs=0.01)
    assert 0.02 < kl_nats(real, synthetic) < 0.06
    assert 2 < kl_paper100(real, synthetic) < 6
    quantiles = (np.arange(1000) + 0.5) / 1000
    real, synthetic = beta.ppf(quantiles, 6, 4), beta.ppf(quantiles, 8, 6)
    assert ks(real, synthetic) == pytest.approx(0.112, abs=0.005)
    assert kl_nats(real, synthetic) == pytest.approx(0.06, abs=0.005)
    assert kl_paper100(real, synthetic) == pytest.approx(6.163, abs=0.3)


def test_kl_punishes_a_collapse_and_counts_what_leaks_out():
    wide, narrow = normal_sample(0.5, 0.12), normal_sample(0.5, 0.04)
    assert kl_nats(wide, narrow) > 3 * kl_nats(narrow, wide)  # KL(real || synthetic)
    air, nearly = np.zeros(5), np.full(5, 0.02)  # normals of sd .01, 2 sd apart: KL = 2^2 / 2; half of p < 0
    assert kl_nats(air, nearly) == pytest.approx(2, rel=1e-6)
    assert kl_paper100(air, nearly) < 0.5 * 99 * 2


def test_kl_survives_constant_samples():
    """KL = - entropy of p - log(floor); p is a normal of sd .01, whose entropy is log(sd sqrt(2 pi e))."""
    a, b = np.full(5, 0.2), np.full(5, 0.8)
    entropy = np.log(distribution.BANDWIDTH_FLOOR * np.sqrt(2 * np.pi * np.e))
    assert kl_nats(a, b) == pytest.approx(-np.log(distribution.DENSITY_FLOOR) - entropy, rel=1e-6)
    assert kl_nats(a, a) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("bad, words", [([0.5], "or more"), ([0.5, 60.0], "60.0"), ([0.5, np.nan], "nan")])
def test_fractions_are_checked(bad, words):
    for metric in (ks, kl_nats, kl_paper100):
        with pytest.raises(ValueError, match=words):
            metric([0.4, 0.5], bad)


def test_bootstrap_covers_by_subject_and_not_by_patch():
    """20 subjects of 15 patches that resemble each other; the truth is 0. Nominal: 95 %."""
    subjects = np.repeat(np.arange(20), 15)
    covered = np.zeros(2)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=20)[subjects] + rng.normal(size=300)
        for k, labels in enumerate((subjects, np.arange(300))):
            low, high = bootstrap_by_subject(lambda i: values[i].mean(), labels, resamples=100, seed=seed)
            covered[k] += low <= 0 <= high
    by_subject, by_patch = covered / 40
    assert by_subject >= 0.85 and by_patch <= 0.65


def test_bootstrap_widens_with_fewer_subjects_and_needs_two():
    values = np.random.default_rng(0).normal(size=(40, 10))

    def width(count: int) -> float:
        subjects = np.repeat(np.arange(count), 10)
        low, high = bootstrap_by_subject(lambda i: values.ravel()[i].mean(), subjects)
        return high - low

    assert width(4) > 1.5 * width(40)
    assert np.isnan(bootstrap_by_subject(lambda i: 1.0, np.zeros(10))).all()
    assert np.isnan(bootstrap_by_subject(lambda i, j: 1.0, np.arange(10), np.full(5, 99))).all()
    with pytest.raises(ValueError, match="one label per patch"):
        bootstrap_by_subject(lambda i: 1.0, np.arange(10), 200)  # resamples goes by name


def test_a_subject_is_drawn_whole_and_in_both_sets():
    real, same, other = np.array(list("aabc")), np.array(list("cba")), np.array(list("xyx"))
    drawn_real, drawn_same, drawn_other = draw_subjects(real, same, other, resamples=50, seed=1)
    np.testing.assert_array_equal(drawn_real[:, 0], drawn_real[:, 1])
    np.testing.assert_array_equal(drawn_same, drawn_real[:, [3, 2, 1]])
    np.testing.assert_array_equal(drawn_real[:, 1:].sum(axis=1), 3)  # as many subjects as there are
    np.testing.assert_array_equal(drawn_other[:, :2].sum(axis=1), 2)
    seen = []
    bootstrap_by_subject(lambda i, j: seen.append((i, j)) or 0.0, real, same, resamples=50, seed=1)
    np.testing.assert_array_equal([np.bincount(i, minlength=4) for i, _ in seen], drawn_real)
    np.testing.assert_array_equal([np.bincount(j, minlength=3) for _, j in seen], drawn_same)


def test_holm_by_hand():
    """Sorted .005, .01, .03, .04 times 4, 3, 2, 1: .02, .03, .06, .04, and the last may not be less than .06."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1, 1])
    assert holm([0.02]) == [0.02] and holm([]).shape == (0,)


def test_holm_keeps_the_level_where_single_tests_do_not():
    """1,000 studies of 6 methods without any effect: some p is below .05 in 1 - .95^6 = 26 %, some corrected p in 5 %."""
    p = np.random.default_rng(0).random((1000, 6))
    assert np.mean(p.min(axis=1) < 0.05) > 0.2
    assert np.mean([holm(row).min() < 0.05 for row in p]) == pytest.approx(0.05, abs=0.02)


def test_iou_by_hand():
    assert iou(box(10, 10), box(10, 15)) == pytest.approx(15 / 25)
    assert iou(box(0, 0, 0), box(0, 0, 0)) == 1 and iou(box(0, 0, 0), box(5, 5)) == 0


def test_boundary_f1_forgives_2_px_and_not_5():
    mask = box(20, 20)
    assert boundary_f1(mask, box(20, 22)) == 1
    # Along a diagonal, one corner is sqrt(8) px off and its two neighbours sqrt(5).
    assert boundary_f1(mask, box(22, 22)) == pytest.approx(73 / 76)
    # 5 px to the right: within 2 px of the other boundary are, of 76 px, in the top and bottom row the 15 in
    # common and 2 beyond, and, of the side inside the other box, 2 px at either end.
    far = boundary_f1(mask, box(20, 25))
    assert far == boundary_f1(box(20, 25), mask) == pytest.approx((2 * 17 + 2 * 2) / 76)
    assert boundary_f1(mask, box(20, 25), tolerance=5) == 1
    assert boundary_f1(box(5, 5, 4), box(40, 40, 4)) == 0


def test_boundary_f1_without_boundaries():
    air, tissue = box(0, 0, 0), box(0, 0, 64)
    assert boundary_f1(air, air) == boundary_f1(tissue, tissue) == 1  # the frame is no boundary
    assert boundary_f1(air, tissue) == boundary_f1(air, box(5, 5)) == boundary_f1(box(5, 5), tissue) == 0


def test_masks_are_checked():
    mask = box(1, 1)
    for bad, words in ((mask * 255, "255"), (mask.astype(float), "float64"), (mask[:9], "equal shapes")):
        with pytest.raises(ValueError, match=words):
            iou(mask, bad)


def test_diversity_by_hand_and_over_pairs():
    samples = np.zeros((3, 1, 4), np.uint8)
    samples[0, 0, :2] = 1
    samples[1, 0, 0] = 1
    assert diversity(samples) == pytest.approx((1 + 2 + 1) / 3 / 4)  # the pairs differ in 1, 2, 1 of 4 px
    many = np.random.default_rng(0).integers(0, 2, (8, 5, 6), dtype=np.uint8)
    pairs = [np.mean(many[i] != many[j]) for i in range(8) for j in range(i)]
    assert diversity(many) == pytest.approx(np.mean(pairs))
    assert diversity(np.stack([many[0]] * 8)) == 0
    for bad in (many[:1], many * 255):
        with pytest.raises(ValueError):
            diversity(bad)


def test_control_asks_for_the_outline_and_not_for_the_texture():
    fine = box(10, 10, 40, (128, 128)) & (np.random.default_rng(0).random((128, 128)) > 0.01).astype(np.uint8)
    outline = coarse_mask(fine)
    perfect = {"iou": 1.0, "boundary_f1": 1.0, "fraction_error": 0.0, "fraction_bias": 0.0}
    assert control(outline, outline, coarse_mask) == perfect  # COPY
    assert control(outline, fine, coarse_mask) == perfect  # the truth, pores and all
    assert control(outline, fine, lambda mask: mask)["iou"] < 0.98
    outline = box(10, 10, 40, (128, 128))
    smaller = control(outline, box(10, 10, 30, (128, 128)), coarse_mask)
    assert smaller["iou"] == pytest.approx(30**2 / 40**2)
    assert smaller["fraction_error"] == -smaller["fraction_bias"] == pytest.approx((40**2 - 30**2) / 128**2)
    assert control(box(10, 10, 30, (128, 128)), outline, coarse_mask)["fraction_bias"] > 0  # more than was asked for


def test_fraction_rank_by_hand():
    asked = np.array([0.1, 0.2, 0.3, 0.4])
    assert fraction_rank(asked, asked**3 / 2) == pytest.approx(1)  # by whatever scale
    assert fraction_rank(asked, 1 - asked) == pytest.approx(-1)
    assert fraction_rank(asked, [0.1, 0.3, 0.2, 0.4]) == pytest.approx(1 - 6 * 2 / (4 * 15))  # 1 - 6 sum d^2 / n (n^2 - 1)
    assert np.isnan(fraction_rank(asked, np.full(4, 0.5)))


def test_disagreement_by_hand_and_equal_to_diversity_for_samples_of_the_truth():
    samples = np.zeros((2, 1, 4), np.uint8)
    samples[0, 0, :2] = 1
    assert disagreement(samples, np.array([[1, 1, 0, 0]], np.uint8)) == pytest.approx((0 + 2) / 2 / 4)
    rng, chance = np.random.default_rng(0), np.random.default_rng(1).random((60, 80)) ** 3
    drawn = [(rng.random((9, 60, 80)) < chance).astype(np.uint8) for _ in range(40)]  # the last stands for the real mask

    def ratio(samples: list[np.ndarray]) -> float:
        error = [disagreement(group, masks[8]) for group, masks in zip(samples, drawn)]
        return np.mean([diversity(group) for group in samples]) / np.mean(error)

    assert ratio([masks[:8] for masks in drawn]) == pytest.approx(1, abs=0.01)
    likeliest = np.stack([chance > 0.5] * 8).astype(np.uint8)
    assert ratio([likeliest] * 40) == 0  # sure of every pixel, and often wrong
    scattered = [rng.integers(0, 2, (8, 60, 80), dtype=np.uint8) for _ in drawn]
    assert 0.9 < ratio(scattered) < 1.1  # noise is as spread as it errs: the ratio alone is no praise
    with pytest.raises(ValueError, match="wanted"):
        disagreement(samples, np.zeros((2, 4), np.uint8))


def test_draws_of_label_maps_differ_where_their_classes_do():
    samples = np.array([[[0, 1, 2, 3]], [[0, 2, 2, 1]], [[0, 1, 2, 0]]], np.uint8)
    assert diversity(samples, 4) == pytest.approx((2 + 1 + 2) / 3 / 4)  # not (3 - 1)^2: classes are no amounts
    assert disagreement(samples, samples[0]) == pytest.approx((0 + 2 + 1) / 3 / 4)
    with pytest.raises(ValueError, match="wanted 0 .air., 1"):
        diversity(samples)
    with pytest.raises(ValueError, match="0 to 2"):
        diversity(samples, 3)
    many = np.random.default_rng(0).integers(0, 4, (6, 5, 7), dtype=np.uint8)
    pairs = [np.mean(many[i] != many[j]) for i in range(6) for j in range(i)]
    assert diversity(many, 4) == pytest.approx(np.mean(pairs))
    binary = np.random.default_rng(4).integers(0, 2, (5, 20, 30), dtype=np.uint8)
    assert diversity(binary) == diversity(binary, 4) == 0.49833333333333335  # as it was before there were classes


def test_control_of_a_class_by_hand():
    asked = box(4, 4, 40)
    asked[10:20, 10:20] = 2
    made = box(4, 4, 40)
    made[10:20, 15:25] = 2
    tissue, nuclei, gland = class_control(asked, made, lambda labels: labels, 4)
    assert tissue == control(box(4, 4, 40), box(4, 4, 40), lambda mask: mask)  # the class below it does not matter
    assert nuclei["iou"] == pytest.approx(50 / 150) and nuclei["fraction_bias"] == 0
    assert nuclei["fraction_asked"] == nuclei["fraction_obtained"] == 100 / 64**2
    assert np.isnan(gland["iou"]) and np.isnan(gland["boundary_f1"]) and gland["fraction_obtained"] == 0
    made[made == 2] = 1
    _, nuclei, _ = class_control(asked, made, lambda labels: labels, 4)
    assert nuclei["iou"] == 0 and nuclei["fraction_error"] == -nuclei["fraction_bias"] == 100 / 64**2
    for wrong in (iou, boundary_f1):
        with pytest.raises(ValueError, match="holds the value 2"):
            wrong(asked, asked)
