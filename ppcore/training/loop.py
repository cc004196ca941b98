"""How is a training run carried from its first step to its last, through every interruption?

A run is decided by method, settings, data, training arguments and seed alone. Every random draw of a step
comes from (seed, step), every draw of an item from (seed, epoch, item). So there are no random states to
keep, looking at samples changes nothing, and a run that was killed and started again takes the steps of an
unbroken one; on a CPU, with as many threads, to the last bit. With several processes (`ppcore.training.launch`) each
takes its share of every batch, and the gradients are those of the whole batch.
"""

import hashlib
import inspect
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import convert_outputs_to_fp32
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ppcore.study.files import atomic, write_text
from ppcore.study.fingerprint import code_hash, code_hashes
from ppcore.study.interrupt import ignore_interrupt, late_interrupt
from ppcore.study.seeds import mix
from ppcore.training.checkpoint import State, load_checkpoint, newest_checkpoint, read_state, save_checkpoint
from ppcore.training.ema import Average
from ppcore.training.launch import launch, launched
from ppcore.training.method import Method
from ppcore.training.model_card import write_model
from ppcore.training.order import STEP, SeededItems, data_order
from ppcore.training.precision import precision_on
from ppcore.training.ranks import any_of, first_process_first, mean_of, rank_and_ranks

LEARNS = ("ppcore/networks/", "ppcore/training/", "ppcore/methods/losses.py", "ppcore/methods/image_pool.py",
          "ppcore/methods/sampling.py")


def train(
    method: Method,
    dataset: Dataset,
    folder: str | Path,
    *,
    epochs: int,
    decay_epochs: int,
    seed: int,
    data_fingerprint: str,
    batch_size: int = 1,
    checkpoint_steps: int = 2000,
    log_steps: int = 100,
    sample: Callable[[Method, int], None] | None = None,
    sample_steps: int = 2000,
    device: str = "cpu",
    precision: str = "auto",
    ema: float = 0.0,
    workers: int = 0,
    processes: int = 1,
) -> pd.DataFrame:
    """Train `method` on `dataset`, or go on where an earlier call was stopped; return the log.

    dataset: map-style, items are dicts of tensors. An item may draw at random from torch's global generator.
    epochs, decay_epochs: at the full learning rate, then linearly to 0 (section 2.8; reading R19).
    data_fingerprint: names the data. When it, the settings, a training argument or code that decides the result
        differ from those of the checkpoints in `folder`, these are removed and training starts anew.
    batch_size: of all processes together, and a multiple of their number.
    checkpoint_steps, log_steps, sample_steps: steps from one checkpoint, row of the log or call of
        `sample(method, step)` to the next.
    device: "cpu" or "cuda". precision: "auto", bfloat16 autocast where the device has units for it, or "float32".
    ema: share of the running mean of the generators' weights that a step leaves; 0 takes none.
    workers: processes that load data; 0 loads between the steps.
    processes: processes that train, one a GPU; more than 1 are started here and end here.

    `folder` receives `checkpoints/`, `log.csv` (step, epoch, learning_rate and the mean of each loss since
    the row before) and, at the end, `generator.safetensors` and `model.json`. A finished run is not repeated:
    the method gets its weights.

    Raises `ValueError` for arguments out of range, `FloatingPointError` when a loss is not finite, and
    `KeyboardInterrupt` after Ctrl-C, once the step under way is done and kept (a second Ctrl-C acts at once).
    """
    _check(dataset, device, epochs=epochs, decay_epochs=decay_epochs, batch_size=batch_size, seed=seed,
           checkpoint_steps=checkpoint_steps, log_steps=log_steps, sample_steps=sample_steps, processes=processes)
    if batch_size % processes:
        raise ValueError(f"batch_size={batch_size} for {processes} processes: wanted a multiple, an equal share each")
    if not 0 <= ema < 1:
        raise ValueError(f"ema={ema}: wanted 0 (no mean is taken) or more, and less than 1")
    if processes > 1 and not launched():
        arguments = {name: value for name, value in locals().items() if name in inspect.signature(train).parameters}
        launch(train, arguments, processes)  # what follows finds a finished run and reads its weights

    folder = Path(folder)
    items = len(dataset) - len(dataset) % processes  # an equal share each; others are left out in each epoch
    steps_per_epoch = math.ceil(items / batch_size)
    constant_steps, decay_steps = steps_per_epoch * epochs, steps_per_epoch * decay_epochs
    total = constant_steps + decay_steps
    card = {"method": type(method).__name__, "settings": asdict(method.settings),
            "data_fingerprint": data_fingerprint,
            "code": _training_code(method),
            "training": {"epochs": epochs, "decay_epochs": decay_epochs, "batch_size": batch_size, "seed": seed,
                         "precision": precision, "ema": ema, "log_steps": log_steps, "items": items, "steps": total,
                         "processes": processes}}
    fingerprint = hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
    dtype = precision_on(device, precision)
    own = PartialState(cpu=device == "cpu").device  # under torchrun the processes meet here, each with a GPU of its own
    place = own if device == "cuda" else torch.device("cpu")
    gpus = [place] if device == "cuda" else []
    rank, ranks = rank_and_ranks()
    if launched() and ranks != processes:
        raise ValueError(f"torchrun started {ranks} processes, processes={processes}: give it as many")

    with (averaged(method, ema) as average, prepared(method, place, dtype), torch.random.fork_rng(gpus),
          late_interrupt() as interrupt):
        with first_process_first():
            checkpoint, state = _begin(method, folder, fingerprint, seed, average, alone=rank == 0)
        step, log = state.step, _Log(folder / "log.csv", state.losses)
        finished = step == total and (folder / "model.json").exists()
        epoch, index = divmod(step, steps_per_epoch)
        bar = tqdm(initial=epoch * items + index * batch_size, total=(epochs + decay_epochs) * items,
                   unit="image", mininterval=1.0, disable=rank > 0)
        loader = DataLoader(
            SeededItems(dataset, seed),
            batch_sampler=data_order(items, batch_size, seed, step, total, len(dataset), rank, ranks),
            num_workers=workers, worker_init_fn=ignore_interrupt, pin_memory=device == "cuda")
        with bar:
            for batch in loader:
                rate = _set_learning_rate(method, learning_rate_factor(step, constant_steps, decay_steps))
                torch.manual_seed(mix(seed, STEP, step, *[rank] * (rank > 0)))  # each process its own noise
                losses = method.step({name: tensor.to(place, non_blocking=True)
                                      for name, tensor in batch.items()})
                average.update()
                step += 1

                log.unread.append({name: loss.detach() for name, loss in losses.items()})
                bar.update(len(next(iter(batch.values()))) * ranks)
                row = step % log_steps == 0 or step == total
                # With several processes at a row only: they have to agree, and to ask one another takes time.
                stop = interrupt.is_set() if ranks == 1 else row and any_of(interrupt.is_set(), place)
                keep = step % checkpoint_steps == 0 or step == total or stop
                if row or keep:
                    log.read(step, checkpoint)
                if row:
                    means = log.write_row(step, math.ceil(step / steps_per_epoch), rate, write=rank == 0)
                    bar.set_postfix({name: f"{mean:.3f}" for name, mean in means.items()}, refresh=False)
                if sample is not None and step % sample_steps == 0 and rank == 0:
                    with average.shown():
                        sample(method, step)
                if keep and rank == 0:  # last, so that a run killed before it makes row and sample again, the same ones
                    state = State(step, fingerprint, log.losses)
                    checkpoint = save_checkpoint(folder / "checkpoints", method, state, log.path.read_bytes())
                if stop:
                    if rank == 0:
                        bar.write(f"stopped after step {step} of {total}; resumes from {checkpoint}")
                    raise KeyboardInterrupt
    with first_process_first():  # the others would read a log that is not there yet
        if not finished and rank == 0:
            card |= {"fingerprint": fingerprint, "device": device, "computed_in": str(dtype).removeprefix("torch.")}
            write_model(method, folder, card)
        return pd.read_csv(log.path)


def learning_rate_factor(step: int, constant_steps: int, decay_steps: int) -> float:
    """Share of the full learning rate for the step that follows `step` whole steps; reading R19.

    1 for the first `constant_steps`, then (constant_steps + decay_steps - step) / decay_steps: the last step
    is taken at 1 / decay_steps, and at its end the rate is exactly 0. By step, since section 2.8 says
    "linearly"; the reference code of pix2pix goes down by epoch and stops short of 0.
    """
    return 1.0 if step <= constant_steps else (constant_steps + decay_steps - step) / decay_steps


class _Log:
    """`log.csv`, and the losses of the steps since its last row."""

    def __init__(self, path: Path, losses: list[dict[str, float]]) -> None:
        self.path, self.losses = path, losses
        self.unread: list[dict[str, Tensor]] = []  # on the device: to read one makes the CPU wait for the GPU

    def read(self, step: int, checkpoint: Path | None) -> None:
        """Fetch the unread losses, up to `step`; raise `FloatingPointError` at the first not finite."""
        names = list(self.unread[0])
        values = torch.stack([losses[name].float() for losses in self.unread for name in names])
        values = mean_of(values)
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


def _begin(method: Method, folder: Path, fingerprint: str, seed: int, average: Average,
           alone: bool) -> tuple[Path | None, State]:
    """Go on from the newest whole checkpoint of this very run; where there is none, start anew.

    alone: whether this process is the one that changes files.
    """
    checkpoint = newest_checkpoint(folder / "checkpoints")
    if checkpoint is not None:
        state = read_state(checkpoint)
        if state.fingerprint == fingerprint:
            load_checkpoint(checkpoint, method)
            if alone:
                with atomic(folder / "log.csv") as temporary:  # rows past the checkpoint will be written again
                    shutil.copyfile(checkpoint / "log.csv", temporary)
            return checkpoint, state
        print(f"{checkpoint} is of other settings, training arguments, code or data: removed, training starts anew")
    if alone:
        for name in ("model.json", "generator.safetensors"):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        write_text(folder / "log.csv", "")
    method.initialise(seed)
    average.start()
    return None, State(0, fingerprint, [])


@contextmanager
def averaged(method: Method, ema: float) -> Iterator[Average]:
    """Hold the running mean of the generators beside them; leave it in their place, after an interruption not."""
    average, whole = Average(method, ema), False
    try:
        yield average
        whole = True
    finally:
        average.leave(take=whole)


@contextmanager
def prepared(method: Method, device: torch.device | str, dtype: torch.dtype) -> Iterator[None]:
    """Hold the networks on `device`, their forward in `dtype` by autocast, weights and outputs in float32.

    Autocast is per forward, not per step: around a step it could serve G's update with D's weights of before
    D's own.
    """
    device = torch.device(device)
    lower = dtype != torch.float32
    layout = torch.channels_last if lower or device.type == "cuda" else torch.preserve_format  # else it gains nothing
    for network in method.networks.values():
        network.to(device=device, memory_format=layout)
        if lower:
            network.forward = convert_outputs_to_fp32(torch.autocast(device.type, dtype)(network.forward))
    try:
        yield
    finally:
        for network in method.networks.values():
            vars(network).pop("forward", None)


def _set_learning_rate(method: Method, factor: float) -> float:
    """Set every optimiser to `factor` of its full rate; return the first one's rate."""
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = factor * optimizer.defaults["lr"]
    return next(iter(method.optimizers.values())).param_groups[0]["lr"]


def _training_code(method: Method) -> dict[str, str]:
    """File -> hash of the code that decides a result: the method, its networks and losses, this loop."""
    files = [Path(inspect.getfile(type(method))), Path(__file__)]
    used = code_hashes("\n".join(file.read_text(encoding="utf-8") for file in files))
    own = {file.name: code_hash(file.read_text(encoding="utf-8")) for file in files}
    return own | {name: value for name, value in used.items() if name.startswith(LEARNS)}


def _check(dataset: Dataset, device: str, **counts: int) -> None:
    for name, count in counts.items():
        least = 0 if name in ("epochs", "decay_epochs", "seed") else 1
        if count < least:
            raise ValueError(f"{name}={count}: wanted {least} or more")
    if counts["epochs"] + counts["decay_epochs"] == 0:
        raise ValueError("epochs=0 and decay_epochs=0: nothing would be trained; make one of them 1 or more")
    if not len(dataset):
        raise ValueError("the data set has no item, wanted 1 or more: look at the step that made it")
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device={device!r}: wanted 'cpu' or 'cuda'")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda', but torch finds no GPU: take device='cpu' or a machine with a GPU")
