"""Where does the work on each slide run?

    default            threads of this process: OpenSlide, OpenCV and the WebP encoder release Python's lock
    --dask ADDRESS     the workers of a dask.distributed scheduler, on this machine or many that share the folders
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joblib import parallel_config

from ppcore.study.errors import StudyError
from ppcore.study.fingerprint import code_hashes

DASK = "PRIORPATH_DASK"  # passes --dask to a notebook: where work runs is not a parameter of the study


@contextmanager
def workers(jobs: int, *folders: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the arguments for `joblib.Parallel` that run the work where the user asked.

    jobs: threads, if no cluster was named. folders: what each worker of a cluster has to see. A lost worker costs only
    time: the scheduler gives its slides to others, up to three times.

    Raises `StudyError` for a scheduler that does not answer or has no workers, and for a worker that has other code
    than this process or does not see one of the folders.
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
                raise StudyError(f"worker {worker} has a different version of {', '.join(other)}: bring it to this "
                                 "commit and start it again")
            if missing:
                raise StudyError(f"worker {worker} does not see the folder {', '.join(missing)}: put slides and data "
                                 "on a file system that all workers share, under the same path")
        with parallel_config(backend="dask", client=client):
            yield {"n_jobs": -1}


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the scheduler at `address`. Raises `StudyError` if none answers or it has no workers."""
    from distributed import Client  # here: only a run on a cluster needs it

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
    """The study's code hashes in this process, and the folders that it does not see."""
    return code_hashes("from ppcore.slides import cut"), [folder for folder in folders if not Path(folder).is_dir()]
