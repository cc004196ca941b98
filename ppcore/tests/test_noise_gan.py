"""Does the noise GAN draw masks, and does the diffusion go back in time as it should?"""

import math

import numpy as np
import pytest
import torch

from ppcore.masks.make import coarse_mask, write_mask
from ppcore.masks.patches import to_tensor
from ppcore.methods.bernoulli_diffusion import BernoulliDiffusion, BernoulliDiffusionSettings, flip, posterior
from ppcore.methods.losses import pairing
from ppcore.methods.noise_gan import NoiseGAN, NoiseGANSettings, as_mask, coarse
from ppcore.methods.texture import TexturedCrops, map_channels
from ppcore.tests.test_classes import DENSE, labels
from ppcore.training.loop import train
from ppcore.training.model_card import load_model

SIZE, CHANNELS = dict(height=64, width=128, lenders=3), map_channels(2)


def masks(count: int, seed: int = 0) -> np.ndarray:
    """Blobs with holes, (count, 64, 128)."""
    import cv2

    rng = np.random.default_rng(seed)
    fields = [cv2.GaussianBlur(rng.standard_normal((64, 128)), (0, 0), 8) for _ in range(count)]
    return np.array([(field > np.median(field)) & (rng.random(field.shape) < 0.9) for field in fields]).astype(np.uint8)


@pytest.fixture
def crops(tmp_path):
    torch.set_num_threads(1)
    for number, mask in enumerate(masks(6)):
        write_mask(tmp_path / "fine" / f"p{number}.png", mask)
    return TexturedCrops([f"p{number}" for number in range(6)], tmp_path / "fine", 32, 5, 10)


def gan(**changes) -> NoiseGAN:
    return NoiseGAN(NoiseGANSettings(**SIZE | dict(widths=(4, 4, 4, 4), ndf=4) | changes))


def diffusion(**changes) -> BernoulliDiffusion:
    return BernoulliDiffusion(BernoulliDiffusionSettings(**SIZE | dict(widths=(8, 8, 8)) | changes))


def together(items: list[dict]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def outline(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(coarse_mask(masks(1, seed)[0]) * 2.0 - 1)[None, None].float()


@pytest.mark.parametrize("dense", [((3, 5),), ((4, 3), (2, 6)), ((1, 2), (5, 4), (10, 5))])
@pytest.mark.parametrize("sizes", [(5, 10), (4, 7)])
def test_the_loss_knows_the_coarse_form_of_a_label_map_exactly(sizes, dense):
    for seed in range(4):
        found = labels(2 + len(dense), seed)
        y = to_tensor(found, 2 + len(dense))[None].requires_grad_()
        wanted = to_tensor(coarse_mask(found, *sizes, dense=dense), 2 + len(dense))
        assert len(set(wanted.argmax(0).flatten().tolist())) == 2 + len(dense)
        again = coarse(y, *sizes, dense)
        assert torch.equal(again[0], wanted)
        for value in range(1, 2 + len(dense)):
            assert torch.autograd.grad(again[:, value].sum(), y, retain_graph=True)[0].abs().sum() > 0


@pytest.mark.parametrize("sizes", [(5, 10), (3, 4), (4, 7)])
def test_the_loss_knows_the_coarse_mask_exactly(sizes):
    for mask in masks(4):
        y = torch.from_numpy(mask * 2.0 - 1)[None, None].requires_grad_()
        found = coarse(y, *sizes)
        np.testing.assert_array_equal(found[0, 0].detach().numpy(), coarse_mask(mask, *sizes) * 2.0 - 1)
        found.sum().backward()
        assert y.grad.abs().sum() > 0


def test_a_binarised_mask_has_the_gradient_of_the_soft_one():
    logits = torch.tensor([-3.0, -0.1, 0.2, 4.0]).reshape(1, 1, 1, 4).requires_grad_()
    made = as_mask(logits)
    made.sum().backward()
    assert made.flatten().tolist() == [-1, -1, 1, 1]
    torch.testing.assert_close(logits.grad, (1 - torch.tanh(logits.detach() / 2) ** 2) / 2)


def test_losses_of_a_step_by_hand():
    """With all logits 0, each of the four judgements costs log 2, and G(x) is air: C(G(x)) misses all of x's tissue."""
    method, x = gan(learning_rate=0.0), outline()
    for network in method.networks.values():
        for weight in network.parameters():
            weight.data.zero_()
    losses = method.step({"coarse": x, "fine": x, "texture": torch.zeros(1, CHANNELS, 8, 16)})
    assert losses["D"].item() == pytest.approx(4 * math.log(2)) == losses["G_gan"].item()
    assert losses["G_coarse"].item() == pytest.approx((x > 0).float().mean().item())


def test_a_wrong_pixel_costs_the_same_whatever_the_number_of_classes():
    """G(x) is all air: C(G(x)) is wrong wherever x is not."""
    found = coarse_mask(labels(4), dense=DENSE)
    method, x = gan(learning_rate=0.0, classes=4, dense=DENSE), to_tensor(found, 4)[None]
    for weight in method.networks["generator"].parameters():
        weight.data.zero_()
    losses = method.step({"coarse": x, "fine": x, "texture": torch.zeros(1, map_channels(4), 8, 16)})
    assert losses["G_coarse"].item() == pytest.approx((found > 0).mean())


def test_kernels_that_do_not_fit_the_classes_are_refused():
    with pytest.raises(ValueError, match="wanted a pair of kernels for each of the 1 classes beyond"):
        gan(classes=3)


def test_the_pairing_rewards_what_is_better_at_its_own_place():
    better, worse = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert pairing(better, worse).item() == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(2))) / 2)


def test_without_moments_three_judgements_are_left():
    method, x = gan(learning_rate=0.0, moments=False), outline()
    judged = method.networks["discriminator"](x, x, torch.zeros(1, CHANNELS, 8, 16))
    assert len(judged) == 3 and len(gan().networks["discriminator"](x, x, torch.zeros(1, CHANNELS, 8, 16))) == 4


@pytest.mark.parametrize("make", [gan, diffusion])
def test_draws_depend_on_seed_noise_and_texture(make, crops):
    method, x = make(), outline()
    method.remember(crops, 1)
    # untrained, the last layer of the diffusion is 0: let it answer
    torch.nn.init.normal_(method.networks["generator"].last.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    first, again, other = method.generate(x.expand(3, -1, -1, -1), [5, 5, 6])
    assert first.abs().max() <= 1 and torch.equal(first, again) and not torch.equal(first > 0, other > 0)
    z = [torch.randn(1, *part.shape) for part in method.networks["generator"].noise(64, 128)]
    maps = [torch.zeros(1, CHANNELS, 8, 16), torch.full((1, CHANNELS, 8, 16), 8.0)]
    plain, textured = (method.generate(x, [[*z, texture]]) for texture in maps)
    assert not torch.equal(plain, textured)
    silent = make(texture=False)
    silent.networks["generator"].load_state_dict(method.networks["generator"].state_dict())
    assert torch.equal(*(silent.generate(x, [[*z, texture]]) for texture in maps))


def test_without_noise_only_the_lender_differs(crops):
    method, x = gan(noise=False), outline()
    method.remember(crops, 1)
    texture = torch.ones(1, CHANNELS, 8, 16)
    z = [[torch.randn(1, *part.shape) for part in method.networks["generator"].noise(64, 128)] for _ in range(2)]
    assert torch.equal(*(method.generate(x, [[*one, texture]]) for one in z))


@pytest.mark.parametrize("make", [gan, diffusion])
def test_a_trained_model_is_read_back_with_its_texture_maps(make, crops, tmp_path):
    method = make()
    method.remember(crops, 1)
    how = dict(epochs=0, decay_epochs=1, seed=1, data_fingerprint="", batch_size=4, ema=0.5)
    log = train(method, crops, tmp_path / "run", **how)
    assert len(crops) == 6 * 8 and log["step"].iloc[-1] == 12  # an epoch shows as many pixels as the patches have
    loaded = load_model(type(method), tmp_path / "run")
    assert torch.equal(loaded.networks["generator"].textures.maps, method.networks["generator"].textures.maps)
    assert method.networks["generator"].textures.maps.any()
    assert torch.equal(loaded.generate(outline(), [3]), method.generate(outline(), [3]))


def test_the_noise_gan_learns_to_keep_the_outline(crops):
    """Sixty steps on the same four crops: C(G(x)) comes close to x, from far away."""
    method, found = gan(lambda_coarse=50.0, widths=(24, 48, 64, 64)), []
    torch.manual_seed(0)
    batch = together([crops[i] for i in range(4)])
    for step in range(60):
        torch.manual_seed(step)
        found.append(method.step(batch)["G_coarse"].item())
    assert np.mean(found[-10:]) < 0.5 * found[0]


def test_the_diffusion_learns_what_a_coin_does_not_know(crops):
    """Cross-entropy starts at log 2, a coin's, and falls below half of it."""
    method, found = diffusion(), []
    for step in range(60):
        torch.manual_seed(step)
        items = [crops[i] for i in torch.randint(len(crops), (8,)).tolist()]
        found.append(method.step(together(items))["entropy"].item())
    assert found[0] == pytest.approx(math.log(2), abs=0.02) and np.mean(found[-10:]) < math.log(2) / 2


def test_a_step_back_has_the_posterior_of_the_forward_process():
    """Among a million pixels flipped to time .6 and on to .3, y_.6 is as often 1 as the formula says."""
    generator = torch.Generator().manual_seed(0)
    shape = 1, 1, 1000, 1000
    y, chances = torch.ones(shape), [torch.rand(shape, generator=generator) for _ in range(2)]
    later = flip(y, chances[0], 0.6)
    now = flip(later, chances[1], 0.3 / 0.6)
    assert (now == 1).float().mean().item() == pytest.approx(0.65, abs=0.002)  # as flipped to .3 at once
    for value in (-1.0, 1.0):
        share = (later[now == value] == 1).float().mean().item()
        tissue = posterior(y[..., :1, :1], torch.full((1, 1, 1, 1), value), 0.3, 0.6)[:, 1]
        assert share == pytest.approx(tissue.item(), abs=0.003)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_posterior_is_that_of_bayes_rule(classes):
    """By brute force: all K values of y_later, each with the odds of the two steps that lead through it."""
    time, later = 0.35, 0.7

    def moved(start: int, end: int, kept: float) -> float:
        return (1 - kept) / classes + kept * (start == end)

    for y in range(classes):
        for now in range(classes):
            both = np.array([moved(y, value, later) * moved(value, now, time / later) for value in range(classes)])
            assert both.sum() == pytest.approx(moved(y, now, time))  # in two steps as in one
            maps = [to_tensor(np.full((1, 1), value), classes)[None] for value in (y, now)]
            found = posterior(*maps, time, later)[0, :, 0, 0]
            np.testing.assert_allclose(found, both / both.sum(), rtol=1e-5)


def test_with_two_classes_the_posterior_is_the_bernoulli_formula_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    y, noisy = (torch.where(torch.rand(1, 1, 64, 64, generator=generator) < 0.5, 1.0, -1.0) for _ in range(2))
    for time, later in ((0.0, 0.02), (0.3, 0.6), (0.7, 0.92), (1 / 3, 2 / 3)):
        kept = time / later
        tissue, air = (1 + later * y) * (1 + kept * noisy), (1 - later * y) * (1 - kept * noisy)
        assert torch.equal(posterior(y, noisy, time, later)[:, 1:], tissue / (tissue + air))


@pytest.mark.parametrize("time", [0.0, 0.4, 1.0])
def test_noise_keeps_a_class_or_makes_it_any(time):
    y = to_tensor(np.repeat(np.arange(4, dtype=np.uint8), 250_000).reshape(1000, 1000), 4)[None]
    chance = torch.rand(1, 1, 1000, 1000, generator=torch.Generator().manual_seed(0))
    noisy = flip(y, chance, time)
    assert torch.equal((noisy > 0).sum(1), torch.ones(1, 1000, 1000, dtype=torch.int64))
    for value in range(4):
        found = (noisy[:, :, y[0, value] > 0] > 0).float().mean(2)[0]
        wanted = torch.full((4,), (1 - time) / 4)
        wanted[value] += time
        torch.testing.assert_close(found, wanted, atol=0.004, rtol=0)


def test_a_sure_network_is_believed(crops, monkeypatch):
    """If every guess is the coarse mask itself, the draw is the coarse mask."""
    method, x = diffusion(), outline()
    monkeypatch.setattr(method.networks["generator"], "forward", lambda noisy, x, time, texture: 50 * x)
    assert torch.equal(method.generate(x, [1]), x)  # tanh(25) is 1
    method, x = diffusion(classes=4), to_tensor(coarse_mask(labels(4), dense=DENSE), 4)[None]
    monkeypatch.setattr(method.networks["generator"], "forward", lambda noisy, x, time, texture: 50 * x)
    assert torch.equal(method.generate(x, [1]), x)


def test_crops_that_do_not_fit_are_refused(tmp_path):
    write_mask(tmp_path / "p.png", masks(1)[0])
    for size in (24, 96):
        with pytest.raises(ValueError, match=f"crops of {size} px from p of"):
            TexturedCrops(["p"], tmp_path, size, 5, 10)
