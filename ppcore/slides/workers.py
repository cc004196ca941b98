"""On which processes does work run that is the same for every slide?

    default            threads of this process: OpenSlide, OpenCV and the WebP encoder work outside Python's lock
    --dask ADDRESS     the workers of a dask.distributed scheduler, of this machine or many that share the folders
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joblib import parallel_config

from ppcore.study.errors import StudyError
from ppcore.study.fingerprint import code_hashes

DASK = "PRIORPATH_DASK"  # how a notebook hears of --dask: where work runs is no parameter of the study


@contextmanager
def workers(jobs: int, *folders: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the arguments with which `joblib.Parallel` works as the run was asked to.

    jobs: threads, where no cluster was named. folders: what each worker of a cluster has to see. A worker that is lost
    costs no more than time: the scheduler gives its slides to others, up to three times.

    Raises `StudyError` for a scheduler that does not answer or has no workers, and for a worker with other code than
    this process or without one of the folders.
    """
    address = os.environ.get(DASK)
    if not address:
        yield {"n_jobs": jobs, "prefer": "threads"}
        return
    with connected(address) as client:
        folders = [str(Path(folder).resolve()) for folder in folders]
        code, _ = _seen(folders)
        try:
            seen = client.run(_seen, folders)
        except (ImportError, AttributeError) as error:
            raise StudyError(f"a worker of {address} does not have this study installed ({error}): start it in the "
                             "environment that ./run_all.sh makes, at the same commit") from None
        for worker, (its_code, missing) in seen.items():
            if other := [name for name in code if its_code.get(name) != code[name]]:
                raise StudyError(f"worker {worker} has another {', '.join(other)} than this process: bring it to the same "
                                 "commit and start it again")
            if missing:
                raise StudyError(f"worker {worker} sees no folder {', '.join(missing)}: slides and data have to lie on a "
                                 "file system that all workers share, under the same path")
        with parallel_config(backend="dask", client=client):
            yield {"n_jobs": -1}


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the scheduler at `address`. Raises `StudyError` where none answers, or none works for it."""
    from distributed import Client  # here: a run without a cluster starts without it

    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise StudyError(f"--dask {address}: no scheduler answers there ({error}): start one with `dask scheduler`, and "
                         "workers with `dask worker ADDRESS`") from None
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise StudyError(f"--dask {address}: the scheduler has no workers: start some with `dask worker {address}`")
        yield client


def _seen(folders: list[str]) -> tuple[dict[str, str], list[str]]:
    """The study's code as this process has it, and the folders that it does not see."""
    return code_hashes("from ppcore.slides import cut"), [folder for folder in folders if not Path(folder).is_dir()]
