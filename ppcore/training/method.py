"""What does the training loop ask of a method?"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Method(Protocol):
    """A method is its settings, its networks, their optimisers, and a step.

    Whatever else it has to remember (a pool of images, a counter) it keeps as buffers of a module among
    `networks`; then it is in the checkpoint.
    """

    settings: Any  # a dataclass
    networks: dict[str, nn.Module]
    generators: tuple[str, ...]  # names of the networks that are wanted after training
    optimizers: dict[str, torch.optim.Optimizer]  # each made with its full learning rate

    def initialise(self, seed: int) -> None:
        """Draw all weights anew and make new optimisers."""

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Update every network once; return the losses as scalars, by name."""
