"""What is a run? Where it reads and writes, and on which device, machine and commit."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ppcore.study.errors import StudyError, show_warnings_plainly

REPOSITORY = Path(__file__).resolve().parents[2]
COHORT = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # cohort names; none can leave its folder


def home() -> Path:
    """The folder that holds data/ and figures/: PRIORPATH_HOME, else the repository. Always a full path."""
    return Path(os.environ.get("PRIORPATH_HOME") or REPOSITORY).expanduser().absolute()


def data_folder(profile: str, cohort: str) -> Path:
    """Folder of one run's stage outputs. Raises `StudyError` for a cohort name that could leave it."""
    if not re.match(COHORT, cohort):
        raise StudyError(f"cohort {cohort[:100]!r}: wanted letters, digits, dots, dashes and underscores, starting "
                         "with a letter or digit")
    return home() / "data" / profile / cohort


def figures_folder(profile: str, cohort: str) -> Path:
    """Folder of one run's figures and tables."""
    return home() / "figures" / profile / cohort


def commit() -> str:
    """Short hash of this checkout's commit; `-dirty` is added if tracked files differ from it, except in figures/,
    which a run writes. `unknown` where git is not installed, or the code was unpacked without its history."""
    if not shutil.which("git"):
        return "unknown"
    git = ["git", "-C", str(REPOSITORY), "--git-dir", ".git", "--work-tree", "."]  # never of a folder around it
    done = subprocess.run([*git, "rev-parse", "--short=8", "HEAD"], capture_output=True, text=True, check=False)
    if done.returncode:
        return "unknown"
    same = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ".", ":!figures"], check=False).returncode == 0
    return done.stdout.strip() + ("" if same else "-dirty")


@dataclass(frozen=True)
class Run:
    """What a notebook knows of its run: where to read and write, on which device and commit."""

    profile: str
    cohort: str
    data: Path
    figures: Path
    device: str
    commit: str


def open_run(profile: str, cohort: str, threads: int) -> Run:
    """Open a notebook's run: make its folders, set the number of CPU threads, print where it runs.

    The device is the first GPU if there is one, else the CPU. Warnings are shown without the code that raised them.
    """
    import torch  # here, so that the command line starts without it

    threads = min(threads, os.cpu_count() or 1)  # more threads than cores would wait for each other
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Run(profile, cohort, data_folder(profile, cohort), figures_folder(profile, cohort), device, commit())
    run.data.mkdir(parents=True, exist_ok=True)
    run.figures.mkdir(parents=True, exist_ok=True)
    show_warnings_plainly()
    hardware = torch.cuda.get_device_name() if device == "cuda" else f"CPU, threads: {threads}"
    print(f"profile {profile}, cohort {cohort}, {hardware}, commit {run.commit}, torch {torch.__version__}")
    return run


def machine(device: str) -> str:
    """Name of the GPU, or of the CPU with its number of cores and whether it has bfloat16 units."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in (info.read_text().splitlines() if info.exists() else [])
             if line.startswith("model name")]
    name = f"{len(names)} x {names[0]}" if names else platform.processor() or platform.machine()
    return f"{name}, {'with' if torch.cpu._is_avx512_bf16_supported() else 'without'} bfloat16 units"