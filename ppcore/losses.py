"""What do the networks minimise? The terms of equations (1)-(3), reading R17, recipe `reference`."""

import torch
from torch import Tensor
from torch.nn import functional


def gan_loss(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of a discriminator's logits against "all real" or "all synthetic"; equation (2).

    logits: any shape, unbounded. Returns the mean, a scalar >= 0: -log D for `real`, -log(1 - D) otherwise,
    with D = sigmoid(logits). For G, `real=True` on its own images is the non-saturating form that Isola 2017
    trains (section 3.3): equation (2) itself gives G next to no gradient while D wins.
    """
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def l1(fine: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape, a scalar; equation (3) for values in [-1, 1]."""
    return functional.l1_loss(fine, target)


def straight_through(soft: Tensor) -> Tensor:
    """Binarise forwards, pass the gradient unchanged (Bengio et al. 2013, arXiv 1308.3432; reading R22).

    soft: (B, 1, H, W) in [-1, 1]. Returns exactly -1 or +1: +1 (tissue) above the threshold 0 of reading R14.
    """
    hard = torch.where(soft > 0, 1.0, -1.0).to(soft.dtype)
    return hard + (soft - soft.detach())  # the bracket is exactly 0, its gradient 1
