"""In which surroundings does the study run? The same ones, whoever starts it and from whichever folder."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ppcore.study.runs import REPOSITORY, home


def surroundings(folder: Path) -> dict[str, str]:
    """Environment variables for the processes of a run: this checkout's code, this environment's kernel.

    folder: of the run; what Jupyter and IPython store goes there, and nothing is read from the user's own settings of
    them. It also takes what belongs in the user's cache, if nothing can be stored there.
    """
    mine = {"PRIORPATH_HOME": str(home()), "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "jupyter"), "JUPYTER_DATA_DIR": str(folder / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(folder / "jupyter"), "JUPYTER_PATH": "", "JUPYTER_PREFER_ENV_PATH": "1"}
    if not _finds_this_checkout():  # else left alone: a file random.py in the checkout would stand before Python's own
        mine["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    if why_unwritable(cache):
        mine |= {"XDG_CACHE_HOME": str(folder / "cache"), "MPLCONFIGDIR": str(folder / "matplotlib")}
    return os.environ | mine


def why_unwritable(folder: Path) -> str:
    """Why no file can be stored in a folder, which is made if need be; empty if one can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _finds_this_checkout() -> bool:
    """Whether a new process imports `ppcore` from here. It does not where the environment was made for another folder."""
    found = subprocess.run([sys.executable, "-P", "-c", "import ppcore; print(ppcore.__file__)"], capture_output=True,
                           text=True, check=False).stdout.strip()
    return bool(found) and Path(found).resolve().parents[1] == REPOSITORY
