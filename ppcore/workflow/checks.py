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
    """Run the smoke profile in an empty folder, then the unit tests and, meanwhile, its notebooks again in another folder.

    nbval runs them again. It compares the outputs of the cells tagged `nbval-check-output`, so two runs must print the
    same. Returns the exit status of what failed, 0 if nothing did.
    """
    folder = Path(tempfile.mkdtemp(prefix="priorpath-test-"))
    try:
        environment = {**surroundings(folder), "PRIORPATH_HOME": str(folder / "first")}
        for more in ([], ["--only", *BY_NAME]):
            command = [sys.executable, "-P", "-m", "ppcore.run", "--profile", "smoke", *more]
            status = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
            if status:
                return status
        executed = sorted((folder / "first" / "data" / "smoke" / "PHANTOM" / "notebooks").glob("*.ipynb"))
        environment |= {"PRIORPATH_HOME": str(folder / "second"), "PRIORPATH_SMOKE": str(folder / "first")}
        pytest = [sys.executable, "-P", "-m", "pytest"]
        with open(folder / "notebooks.txt", "w+", encoding="utf-8") as said, subprocess.Popen(
                [*pytest, "--nbval-lax", "--nbval-current-env", *map(str, executed)], cwd=REPOSITORY, env=environment,
                stdout=said, stderr=subprocess.STDOUT) as notebooks:
            # processes; the tests of a file run in one of them
            many = ["-n", str(os.cpu_count()), "--dist", "loadfile", "--durations=20"]
            units = subprocess.run([*pytest, *many, str(REPOSITORY / "ppcore" / "tests")], cwd=REPOSITORY,
                                   env=environment, check=False)
            notebooks.wait()
            said.seek(0)
            print(said.read())
        return max(units.returncode, notebooks.returncode)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
