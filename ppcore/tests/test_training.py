"""Does a step follow its equations, and does a run survive what can happen to it?"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.utils.data import Dataset

import ppcore
from ppcore.losses import gan_loss
from ppcore.settings import StudyWarning
from ppcore.training import checkpoint
from ppcore.training.checkpoint import load_checkpoint, newest_checkpoint, read_state
from ppcore.training import loop, pix2pix
from ppcore.training.model_card import load_model
from ppcore.training.loop import learning_rate_factor, prepared, train
from ppcore.training.order import data_order
from ppcore.training.pix2pix import Pix2Pix, Pix2PixSettings, pair

SMALL = Pix2PixSettings(ngf=4, ndf=4, levels=3)
# 5 items in batches of 2: a checkpoint in mid-epoch, with losses that are in no row of the log yet.
RUN = dict(epochs=2, decay_epochs=2, batch_size=2, seed=7, data_fingerprint="pairs",
           checkpoint_steps=2, log_steps=5, sample_steps=3)
STEPS = 12


class Pairs(Dataset):
    """Coarse half-planes and, as fine masks, the same with stripes; each time with a random flip."""

    def __init__(self, count: int = 5, pause: float = 0.0) -> None:
        self.count, self.pause = count, pause

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        time.sleep(self.pause)
        coarse = -torch.ones(1, 32, 64)
        coarse[:, :, : 16 + 8 * index] = 1
        fine = coarse.clone()
        fine[:, ::4] = -1
        if torch.rand(()) < 0.5:
            coarse, fine = coarse.flip(-1), fine.flip(-1)
        return {"coarse": coarse, "fine": fine}


def run(folder: str | Path, pause: float = 0.0, **changes) -> tuple[Pix2Pix, pd.DataFrame]:
    """A small run, with a sample every 3 steps that draws at random; also what the killed process runs."""
    folder, method = Path(folder), Pix2Pix(SMALL)

    def sample(method: Pix2Pix, step: int) -> None:
        mask = method.generate(Pairs()[0]["coarse"][None], seeds=[step])
        (folder / f"sample-{step}").write_bytes(torch.cat([mask.flatten(), torch.rand(3)]).numpy().tobytes())

    arguments = RUN | dict(dataset=Pairs(pause=pause), sample=sample) | changes
    return method, train(method, arguments.pop("dataset"), folder, **arguments)


def results(folder: Path) -> dict[str, bytes]:
    """Everything a run leaves that is not a checkpoint."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums of floats depend on how many threads share them; the killed process has one, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    run(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def waiting_process():
    """A process that imports torch beside the other tests and trains into the folder it is told."""
    code = ("import torch; torch.set_num_threads(1); from ppcore.tests.test_training import run; "
            "run(input(), pause=0.03)")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(ppcore.__file__).parents[1], text=True,
                               stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.communicate()


# --- the step -----------------------------------------------------------------------------------------------


def test_losses_of_a_step_by_hand():
    """G gives 0 everywhere, D the logit 0: L1 to masks of -1 and 1 is 1, every cross-entropy ln 2."""
    method = Pix2Pix(Pix2PixSettings(ngf=4, ndf=4, levels=3, learning_rate=0.0))
    with torch.no_grad():
        for last in (method.networks["generator"].up[-1][1], method.networks["discriminator"].blocks[-1]):
            last.weight.zero_()
    batch = {name: tensor[None] for name, tensor in Pairs()[0].items()}
    losses = {name: loss.item() for name, loss in method.step(batch).items()}
    assert losses == {"D": pytest.approx(math.log(2)), "G_gan": pytest.approx(math.log(2)), "G_l1": 1.0}


@pytest.mark.parametrize("hard", [False, True])
def test_gradients_of_a_step_are_those_of_the_equations(hard):
    """D's gradient is of D's loss alone, G's step adds nothing; G's is of cross-entropy + 100 L1."""
    settings = Pix2PixSettings(ngf=4, ndf=4, levels=3, learning_rate=0.0, straight_through=hard)
    stepped, by_hand = Pix2Pix(settings, seed=3), Pix2Pix(settings, seed=3)
    batch = {name: tensor[None] for name, tensor in Pairs()[1].items()}
    x, y = batch["coarse"], batch["fine"]
    torch.manual_seed(0)
    stepped.step(batch)

    G, D = by_hand.networks["generator"], by_hand.networks["discriminator"]
    torch.manual_seed(0)
    soft = G(x)
    shown = torch.where(soft > 0, 1.0, -1.0) + soft - soft.detach() if hard else soft
    loss_D = 0.5 * gan_loss(D(pair(x, y))[-1], True) + 0.5 * gan_loss(D(pair(x, shown))[-1], False)
    loss_G = gan_loss(D(pair(x, shown))[-1], True) + 100 * (soft - y).abs().mean()
    for name, loss in (("discriminator", loss_D), ("generator", loss_G)):
        weights = list(by_hand.networks[name].parameters())
        wanted = torch.autograd.grad(loss, weights, retain_graph=True)
        for found, gradient in zip(stepped.networks[name].parameters(), wanted, strict=True):
            assert (found.grad - gradient).abs().max() < 1e-5 * (1 + gradient.abs().max())


def test_overfits_four_pairs(tmp_path):
    method = Pix2Pix(Pix2PixSettings(ngf=8, ndf=8, levels=4, learning_rate=1e-3))
    log = train(method, Pairs(4), tmp_path, epochs=30, decay_epochs=10, seed=0, data_fingerprint="pairs",
                log_steps=4)
    assert log.G_l1.iloc[-1] < 0.1 < 0.5 < log.G_l1.iloc[0]
    pairs = [Pairs(4)[index] for index in range(4)]
    coarse, fine = (torch.stack([item[name] for item in pairs]) for name in ("coarse", "fine"))
    agreement = ((method.generate(coarse, seeds=range(4)) > 0) == (fine > 0)).float().mean()
    assert agreement > 0.97


# --- generation ---------------------------------------------------------------------------------------------


def test_a_seed_gives_a_mask_whatever_stands_beside_it():
    method = Pix2Pix(SMALL, seed=1)
    coarse = torch.stack([Pairs()[index]["coarse"] for index in (0, 1, 1)])
    before = torch.get_rng_state()
    masks = method.generate(coarse, seeds=[5, 6, 7])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(method.generate(coarse[1:2], seeds=[6]), masks[1:2])
    assert not torch.equal(masks[1], masks[2])
    with pytest.raises(ValueError, match="2 seeds for 3 images"):
        method.generate(coarse, seeds=[1, 2])


def test_a_finished_run_is_loaded_and_not_repeated(unbroken):
    class Forbidden(Pairs):
        def __getitem__(self, index):
            raise AssertionError("a finished run reads no data")

    before, card = results(unbroken), (unbroken / "model.json").stat().st_ino
    method, log = run(unbroken, dataset=Forbidden())
    assert results(unbroken) == before
    assert (unbroken / "model.json").stat().st_ino == card  # not even written again
    assert log.step.tolist() == [5, 10, 12]
    coarse = Pairs()[0]["coarse"][None]
    loaded = load_model(Pix2Pix, unbroken)
    assert loaded.settings == SMALL
    assert torch.equal(loaded.generate(coarse, [1]), method.generate(coarse, [1]))
    assert not torch.equal(loaded.generate(coarse, [1]), Pix2Pix(SMALL).generate(coarse, [1]))


def test_load_refuses_what_is_no_finished_pix2pix(unbroken, tmp_path):
    with pytest.raises(FileNotFoundError, match="no training was finished"):
        load_model(Pix2Pix, tmp_path)
    card = json.loads((unbroken / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(card | {"method": "CycleGAN"}))
    with pytest.raises(ValueError, match="holds a CycleGAN, wanted a Pix2Pix"):
        load_model(Pix2Pix, tmp_path)


# --- schedule and order -------------------------------------------------------------------------------------


def test_learning_rate_is_constant_then_linear_to_exactly_zero(unbroken):
    factors = [learning_rate_factor(step, constant_steps=6, decay_steps=4) for step in range(11)]
    assert factors == [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]  # no step is taken at 0, the run is over then
    assert learning_rate_factor(99, constant_steps=100, decay_steps=0) == 1
    log = pd.read_csv(unbroken / "log.csv")
    assert log.learning_rate.tolist() == pytest.approx([2e-4, 2e-4 * 3 / 6, 2e-4 / 6], rel=1e-5)
    assert log.epoch.tolist() == [2, 4, 4]


def test_an_epoch_sees_every_item_once_and_a_resumed_one_goes_on():
    whole = list(data_order(items=5, batch_size=2, seed=1, step=0, total=9))
    epochs = [whole[:3], whole[3:6], whole[6:]]
    for number, batches in enumerate(epochs):
        assert sorted(sum(batches, [])) == [(number, index) for index in range(5)]
        assert [len(batch) for batch in batches] == [2, 2, 1]
    orders = [[index for batch in batches for _, index in batch] for batches in epochs]
    assert orders[0] != orders[1] != orders[2]
    for step in range(9):
        assert list(data_order(5, 2, seed=1, step=step, total=9)) == whole[step:]
    assert list(data_order(5, 2, seed=2, step=0, total=9)) != whole


# --- interruptions ------------------------------------------------------------------------------------------


def test_ctrl_c_within_a_step_waits_for_its_end(unbroken, tmp_path, monkeypatch, capsys):
    update, updates = pix2pix.update, []

    def interrupted(optimizer, loss):
        update(optimizer, loss)
        updates.append(optimizer)
        if len(updates) == 9:  # D of step 5
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pix2pix, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert len(updates) == 10
    assert read_state(newest_checkpoint(tmp_path / "checkpoints")).step == 5
    assert "stopped after step 5 of 12" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    run(tmp_path)
    assert results(tmp_path) == results(unbroken)


def flip_a_bit(path: Path) -> None:
    content = bytearray((path / "tensors.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "tensors.safetensors").write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path / "tensors.safetensors", 1000)


def change_the_state(path: Path) -> None:
    (path / "state.json").write_text((path / "state.json").read_text().replace('"step": 12', '"step": 11'))


def lose_a_file(path: Path) -> None:
    (path / "log.csv").unlink()


@pytest.mark.parametrize("damage", [flip_a_bit, cut, change_the_state, lose_a_file])
def test_damaged_checkpoint_is_passed_over_for_the_one_before(unbroken, tmp_path, damage):
    run(tmp_path)
    (tmp_path / "generator.safetensors").write_bytes(b"")
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000010", "step-00000012"]
    damage(tmp_path / "checkpoints" / "step-00000012")
    with pytest.warns(StudyWarning, match="step-00000012 is damaged"):
        run(tmp_path)
    assert results(tmp_path) == results(unbroken)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == kept


def test_full_disk_leaves_the_older_checkpoints(unbroken, tmp_path, monkeypatch):
    save = checkpoint.save_file

    def full(tensors, path):
        save(tensors, path)
        if "step-00000006" in str(path):
            os.truncate(path, 100)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000002", "step-00000004"]
    monkeypatch.undo()
    run(tmp_path)
    assert results(tmp_path) == results(unbroken)


def test_changed_code_starts_anew_and_only_code_that_decides_the_result_counts(tmp_path, monkeypatch, capsys):
    run(tmp_path)
    hashes = loop._training_code(Pix2Pix(SMALL))
    assert {"pix2pix.py", "loop.py", "ppcore/networks/unet.py", "ppcore/losses.py"} <= set(hashes)
    assert not {"ppcore/files.py", "ppcore/settings.py"} & set(hashes)
    monkeypatch.setattr(loop, "_training_code", lambda method: hashes | {"ppcore/losses.py": "other"})
    run(tmp_path)
    assert "removed, training starts anew" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"data_fingerprint": "others"}, {"seed": 8}, {"decay_epochs": 1}])
def test_another_run_starts_anew(tmp_path, change, capsys):
    fresh, reused = tmp_path / "fresh", tmp_path / "reused"
    method, _ = run(reused, epochs=0)
    train(method, Pairs(), reused, **RUN | {"epochs": 0} | change)  # the same object, trained before
    assert "training starts anew" in capsys.readouterr().out
    run(fresh, epochs=0, sample=None, **change)
    wanted = results(fresh)
    assert {name: results(reused)[name] for name in wanted} == wanted


def test_a_new_run_takes_the_old_model_away_at_its_start(tmp_path):
    class Broken(Pairs):
        def __getitem__(self, index):
            raise OSError("the patch cannot be read")

    run(tmp_path, epochs=0)
    with pytest.raises(OSError, match="cannot be read"):
        run(tmp_path, epochs=0, dataset=Broken(), data_fingerprint="others")
    assert not (tmp_path / "generator.safetensors").exists()
    with pytest.raises(FileNotFoundError, match="no training was finished"):
        load_model(Pix2Pix, tmp_path)


def test_loss_not_finite_names_step_loss_and_checkpoint(tmp_path):
    batches = list(data_order(5, 2, seed=7, step=0, total=STEPS))
    bad = batches[5][0]  # epoch and index of an item of step 6

    class Poisoned(Pairs):
        def __getitem__(self, index):
            seen.append(index)
            item = super().__getitem__(index)
            return {**item, "fine": item["fine"] * math.nan} if len(seen) > 8 and index == bad[1] else item

    seen: list[int] = []
    with pytest.raises(FloatingPointError, match="loss D is nan at step 6.*step-00000004"):
        run(tmp_path, dataset=Poisoned(), log_steps=100, checkpoint_steps=4)
    assert read_state(newest_checkpoint(tmp_path / "checkpoints")).step == 4


def test_looking_and_loading_processes_change_nothing(unbroken, tmp_path):
    run(tmp_path, sample=None, workers=2)
    wanted = {name: content for name, content in results(unbroken).items() if not name.startswith("sample")}
    assert results(tmp_path) == wanted


def test_checkpoint_keeps_the_moments_in_the_layout_of_the_weights(tmp_path):
    """In the layout of a GPU run: fused Adam misreads moments that lie otherwise than their weights."""
    batch = {name: tensor[None] for name, tensor in Pairs()[1].items()}
    methods = [Pix2Pix(SMALL, seed=seed) for seed in (1, 2)]
    for method in methods:
        for network in method.networks.values():
            network.to(memory_format=torch.channels_last)
        torch.manual_seed(0)
        method.step(batch)
    first, second = methods
    kept = checkpoint.save_checkpoint(tmp_path, first, checkpoint.State(1, "", []), b"")
    load_checkpoint(kept, second)
    for method in methods:
        torch.manual_seed(1)
        method.step(batch)
    for name in first.networks:
        wanted = first.networks[name].parameters()
        for weight, theirs in zip(wanted, second.networks[name].parameters(), strict=True):
            assert torch.equal(weight, theirs)
            assert second.optimizers[name].state[theirs]["exp_avg"].stride() == theirs.stride()


def test_bfloat16_ends_with_the_run_and_comes_back_with_the_next():
    """On the CPU, which has autocast, too; weights and outputs stay float32."""
    method, coarse = Pix2Pix(SMALL), Pairs()[0]["coarse"][None]
    method.networks["generator"].to(memory_format=torch.channels_last)  # dropout draws in the order of the memory
    exact = method.generate(coarse, seeds=[1])
    try:
        AcceleratorState._reset_state(reset_partial_state=True)  # accelerate allows one precision a process
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        for _ in range(2):
            with prepared(method, accelerator):
                rounded = method.networks["generator"](coarse)
                assert rounded.dtype == torch.float32
                assert torch.equal(rounded, rounded.bfloat16().float())
            assert {weight.dtype for weight in method.networks["generator"].parameters()} == {torch.float32}
            assert torch.equal(method.generate(coarse, seeds=[1]), exact)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(("change", "message"), [
    ({"epochs": -1}, "epochs=-1: wanted 0 or more"),
    ({"epochs": 0, "decay_epochs": 0}, "nothing would be trained"),
    ({"log_steps": 0}, "log_steps=0: wanted 1 or more"),
    ({"dataset": Pairs(0)}, "no item"),
    ({"device": "tpu"}, "device='tpu': wanted 'cpu' or 'cuda'"),
])
def test_arguments_out_of_range_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **change)
    assert not any(tmp_path.iterdir())


def test_killed_and_resumed_is_unbroken(unbroken, tmp_path, waiting_process):
    """Last, since the process needs its seconds to import torch."""
    waiting_process.stdin.write(f"{tmp_path}\n")
    waiting_process.stdin.flush()
    while not (tmp_path / "checkpoints" / "step-00000004").exists() and waiting_process.poll() is None:
        time.sleep(0.005)
    waiting_process.kill()  # SIGKILL
    assert waiting_process.wait() == -signal.SIGKILL
    assert not (tmp_path / "model.json").exists()
    run(tmp_path)
    assert results(tmp_path) == results(unbroken)
