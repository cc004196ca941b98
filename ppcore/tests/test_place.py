"""Does the study run wherever it lies, from whichever folder, and whoever starts it?"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from argparse import Namespace
from pathlib import Path

import pytest

from ppcore.drawing.proxies import no_proxy
from ppcore.study.runs import REPOSITORY
from ppcore.tests.test_run import write_notebook

SHADOW = "raise ImportError('a file of the user was taken for a module of Python')"
TELL = """import json, random, sys
from pathlib import Path
import ppcore
from ppcore.study.runs import commit, data_folder
found = {"python": sys.executable, "ppcore": ppcore.__file__, "ipython": get_ipython().ipython_dir, "commit": commit()}
index = data_folder(profile, cohort) / "patches" / "index.csv"
index.parent.mkdir(parents=True, exist_ok=True)
index.write_text(json.dumps(found))"""

CHILD = """import subprocess, sys
from pathlib import Path
from ppcore.workflow.surroundings import surroundings
command = [sys.executable, "-P", "-c", "import random, ppcore; print(ppcore.__file__)"]
subprocess.run(command, env=surroundings(Path.cwd()), check=True)"""


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The study in a folder that a shell would take for more than a name; its notebook 01 tells where it runs."""
    folder = tmp_path / "a {b} c'é $d"
    shutil.copytree(REPOSITORY / "ppcore", folder / "ppcore", ignore=shutil.ignore_patterns("tests", "__pycache__"))
    shutil.copytree(REPOSITORY / "notebooks", folder / "notebooks")
    write_notebook(folder / "notebooks" / "01_preprocessing.ipynb", 'profile = "smoke"\ncohort = "PHANTOM"', TELL)
    return folder


def start(checkout: Path, *arguments: str, stand: Path, **environment: str) -> tuple[int, str]:
    """Run a command line as run_all.sh does, standing in a folder; its status and what it says."""
    command = [sys.executable, "-I", checkout / "ppcore" / "run.py", *arguments]
    usual = {name: value for name, value in os.environ.items() if not name.startswith("PRIORPATH")}
    done = subprocess.run(command, cwd=stand, env=usual | environment, text=True, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def repository(folder: Path, content: str) -> str:
    """Make a folder a git repository with one commit. Returns the commit, as the study writes it."""
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-C", folder]
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", content], check=True)
    return subprocess.run([*git, "rev-parse", "--short=8", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def awkward(tmp_path) -> dict[str, str]:
    """Variables of a user who has no writable home, no git, another kernel, and another checkout in PYTHONPATH."""
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    (tmp_path / "other" / "ppcore").mkdir(parents=True)
    (tmp_path / "other" / "ppcore" / "__init__.py").write_text(SHADOW)
    (tmp_path / "bin").mkdir()
    for name in ("bash", "which"):  # what Snakemake needs
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    return {"HOME": "/proc/1/nothing", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": "", "IPYTHONDIR": "",
            "JUPYTER_PATH": str(tmp_path / "jupyter"), "PYTHONPATH": str(tmp_path / "other"), "PATH": str(tmp_path / "bin")}


def test_a_notebook_runs_in_an_awkward_place_with_the_code_kernel_and_commit_of_its_checkout(checkout, awkward, tmp_path):
    repository(tmp_path, "another project, around the study")
    stand = tmp_path / "stand"
    stand.mkdir()
    for name in ("random.py", "numpy.py", "yaml.py"):
        (stand / name).write_text(SHADOW)
    status, said = start(checkout, "--profile", "smoke", "--only", "01", stand=stand, PRIORPATH_HOME="o {u} t's", **awkward)
    assert status == 0, said
    assert "will name no commit" in said
    found = json.loads((stand / "o {u} t's" / "data" / "smoke" / "PHANTOM" / "patches" / "index.csv").read_text())
    assert found["python"] == sys.executable and found["commit"] == "unknown"
    assert Path(found["ppcore"]).is_relative_to(checkout)
    assert Path(found["ipython"]).is_relative_to(stand)  # and no settings of the user's own


def test_no_file_beside_run_all_is_taken_for_a_module(checkout):
    for name in ("random.py", "pydantic.py", "yaml.py"):
        (checkout / name).write_text(SHADOW)
    status, said = start(checkout, "parameters", stand=checkout)
    assert status == 0 and "coarse_close" in said, said


@pytest.mark.parametrize("arguments, words", [
    (["--only", "02"], ["MissingInputException", "patches/index.csv"]),
    (["--only", "01", "--", "--no-such-option"], ["unrecognized arguments: --no-such-option"]),
])
def test_what_snakemake_itself_cannot_do_is_told_in_the_closing_table(checkout, tmp_path, arguments, words):
    status, said = start(checkout, "--profile", "smoke", *arguments, stand=tmp_path, PRIORPATH_HOME=str(tmp_path / "home"))
    table = said.partition("not run")[2]
    assert status == 1 and "Snakemake ended with status" in table and "[--" not in table  # its options
    assert all(word in table for word in words), said


def test_a_workflow_that_cannot_be_read_says_where(checkout, tmp_path):
    workflow = checkout / "notebooks" / "Snakefile"
    workflow.write_text("raise OSError('the folder of slides is gone')\n" + workflow.read_text())
    status, said = start(checkout, "--profile", "smoke", "--only", "01", stand=tmp_path, PRIORPATH_HOME=str(tmp_path / "home"))
    assert status == 1 and "OSError in file" in said and "the folder of slides is gone" in said.partition("not run")[2]


def test_a_folder_that_takes_no_file_is_named_before_anything_starts(monkeypatch, capsys):
    from ppcore.run import main

    monkeypatch.setenv("PRIORPATH_HOME", "/proc/1/nothing")
    assert main(["--profile", "smoke"]) == 2
    assert "/proc/1/nothing/data/smoke/PHANTOM: nothing can be stored there" in capsys.readouterr().err


def commit_of(checkout: Path, **environment: str) -> str:
    command = [sys.executable, "-c", "from ppcore.study.runs import commit; print(commit())"]
    done = subprocess.run(command, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)} | environment, check=True,
                          capture_output=True, text=True)
    return done.stdout.strip()


def test_a_commit_is_that_of_the_checkout_or_unknown(checkout, tmp_path):
    around = repository(tmp_path, "another project, around the study")
    assert commit_of(checkout) == "unknown"
    own = repository(checkout, "the study")
    assert own != around
    assert commit_of(checkout) == commit_of(checkout, GIT_DIR=str(tmp_path / ".git")) == own
    assert commit_of(checkout, PATH=str(tmp_path / "no git here")) == "unknown"
    subprocess.run(["git", "-C", checkout, "worktree", "add", "--quiet", "--detach", tmp_path / "tree"], check=True)
    shutil.copytree(checkout / "ppcore", tmp_path / "tree" / "ppcore")
    assert commit_of(tmp_path / "tree") == own  # whose .git is a file


@pytest.mark.parametrize("name", ["slides", "sketches", "vgg_weights", "inception_weights"])
def test_a_path_is_seen_from_the_folder_in_which_it_was_typed(name, tmp_path, monkeypatch):
    from ppcore.workflow.parameters import study_settings
    from ppcore.workflow.settings import PATHS

    (tmp_path / "2024").mkdir()  # YAML would read a number
    (tmp_path / "2024" / "a.png").touch()
    monkeypatch.chdir(tmp_path)
    typed = {"slides=2024", f"{name}=2024"}
    options = Namespace(profile="smoke", cohort=["MINE"], slides=None, stain="he", parameters=list(typed))
    assert study_settings(options)["MINE"][name] == str(tmp_path / "2024")
    options.slides, options.parameters = "2024", [f"{path}=" for path in PATHS if path != "slides"]
    settings = study_settings(options)["MINE"]
    assert [settings[path] for path in PATHS] == [str(tmp_path / "2024"), "", "", ""]


def test_the_page_answers_whatever_proxies_the_user_has(tmp_path, monkeypatch):
    from ppcore.tests.test_answer import store_models

    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    store_models(image=False)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxies = {"ALL_PROXY": "socks5://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "no-such-kind://"}
    command = [sys.executable, "-m", "ppcore.run", "draw", "--profile", "smoke", "--host", "0.0.0.0", "--port", str(port)]
    with open(tmp_path / "said.txt", "w+") as said:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=said, stderr=subprocess.STDOUT, env=os.environ | proxies
                                   | {"HOME": "/proc/1/nothing", "GRADIO_TEMP_DIR": str(tmp_path / "g")})
        try:
            until = time.monotonic() + 300
            while time.monotonic() < until and process.poll() is None and not answers(port):
                time.sleep(0.2)
            time.sleep(2)  # Gradio asks for itself once it is up
            assert process.poll() is None and answers(port), (tmp_path / "said.txt").read_text()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def answers(port: int) -> bool:
    """Whether a page is there."""
    try:
        plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return plain.open(f"http://127.0.0.1:{port}", timeout=20).status == 200
    except OSError:
        return False


def test_proxies_are_back_after_the_page_is_up(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with no_proxy():
        assert "ALL_PROXY" not in os.environ
    assert os.environ["ALL_PROXY"] == "socks5://127.0.0.1:9"


def test_an_environment_that_was_moved_or_copied_runs_the_code_beside_it(tmp_path):
    """run_all.sh with an empty lock: it sets up all but the packages, and the command line needs none to refuse a word."""
    first = tmp_path / "fi rst"
    shutil.copytree(REPOSITORY / "ppcore", first / "ppcore", ignore=shutil.ignore_patterns("tests", "__pycache__"))
    shutil.copy(REPOSITORY / "run_all.sh", first)
    (first / "requirements.lock").touch()
    (tmp_path / "argparse.py").write_text(SHADOW)
    uv = Path(sys.prefix) / "bin"  # the lock's own
    usual = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([first / "run_all.sh", "--no-such-option"], cwd=tmp_path, text=True, capture_output=True, check=False,
                          env=usual | {"PATH": f"{uv}{os.pathsep}{os.environ['PATH']}", "UV_OFFLINE": "1"})
    assert done.returncode == 2 and "unrecognized arguments: --no-such-option" in done.stderr
    shutil.copytree(first, tmp_path / "second", symlinks=True)
    for folder in (first, tmp_path / "second"):
        (folder / "random.py").write_text(SHADOW)
        found = subprocess.run([folder / ".venv" / "bin" / "python", "-P", "-c", CHILD], cwd=tmp_path, env=usual, text=True,
                               capture_output=True, check=True).stdout
        assert found.strip() == str(folder / "ppcore" / "__init__.py")
    assert "relocatable = true" in (first / ".venv" / "pyvenv.cfg").read_text()  # the scripts beside it too
