"""Does a run survive what can happen to it, and does it leave what it should?"""

import itertools
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
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import Dataset

import ppcore
from ppcore.methods import pix2pix
from ppcore.methods.cyclegan import CycleGAN, CycleGANSettings, Unpaired
from ppcore.methods.dcgan import DCGAN, DCGANSettings
from ppcore.methods.depas import Depas, DepasSettings
from ppcore.methods.pix2pix import Pix2Pix, Pix2PixSettings
from ppcore.methods.pix2pixhd import Pix2PixHD, Pix2PixHDSettings
from ppcore.networks.noise import draw_noise
from ppcore.study.errors import StudyWarning
from ppcore.training import checkpoint, loop, resume
from ppcore.training.checkpoint import load_checkpoint, newest_checkpoint, read_state
from ppcore.training.loop import train
from ppcore.training.method import update
from ppcore.training.model_card import load_model
from ppcore.training.options import Schedule
from ppcore.training.order import data_order
from ppcore.training.precision import precision_on, prepared

SMALL = Pix2PixSettings(ngf=4, ndf=4, levels=3)
# 5 items in batches of 2: a checkpoint in mid-epoch, with losses that are in no row of the log yet.
RUN = dict(epochs=2, decay_epochs=2, batch_size=2, seed=7, data_fingerprint="pairs",
           checkpoint_steps=2, log_steps=5, sample_steps=3)
STEPS = 12
METHODS = {
    CycleGAN: CycleGANSettings(ngf=2, ndf=2, blocks=1, pool_size=2),
    DCGAN: DCGANSettings(height=32, width=64, latent=4, ngf=2, ndf=2),
    Depas: DepasSettings(height=32, width=64, latent=4, ngf=2, ndf=2, scales=1, anneal_steps=8),
    Pix2Pix: SMALL,
    Pix2PixHD: Pix2PixHDSettings(ngf=2, ndf=2, downs=1, blocks=1, scales=1),
}


class Pairs(Dataset):
    """Coarse half-planes and, as fine masks and images, the same with stripes; each time with a random flip."""

    pause = [0.0]  # s an item; the killed process changes it and not the code

    def __init__(self, count: int = 5, every: int = 4) -> None:
        self.count, self.every = count, every

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        time.sleep(self.pause[0])
        coarse = -torch.ones(1, 32, 64)
        coarse[:, :, : 16 + 8 * index] = 1
        fine = coarse.clone()
        fine[:, ::self.every] = -1
        if torch.rand(()) < 0.5:
            coarse, fine = coarse.flip(-1), fine.flip(-1)
        return {"coarse": coarse, "fine": fine, "mask": fine, "image": fine.expand(3, -1, -1)}


def run(folder: str | Path, **changes) -> tuple[Pix2Pix, pd.DataFrame]:
    """A small run, with a sample every 3 steps that draws at random; also what the killed process runs."""
    folder, method = Path(folder), Pix2Pix(SMALL)

    def sample(method: Pix2Pix, step: int) -> None:
        mask = method.generate(Pairs()[0]["coarse"][None], seeds=[step])
        (folder / f"sample-{step}").write_bytes(torch.cat([mask.flatten(), torch.rand(3)]).numpy().tobytes())

    arguments = RUN | dict(dataset=Pairs(), sample=sample) | changes
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
    """A process that imports torch during the other tests and trains into the folder it is given."""
    code = ("import torch; torch.set_num_threads(1); from ppcore.tests.test_training import Pairs, run; "
            "Pairs.pause[0] = 0.03; run(input())")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(ppcore.__file__).parents[1], text=True,
                               stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.communicate()


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


def test_a_finished_run_is_loaded_and_not_repeated(unbroken, monkeypatch):
    def forbidden(*given):
        raise AssertionError("a finished run takes no step")

    monkeypatch.setattr(loop, "take_step", forbidden)
    before, card = results(unbroken), (unbroken / "model.json").stat().st_ino
    method, log = run(unbroken)
    assert results(unbroken) == before
    assert (unbroken / "model.json").stat().st_ino == card  # not even written again
    assert log.step.tolist() == [5, 10, 12]
    coarse = Pairs()[0]["coarse"][None]
    loaded = load_model(Pix2Pix, unbroken, precision="float32")
    assert loaded.settings == SMALL
    weights = [model.networks["generator"].state_dict() for model in (loaded, method)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])
    assert (loaded.generate(coarse, [1]) - method.generate(coarse, [1])).abs().max() < 1e-5  # the layout may differ
    assert not torch.equal(loaded.generate(coarse, [1]), Pix2Pix(SMALL).generate(coarse, [1]))


def test_load_refuses_what_is_no_finished_pix2pix(unbroken, tmp_path):
    with pytest.raises(FileNotFoundError, match="no training was finished"):
        load_model(Pix2Pix, tmp_path)
    card = json.loads((unbroken / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(card | {"method": "CycleGAN"}))
    with pytest.raises(ValueError, match="holds a CycleGAN, wanted a Pix2Pix"):
        load_model(Pix2Pix, tmp_path)


def test_the_running_mean_is_its_recursion_and_what_a_run_leaves(tmp_path):
    """m = .9 m + .1 w after each step, from the first weights on; samples and the finished model show m."""
    weights, means = [], []

    def vector(network: nn.Module) -> torch.Tensor:
        return torch.cat([weight.detach().flatten() for weight in network.parameters()])  # in any layout

    def sample(method: Pix2Pix, step: int) -> None:
        means.append(vector(method.networks["generator"]))
        weights.append(vector(method.networks["generator average"]))  # they have changed places

    method = Pix2Pix(SMALL)
    train(method, Pairs(), tmp_path, **RUN | dict(sample=sample, sample_steps=1, ema=0.9))
    wanted = vector(Pix2Pix(SMALL, seed=RUN["seed"]).networks["generator"])
    for now, mean in zip(weights, means, strict=True):
        wanted = 0.9 * wanted + 0.1 * now
        assert (mean - wanted).abs().max() < 1e-6
    assert len(means) == STEPS and (means[-1] - weights[-1]).abs().max() > 1e-4
    assert set(method.networks) == {"generator", "discriminator"}
    assert torch.equal(vector(method.networks["generator"]), means[-1])
    assert torch.equal(vector(load_model(Pix2Pix, tmp_path, precision="float32").networks["generator"]), means[-1])
    kept = load_file(newest_checkpoint(tmp_path / "checkpoints") / "tensors.safetensors")
    for name, last in (("generator", weights[-1]), ("generator average", means[-1])):
        network = Pix2Pix(SMALL).networks["generator"]
        network.load_state_dict({key.removeprefix(f"networks/{name}/"): value for key, value in kept.items()
                                 if key.startswith(f"networks/{name}/")})
        assert torch.equal(vector(network), last)


def test_weights_of_another_architecture_are_refused_by_tensor_found_and_wanted(unbroken, tmp_path):
    wider, deeper = (Pix2Pix(Pix2PixSettings(**dict(ngf=4, ndf=4, levels=3) | change))
                     for change in ({"ngf": 8}, {"levels": 4}))
    last = newest_checkpoint(unbroken / "checkpoints")
    message = r"tensor generator/down.0.weight, found of shape \(4, 1, 4, 4\), wanted of shape \(8, 1, 4, 4\)"
    before = [weight.clone() for weight in wider.networks["discriminator"].parameters()]
    with pytest.raises(ValueError, match=message):
        load_checkpoint(last, wider)
    assert all(map(torch.equal, before, wider.networks["discriminator"].parameters()))  # none is half loaded
    with pytest.raises(ValueError, match="tensor generator/.*, found none, wanted of shape"):
        load_checkpoint(last, deeper)
    for name in ("model.json", "generator.safetensors"):
        (tmp_path / name).write_bytes((unbroken / name).read_bytes().replace(b'"ngf": 4', b'"ngf": 8'))
    with pytest.raises(ValueError, match=f"generator.safetensors has another architecture: {message}"):
        load_model(Pix2Pix, tmp_path)


def test_precision_is_bfloat16_only_where_there_are_units_for_it(monkeypatch):
    for units, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: units)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: units)
        for device in ("cpu", "cuda"):
            assert precision_on(device) == dtype
            assert precision_on(device, "float32") == torch.float32
    with pytest.raises(ValueError, match="precision='half': wanted one of auto, float32"):
        precision_on("cpu", "half")


@pytest.mark.parametrize("kind", METHODS)
def test_a_model_loaded_in_bfloat16_makes_nearly_the_same_masks(tmp_path, kind, monkeypatch):
    method = kind(METHODS[kind])
    train(method, Pairs(), tmp_path, **RUN | dict(precision="float32", epochs=1, decay_epochs=0))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    rounded = load_model(kind, tmp_path)
    assert {weight.dtype for weight in rounded.networks[kind.generators[0]].parameters()} == {torch.bfloat16}
    given = None if kind in (DCGAN, Depas) else torch.stack([Pairs()[0]["coarse"], Pairs()[3]["coarse"]])
    masks, exact = (model.generate(given, seeds=[1, 2])
                    for model in (rounded, load_model(kind, tmp_path, precision="float32")))
    assert ((masks > 0) == (exact > 0)).float().mean() > 0.95
    assert not torch.equal(masks, exact) or kind is Depas  # whose masks are binary
    assert masks.dtype == torch.float32


# --- schedule and order -------------------------------------------------------------------------------------


def test_a_gradient_that_is_too_long_is_shortened_over_all_weights_together():
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    slopes = torch.tensor([3.0, 0.0, 4.0])  # of length 5
    for longest, length in ((1.0, 1.0), (10.0, 5.0), (None, 5.0)):
        optimizer = torch.optim.SGD(weights, 0.0)
        update(optimizer, torch.cat(weights) @ slopes, longest)
        torch.testing.assert_close(torch.cat([weight.grad for weight in weights]), slopes * length / 5, rtol=1e-5, atol=0)


def test_learning_rate_is_constant_then_linear_to_exactly_zero(unbroken):
    factors = [Schedule(items=6, batch_size=3, epochs=3, decay_epochs=2).learning_rate_factor(step) for step in range(11)]
    assert factors == [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]  # no step is taken at 0, the run is over then
    assert Schedule(items=100, batch_size=1, epochs=1, decay_epochs=0).learning_rate_factor(99) == 1
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


def test_processes_share_each_batch_and_leave_the_same_item_count_out():
    """Of 9 items two processes take 8 an epoch, not the same 8 each time."""
    alone = list(data_order(8, 4, seed=1, step=1, total=8, of=9))
    shares = [list(data_order(8, 4, seed=1, step=1, total=8, of=9, rank=rank, ranks=2)) for rank in (0, 1)]
    for whole, first, second in zip(alone, *shares, strict=True):
        assert len(first) == len(second) == 2
        assert [item for pair in zip(first, second) for item in pair] == whole
    left_out = [set(range(9)) - {index for batch in alone[1 + 2 * epoch:3 + 2 * epoch] for _, index in batch}
                for epoch in range(3)]
    assert all(len(items) == 1 for items in left_out) and len(set().union(*left_out)) > 1


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


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("kind", METHODS)
def test_every_method_goes_on_as_if_nothing_had_happened(tmp_path, kind, ema, monkeypatch):
    """With its pool, its sharpness, its running statistics and its running mean; 4 steps, then the other 5."""
    def breaking(*given):
        if next(taken) == 6:
            raise OSError("the disk is away")
        return take_step(*given)

    def go(name: str, **changes) -> Path:
        data = Unpaired(Pairs()) if kind is CycleGAN else Pairs()
        train(kind(METHODS[kind]), data, tmp_path / name,
              **RUN | dict(decay_epochs=1, checkpoint_steps=4, log_steps=3, ema=ema) | changes)
        return tmp_path / name

    straight, taken, take_step = go("straight"), itertools.count(1), loop.take_step
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk is away"):
        patch.setattr(loop, "take_step", breaking)
        go("broken")
    assert read_state(newest_checkpoint(tmp_path / "broken" / "checkpoints")).step == 4
    broken = go("broken")
    assert not list(tmp_path.glob("broken.before-*"))  # it went on
    assert set(results(straight)) == {"generator.safetensors", "log.csv", "model.json"}
    assert results(broken) == results(straight)
    ends = [load_file(folder / "checkpoints" / "step-00000009" / "tensors.safetensors") for folder in (straight, broken)]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    if kind is CycleGAN:
        assert ends[0]["networks/pool_X/_extra_state"].shape == (2, 1, 32, 64)
    if kind is Depas:
        assert ends[0]["networks/generator/last.1.sharpness"] == 10
    if ema and kind is not CycleGAN:
        name = next(key for key in ends[0] if key.startswith("networks/generator/") and key.endswith("weight"))
        assert not torch.equal(ends[0][name], ends[0][name.replace("generator/", "generator average/")])


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


def test_a_run_of_other_code_is_moved_aside_said_in_a_line_and_can_still_be_loaded(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "pix2pix"
    run(folder)
    hashes = json.loads((folder / "model.json").read_text())["code"]
    assert {"Pix2Pix", "UNet", "PatchGAN", "gan_loss", "adam", "take_step", "data_order", "mix", "Pairs"} <= set(hashes)
    assert not {"save_checkpoint", "write_model", "Log", "train", "generate"} & set(hashes)  # no number hangs on these
    old, card = results(folder), (folder / "model.json").read_bytes()
    monkeypatch.setattr(resume, "definitions", lambda *things: hashes | {"gan_loss": "other"})
    run(folder)
    said = capsys.readouterr().out.splitlines()
    aside, = (path for path in tmp_path.iterdir() if path != folder)
    assert said == [f"pix2pix: settings, data, code or precision changed: the old run is kept as {aside.name}, "
                    "training begins anew"]
    assert aside.name.startswith("pix2pix.before-") and results(aside) == old
    assert (folder / "model.json").read_bytes() != card
    load_model(Pix2Pix, aside), load_model(Pix2Pix, folder)


def test_two_runs_moved_aside_within_a_second_are_both_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "2026-01-01-000000")
    for seed in (7, 8, 9):
        run(tmp_path / "run", seed=seed, epochs=0, decay_epochs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "run", "run.before-2026-01-01-000000", "run.before-2026-01-01-000000-2"]


@pytest.mark.parametrize("change", [{"data_fingerprint": "others"}, {"seed": 8}, {"decay_epochs": 1},
                                    {"dataset": Pairs(every=8)}])
def test_another_run_begins_anew(tmp_path, change, capsys):
    fresh, reused = tmp_path / "fresh", tmp_path / "reused"
    method, _ = run(reused, epochs=0)
    how = RUN | {"epochs": 0, "dataset": Pairs()} | change
    train(method, how.pop("dataset"), reused, **how)  # the same object, trained before
    assert "training begins anew" in capsys.readouterr().out
    run(fresh, epochs=0, sample=None, **change)
    wanted = results(fresh)
    assert {name: results(reused)[name] for name in wanted} == wanted


def test_a_new_run_takes_the_old_model_away_at_its_start(tmp_path):
    folder = tmp_path / "run"

    class Broken(Pairs):
        def __getitem__(self, index):
            raise OSError("the patch cannot be read")

    run(folder, epochs=0)
    with pytest.raises(OSError, match="cannot be read"):
        run(folder, epochs=0, dataset=Broken(), data_fingerprint="others")
    assert not (folder / "generator.safetensors").exists()
    with pytest.raises(FileNotFoundError, match="no training was finished"):
        load_model(Pix2Pix, folder)


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
    """In the layout of a GPU run: fused Adam misreads moments whose layout differs from their weights'."""
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
    exact = method.generate(coarse, seeds=[1])
    for _ in range(2):
        with prepared(method, "cpu", torch.bfloat16):
            generator = method.networks["generator"]
            rounded = generator(coarse, draw_noise(generator.noise(*coarse.shape[-2:]), 1))
            assert rounded.dtype == torch.float32
            assert torch.equal(rounded, rounded.bfloat16().float())
        assert {weight.dtype for weight in method.networks["generator"].parameters()} == {torch.float32}
        assert (method.generate(coarse, seeds=[1]) - exact).abs().max() < 1e-5  # the layout may differ


def test_one_process_may_train_in_one_precision_after_another(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    for precision, wanted in (("float32", "float32"), ("auto", "bfloat16"), ("float32", "float32")):
        run(tmp_path / wanted, precision=precision)
        assert json.loads((tmp_path / wanted / "model.json").read_text())["computed_in"] == wanted
    fine = [load_file(tmp_path / name / "generator.safetensors") for name in ("float32", "bfloat16")]
    assert not all(torch.equal(fine[0][key], fine[1][key]) for key in fine[0])


@pytest.mark.parametrize(("change", "message"), [
    ({"epochs": -1}, "epochs=-1: wanted 0 or more"),
    ({"epochs": 0, "decay_epochs": 0}, "nothing would be trained"),
    ({"log_steps": 0}, "log_steps=0: wanted 1 or more"),
    ({"ema": 1.0}, "ema=1.0: wanted 0 .* and less than 1"),
    ({"ema": -0.1}, "ema=-0.1: wanted 0"),
    ({"dataset": Pairs(0)}, "no item"),
    ({"device": "tpu"}, "device='tpu': wanted 'cpu' or 'cuda'"),
])
def test_arguments_out_of_range_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **change)
    assert not any(tmp_path.iterdir())


def test_killed_and_resumed_is_unbroken(unbroken, tmp_path, waiting_process):
    """Last, since the process takes seconds to import torch."""
    waiting_process.stdin.write(f"{tmp_path}\n")
    waiting_process.stdin.flush()
    while not (tmp_path / "checkpoints" / "step-00000004").exists() and waiting_process.poll() is None:
        time.sleep(0.005)
    waiting_process.kill()  # SIGKILL
    assert waiting_process.wait() == -signal.SIGKILL
    assert not (tmp_path / "model.json").exists()
    run(tmp_path)
    assert results(tmp_path) == results(unbroken)
