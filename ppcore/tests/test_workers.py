"""Does a cluster cut the same set as threads, even when a worker dies? Real processes, as a user starts them."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from distributed import Client

from ppcore.masks.patches import check_set, store_index
from ppcore.slides.cut import cut_patches
from ppcore.slides.folder import list_sources
from ppcore.slides.workers import DASK, workers
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file
from ppcore.study.runs import REPOSITORY
from ppcore.tests.test_run import run_all
from ppcore.tests.test_slides import GRID, picture, write_slide


@contextmanager
def cluster(folder, count: int, path: str = str(REPOSITORY)):
    """`dask scheduler` and `dask worker` as processes of their own: yields the address and the workers."""
    dask = [sys.executable, "-m", "dask"]
    how = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": path}, "stdout": subprocess.DEVNULL,
           "stderr": subprocess.DEVNULL}
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    started = [subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                                 "--scheduler-file", str(file)], **how)]
    try:
        started += [subprocess.Popen([*dask, "worker", "--scheduler-file", str(file), "--no-nanny", "--nthreads", "1",
                                      "--no-dashboard"], **how) for _ in range(count)]
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            if count:
                client.wait_for_workers(count, timeout=60)
            address = client.scheduler.address
        yield address, started[1:]
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def files_of(folder) -> dict[str, str]:
    return {str(path.relative_to(folder)): hash_file(path) for path in folder.rglob("*") if path.is_file()}


def test_a_worker_that_is_killed_leaves_nothing_missing_double_or_half(tmp_path, monkeypatch):
    (tmp_path / "slides").mkdir()
    for number in range(6):
        write_slide(tmp_path / "slides" / f"{number}.tif", picture(1024, 1024, seed=number), mpp=1.0)
    sources = list_sources(tmp_path / "slides")
    index, table = cut_patches(sources, tmp_path / "threads", **GRID)
    with cluster(tmp_path, count=2) as (address, (victim, other)):
        rgb = tmp_path / "cluster" / "rgb"

        def kill() -> None:  # when a quarter is cut: both workers have slides begun
            while not rgb.is_dir() or len(list(rgb.iterdir())) < len(index) / 4:
                time.sleep(0.01)
            victim.send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill)
        monkeypatch.setenv(DASK, address)
        killer.start()
        again, again_table = cut_patches(sources, tmp_path / "cluster", **GRID)
        killer.join()
        assert victim.wait() == -signal.SIGKILL and other.poll() is None
    for name, parts in (("threads", (index, table)), ("cluster", (again, again_table))):
        store_index(parts[0].assign(split="train"), parts[1], tmp_path / name)
        assert check_set(tmp_path / name) == len(index) == 6 * 128
    assert files_of(tmp_path / "cluster") == files_of(tmp_path / "threads")


def test_a_cluster_that_cannot_work_is_told_before_anything_is_cut(tmp_path, monkeypatch):
    write_slide(tmp_path / "a.tif", picture(128, 256), mpp=1.0)
    sources = list_sources(tmp_path)
    foreign = tmp_path / "foreign"  # another commit: one module differs
    shutil.copytree(REPOSITORY / "ppcore", foreign / "ppcore", ignore=shutil.ignore_patterns("tests", "__pycache__"))
    with open(foreign / "ppcore" / "masks" / "make.py", "a") as module:
        module.write("\nOTHER = 1\n")
    with cluster(tmp_path, count=1, path=str(foreign)) as (address, _):
        monkeypatch.setenv(DASK, address)
        with pytest.raises(StudyError, match="worker tcp.* has a different version of ppcore/masks/make.py"):
            cut_patches(sources, tmp_path / "out", **GRID)
    with cluster(tmp_path, count=1) as (address, _):
        monkeypatch.setenv(DASK, address)
        with pytest.raises(StudyError, match="worker tcp.* does not see the folder .*nowhere: put slides and data"):
            with workers(1, tmp_path / "nowhere"):
                pass
    with cluster(tmp_path, count=0) as (address, _):
        status, said = run_all("--profile", "smoke", "--dask", address, home=tmp_path / "home")
        assert status == 2 and "the scheduler has no workers" in said
    status, said = run_all("--profile", "smoke", "--dask", "tcp://127.0.0.1:9", home=tmp_path / "home")
    assert status == 2 and "nothing was started" in said and "no scheduler answers there" in said
