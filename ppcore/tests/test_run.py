"""The command line and the workflow, as a person meets them: real processes, real exit statuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock

from ppcore.study.files import atomic
from ppcore.study.runs import REPOSITORY
from ppcore.workflow import notebooks

SMOKE = os.environ.get("PRIORPATH_SMOKE")  # a folder where `./run_all.sh test` has run the smoke profile
after_smoke = pytest.mark.skipif(not SMOKE, reason="needs the finished smoke run of ./run_all.sh test")


def run_all(*arguments: str, home: str | Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "ppcore.run", *arguments], cwd=REPOSITORY, text=True, check=False,
                          env={**os.environ, "PRIORPATH_HOME": str(home)}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.mark.parametrize("arguments, words", [
    (["-p", "coarse_clsoe=3"], "did you mean 'coarse_close'"),
    (["-p", "coarse_close"], "wanted NAME=VALUE"),
    (["-p", "cohort=X"], "use --cohort X"),
    (["--cohort", "BONES"], "cohort 'BONES' is not known"),
    (["--cohort", "A", "B", "--slides", "."], "run one at a time"),
    (["--cohort", "PHANTOM", "--slides", "."], "takes no --slides"),
    (["--cohort", "PHANTOM", "--stain", "ihc"], "drawn with the stain 'he'"),
    (["--cohort", "MINE", "--slides", "/nowhere"], "no such folder"),
    (["--cohort", "MINE", "--slides", "ppcore/study"], "holds no image"),
    (["--from", "99"], "no such notebook"),
    (["generate"], "wanted --to DIR"),
    (["generate", "--to", "pairs"], "run notebook 03 first"),
    (["generate", "--to", "pairs", "--cohort", "PRAD"], "cohort PRAD has no trained noise-gan in the profile demo"),
    (["--update-notebooks", "--profile", "smoke"], "demo on PHANTOM"),
])
def test_a_command_that_cannot_work_starts_nothing(arguments, words, tmp_path, capsys, monkeypatch):
    from ppcore.run import main

    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    monkeypatch.chdir(REPOSITORY)
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_your_own_images_need_a_stain(tmp_path, capsys):
    from ppcore.run import main

    (tmp_path / "a.png").write_bytes(b"x")
    assert main(["--cohort", "MINE", "--slides", str(tmp_path)]) == 2
    assert "--stain he (air above gray 204) or --stain ihc" in capsys.readouterr().err


def write_notebook(path: Path, *sources: str, tags: str = "parameters") -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = [tags]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """An empty study with a folder for notebooks; returns a function that executes one."""
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    plan = {"id": "this run", "owner": f"{os.uname().nodename}:{os.getpid()}", "cohorts": {"C": {"width": 3}}}
    (tmp_path / "run.json").write_text(json.dumps(plan))

    def execute(number: str) -> tuple[int, dict]:
        status = notebooks.execute(number, "smoke", "C", tmp_path / "run.json")
        return status, json.loads(notebooks.record_path("smoke", "C", number).read_text())

    return execute


def test_a_notebook_gets_its_parameters_and_its_outcome_is_recorded(study, tmp_path):
    write_notebook(tmp_path / "01_x.ipynb", "width = 1", "from ppcore.study.errors import warn\n"
                   "from ppcore.study.runs import open_run\nrun = open_run('smoke', 'C', 1)\nwarn('mind the gap')",
                   "assert width == 3", "width // 0")
    status, record = study("01")
    assert status == 1 and record["status"] == "failed"
    assert record["cell"] == 5  # In [5] of the executed notebook: papermill has put in a cell of parameters
    assert record["error"].startswith("ZeroDivisionError") and record["warnings"] == ["mind the gap"]
    executed = nbformat.read(tmp_path / "data" / "smoke" / "C" / "notebooks" / "01_x.ipynb", as_version=4)
    assert any(output.output_type == "error" for cell in executed.cells for output in cell.get("outputs", []))


def test_a_kernel_that_is_killed_is_recorded_as_a_failure(study, tmp_path):
    write_notebook(tmp_path / "01_x.ipynb", "width = 1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    status, record = study("01")
    assert status == 1 and record["status"] == "failed" and "died" in record["error"].lower()


def test_kept_outputs_hold_the_end_of_a_progress_bar_and_no_trace_of_papermill(study, tmp_path):
    source = "import sys\nfor i in range(50):\n    print(f'\\r{i}', end='', file=sys.stderr, flush=True)"
    write_notebook(tmp_path / "01_x.ipynb", "width = 1", source)
    assert study("01")[0] == 0
    notebooks.update_kept_outputs("smoke", "C", ["01"])
    kept = nbformat.read(tmp_path / "01_x.ipynb", as_version=4)
    assert [cell.source for cell in kept.cells] == ["width = 1", source]
    assert kept.cells[1].outputs[0].text == "49" and "papermill" not in (tmp_path / "01_x.ipynb").read_text()


def test_of_bars_with_one_name_the_last_is_kept_and_of_each_its_last_state():
    text = ("cutting:  50%|█    | 1/2 [00:01]\rcutting: 100%|██| 2/2 [00:02]\nwords: 3 of them\ncutting: 100%|██| 9/9 [00:03]\n"
            "morphometry: 7mask [00:01, 7mask/s]\nmorphometry: 9mask [00:02, 9mask/s]\n100%|██| 4/4 [00:00]\n100%|██| 5/5 [00:00]\n")
    assert notebooks._last_of_each_bar(text).split("\n") == [
        "words: 3 of them", "cutting: 100%|██| 9/9 [00:03]", "morphometry: 9mask [00:02, 9mask/s]", "100%|██| 4/4 [00:00]",
        "100%|██| 5/5 [00:00]", ""]


def test_a_fingerprint_follows_code_and_not_outputs_or_times(tmp_path, monkeypatch):
    path = tmp_path / "01_x.ipynb"
    write_notebook(path, "a = 1", "from ppcore.slides.cut import cut_patches")
    before = notebooks.code_fingerprint(path)
    # ppcore.slides.cut imports slides and masks, which import files and settings; training is not reached
    assert {"ppcore/slides/cut.py", "ppcore/slides/read.py", "ppcore/masks/make.py", "ppcore/study/files.py"} <= set(before)
    assert not any("training" in name for name in before)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="seen")]
    nbformat.write(notebook, path)
    os.utime(REPOSITORY / "ppcore" / "masks" / "make.py")
    assert notebooks.code_fingerprint(path) == before
    write_notebook(path, "a = 1", "from ppcore.slides.cut import cut_patches  # a comment")
    assert notebooks.code_fingerprint(path) == before
    assert "ppcore/networks/unet.py" in notebooks.code_fingerprint(path, ["ppcore.methods.pix2pix"])
    write_notebook(path, "a = 2", "from ppcore.slides.cut import cut_patches")
    assert notebooks.code_fingerprint(path) != before


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("ne")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


@after_smoke
def test_a_second_run_does_nothing_and_says_so():
    os.utime(REPOSITORY / "ppcore" / "masks" / "patches.py")  # touched, not changed
    status, said = run_all("--profile", "smoke", home=SMOKE)
    assert status == 0 and "Nothing to do: all 10 notebooks are up to date" in said


@after_smoke
def test_a_changed_parameter_reruns_the_notebooks_that_use_it_and_what_follows():
    status, said = run_all("--profile", "smoke", "--dry-run", "-p", "coarse_close=12", home=SMOKE)
    assert status == 0
    assert re.findall(r"would run (\d\d)_", said) == ["02", "03", "04", "06", "07", "08", "09", "10"]


@after_smoke
def test_tables_that_came_with_the_repository_do_not_pass_for_a_finished_study(tmp_path):
    shutil.copytree(Path(SMOKE) / "figures", tmp_path / "figures")
    status, said = run_all("--profile", "smoke", "--dry-run", home=tmp_path)
    assert status == 0 and re.findall(r"would run (\d\d)_", said) == ["01", "02", "03", "04", "05", "06", "07", "08",
                                                                       "09", "10"]


@after_smoke
def test_only_runs_one_notebook_and_its_cohort_is_locked_meanwhile():
    with FileLock(Path(SMOKE) / "data" / "smoke" / "PHANTOM" / ".run.lock"):
        status, said = run_all("--profile", "smoke", "--only", "14", home=SMOKE)
        assert status == 2 and "is already being run by process" in said
    status, said = run_all("--profile", "smoke", "--only", "14", home=SMOKE)
    assert status == 0 and re.findall(r"(\d\d_\w+)  done", said) == ["14_slides_speed"]
    status, said = run_all("--profile", "smoke", "--dry-run", "--only", "12", "09", home=SMOKE)
    assert status == 0 and re.findall(r"would run (\d\d)_", said) == ["09", "12"]
    status, said = run_all("--profile", "smoke", "--dry-run", "--only", "09", "17", home=SMOKE)
    assert status == 2 and "--only 17: there is no such notebook" in said
