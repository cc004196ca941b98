"""What do the networks minimise? The terms of equations (1)-(7) and of section 2.8 (readings R16-R18, R22)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ppcore.methods.classes import hard


def gan_loss(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of a discriminator's logits against "all real" or "all synthetic"; equation (2).

    logits: any shape, unbounded. Returns the mean, a scalar >= 0: -log D for `real`, -log(1 - D) otherwise,
    with D = sigmoid(logits). For G, `real=True` on its own images is the non-saturating form that Isola 2017
    uses (section 3.3): equation (2) itself gives G almost no gradient while D is winning.
    """
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def lsgan_loss(scores: Tensor, real: bool) -> Tensor:
    """Mean squared error of a discriminator's scores against 1 ("all real") or 0, instead of the logarithms of
    equation (6): LSGAN (Mao et al. 2017, arXiv 1611.04076), as in CycleGAN and pix2pixHD.

    scores: any shape, unbounded. Returns a scalar >= 0.
    """
    return functional.mse_loss(scores, torch.full_like(scores, float(real)))


def l1(fine: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of equal shape, a scalar; equations (3) and (7) for values in [-1, 1]."""
    return functional.l1_loss(fine, target)


def feature_matching(synthetic: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the mean absolute difference of a discriminator's features (Wang 2018, equation (4)).

    synthetic, real: its hidden outputs, layer by layer, without the logits. No gradient flows into `real`.
    """
    return sum(functional.l1_loss(s, r.detach()) for s, r in zip(synthetic, real, strict=True))


def mean_feature_matching(synthetic: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """As `feature_matching`, on the features' means over the image (Salimans et al. 2016, arXiv 1606.03498)."""
    means = [[layer.mean(dim=(-2, -1)) for layer in layers] for layers in (synthetic, real)]
    return feature_matching(*means)


def paper28_loss(synthetic: Sequence[Tensor], real: Sequence[Tensor], matched: Sequence[Tensor]) -> Tensor:
    """G's loss as section 2.8 literally states it, all weights 1 (reading R17, recipe `paper28`).

    Arguments: a discriminator's outputs, logits last, for a synthetic image, a real one, and the synthetic image that
    should resemble it (with pairs, the first again). The loss is the squared difference of D's mean predictions, the
    cross-entropy of equation (2), and two feature matchings. Section 2.8 does not say which two: ours are by position
    (Wang 2018) and of the means (Salimans 2016). No gradient flows into `real`.
    """
    means = [outputs[-1].sigmoid().mean() for outputs in (synthetic, real)]
    hidden = matched[:-1], real[:-1]
    return (functional.mse_loss(means[0], means[1].detach()) + gan_loss(synthetic[-1], real=True)
            + feature_matching(*hidden) + mean_feature_matching(*hidden))


def straight_through(soft: Tensor) -> Tensor:
    """Binarise in the forward pass, pass the gradient unchanged (Bengio et al. 2013, arXiv 1308.3432; reading R22).

    soft: masks (B, 1, H, W) in [-1, 1]. Returns exactly -1 or +1: +1 (tissue) above the threshold 0 of reading R14. Of
    K > 2 classes, (B, K, H, W), the largest channel is +1.
    """
    return hard(soft).to(soft.dtype) + (soft - soft.detach())  # the bracket is exactly 0, its gradient 1


def pairing(better: Tensor, worse: Tensor) -> Tensor:
    """Relativistic loss: how little the logits of `better` exceed those of `worse` at the same place; a scalar.

    Beyond the paper, as the two below: R3GAN (Huang et al. 2024, arXiv 2501.05441).
    """
    return functional.softplus(worse - better).mean()


def paired_loss(D: nn.Module, x: Tensor, y: Tensor, made: Tensor, maps: Tensor, gamma: float, sigma: float,
                every: int) -> tuple[Tensor, Tensor | float]:
    """Loss of D, which compares real y and made y of the same x and texture or colour maps; and its gradient penalty.

    D: as `ppcore.networks.noise_unet.LocalDiscriminator`. The penalty is gamma / 2 times the squared slope of D at real
    and made pictures (R1 and R2), from a finite difference of length sigma. One step in `every` has it, that many times.
    """
    both, twice = torch.cat([y, made.detach()]), (torch.cat([x, x]), torch.cat([maps, maps]))
    judged = D(twice[0], both, twice[1])
    loss, penalty = sum(pairing(*logits.chunk(2)) for logits in judged), 0.0
    if gamma and torch.rand(()) < 1 / every:
        moved = D(twice[0], both + sigma * torch.randn_like(both), twice[1])
        slope = sum((near - logits).square().mean() for near, logits in zip(moved, judged)) / sigma**2
        penalty = every * gamma / 2 * slope
    return loss, penalty


def paired_loss_of_G(D: nn.Module, x: Tensor, y: Tensor, made: Tensor, maps: Tensor) -> Tensor:
    """The same comparison as G sees it: made pictures shall exceed real ones."""
    with torch.no_grad():
        real = D(x, y, maps)
    return sum(pairing(m, r) for r, m in zip(real, D(x, made, maps)))
