"""Do several processes train what one would, and do they end when they should?"""

import hashlib
import multiprocessing
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from ppcore.methods.cyclegan import CycleGAN, CycleGANSettings
from ppcore.methods.pix2pix import Pix2Pix, Pix2PixSettings
from ppcore.study.interrupt import end_with
from ppcore.training.launch import launch
from ppcore.training.loop import train
from ppcore.training.ranks import rank_and_ranks

RUN = dict(epochs=2, decay_epochs=1, seed=7, data_fingerprint="pairs", batch_size=4, checkpoint_steps=2,
           log_steps=3, precision="float32")
STEPS = 6


@dataclass(frozen=True)
class Settings:
    """folder: where each process writes, after each step, its id and a hash of all its weights."""

    folder: str


class Both:
    """A pix2pix without noise and a CycleGAN with a pool of 2, side by side: one launch trains both."""

    Settings = Settings
    generators = ("generator", "G", "F")

    def __init__(self, settings: Settings, seed: int = 0) -> None:
        self.settings = settings
        self.parts = (Pix2Pix(Pix2PixSettings(ngf=4, ndf=4, levels=3)),
                      CycleGAN(CycleGANSettings(ngf=4, ndf=4, blocks=1, pool_size=2)))
        self.networks = {name: network for part in self.parts for name, network in part.networks.items()}
        self.networks["generator"].noisy = 0
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        for part in self.parts:
            part.initialise(seed)
        self.optimizers = {name: optimizer for part in self.parts for name, optimizer in part.optimizers.items()}

    def step(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        losses = {f"{type(part).__name__} {name}": loss
                  for part in self.parts for name, loss in part.step(batch).items()}
        weights = nn.utils.parameters_to_vector(nn.ModuleDict(self.networks).parameters()).detach()
        with open(Path(self.settings.folder) / f"weights-{rank_and_ranks()[0]}", "a") as file:
            file.write(f"{os.getpid()} {hashlib.sha256(weights.numpy()).hexdigest()}\n")
        return losses


class Pairs(Dataset):
    """Random masks."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: torch.randn(1, 32, 32).sign() for name in ("coarse", "fine")}


@pytest.fixture(autouse=True)
def processes(monkeypatch):
    """One thread, as in the processes started; and they find this file."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    yield
    torch.set_num_threads(threads)


def test_two_processes_train_what_one_does(tmp_path):
    """Equal weights in both after each step; networks and pools are one process's, but for the order of sums."""
    methods = {}
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        methods[count] = Both(Settings(str(folder)))
        train(methods[count], Pairs(), folder, processes=count, **RUN)
    words = [(tmp_path / "2" / f"weights-{rank}").read_text().split() for rank in (0, 1)]
    assert words[0][::2] != words[1][::2]  # the ids: two there were
    assert words[0][1::2] == words[1][1::2]
    assert len(set(words[0][1::2])) == STEPS

    one, two = (methods[count].networks for count in (1, 2))
    coarse = Pairs()[0]["coarse"][None]
    for name in one:
        if name.startswith("pool"):
            assert one[name].shown == two[name].shown == 4 * STEPS
            outputs = one[name].images, two[name].images
        else:
            given = [torch.cat((coarse, coarse), dim=1) if name == "discriminator" else coarse]
            given += [[]] * (name == "generator")  # z, of which it takes none
            outputs = list(one[name](*given)), list(two[name](*given))
        for wanted, found in zip(*outputs, strict=True):
            assert (wanted - found).abs().max() < 1e-5
    pd.testing.assert_frame_equal(*(pd.read_csv(tmp_path / count / "log.csv") for count in "12"), rtol=1e-4)


def test_a_share_of_a_batch_is_an_equal_one(tmp_path):
    with pytest.raises(ValueError, match="batch_size=3 for 2 processes: wanted a multiple"):
        train(Both(Settings("")), Pairs(), tmp_path, processes=2, **RUN | {"batch_size": 3})
    assert not any(tmp_path.iterdir())


def test_a_process_that_fails_ends_the_others(tmp_path, capfd):
    def fail_once_both_run(folder: Path) -> None:
        import os
        import time

        rank = int(os.environ["RANK"])
        (folder / f"pid-{rank}").write_text(str(os.getpid()))
        while rank == 0 or not (folder / "pid-0").exists():
            time.sleep(0.01)
        raise OSError("the patch cannot be read")

    with pytest.raises(RuntimeError, match="one of 2 training processes failed"):
        launch(fail_once_both_run, {"folder": tmp_path}, processes=2)
    assert "the patch cannot be read" in capfd.readouterr().err
    assert not any(alive(int((tmp_path / f"pid-{rank}").read_text())) for rank in (0, 1))


def test_a_process_ends_with_its_owner():
    processes = multiprocessing.get_context("fork")
    owner = processes.Process(target=time.sleep, args=(60,))
    owner.start()

    def work() -> None:
        end_with(f"{socket.gethostname()}:{owner.pid}")
        time.sleep(60)

    worker = processes.Process(target=work)
    worker.start()
    worker.join(1)
    assert worker.is_alive()
    owner.kill()
    owner.join()
    worker.join(10)
    assert worker.exitcode == 1


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
