"""Are the networks those of the papers, and do the losses have their known values?"""

import math

import pytest
import torch
from torch import nn

from ppcore.losses import gan_loss, l1, straight_through
from ppcore.networks.patchgan import PatchGAN
from ppcore.networks.layers import InstanceNorm, init_weights
from ppcore.networks.unet import Noise, UNet


@pytest.mark.parametrize(("network", "arguments", "count"), [
    (UNet, dict(in_channels=3, out_channels=3), 54_413_955),  # 54.414 M in the reference code of pix2pix
    (UNet, dict(), 54_413_955 - 2 * 64 * 16 - 2 * (128 * 16 + 1)),
    (PatchGAN, dict(in_channels=6), 2_768_705),  # 2.769 M there
    (PatchGAN, dict(), 2_768_705 - 4 * 64 * 16),
])
def test_parameter_count_is_the_papers(network, arguments, count):
    with torch.device("meta"):
        assert sum(weight.numel() for weight in network(**arguments).parameters()) == count


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_exactly_its_patch(layers, field):
    """By the gradient of one logit; without instance norm, because its statistics see the whole image."""
    D = PatchGAN(in_channels=1, ndf=2, layers=layers)
    init_weights(D, seed=0)
    replace(D, nn.InstanceNorm2d, lambda norm: nn.Identity())
    image = torch.randn(1, 1, 160, 160, requires_grad=True)
    logits = D(image)[-1]
    side = logits.shape[-1]
    logits[0, 0, side // 2, side // 2].backward()
    rows, columns = torch.nonzero(image.grad[0, 0], as_tuple=True)
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (field, field)


def test_unet_refuses_a_size_it_cannot_halve_and_names_the_nearest():
    with pytest.raises(ValueError, match="40 x 100 px.* multiples of 16, the nearest is 32 x 96"):
        UNet(ngf=1, levels=4)(torch.zeros(1, 1, 40, 100))
    with pytest.raises(ValueError, match="the nearest is 16 x 16"):
        UNet(ngf=1, levels=4)(torch.zeros(1, 1, 3, 16))
    with pytest.raises(ValueError, match="levels=1"):
        UNet(levels=1)


def test_patchgan_refuses_an_image_without_a_logit():
    assert PatchGAN(ndf=1)(torch.zeros(1, 2, 24, 24))[-1].shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="23 x 64 px.* 24 px or more"):
        PatchGAN(ndf=1)(torch.zeros(1, 2, 23, 64))


@pytest.mark.parametrize("levels", [2, 4, 6])
def test_unet_keeps_the_size_down_to_a_bottleneck_of_one_pixel(levels):
    G = UNet(ngf=2, levels=levels)
    for size in ((2**levels, 2**levels), (2**levels, 2 * 2**levels)):
        image = G(torch.randn(2, 1, *size))
        assert image.shape == (2, 1, *size)
        assert image.abs().max() < 1


def test_instance_norm_is_batch_norm_at_batch_one():
    G = UNet(ngf=4, levels=4)
    init_weights(G, seed=0)
    image = torch.randn(1, 1, 32, 64)
    ours = draw(G, image, seed=1)
    replace(G, nn.InstanceNorm2d, as_batch_norm)
    assert (draw(G, image, seed=1) - ours).abs().max() < 1e-5


def test_a_mask_does_not_depend_on_its_neighbours_in_the_batch():
    """With batch norm it does: this is why `InstanceNorm2d` stands in its place."""
    G = UNet(ngf=4, levels=4)
    init_weights(G, seed=0)
    replace(G, Noise, lambda noise: nn.Identity())
    images = torch.stack([torch.randn(1, 32, 64), 5 + torch.randn(1, 32, 64)])
    assert (G(images)[:1] - G(images[:1])).abs().max() < 1e-5
    replace(G, nn.InstanceNorm2d, as_batch_norm)
    assert (G(images)[:1] - G(images[:1])).abs().max() > 0.01


def test_noise_stays_on_after_eval():
    G = UNet(ngf=4, levels=4).eval()
    init_weights(G, seed=0)
    image = torch.randn(1, 1, 32, 64)
    assert torch.equal(draw(G, image, seed=1), draw(G, image, seed=1))
    assert not torch.equal(draw(G, image, seed=1), draw(G, image, seed=2))


@pytest.mark.parametrize(("levels", "noisy"), [(8, 3), (7, 3), (6, 2), (5, 1), (4, 1), (2, 1)])
def test_noise_is_in_the_inner_blocks(levels, noisy):
    with torch.device("meta"):
        up = UNet(levels=levels).up
    assert [any(isinstance(layer, Noise) for layer in block) for block in up] == (
        [True] * noisy + [False] * (levels - noisy))


def test_weights_come_from_the_seed_alone():
    weights = []
    for seed in (1, 1, 2):
        torch.randn(3)  # moves the global generator, which must not matter
        G = UNet(ngf=16, levels=5)
        init_weights(G, seed)
        weights.append(torch.cat([weight.flatten() for weight in G.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_weights_are_normal_with_deviation_two_hundredths():
    D = PatchGAN(ndf=64)
    init_weights(D, seed=0)
    for layer in D.modules():
        if isinstance(layer, (nn.Conv2d, nn.InstanceNorm2d)) and layer.weight.numel() > 10_000:
            assert layer.weight.mean().item() == pytest.approx(0, abs=1e-3)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        if isinstance(layer, nn.InstanceNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.3)
        if getattr(layer, "bias", None) is not None:
            assert not layer.bias.any()


def test_a_layer_without_a_rule_is_not_left_as_it_is():
    with pytest.raises(TypeError, match="a Linear has weights"):
        init_weights(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), seed=0)


def test_gan_loss_by_hand():
    undecided = torch.zeros(1, 1, 3, 5)
    assert gan_loss(undecided, real=True).item() == pytest.approx(math.log(2))
    assert gan_loss(undecided, real=False).item() == pytest.approx(math.log(2))
    three_to_one = torch.full((1, 1, 3, 5), math.log(3))  # D = 3/4
    assert gan_loss(three_to_one, real=True).item() == pytest.approx(-math.log(3 / 4))
    assert gan_loss(three_to_one, real=False).item() == pytest.approx(-math.log(1 / 4))
    assert gan_loss(torch.tensor([1000.0]), real=False).item() == 1000.0  # no log(0)


def test_l1_by_hand():
    assert l1(torch.tensor([[1.0, -1.0, 0.5, 0.0]]), torch.tensor([[-1.0, -1.0, 1.0, 1.0]])).item() == 3.5 / 4


def test_straight_through_is_exactly_binary_and_passes_the_gradient():
    generator = torch.Generator().manual_seed(0)
    soft = torch.empty(1, 1, 100, 100).uniform_(-1, 1, generator=generator)
    soft[0, 0, 0, 0] = 0.0  # the threshold itself is air
    soft.requires_grad_()
    hard = straight_through(soft)
    assert set(hard.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(hard > 0, soft > 0)
    weight = torch.randn(soft.shape, generator=generator)
    (hard * weight).sum().backward()
    assert torch.equal(soft.grad, weight)


def draw(G: nn.Module, image: torch.Tensor, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return G(image)


def as_batch_norm(norm: nn.InstanceNorm2d) -> nn.BatchNorm2d:
    batch_norm = nn.BatchNorm2d(norm.num_features).train()
    batch_norm.load_state_dict(norm.state_dict(), strict=False)
    return batch_norm


def replace(module: nn.Module, kind: type, make) -> None:
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            replace(child, kind, make)
