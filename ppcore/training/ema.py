"""What is the mean of a generator's weights over its last steps? Often a better generator than the last one.

Exponential moving average, as StyleGAN (Karras et al. 2019) takes it; a parameter here, and off by default, since the
paper has none.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ppcore.training.method import Method


class Average:
    """Means of the generators' weights, held among the method's networks, so that they are in the checkpoint."""

    def __init__(self, method: Method, decay: float) -> None:
        """decay: share of the mean that a step leaves, in [0, 1); 0: no mean is taken."""
        self.method, self.decay = method, decay
        self.names = {name: f"{name} average" for name in method.generators} if decay else {}
        for name, average in self.names.items():
            method.networks[average] = copy.deepcopy(method.networks[name])

    @torch.no_grad()
    def start(self) -> None:
        """Begin with the weights of now."""
        for name, average in self.names.items():
            self.method.networks[average].load_state_dict(self.method.networks[name].state_dict())

    @torch.no_grad()
    def update(self) -> None:
        """Let the weights of now in; what is counted and not learnt (running statistics) is taken as it is."""
        for name, average in self.names.items():
            now, mean = self.method.networks[name], self.method.networks[average]
            torch._foreach_lerp_(list(mean.parameters()), list(now.parameters()), 1 - self.decay)
            for theirs, ours in zip(now.buffers(), mean.buffers(), strict=True):
                ours.copy_(theirs)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the method generate with the means."""
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
        """Take the means out of the method's networks; if `take`, in the place of the generators."""
        for name, average in self.names.items():
            mean = self.method.networks.pop(average)
            if take:
                self.method.networks[name] = mean


@contextmanager
def averaged(method: Method, decay: float) -> Iterator[Average]:
    """Hold the running mean of the generators beside them; leave it in their place, after an interruption not."""
    average, whole = Average(method, decay), False
    try:
        yield average
        whole = True
    finally:
        average.leave(take=whole)
