"""Is FID what it is said to be: of the right file, generated masks first, right for known Gaussians, never another's?"""

import hashlib

import numpy as np
import pytest
import torch
import torch_fidelity
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from ppcore.metrics import frechet
from ppcore.metrics.frechet import fid_infinity, frechet_distance


def box(top: int, left: int, side: int = 20) -> np.ndarray:
    mask = np.zeros((64, 64), np.uint8)
    mask[top:top + side, left:left + side] = 1
    return mask


def known_gaussians(seed: int, n: int, dimensions: int = 6) -> tuple[np.ndarray, np.ndarray, float]:
    """n draws of each of two Gaussians with covariances Q diag(a) Q' and Q diag(b) Q', and their Frechet distance."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))
    a, b = rng.uniform(0.1, 2, (2, dimensions))
    shift = rng.normal(size=dimensions) / 4
    draws = np.random.default_rng(1 + seed).normal(size=(2, n, dimensions))
    closed = shift @ shift + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    return (draws[0] * np.sqrt(a)) @ q.T + shift, (draws[1] * np.sqrt(b)) @ q.T, closed


def test_fid_of_two_gaussians():
    """Covariances Q diag(a) Q', Q diag(b) Q': FID = |m|^2 + sum (sqrt a - sqrt b)^2, in both orders."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    a, b, shift = rng.uniform(0.1, 2, 6), rng.uniform(0.1, 2, 6), rng.normal(size=6)
    one, two = {"mu": shift, "sigma": q * a @ q.T}, {"mu": 0 * shift, "sigma": q * b @ q.T}
    closed = shift @ shift + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    for pair in ((one, two), (two, one)):
        assert fid_statistics_to_metric(*pair, verbose=False)[KEY_METRIC_FID] == pytest.approx(closed)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A small file that stands for the weights: only its sha256 is looked at."""
    path = tmp_path / frechet.WEIGHTS_NAME
    path.write_bytes(b"weights")
    monkeypatch.setattr(frechet, "WEIGHTS_SHA256", hashlib.sha256(b"weights").hexdigest())
    return path


def test_fid_gets_generated_masks_first_and_as_many_of_each(weights, monkeypatch):
    asked = {}
    scores = {torch_fidelity.KEY_METRIC_FID: 1.5, torch_fidelity.KEY_METRIC_KID_MEAN: 0.25}
    monkeypatch.setattr(torch_fidelity, "calculate_metrics", lambda **kwargs: asked.update(kwargs) or scores)
    generated, real = [box(1, 1)] * 5, np.stack([box(9, 9)] * 3)
    assert frechet.fid_kid(generated, real, weights) == {"fid": 1.5, "kid": 0.25, "n": 3}
    assert len(asked["input1"]) == len(asked["input2"]) == 3
    for name, mask in (("input1", box(1, 1)), ("input2", box(9, 9))):
        image = asked[name][2]
        assert image.dtype == torch.uint8 and image.shape == (3, 64, 64)
        np.testing.assert_array_equal(image[1], 255 * mask)
    assert asked["feature_extractor"] == "inception-v3-compat"
    assert asked["feature_extractor_weights_path"] == str(weights)
    assert asked["kid_subset_size"] == 3
    with pytest.raises(ValueError, match="5 generated and 1 real"):
        frechet.fid_kid(generated, real[:1], weights)


def test_another_weights_file_is_refused(weights, monkeypatch):
    assert frechet.find_inception_weights(weights) == weights
    weights.write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("loaded before its sha256 was known"))
    for refused in (lambda: frechet.find_inception_weights(weights),
                    lambda: frechet.fid_kid([box(1, 1)] * 2, [box(1, 1)] * 2, weights)):
        with pytest.raises(ValueError, match=found):
            refused()


def test_missing_weights_are_none_and_nothing_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: pytest.fail("fetched untold"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert frechet.find_inception_weights(tmp_path / "none.pth") is None
    assert frechet.find_inception_weights() is None
    assert not (tmp_path / "hub").exists()


def test_download_lands_where_torch_fidelity_looks(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file",
                        lambda url, file, hash_prefix: open(file, "wb").write(b"weights"))
    path = frechet.find_inception_weights(download=True)
    assert path == tmp_path / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    assert path.read_bytes() == b"weights"


def test_address_and_sha256_are_those_of_torch_fidelitys_file():
    assert frechet.WEIGHTS_URL == URL_INCEPTION_V3
    assert frechet.WEIGHTS_NAME == f"weights-inception-2015-12-05-{frechet.WEIGHTS_SHA256[:8]}.pth"


def test_frechet_distance_of_samples_of_known_gaussians():
    one, two, closed = known_gaussians(0, 100_000)
    assert frechet_distance(one, two) == pytest.approx(closed, rel=0.02)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="features are"):
        frechet_distance(one, two[:, :3])


@pytest.mark.parametrize("n, m", [(300, 200), (12, 9), (9, 40)])
def test_frechet_distance_is_torch_fidelitys_also_for_fewer_masks_than_features(n, m):
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(n, 20)) @ rng.normal(size=(20, 20)), rng.normal(size=(m, 20)) + 0.3
    theirs = fid_statistics_to_metric(*(fid_features_to_statistics(torch.from_numpy(x)) for x in (one, two)), False)
    assert frechet_distance(one, two) == pytest.approx(theirs[KEY_METRIC_FID], rel=1e-5)


def test_fid_at_infinity_is_nearer_to_the_truth_than_fid_of_any_number():
    """Of 8 pairs of samples, n = 400 and 20 features: the line takes most of the bias away."""
    found = []
    for seed in range(8):
        one, two, closed = known_gaussians(seed, 400, dimensions=20)
        found.append((frechet_distance(one, two) - closed, fid_infinity(one, two, seed) - closed))
    plain, extrapolated = np.mean(found, axis=0)
    assert plain > 0.1 and abs(extrapolated) < 0.4 * plain


@pytest.mark.parametrize("n, left", [(32, 0.6), (128, 0.15)])
def test_fid_at_infinity_with_few_masks_for_its_features_takes_part_of_the_bias(n, left):
    """Equal Gaussians in 64 dimensions, of variances 1, 1/2, 1/3, ...; the truth is 0."""
    one, two = np.random.default_rng(n).normal(size=(2, n, 64)) / np.sqrt(np.arange(1, 65))
    plain = frechet_distance(one, two)
    assert plain > 0.5 and -0.1 * plain < fid_infinity(one, two) < left * plain


def test_fid_at_infinity_comes_from_its_seed_and_wants_enough_masks():
    one, two, _ = known_gaussians(0, 50)
    assert fid_infinity(one, two, 3) == fid_infinity(one, two, 3) != fid_infinity(one, two, 4)
    assert fid_infinity(one, np.concatenate([two, 99 + two]), 3) == fid_infinity(one, two, 3)  # as many of each
    with pytest.raises(ValueError, match="19 generated and 50 real"):
        fid_infinity(one[:19], two)


def test_inception_features_come_of_the_weights_file(tmp_path, monkeypatch):
    """A file of the form of the FID weights, with random numbers in it, through the real network: no FID comes of it."""
    path = tmp_path / frechet.WEIGHTS_NAME
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        patch.setattr(torch, "load", lambda *_, **__: None)
        torch.save(FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path)).state_dict(), path)
    masks = [box(1, 1), box(30, 9, 30)]
    with pytest.raises(ValueError, match="sha256"):
        frechet.inception_features(masks, path)
    monkeypatch.setattr(frechet, "WEIGHTS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    features = frechet.inception_features(masks, path)
    assert features.shape == (2, 2048) and np.isfinite(features).all() and np.ptp(features, axis=0).max() > 0


class Blocks(FeatureExtractorBase):
    """A small extractor in Inception's place: mean gray of 4 x 4 blocks."""

    def __init__(self, name, features_list, **_):
        super().__init__(name, features_list)

    @staticmethod
    def get_provided_features_list():
        return ("2048",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "2048"

    @staticmethod
    def can_be_compiled():
        return False

    def forward(self, pictures):
        return (torch.nn.functional.adaptive_avg_pool2d(pictures.float(), 4)[:, 0].flatten(1),)


@pytest.fixture
def blocks(weights, monkeypatch):
    monkeypatch.setitem(FEATURE_EXTRACTORS_REGISTRY, "inception-v3-compat", Blocks)
    return weights


def boxes(seed: int, count: int) -> list[np.ndarray]:
    return [box(*places) for places in np.random.default_rng(seed).integers(1, 40, (count, 3))]


def test_fid_is_the_frechet_distance_of_the_features(blocks):
    generated, real = boxes(0, 60), boxes(1, 60)
    scores = frechet.fid_kid(generated, real, blocks)
    features = [frechet.inception_features(masks, blocks) for masks in (generated, real)]
    assert scores["fid"] == pytest.approx(frechet_distance(*features), rel=1e-4) and scores["n"] == 60
    assert scores["fid"] < 0.1 * frechet.fid_kid(generated[:1] * 60, real, blocks)["fid"]


def test_torch_fidelity_takes_what_comes_first_for_the_generated_set(blocks, monkeypatch):
    """FID and KID are the same both ways round; precision and recall are not. A generator that repeats one real mask
    is precise and recalls next to nothing."""
    whole, asked = torch_fidelity.calculate_metrics, {}

    def with_precision(**kwargs):
        asked.update(whole(**kwargs | {"prc": True, "prc_neighborhood": 2}))
        return asked

    monkeypatch.setattr(torch_fidelity, "calculate_metrics", with_precision)
    real = boxes(1, 40)
    frechet.fid_kid([real[2]] * 40, real, blocks)
    assert asked[torch_fidelity.KEY_METRIC_PRECISION] == 1
    assert asked[torch_fidelity.KEY_METRIC_RECALL] < 0.1
