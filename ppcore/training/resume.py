"""Does a run continue or start anew? It continues if nothing that affects its result has changed.

Otherwise the old run is moved aside, to `<folder>.before-<date>`, and never deleted.
"""

import hashlib
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from ppcore.study.files import atomic, write_text
from ppcore.study.fingerprint import definitions, parts
from ppcore.training.checkpoint import State, load_checkpoint, newest_checkpoint, read_state
from ppcore.training.ema import Average
from ppcore.training.launch import JOB
from ppcore.training.method import Method
from ppcore.training.options import Options, Schedule
from ppcore.training.precision import precision_on


def card_of(method: Method, dataset: Dataset, how: Options, schedule: Schedule, loop: tuple) -> dict[str, Any]:
    """Everything that affects the result of a run, for its model card, and its hash, `fingerprint`.

    Method and data set with their settings and the code that they use, the training options, and the precision.
    loop: functions and classes of the training loop that affect the result.
    """
    training = {name: getattr(how, name) for name in ("epochs", "decay_epochs", "batch_size", "seed", "ema", "log_steps",
                                                      "processes")}
    computed_in = str(precision_on(how.device, how.precision)).removeprefix("torch.")
    card = {"method": type(method).__name__, "settings": asdict(method.settings), "data_fingerprint": how.data_fingerprint,
            "data": parts(dataset), "code": definitions(type(method), dataset, *loop), "computed_in": computed_in,
            "training": training | {"items": schedule.items, "steps": schedule.total}}
    return card | {"fingerprint": hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()}


def begin(method: Method, folder: Path, fingerprint: str, seed: int, average: Average,
          alone: bool) -> tuple[Path | None, State]:
    """Continue from the newest intact checkpoint of this run; without one, start anew.

    alone: whether this process is the one that changes files.
    """
    checkpoint = newest_checkpoint(folder / "checkpoints")
    state = None if checkpoint is None else read_state(checkpoint)
    if state is not None and state.fingerprint == fingerprint:
        load_checkpoint(checkpoint, method)
        if alone:
            with atomic(folder / "log.csv") as temporary:  # rows past the checkpoint will be written again
                shutil.copyfile(checkpoint / "log.csv", temporary)
        return checkpoint, state
    if alone:
        if checkpoint is not None or (folder / "model.json").exists():
            aside = move_aside(folder)
            print(f"{folder.name}: settings, data, code or precision changed: the old run is kept as {aside.name}, "
                  "training begins anew")
        write_text(folder / "log.csv", "")
    method.initialise(seed)
    average.start()
    return None, State(0, fingerprint, [])


def move_aside(folder: Path) -> Path:
    """Rename a run's folder to `<folder>.before-<date and time>` and return the new path; a running job stays."""
    stem, number = f"{folder.name}.before-{time.strftime('%Y-%m-%d-%H%M%S')}", 1
    while (aside := folder.with_name(stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    folder.rename(aside)
    if (aside / JOB).exists():
        folder.mkdir()
        (aside / JOB).rename(folder / JOB)
    return aside
