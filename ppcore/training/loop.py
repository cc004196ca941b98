"""How does a training run get from its first step to its last, across interruptions?

A run is determined by method, settings, data, options and seed. Every random draw of a step comes from
(seed, step), every draw of an item from (seed, epoch, item). So no random state is stored, drawing samples changes
nothing, and a killed run that is started again takes the same steps as an unbroken one: on a CPU with the same
number of threads, bit for bit. With several processes (`ppcore.training.launch`) each takes its share of every
batch, and the gradients are those of the whole batch.
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import PartialState
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ppcore.study.interrupt import ignore_interrupt, late_interrupt
from ppcore.study.seeds import mix
from ppcore.training.checkpoint import State, save_checkpoint
from ppcore.training.ema import Average, averaged
from ppcore.training.launch import launch, launched
from ppcore.training.log import Log
from ppcore.training.method import Method
from ppcore.training.model_card import write_model
from ppcore.training.options import Options, Schedule
from ppcore.training.order import STEP, SeededItems, data_order
from ppcore.training.precision import precision_on, prepared
from ppcore.training.ranks import any_of, first_process_first, rank_and_ranks
from ppcore.training.resume import begin, card_of


def train(method: Method, dataset: Dataset, folder: str | Path, **how: Any) -> pd.DataFrame:
    """Train `method` on `dataset`, or continue where an earlier call stopped; return the log.

    dataset: map-style, items are dicts of tensors. An item may draw from torch's global generator.
    how: the fields of `ppcore.training.options.Options`; epochs, decay_epochs, seed and data_fingerprint are required.

    `folder` receives `checkpoints/`, `log.csv` (step, epoch, learning_rate and the mean of each loss since the last
    row) and, at the end, `generator.safetensors` and `model.json`. A finished run is not repeated: the method gets
    its weights. If data, settings, options, precision or the code that decides the result differ from those in
    `folder`, the old run is moved aside (`ppcore.training.resume`) and training begins anew.

    Raises `ValueError` for options out of range, `FloatingPointError` if a loss is not finite, and
    `KeyboardInterrupt` after Ctrl-C, once the current step is done and saved (a second Ctrl-C acts at once).
    """
    options, folder = Options(**how), Path(folder)
    if not len(dataset):
        raise ValueError("the data set has no items, wanted 1 or more: check the step that made it")
    schedule = Schedule(len(dataset) - len(dataset) % options.processes, options.batch_size, options.epochs,
                        options.decay_epochs)
    card = card_of(method, dataset, options, schedule, loop=DECIDES)
    run = {"method": method, "dataset": dataset, "folder": folder, "how": options, "schedule": schedule, "card": card}
    if options.processes > 1 and not launched():
        launch(carry, run, options.processes)  # below, the finished run is found and its weights are read
    return carry(**run)


def carry(method: Method, dataset: Dataset, folder: Path, how: Options, schedule: Schedule, card: dict) -> pd.DataFrame:
    """What each process runs, from the last checkpoint to the end. card: as `card_of` returns it."""
    own = PartialState(cpu=how.device == "cpu").device  # under torchrun processes meet here, each with its GPU
    place = own if how.device == "cuda" else torch.device("cpu")
    rank, ranks = rank_and_ranks()
    if launched() and ranks != how.processes:
        raise ValueError(f"torchrun started {ranks} processes, processes={how.processes}: make them equal")

    with (averaged(method, how.ema) as average, prepared(method, place, precision_on(how.device, how.precision)),
          torch.random.fork_rng([place] if how.device == "cuda" else []), late_interrupt() as interrupt):
        with first_process_first():
            checkpoint, state = begin(method, folder, card["fingerprint"], how.seed, average, alone=rank == 0)
        step, log = state.step, Log(folder / "log.csv", state.losses)
        finished = step == schedule.total and (folder / "model.json").exists()
        with _bar(folder.name, step, schedule) as bar:
            for batch in _batches(dataset, how, schedule, step):
                rate, losses = take_step(method, average, batch, place, schedule.learning_rate_factor(step), how.seed, step)
                step += 1
                log.add(losses)
                bar.update(len(next(iter(batch.values()))) * ranks)
                row = step % how.log_steps == 0 or step == schedule.total
                # Several processes stop only at a row: they have to agree, and asking one another takes time.
                stop = interrupt.is_set() if ranks == 1 else row and any_of(interrupt.is_set(), place)
                keep = step % how.checkpoint_steps == 0 or step == schedule.total or stop
                if row or keep:
                    log.read(step, checkpoint)
                if row:
                    means = log.write_row(step, math.ceil(step / schedule.steps_per_epoch), rate, write=rank == 0)
                    bar.set_postfix({name: f"{mean:.3f}" for name, mean in means.items()}, refresh=False)
                if how.sample is not None and step % how.sample_steps == 0 and rank == 0:
                    with average.shown():
                        how.sample(method, step)
                if keep and rank == 0:  # last: a run killed before it makes the same row and sample again
                    state = State(step, card["fingerprint"], log.losses)
                    checkpoint = save_checkpoint(folder / "checkpoints", method, state, log.path.read_bytes())
                if stop:
                    if rank == 0:
                        bar.write(f"stopped after step {step} of {schedule.total}; resumes from {checkpoint}")
                    raise KeyboardInterrupt
    with first_process_first():  # the others would read a log that is not there yet
        if not finished and rank == 0:
            write_model(method, folder, card | {"device": how.device})
        return pd.read_csv(log.path)


def take_step(method: Method, average: Average, batch: dict[str, Tensor], place: torch.device, factor: float, seed: int,
              step: int) -> tuple[float, dict[str, Tensor]]:
    """The step after the first `step`, at `factor` times the full learning rates; each process has its own noise.

    Returns the learning rate of the first optimiser and the losses.
    """
    rank, _ = rank_and_ranks()
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = factor * optimizer.defaults["lr"]
    torch.manual_seed(mix(seed, STEP, step, *[rank] * (rank > 0)))
    losses = method.step({name: tensor.to(place, non_blocking=True) for name, tensor in batch.items()})
    average.update()
    return next(iter(method.optimizers.values())).param_groups[0]["lr"], losses


def _batches(dataset: Dataset, how: Options, schedule: Schedule, step: int) -> DataLoader:
    """This process's share of the batches after the first `step`."""
    rank, ranks = rank_and_ranks()
    order = data_order(schedule.items, schedule.batch_size, how.seed, step, schedule.total, len(dataset), rank, ranks)
    return DataLoader(SeededItems(dataset, how.seed), batch_sampler=order, num_workers=how.workers,
                      worker_init_fn=ignore_interrupt, pin_memory=how.device == "cuda")


def _bar(name: str, step: int, schedule: Schedule) -> tqdm:
    """The progress bar, in images, after `step` steps; none for a finished run."""
    epoch, index = divmod(step, schedule.steps_per_epoch)
    return tqdm(desc=name, initial=epoch * schedule.items + index * schedule.batch_size, unit="image", mininterval=1.0,
                total=(schedule.epochs + schedule.decay_epochs) * schedule.items,
                disable=rank_and_ranks()[0] > 0 or step == schedule.total)


DECIDES = (take_step, data_order, SeededItems, Schedule, Average, prepared)  # parts of the loop that affect the result
