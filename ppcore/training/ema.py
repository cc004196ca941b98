"""What is the mean of a generator's weights over its last steps? Often a better generator than the last one.

Exponential moving average, as in StyleGAN (Karras et al. 2019). Off by default, since the paper has none.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ppcore.training.method import Method


class Average:
    """Means of the generators' weights, held among the method's networks, so that checkpoints include them."""

    def __init__(self, method: Method, decay: float) -> None:
        """decay: share of the mean kept at each step, in [0, 1); 0: no mean is taken."""
        self.method, self.decay = method, decay
        self.names = {name: f"{name} average" for name in method.generators} if decay else {}
        for name, average in self.names.items():
            method.networks[average] = copy.deepcopy(method.networks[name])

    @torch.no_grad()
    def start(self) -> None:
        """Start from the current weights."""
        for name, average in self.names.items():
            self.method.networks[average].load_state_dict(self.method.networks[name].state_dict())

    @torch.no_grad()
    def update(self) -> None:
        """Update the means with the current weights; buffers (running statistics) are copied."""
        for name, average in self.names.items():
            now, mean = self.method.networks[name], self.method.networks[average]
            torch._foreach_lerp_(list(mean.parameters()), list(now.parameters()), 1 - self.decay)
            for theirs, ours in zip(now.buffers(), mean.buffers(), strict=True):
                ours.copy_(theirs)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Generate with the means inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        networks = self.method.networks
        for name, average in self.names.items():
            networks[name], networks[average] = networks[average], networks[name]

    def leave(self, take: bool) -> None:
        """Remove the means from the method's networks; if `take`, they replace the generators."""
        for name, average in self.names.items():
            mean = self.method.networks.pop(average)
            if take:
                self.method.networks[name] = mean


@contextmanager
def averaged(method: Method, decay: float) -> Iterator[Average]:
    """Keep the running means of the generators; at the end, unless interrupted, they replace the generators."""
    average, whole = Average(method, decay), False
    try:
        yield average
        whole = True
    finally:
        average.leave(take=whole)
