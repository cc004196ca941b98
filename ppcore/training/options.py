"""How is a run trained? The options of `ppcore.training.loop.train`, checked before the first step."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ppcore.training.method import Method


@dataclass(frozen=True)
class Options:
    """How a method is trained. Raises `ValueError` for a value out of range.

    epochs, decay_epochs: at the full learning rate, then falling linearly to 0 (section 2.8; reading R19).
    seed: every random draw comes from it. data_fingerprint: identifies the content of the data.
    batch_size: over all processes, a multiple of their number.
    checkpoint_steps, log_steps, sample_steps: steps between checkpoints, rows of the log, and calls of
        `sample(method, step)`.
    device: "cpu" or "cuda". precision: "auto", bfloat16 autocast where the device has units for it, or "float32".
    ema: share of the running mean of the generators' weights kept at each step, in [0, 1); 0: no mean.
    workers: processes that load data; 0: loaded between the steps.
    processes: processes that train, one per GPU; more than 1 are started and ended here.
    """

    epochs: int
    decay_epochs: int
    seed: int
    data_fingerprint: str
    batch_size: int = 1
    checkpoint_steps: int = 2000
    log_steps: int = 100
    sample: Callable[[Method, int], None] | None = None
    sample_steps: int = 2000
    device: str = "cpu"
    precision: str = "auto"
    ema: float = 0.0
    workers: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "decay_epochs", "batch_size", "seed", "checkpoint_steps", "log_steps", "sample_steps",
                     "processes"):
            count, least = getattr(self, name), 0 if name in ("epochs", "decay_epochs", "seed") else 1
            if count < least:
                raise ValueError(f"{name}={count}: wanted {least} or more")
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("epochs=0 and decay_epochs=0: nothing would be trained; make one of them 1 or more")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device={self.device!r}: wanted 'cpu' or 'cuda'")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device='cuda', but torch finds no GPU: use device='cpu' or a machine with a GPU")
        if self.batch_size % self.processes:
            raise ValueError(f"batch_size={self.batch_size} for {self.processes} processes: wanted a multiple, for "
                             "equal shares")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema={self.ema}: wanted 0 (no mean is taken) or more, and less than 1")


SHARED = ("seed", "batch_size", "checkpoint_steps", "log_steps", "sample_steps", "precision", "ema", "workers", "processes")


def shared_options(parameters: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """The options shared by all trainings of a notebook: those of SHARED among its parameters, and `others`.

    parameters: the notebook's `globals()`. `others` take precedence.
    """
    return {name: parameters[name] for name in SHARED if name in parameters} | others


@dataclass(frozen=True)
class Schedule:
    """How many steps a run takes. items: per epoch, in equal shares for the processes; the rest is left out."""

    items: int
    batch_size: int
    epochs: int
    decay_epochs: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.items / self.batch_size)

    @property
    def total(self) -> int:
        return self.steps_per_epoch * (self.epochs + self.decay_epochs)

    def learning_rate_factor(self, step: int) -> float:
        """Share of the full learning rate for the step after the first `step`; reading R19.

        1 for the constant steps, then (total - step) / decay steps: the last step uses 1 / decay steps, and after it
        the rate is exactly 0. It falls by step, since section 2.8 says "linearly"; the reference code of pix2pix
        lowers it by epoch and stops short of 0.
        """
        constant = self.steps_per_epoch * self.epochs
        return 1.0 if step <= constant else (self.total - step) / (self.total - constant)
