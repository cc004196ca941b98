"""What does `./run_all.sh test` run? The unit tests, and every notebook twice."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ppcore.study.runs import REPOSITORY
from ppcore.workflow.snakemake import BY_NAME
from ppcore.workflow.surroundings import surroundings


def run_tests() -> int:
    """Run the smoke profile in an empty folder, then the unit tests and, in another folder, its notebooks again.

    nbval runs them again. It compares the outputs of the cells tagged `nbval-check-output`, so two runs must print the
    same. Returns the exit status of what failed, 0 if nothing did.
    """
    folder = Path(tempfile.mkdtemp(prefix="priorpath-test-"))
    try:
        environment = {**surroundings(folder), "PRIORPATH_HOME": str(folder / "first")}
        for more in ([], *(["--only", number] for number in BY_NAME)):
            command = [sys.executable, "-P", "-m", "ppcore.run", "--profile", "smoke", *more]
            status = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
            if status:
                return status
        executed = sorted((folder / "first" / "data" / "smoke" / "PHANTOM" / "notebooks").glob("*.ipynb"))
        environment |= {"PRIORPATH_HOME": str(folder / "second"), "PRIORPATH_SMOKE": str(folder / "first")}
        many = ["-n", str(os.cpu_count()), "--dist", "loadfile"]  # processes; the tests of a file run in one of them
        statuses = [subprocess.run([sys.executable, "-P", "-m", "pytest", *what], cwd=REPOSITORY, env=environment,
                                   check=False).returncode
                    for what in ([*many, "--durations=20", str(REPOSITORY / "ppcore" / "tests")],
                                 ["--nbval-lax", "--nbval-current-env", *map(str, executed)])]
        return max(statuses)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
