"""Have the losses their known values?"""

import math

import pytest
import torch
from torch import Tensor

from ppcore.methods.losses import (feature_matching, gan_loss, l1, lsgan_loss, mean_feature_matching, paper28_loss,
                                   straight_through)


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


def test_lsgan_loss_by_hand():
    scores = torch.tensor([[[[1.0, 0.0], [3.0, -1.0]]]])
    assert lsgan_loss(scores, real=True).item() == (0 + 1 + 4 + 4) / 4
    assert lsgan_loss(scores, real=False).item() == (1 + 0 + 9 + 1) / 4


def row(*values: float) -> Tensor:
    """A map (1, 1, 1, W) that asks for its gradient."""
    return torch.tensor([[[values]]], dtype=torch.float32, requires_grad=True)


@pytest.mark.parametrize(("matching", "value"), [(feature_matching, 2 + 5), (mean_feature_matching, 1 + 5)])
def test_feature_matching_by_hand(matching, value):
    """Layers are summed, of unequal size too; positions and means differ in the first layer."""
    synthetic, real = [row(1, 3), row(2, 2, 2)], [row(4, 2), row(7, 7, 7)]
    loss = matching(synthetic, real)
    assert loss.item() == value
    loss.backward()
    assert all(layer.grad.any() for layer in synthetic)
    assert all(layer.grad is None for layer in real)


def test_mean_feature_matching_is_of_each_channel_of_each_image():
    synthetic = torch.tensor([[1.0, 3.0], [5.0, 5.0]])[:, :, None, None].expand(2, 2, 3, 4)
    real = torch.tensor([[3.0, 1.0], [5.0, 5.0]])[:, :, None, None].expand(2, 2, 3, 4)
    assert mean_feature_matching([synthetic], [real]).item() == (2 + 2 + 0 + 0) / 4


def test_paper28_loss_is_the_sum_of_its_four_terms():
    """D says 3/4 and 1/4 of the synthetic patches, 3/4 of the real; the features are those of `matched`."""
    synthetic, real = [row(100, 100), row(math.log(3), -math.log(3))], [row(4, 2), row(math.log(3), math.log(3))]
    matched = [row(1, 3), row(100, 100)]
    square, cross_entropy = (1 / 2 - 3 / 4) ** 2, -(math.log(3 / 4) + math.log(1 / 4)) / 2
    loss = paper28_loss(synthetic, real, matched)
    assert loss.item() == pytest.approx(square + cross_entropy + 2 + 1)
    loss.backward()
    assert synthetic[1].grad.any() and matched[0].grad.any()
    assert all(layer.grad is None for layer in (*real, synthetic[0], matched[1]))
