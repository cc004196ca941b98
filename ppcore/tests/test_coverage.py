"""Do density, coverage and the occupancy of cells see what is missing, and only that?"""

import cv2
import numpy as np
import pytest

from ppcore.masks.shapes import describe_all
from ppcore.metrics.coverage import cell_shares, coverage, density, occupancy, total_variation


def two_halves(seed: int, n: int = 200, dimensions: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Two samples of one distribution, skewed and of unequal scales."""
    drawn = np.random.default_rng(seed).gamma(2, np.arange(1, dimensions + 1), (2, n, dimensions))
    return drawn[0], drawn[1]


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    """Descriptors of 120 masks of tissue of many grain sizes and pores."""
    rng, found = np.random.default_rng(0), []
    for _ in range(120):
        smooth = cv2.GaussianBlur(rng.normal(size=(64, 96)), (0, 0), rng.uniform(2, 12))
        found.append(((smooth > smooth.std() * rng.uniform(-1, 0.5)) & (rng.random((64, 96)) > 0.02)).astype(np.uint8))
    return describe_all(found, progress=False)


def test_density_and_coverage_by_hand():
    """Real masks at 0, 1, 3, 7; with k = 2 their balls reach 3, 2, 3 and 6: [-3, 3], [-1, 3], [0, 6], [1, 13]."""
    real = np.array([[0.0], [1.0], [3.0], [7.0]])
    synthetic = np.array([[-2.0], [2.0], [12.0], [40.0]])
    np.testing.assert_array_equal(density(real, synthetic, k=2), [1 / 2, 4 / 2, 1 / 2, 0])
    np.testing.assert_array_equal(coverage(real, synthetic, k=2), [True] * 4)
    np.testing.assert_array_equal(coverage(real, synthetic[[0, 3]], k=2), [True, False, False, False])
    assert density(real, np.array([[3.0], [3.0]]), k=2)[0] == 2  # on the edge of two balls: they are closed


def test_equal_distributions_have_density_1_and_the_coverage_of_naeem():
    """Naeem et al. 2020, lemma 2: E[coverage] = 1 - (N-1)...(N-k) / (M+N-1)...(M+N-k), whatever the distribution."""
    n, m, k = 60, 40, 3
    scores = [(density(real, synthetic[:m], k).mean(), coverage(real, synthetic[:m], k).mean())
              for real, synthetic in (two_halves(seed, n) for seed in range(150))]
    closed = 1 - np.prod([(n - i) / (m + n - i) for i in range(1, k + 1)])
    mean, error = np.mean(scores, axis=0), np.std(scores, axis=0) / np.sqrt(150)
    assert abs(mean - [1, closed]) == pytest.approx([0, 0], abs=3 * error.max())
    assert error.max() < 0.02


def test_real_masks_cover_real_masks_and_a_collapse_covers_next_to_none(masks):
    one, other = masks[::2], masks[1::2]
    assert coverage(one, other).mean() > 0.9 and density(one, other).mean() == pytest.approx(1, abs=0.25)
    for repeated in (0, 7, 31):
        assert coverage(one, np.repeat(other[[repeated]], 60, axis=0)).mean() < 0.2
    far = other + 50 * masks.std(axis=0)
    assert coverage(one, far).mean() == 0 and density(one, far).mean() == 0


def test_a_collapse_into_the_densest_place_has_a_high_density_and_no_coverage(masks):
    """Why both are reported: density alone would reward it."""
    one, other = masks[::2], masks[1::2]
    densest = other[[density(one, other).argmax()]].repeat(60, axis=0)
    assert density(one, densest).mean() > 2 and coverage(one, densest).mean() < 0.4


def test_the_order_of_masks_and_the_unit_of_a_descriptor_do_not_matter():
    real, synthetic = two_halves(1, 80)
    rng, units = np.random.default_rng(0), np.array([1, 20, 3, 400, 5])
    shuffled = rng.permutation(real), rng.permutation(synthetic)
    for pair in (shuffled, (real * units, synthetic * units)):
        assert density(*pair).mean() == pytest.approx(density(real, synthetic).mean())
        assert coverage(*pair).mean() == coverage(real, synthetic).mean()


def test_more_equal_real_masks_than_neighbours_and_fewer_masks_than_those():
    equal = np.ones((8, 2))
    assert coverage(equal, equal[:2]).all() and not coverage(equal, equal[:2] + 1).any()
    assert coverage(np.array([[0.0], [1.0]]), np.array([[0.5], [0.6]])).all()  # two real masks: k = 1
    with pytest.raises(ValueError, match="descriptors are"):
        coverage(equal, np.ones((4, 3)))


def test_occupancy_and_total_variation_by_hand():
    real, shares = np.array([0.5, 0.3, 0.2]), np.array([0.8, 0.14, 0.06])
    assert occupancy(real, shares) == pytest.approx(1 / 3)  # .14 and .06 are less than half of .3 and .2
    assert occupancy(real, np.array([0.25, 0.65, 0.1])) == 1
    assert total_variation(real, shares) == pytest.approx(0.3)
    assert total_variation(real, real) == 0 and total_variation(np.array([1, 0]), np.array([0, 1])) == 1


def test_cells_are_those_of_the_real_masks_and_a_missing_kind_is_found():
    """Nine groups far apart; the method never makes three of them and makes one far too often."""
    rng = np.random.default_rng(0)
    centres = np.array([[x, y] for x in (0, 10, 20) for y in (0, 10, 20)], dtype=float)
    real = np.repeat(centres, 20, axis=0) + rng.normal(size=(180, 2)) / 5
    synthetic = np.repeat(centres, [0, 0, 0, 20, 20, 20, 20, 20, 80], axis=0) + rng.normal(size=(180, 2)) / 5
    real_shares, shares = cell_shares(real, synthetic, seed=1)
    np.testing.assert_allclose(real_shares, 1 / 9)
    assert sorted(shares) == pytest.approx([0, 0, 0, *[1 / 9] * 5, 4 / 9])
    assert occupancy(real_shares, shares) == pytest.approx(6 / 9)
    assert total_variation(real_shares, shares) == pytest.approx(3 / 9)


def test_cells_are_the_same_twice_and_real_halves_fill_them(masks):
    one, other = masks[::2], masks[1::2]
    first, again = cell_shares(one, other, seed=3), cell_shares(one, other, seed=3)
    np.testing.assert_array_equal(first, again)
    collapsed = cell_shares(one, other[:1].repeat(60, axis=0), seed=3)
    assert occupancy(*first) > 0.75 and occupancy(*collapsed) == pytest.approx(1 / 9)
    assert total_variation(*first) < 0.4 < total_variation(*collapsed)
    assert [len(x) for x in cell_shares(np.eye(4), np.eye(4))] == [4, 4]  # fewer real masks than cells
