"""Does the script for a GPU run, here at a tiny size on the CPU, and would it see what is wrong?"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open

from ppcore.experiments.gpu import bench, faster, good, needs, resumed, right
from ppcore.experiments.gpu.bench import NAMES, TINY, Clock, make
from ppcore.experiments.gpu.fast import at_once, timed
from ppcore.experiments.gpu.floors import Traffic, step_floor
from ppcore.experiments.gpu.script import ANSWER
from ppcore.methods.bernoulli_diffusion import BernoulliDiffusion
from ppcore.methods.table import ROWS
from ppcore.networks.layers import InstanceNorm
from ppcore.study.errors import StudyError
from ppcore.study.runs import REPOSITORY
from ppcore.training import ema

MOST_FILES, LARGEST = 9, 16 * 2**20


ONE_METHOD = "from ppcore.experiments.gpu import script; script.NAMES, script.SECONDS_TINY = ('diffusion',), 0.1; "


def start(folder: Path, home: Path, minutes: float, *python: str) -> subprocess.Popen:
    command = [sys.executable, *python, "gpu", "--device", "cpu", "--minutes", str(minutes), "--to", folder]
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env={**os.environ, "PRIORPATH_HOME": str(home)})


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A whole run in a process of its own: its folder, and what it said."""
    home = tmp_path_factory.mktemp("gpu")
    process = start(home / "new" / "tables", home, 0.75, "-m", "ppcore.run")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return home / "new" / "tables", said


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_method_is_checked_timed_and_named_in_the_table(finished):
    folder, said = finished
    checked, timed = (pd.read_csv(folder / f"{part}.csv") for part in ("right", "fast"))
    assert set(NAMES) == {row.name for row in ROWS if row.model and row.makes == "mask"} | {
        "fine-to-image", "noise-image"}
    for name in NAMES:
        mine = checked[checked["method"] == name]
        assert {"float32", "layout", "bfloat16", "Adam", "resume"} <= set(mine["check"]) and mine["ok"].all()
        mine = timed[timed["method"] == name]
        assert {"textbook", "ours", "one", "in one pass", "floor on paper"} <= {*mine["how"], *mine["what"]}
        assert (mine.loc[mine["how"] == "ours", "images_per_s"] > 0).all()
        ways = mine[mine["how"].isin(["CUDA graph", "torch.compile"])]
        assert len(ways) == 2 and (ways.get("gain", pd.Series(np.nan, ways.index)).notna() | ways["note"].notna()).all()
    table = (folder / "table.txt").read_text()
    assert table in said and all(name in table for name in (*NAMES, ANSWER, "real-train"))
    exact = checked[(checked["check"] == "float32") | (checked["what"] == "resumed")]
    assert (exact["error"] == 0).all()  # the CPU against itself


def test_quality_grows_on_a_ladder_of_minutes(finished):
    rungs = pd.read_csv(finished[0] / "good.csv")
    for name in bench.FIRST:
        mine = rungs[rungs["method"] == name]
        assert len(mine) >= 3 and mine["minutes"].is_monotonic_increasing and mine["steps"].is_monotonic_increasing
        assert mine["mmd2"].notna().any()
    assert {"real-train", "real-train, images"} < set(rungs["method"])


def test_what_comes_back_is_small_and_flat(finished):
    files = list(finished[0].iterdir())
    assert len(files) <= MOST_FILES and all(path.is_file() and path.stat().st_size < LARGEST for path in files)
    assert {"right.csv", "fast.csv", "good.csv", "table.txt", "masks.png", "images.jpg"} < {path.name for path in files}
    with safe_open(finished[0] / "noise-GAN.safetensors", "pt") as file:
        assert file.metadata()["method"] == "NoiseGAN" and float(file.metadata()["minutes"]) > 0


def test_full_models_that_are_stored_are_small_enough():
    for name in good.BATCH:
        weights = make(name, bench.FULL, False).networks["generator"].state_dict().values()
        assert sum(weight.numel() * weight.element_size() for weight in weights) < LARGEST


def test_a_run_killed_in_part_three_leaves_the_parts_before(tmp_path):
    process = start(tmp_path / "out", tmp_path, 5, "-c", ONE_METHOD + "from ppcore.run import main; main()")
    for line in process.stdout:
        if "How good" in line:
            break
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.read()  # until its helpers have ended, too
    for part in ("right", "fast"):
        assert "diffusion" in set(pd.read_csv(tmp_path / "out" / f"{part}.csv")["method"])
    assert not list((tmp_path / "out").glob("*.part*"))


def spoiled(changed: str):
    """`make`, whose second method of a kind has one weight changed, as on a device that computes wrongly."""
    made = []

    def make_again(name, *how, **changes):
        method = make(name, *how, **changes)
        made.append(name)
        if made.count(name) == 3:  # after the reference and the CPU's other order of sums
            weight = next(iter(method.networks[changed].parameters()))
            weight.data.view(-1)[0] += 0.5
        return method

    return make_again


@pytest.mark.parametrize("name, network", [("noise-GAN", "generator"), ("noise-GAN", "discriminator"),
                                           ("pix2pix", "discriminator"), ("fine-to-image", "generator")])
def test_one_wrong_weight_fails(name, network, monkeypatch):
    monkeypatch.setattr(right, "make", spoiled(network))
    failed = {(row["check"], row["what"]) for row in right.of_method(name, TINY, True, "cpu") if not row["ok"]}
    assert ("float32", "gradients") in failed and ("float32", "losses") in failed
    assert (("float32", "made") in failed) == (network == "generator")


def test_what_is_not_finite_fails(monkeypatch):
    def broken(self, batch):
        return {"entropy": step(self, batch)["entropy"] * float("nan")}

    step = BernoulliDiffusion.step
    reference = right.outcome("diffusion", TINY, True, "cpu", torch.float32)
    monkeypatch.setattr(BernoulliDiffusion, "step", broken)
    ours = right.outcome("diffusion", TINY, True, "cpu", torch.float32)
    found = right.errors(ours, reference)
    assert np.isnan(list(found.values())).all() and not right.row("float32", "losses", found["losses"], 1.0)["ok"]


def test_a_page_that_answers_otherwise_fails():
    def answer(device, precision):
        return lambda sketch, seed: sketch if precision == "float32" else 1 - sketch

    assert [row["ok"] for row in right.of_answer(answer, TINY, "cpu")] == [True, False]


def test_a_mean_that_forgets_and_a_training_that_resumes_wrongly_are_seen(monkeypatch, tmp_path):
    assert right.mean_error("pix2pix", TINY, True, "cpu") < 1e-6
    update = ema.Average.update
    monkeypatch.setattr(ema.Average, "update", lambda self: setattr(self, "decay", 0.5) or update(self))
    assert right.mean_error("pix2pix", TINY, True, "cpu") > 1e-2
    monkeypatch.undo()
    take = resumed.train

    def train_again(method, data, home, **how):
        if home.name == "resumed" and "sample" not in how:
            assert list((home / "checkpoints").glob("step-*"))
            shutil.rmtree(home)
            how["seed"] = 2  # as a run that begins anew with other draws
        return take(method, data, home, **how)

    monkeypatch.setattr(resumed, "train", train_again)
    rows = {row["what"]: row for row in resumed.of_method("pix2pix", "cpu", tmp_path)}
    assert rows["again"]["ok"] and not rows["resumed"]["ok"]


def test_draws_are_the_same_on_every_device():
    """Draws for another device come from the CPU's generator, in order."""
    torch.manual_seed(3)
    first, second = torch.rand(2), torch.randn(2)
    with right.SameDraws():
        torch.manual_seed(3)
        assert torch.rand(2, device="meta").is_meta
        assert torch.equal(torch.randn_like(second), second)
        torch.manual_seed(3)
        assert torch.equal(torch.rand_like(first.double()), first.double())


@pytest.mark.parametrize("name", NAMES)
def test_one_pass_equals_many(name):
    method = make(name, TINY, True)
    given = {"DCGAN": None, "DEPAS": None, "fine-to-image": "mask", "noise-image": "mask"}.get(name, "coarse")
    x = bench.batch_of(3, TINY)[given] if given else None
    together, apart = at_once(method, x, [5, 6, 7], "cpu"), method.generate(x, [5, 6, 7])
    assert together.shape == apart.shape and ((together > 0) != (apart > 0)).double().mean() < 1e-3


def test_floors_are_those_of_a_hand_count():
    """A batch of two has twice the operations, and less than twice the bytes, as weights are read once."""
    for name in ("noise-GAN", "CycleGAN", "DCGAN"):
        one, two = (step_floor(name, TINY, True, count) for count in (1, 2))
        assert two["flop"] == pytest.approx(2 * one["flop"]) and one["bytes"] < two["bytes"] < 2 * one["bytes"]
    convolution = torch.nn.Conv2d(3, 5, 4, stride=2, padding=1)
    with Traffic() as traffic:
        convolution(torch.zeros(2, 3, 8, 16)).relu()
    assert traffic.elements == 2 * 3 * 8 * 16 + 5 * 3 * 4 * 4 + 5 + 2 * 5 * 4 * 8
    paper = step_floor("pix2pix", bench.FULL, False, 1)
    stored = pd.read_csv(REPOSITORY / "figures" / "demo" / "benchmark.csv").set_index(["what", "method"])["flop"]
    assert paper["flop"] == stored["training step", "pix2pix"]
    assert paper["bytes"] > 28 * 54e6  # Adam's seven passes over the U-Net's weights


def test_a_compiled_step_has_the_same_gradients():
    row = faster.attempt(faster.COMPILE, "pix2pix", TINY, True, "cpu")
    assert row["error"] < 1e-5 and row["gain"] > 0


def test_attempts_end_with_their_time():
    rows = list(faster.attempts(faster.COMPILE, TINY, True, "cpu", ("pix2pix", "DCGAN"), 0.1))
    assert [row["note"] for row in rows] == ["no time left of 0 s"] * 2
    rows = list(faster.attempts(faster.GRAPH, TINY, True, "cpu", ("pix2pix",), 10.0))
    assert [row["note"] for row in rows] == ["only on a GPU"]


def test_a_ladder_ends_at_the_time_that_there_is():
    assert good.ladder(8) == [1, 2, 4, 8] and good.ladder(9) == [1, 2, 4, 8]
    assert good.ladder(1.4) == [0.125, 0.25, 0.5, 1, 1.4]
    assert Clock(-1).left() == 0 and 0 < Clock(10).left() <= 10


def test_rounds_fit_the_time():
    calls = []
    taken = timed({"a": lambda: calls.append(time.sleep(0.02))}, 0.3, "cpu")["a"]
    assert 2 <= len(taken) <= 13 and len(calls) == len(taken) + 3
    assert len(timed({"a": lambda: None}, 0.0, "cpu")["a"]) == 2


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(needs.NEEDED, "not_there_at_all", "its-package")
    with pytest.raises(StudyError, match="lacks its-package: install with\n  pip install its-package"):
        needs.check_needs()


@pytest.mark.parametrize("arguments, words", [
    (["gpu", "--minutes", "0"], "wanted --minutes above 0"), (["gpu", "-p", "ndf=4"], "no -p"),
    (["gpu", "--device", "cpu", "--cohort", "MINE"], "cohort MINE has no patches in the profile paper"),
    (["gpu", "--device", "cpu", "--patches", "/nowhere"], "run notebook 01 first"),
    pytest.param(["gpu"], "torch finds no GPU", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"))])
def test_a_command_that_cannot_work_starts_nothing(arguments, words, tmp_path, capsys, monkeypatch):
    from ppcore.run import main

    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    assert main(arguments) == 2 and words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_layers_the_textbook_replaces_are_there():
    from ppcore.experiments.textbook import STEPS, plain

    for name, (_, norm) in STEPS.items():
        method = make(name, TINY, True)
        ours = [layer for network in method.networks.values() for layer in network.modules()
                if isinstance(layer, InstanceNorm)]
        theirs = [layer for network in plain(method.networks, norm).values() for layer in network.modules()]
        assert not any(isinstance(layer, InstanceNorm) for layer in theirs)
        assert sum(type(layer) is norm for layer in theirs) >= len(ours)
