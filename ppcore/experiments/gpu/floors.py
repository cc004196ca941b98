"""What can a training step not do without? Its operations, and the bytes that must pass the memory.

Counted on tensors without content, so at any size on any machine. A convolution or product reads its inputs and writes
its outputs once, forward and backward; everything between them is taken to cost nothing. Adam reads weights, gradients
and both moments, and writes all but the gradients, in float32.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ppcore.experiments.gpu.bench import batch_of, make
from ppcore.methods.table import class_of

COUNTED = ("convolution", "convolution_backward", "mm", "addmm", "bmm")
ADAM = 7 * 4  # bytes a weight
H100 = {"flop_per_s": 989e12, "bytes_per_s": 3.35e12}  # its data sheet: dense bfloat16, HBM3


class Traffic(TorchDispatchMode):
    """Counts the elements that convolutions and products read and write."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in COUNTED:
            self.elements += sum(part.numel() for part in tree_leaves((args, made)) if isinstance(part, torch.Tensor))
        return made


class NoUpdate:
    """Stands for an optimiser: weights without content cannot be updated."""

    param_groups = ()  # no gradient to shorten

    def zero_grad(self) -> None:
        """Nothing."""

    def step(self) -> None:
        """Nothing."""


def step_floor(name: str, size: tuple[int, int], narrow: bool, count: int, width: int = 2) -> dict[str, float]:
    """`flop` and `bytes` of a step of a method on `count` patches; width: bytes an activation, 2 for bfloat16.

    Of the noise GAN, which has a penalty in some of its steps, the mean.
    """
    flop, elements, weights = _counted(name, size, narrow, count, every=1)
    share = 1 / getattr(class_of(name).Settings(), "every", 1)
    if share < 1:
        without = _counted(name, size, narrow, count, gamma=0.0)
        flop, elements = (share * one + (1 - share) * other for one, other in zip((flop, elements), without))
    return {"flop": flop, "bytes": width * elements + ADAM * weights}


def _counted(name: str, size: tuple[int, int], narrow: bool, count: int, **changes: float) -> tuple[int, int, int]:
    """Operations, elements that pass the memory, and weights."""
    with torch.device("meta"):
        method = make(name, size, narrow, **changes)
    for network in method.networks.values():
        if not any(True for _ in network.parameters()):  # CycleGAN's pool, which counts
            network.to_empty(device="cpu")
            network.clear()
    method.optimizers = {key: NoUpdate() for key in method.optimizers}
    batch = {key: torch.empty((count, *part.shape[1:]), device="meta") for key, part in batch_of(1, size).items()}
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        method.step(batch)
    weights = sum(weight.numel() for network in method.networks.values() for weight in network.parameters())
    return flops.get_total_flops(), traffic.elements, weights


def seconds_at_least(floor: dict[str, float], rates: dict[str, float]) -> float:
    """The time that a machine needs at its best: for its operations or for its memory, whichever is more.

    rates: `flop_per_s` and `bytes_per_s`.
    """
    return max(floor["flop"] / rates["flop_per_s"], floor["bytes"] / rates["bytes_per_s"])
