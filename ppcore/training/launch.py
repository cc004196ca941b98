"""How do several processes train one model? torchrun starts them; each takes its share of every batch.

The notebook's call stays the same: `train(..., processes=2)` writes a job file, runs it with torchrun and
waits. On several nodes, the variable PRIORPATH_TORCHRUN holds torchrun's arguments for the notebook's node; the
other nodes are started by hand on the same folder:

    PRIORPATH_TORCHRUN="--nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint node1:29400" ./run_all.sh ...
    torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint node1:29400 \\
        -m ppcore.training.launch FOLDER/job.pkl
"""

import io
import os
import pickle
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from ppcore.study.files import atomic
from ppcore.study.interrupt import end_with

JOB = "job.pkl"
STOPS_WITHIN = "600"  # s after Ctrl-C to finish a step and a row of the log; then torchrun kills


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(function: Callable[..., Any], arguments: dict[str, Any], processes: int) -> None:
    """Run `function(**arguments)` in `processes` processes and wait for them.

    arguments: picklable, including notebook functions; one is `folder`, which receives the job. The processes end
    with this one. Raises `KeyboardInterrupt` after Ctrl-C, which is passed on, and `RuntimeError` if one fails.
    """
    job = Path(arguments["folder"]) / JOB
    with atomic(job) as temporary:
        owner = f"{socket.gethostname()}:{os.getpid()}"
        temporary.write_bytes(cloudpickle.dumps((function, arguments, owner, torch.get_num_threads())))
    where = os.environ.get("PRIORPATH_TORCHRUN") or f"--standalone --nproc-per-node {processes}"
    command = [sys.executable, "-m", "torch.distributed.run", "--shutdown-timeout", STOPS_WITHIN,
               *shlex.split(where), "-m", "ppcore.training.launch", job]
    # A session of its own: a terminal's Ctrl-C reaches only this process, which passes it on once.
    running = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT,
                               env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    # newline="": shows a progress bar as it moves, since its lines end with a carriage return.
    said = io.TextIOWrapper(running.stdout, encoding="utf-8", errors="replace", newline="")
    try:
        for line in said:  # a notebook shows only what its own process writes
            sys.stderr.write(line)
    except BaseException:
        running.send_signal(signal.SIGINT)
        sys.stderr.write(said.read())
        running.wait()
        raise
    status = running.wait()
    job.unlink(missing_ok=True)
    if status:
        raise RuntimeError(f"one of {processes} training processes failed; its output is above")


def run_job(path: str | Path) -> None:
    """What each process runs."""
    function, arguments, owner, threads = pickle.loads(Path(path).read_bytes())
    end_with(owner)
    torch.set_num_threads(threads)
    try:
        function(**arguments)
    except KeyboardInterrupt:
        sys.exit(1)  # the notebook's process reports it
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    run_job(sys.argv[1])
