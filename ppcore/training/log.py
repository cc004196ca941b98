"""How does a run log its losses? log.csv: a row every `log_steps` steps, with the means since the last row."""

import math
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ppcore.training.ranks import mean_of


class Log:
    """`log.csv`, and the losses of the steps since its last row."""

    def __init__(self, path: Path, losses: list[dict[str, float]]) -> None:
        self.path, self.losses = path, losses
        self.unread: list[dict[str, Tensor]] = []  # on the device: reading one makes the CPU wait for the GPU

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add the losses of a step without waiting for them."""
        self.unread.append({name: loss.detach() for name, loss in losses.items()})

    def read(self, step: int, checkpoint: Path | None) -> None:
        """Fetch the unread losses, up to `step`; raise `FloatingPointError` at the first that is not finite."""
        names = list(self.unread[0])
        values = mean_of(torch.stack([losses[name].float() for losses in self.unread for name in names]))
        rows = values.view(-1, len(names)).tolist()
        for number, row in enumerate(rows, start=step - len(rows) + 1):
            self.losses.append(dict(zip(names, row, strict=True)))
            for name, value in self.losses[-1].items():
                if not math.isfinite(value):
                    raise FloatingPointError(
                        f"loss {name} is {value} at step {number}, wanted a finite number: look for such "
                        "values in the data or lower the learning rate; last good checkpoint: "
                        f"{checkpoint or 'none yet'}")
        self.unread = []

    def write_row(self, step: int, epoch: int, learning_rate: float, write: bool) -> dict[str, float]:
        """Return the means of the losses since the last row; append them to the file if `write`."""
        means = {name: sum(losses[name] for losses in self.losses) / len(self.losses)
                 for name in self.losses[0]}
        row = pd.DataFrame([{"step": step, "epoch": epoch, "learning_rate": learning_rate, **means}])
        if write:
            with open(self.path, "a") as file:
                row.to_csv(file, header=file.tell() == 0, index=False, float_format="%.6g")
        self.losses = []
        return means
