"""How does a run survive an interruption? By checkpoints, written atomically and checked when read.

A checkpoint is a folder, `step-00000200`, with four files: `tensors.safetensors` (all networks and optimisers),
`log.csv` (the log up to that step), `state.json` (`State`) and `SHA256SUMS`.
"""

import hashlib
import json
import os
import shutil
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ppcore.study.errors import warn
from ppcore.training.method import Method

KEPT = 2


@dataclass(frozen=True)
class State:
    """The state of a run besides tensors and log.

    step: steps done. fingerprint: of everything that the result depends on. losses: of each step since the last
    row of the log.
    """

    step: int
    fingerprint: str
    losses: list[dict[str, float]]


def save_checkpoint(folder: Path, method: Method, state: State, log: bytes) -> Path:
    """Write a checkpoint into `folder` and remove all but the newest two; return its path.

    It is written under a hidden name, flushed to disk (fsync) and then renamed: a process killed at any moment, or
    a full disk, leaves the older checkpoints unchanged. The error of a failed write is raised.
    """
    final = folder / f"step-{state.step:08d}"
    partial = folder / f".{final.name}"
    for leftover in folder.glob(".step-*"):
        shutil.rmtree(leftover)
    partial.mkdir(parents=True)
    try:
        save_file(_tensors(method), partial / "tensors.safetensors")
        (partial / "log.csv").write_bytes(log)
        (partial / "state.json").write_text(json.dumps(asdict(state), indent=1))
        (partial / "SHA256SUMS").write_text(_sums(partial))
        for path in (*partial.iterdir(), partial):
            _to_disk(path)
        if final.exists():  # it was damaged, else this step would not run again
            shutil.rmtree(final)
        partial.rename(final)
        _to_disk(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    older = sorted(path for path in folder.glob("step-*") if path.name < final.name)
    for path in set(folder.glob("step-*")) - {final, *older[-(KEPT - 1):]}:
        shutil.rmtree(path)
    return final


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest intact checkpoint of `folder`, or None; warn about every damaged one skipped."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            if (path / "SHA256SUMS").read_text() == _sums(path):
                return path
            fault = "its content is not what was written"
        except (OSError, UnicodeDecodeError) as error:
            fault = str(error)
        warn(f"checkpoint {path} is damaged ({fault}): it is skipped for the one before it")
    return None


def read_state(checkpoint: Path) -> State:
    """Read step, fingerprint and unlogged losses of an intact checkpoint."""
    return State(**json.loads((checkpoint / "state.json").read_text()))


def load_checkpoint(checkpoint: Path, method: Method) -> None:
    """Load an intact checkpoint into the networks and optimisers of `method`.

    Raises `ValueError`, naming the first tensor that does not fit, if the architecture differs.
    """
    tensors = load_file(checkpoint / "tensors.safetensors")
    load_networks(checkpoint, method.networks, _under("networks/", tensors))
    for name, optimizer in method.optimizers.items():
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, value in _under(f"optimizers/{name}/", tensors).items():
            index, moment = key.split("/")
            if value.ndim:  # fused Adam needs the same memory layout for parameter and moments
                value = torch.empty_like(parameters[int(index)]).copy_(value)
            moments[int(index)][moment] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": dict(moments)})


def load_networks(source: Path, networks: dict[str, torch.nn.Module], tensors: dict[str, Tensor]) -> None:
    """Load the tensors `name/key` of `source` into `networks`.

    Raises `ValueError`, before anything is changed, unless names and shapes match exactly.
    """
    wanted = network_tensors(networks)
    for key in sorted(wanted.keys() | tensors.keys()):
        found, want = (f"of shape {tuple(some[key].shape)}" if key in some else "none" for some in (tensors, wanted))
        if found != want and not (key.endswith("_extra_state") and "none" not in (found, want)):
            raise ValueError(f"{source} has another architecture: tensor {key}, found {found}, wanted {want}; "
                             "use the settings it was trained with, or train anew")
    for name, network in networks.items():
        network.load_state_dict(_under(f"{name}/", tensors))


def network_tensors(networks: dict[str, torch.nn.Module]) -> dict[str, Tensor]:
    """Weights of `networks` as `name/key`, contiguous and on the CPU, as safetensors needs them."""
    return {f"{name}/{key}": value.cpu().contiguous()
            for name, network in networks.items() for key, value in network.state_dict().items()}


def _tensors(method: Method) -> dict[str, Tensor]:
    tensors = {f"networks/{key}": value for key, value in network_tensors(method.networks).items()}
    for name, optimizer in method.optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            for moment, value in moments.items():
                tensors[f"optimizers/{name}/{index}/{moment}"] = value.cpu().contiguous()
    return tensors


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _sums(folder: Path) -> str:
    """SHA-256 of the files in the format of `sha256sum`, so that `sha256sum -c SHA256SUMS` checks them too."""
    lines = []
    for name in ("tensors.safetensors", "log.csv", "state.json"):
        with open(folder / name, "rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
