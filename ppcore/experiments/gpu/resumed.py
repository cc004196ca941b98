"""Does a training that was killed end as an unbroken one, on this device?"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import Dataset

from ppcore.experiments.gpu.bench import TINY, batch_of, computing, make
from ppcore.experiments.gpu.right import relative, row
from ppcore.training.loop import train
from ppcore.training.method import Method

EMA = 0.9
RUN = {"epochs": 1, "decay_epochs": 1, "seed": 1, "data_fingerprint": "blobs", "checkpoint_steps": 2, "log_steps": 3,
       "sample_steps": 5, "ema": EMA}
AGAIN = 10.0  # a resumed run may differ this many times as much as a second unbroken one does


class Killed(Exception):
    """Stands for the end of a process: nothing is saved after it."""


class Pairs(Dataset):
    """Three pairs of blobs, each shown as it is or flipped, at random."""

    def __init__(self) -> None:
        self.items = [{name: tensor[0] for name, tensor in batch_of(1, TINY).items()}] * 3

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        flips = bool(torch.rand(()) < 0.5)
        return {name: tensor.flip(-1) if flips else tensor for name, tensor in self.items[index].items()}


def die(method: Method, step: int) -> None:
    """A sample that ends the run, a step after its last checkpoint."""
    raise Killed


def of_method(name: str, device: str, folder: Path) -> list[dict]:
    """Rows: how much the weights of a second unbroken run, and of a killed and resumed one, differ from the first's.

    Narrow networks, running means of the weights in the checkpoints. A GPU may add up in another order each time: then
    the second run differs, too, and the resumed one is compared with that.
    """
    weights = {}
    with computing(deterministic=True):
        for run in ("straight", "again", "resumed"):
            home, method = folder / name / run, make(name, TINY, narrow=True)
            if run == "resumed":
                try:
                    train(method, Pairs(), home, device=device, sample=die, **RUN)
                except Killed:
                    method = make(name, TINY, narrow=True)
            train(method, Pairs(), home, device=device, **RUN)
            tensors = load_file(home / "generator.safetensors")
            weights[run] = torch.cat([tensors[key].flatten().double() for key in sorted(tensors)])
    again, resumed = (relative(weights[run], weights["straight"]) for run in ("again", "resumed"))
    return [row("resume", "again", again, 0.05), row("resume", "resumed", resumed, AGAIN * again)]
