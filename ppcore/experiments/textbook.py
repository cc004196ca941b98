"""What does a step look like as one would first write it from its paper? The yardstick of notebook 13.

The study's architectures with stock normalisation layers, in float32, the usual Adam, and all gradients that autograd
computes by default. A step takes `n`, the networks by name, both optimisers, outlines x and masks y (B, 1, H, W) and
images r (B, 3, H, W).
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ppcore.networks.layers import InstanceNorm
from ppcore.networks.noise import draw_noise
from ppcore.training.method import Method


def plain(networks: dict[str, nn.Module], norm: type[nn.Module]) -> dict[str, nn.Module]:
    """Copies of networks with a stock normalisation layer and no in-place activations."""
    networks = copy.deepcopy(networks)
    for network in networks.values():
        for parent in list(network.modules()):
            for key, layer in list(parent.named_children()):
                if isinstance(layer, InstanceNorm):
                    setattr(parent, key, norm(layer.num_features, affine=layer.affine))
                elif hasattr(layer, "inplace"):
                    layer.inplace = False
    return networks


def adam(*networks):
    return torch.optim.Adam([w for network in networks for w in network.parameters()], lr=2e-4, betas=(0.5, 0.999))


def descend(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def bce(logits, real):
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def square(scores, real):
    return ((scores - float(real)) ** 2).mean()


def l1(a, b):
    return (a - b).abs().mean()


def noise(G, like, *size):
    """The noise z of as many images as `like` has, in the form that the generator takes."""
    return draw_noise(G.noise(*size), len(like), like.device)


def pix2pix_step(n, adam_G, adam_D, x, y, r):
    G, D = n["generator"], n["discriminator"]
    fake = G(x, noise(G, x, *x.shape[-2:]))
    descend(adam_D, (bce(D(torch.cat([x, y], 1))[-1], True) + bce(D(torch.cat([x, fake.detach()], 1))[-1], False)) / 2)
    descend(adam_G, bce(D(torch.cat([x, fake], 1))[-1], True) + 100 * l1(fake, y))


def cyclegan_step(n, adam_G, adam_D, x, y, r):
    G, F, D_X, D_Y = n["G"], n["F"], n["D_X"], n["D_Y"]
    fine, coarse = G(x), F(y)
    descend(adam_G, square(D_Y(fine)[-1], True) + square(D_X(coarse)[-1], True)
            + 10 * (l1(F(fine), x) + l1(G(coarse), y)) + 5 * (l1(F(x), x) + l1(G(y), y)))
    pooled_Y, pooled_X = n["pool_Y"](fine), n["pool_X"](coarse)
    descend(adam_D, (square(D_Y(y)[-1], True) + square(D_Y(pooled_Y)[-1], False)
                     + square(D_X(x)[-1], True) + square(D_X(pooled_X)[-1], False)) / 2)


def pix2pixhd_step(n, adam_G, adam_D, x, y, r):
    G, D = n["generator"], n["discriminator"]
    fake = G(y)
    real, fooled = D(torch.cat([y, r], 1), hidden=True), D(torch.cat([y, fake], 1), hidden=True)
    matching = sum(l1(f, t.detach()) for a, b in zip(fooled, real) for f, t in zip(a[:-1], b[:-1])) / 2
    descend(adam_G, sum(square(scale[-1], True) for scale in fooled) + 10 * matching)
    real, judged = D(torch.cat([y, r], 1)), D(torch.cat([y, fake.detach()], 1))
    descend(adam_D, sum(square(a[-1], True) + square(b[-1], False) for a, b in zip(real, judged)) / 2)


def judge(D, mask, real):
    logits = [scale[-1] for scale in D(mask)] if hasattr(D, "scales") else [D(mask)]
    return sum(bce(scale, real) for scale in logits) / len(logits)


def noise_step(n, adam_G, adam_D, x, y, r):
    G, D = n["generator"], n["discriminator"]
    fake = G(noise(G, y))
    descend(adam_D, judge(D, y, True) + judge(D, fake.detach(), False))
    descend(adam_G, judge(D, fake, True))


STEPS = {"pix2pix": (pix2pix_step, nn.BatchNorm2d), "CycleGAN": (cyclegan_step, nn.InstanceNorm2d),
         "fine-to-image": (pix2pixhd_step, nn.InstanceNorm2d), "DCGAN": (noise_step, nn.BatchNorm2d),
         "DEPAS": (noise_step, nn.InstanceNorm2d)}  # by the methods' names


def textbook_step(name: str, method: Method, device: str) -> Callable[[dict[str, Tensor]], None]:
    """A textbook step from a new method's weights, as a function of a batch on `device`.

    Methods that have no textbook get their own step in float32, with the usual Adam.
    """
    if name not in STEPS:
        for network in method.networks.values():
            network.to(device)
        method.optimizers = {key: type(optimizer)(optimizer.param_groups[0]["params"], optimizer.defaults["lr"],
                                                  betas=optimizer.defaults["betas"])
                             for key, optimizer in method.optimizers.items()}
        return method.step
    step, norm = STEPS[name]
    networks = {key: network.to(device) for key, network in plain(method.networks, norm).items()}
    judges = [network for key, network in networks.items() if key.startswith(("D_", "discriminator"))]
    optimizers = adam(*(networks[key] for key in method.generators)), adam(*judges)
    return lambda batch: step(networks, *optimizers, batch["coarse"], batch["fine"], batch["image"])
