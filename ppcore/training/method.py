"""What does the training loop need from a method, and how does a method step its optimisers?"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from ppcore.training.ranks import mean_of, rank_and_ranks


class Method(Protocol):
    """A method is its settings, its networks, their optimisers, and a step.

    Any other state (a pool of images, a counter) is kept as buffers of a module among `networks`, so that
    checkpoints include it.
    """

    Settings: type  # a frozen dataclass
    settings: Any  # one of these
    networks: dict[str, nn.Module]
    generators: tuple[str, ...]  # names of the networks needed after training
    makes: Literal["mask", "image"]  # how its output is read: a map of three classes and an image look the same
    optimizers: dict[str, torch.optim.Optimizer]  # each made with its full learning rate

    def initialise(self, seed: int) -> None:
        """Draw all weights anew and make new optimisers."""

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update every network once; return the losses as scalars, by name."""

    def generate(self, condition: Tensor | None, seeds: Sequence[Any]) -> Tensor:
        """Make one image (B, C, H, W) in [-1, 1] for each condition (None: from noise alone) and seed.

        A seed may be replaced by the noise itself (`ppcore.methods.sampling.generate`).
        """


def adam(networks: Iterable[nn.Module], learning_rate: float) -> torch.optim.Adam:
    """Adam with betas (.5, .999) for all weights of `networks` (section 2.8; reading R19).

    Fused: one kernel for all weights, instead of a dozen passes over them.
    """
    weights = [weight for network in networks for weight in network.parameters()]
    return torch.optim.Adam(weights, learning_rate, betas=(0.5, 0.999), fused=True)


def freeze(*networks: nn.Module, frozen: bool = True) -> None:
    """Let gradients pass through `networks` without computing them for their weights, or undo that."""
    for network in networks:
        network.requires_grad_(not frozen)


def update(optimizer: torch.optim.Optimizer, loss: Tensor, longest: float | None = None) -> None:
    """One step down the gradient of `loss`, or of its mean over several processes.

    Each process sees an equal share of the batch, so this is the gradient of the whole batch. longest: a gradient that
    is longer than this, over all weights, is shortened to it.
    """
    optimizer.zero_grad()
    loss.backward()
    if rank_and_ranks()[1] > 1:
        gradients = [weight.grad for group in optimizer.param_groups for weight in group["params"]
                     if weight.grad is not None]
        together = mean_of(torch.cat([gradient.flatten() for gradient in gradients]))  # one message, not a hundred
        for gradient, mean in zip(gradients, together.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(mean.view_as(gradient))
    if longest is not None:
        nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], longest)
    optimizer.step()
