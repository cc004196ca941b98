"""How does Snakemake run the study? What it is told to run, and what is printed before and after."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from argparse import Namespace
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

from filelock import FileLock, Timeout

from ppcore.slides.cohorts import EMBEDDED, TCGA, fingerprint, slides_folder
from ppcore.slides.folder import list_sources
from ppcore.slides.workers import DASK, connected
from ppcore.study.errors import StudyError
from ppcore.study.runs import commit, data_folder, figures_folder, home
from ppcore.workflow.notebooks import NOTEBOOKS, find_notebook, record_path, update_kept_outputs
from ppcore.workflow.parameters import study_settings
from ppcore.workflow.surroundings import surroundings, why_unwritable

WORKFLOW = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10")  # the notebooks of a plain run, in order
BY_NAME = ("11", "12", "13", "14", "15", "16")  # run only when --only names them
USUAL = ("Assuming unrestricted", "Building DAG", "Using shell", "Provided ", "Select jobs", "Execute ", "Waiting at most",
         "Exiting because", "Elapsed time", "At least one job did not")  # of Snakemake in any run
MOST_LINES = 12  # of its errors, in the closing table
ENDED = "its process was killed, or had no disk space to record why it failed; run the same command to resume"


def run_study(options: Namespace, passed_on: list[str]) -> int:
    """Check the settings, lock the cohorts, let Snakemake run what is needed, print the closing table.

    options: the parsed command line. passed_on: arguments for Snakemake itself. Returns the exit status: 0 success,
    1 a notebook failed. Raises `StudyError` before anything is started.
    """
    cohorts = study_settings(options)
    if options.update_notebooks and (options.profile != "demo" or list(cohorts) != ["PHANTOM"] or options.parameters):
        raise StudyError("--update-notebooks stores only the outputs of the demo on PHANTOM with its own parameters: "
                         "leave out --profile, --cohort and -p")
    numbers = _numbers(options)
    if options.dask:
        with connected(options.dask):  # fails before anything starts if it does not answer
            pass
    if commit() == "unknown":
        print("The tables of this run will name no commit, as git is not installed, or this is not a git checkout.",
              file=sys.stderr)
    run_id = uuid.uuid4().hex
    started = time.monotonic()
    with ExitStack() as stack:
        if not options.dry_run:
            for cohort in cohorts:
                stack.enter_context(_only_run(options.profile, cohort))
        if not all([_fetched(cohort, settings, options.dry_run) for cohort, settings in cohorts.items()]):
            return 0
        for cohort in cohorts.keys() - EMBEDDED.keys():  # Snakemake asks again; here a progress bar is seen
            fingerprint(slides_folder(options.profile, cohort, cohorts[cohort]["slides"]),
                        cohorts[cohort]["labels"] == "own")
        (home() / ".snakemake").mkdir(parents=True, exist_ok=True)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=home() / ".snakemake")))
        run_file = folder / "run.json"
        run_file.write_text(json.dumps({
            "id": run_id, "owner": f"{socket.gethostname()}:{os.getpid()}", "profile": options.profile,
            "cohorts": cohorts, "targets": [_rule(number) for number in numbers], "run_file": str(run_file)}))
        status, errors = _snakemake(options, passed_on, run_file, numbers)
    if options.dry_run:
        return status
    _closing_table(options.profile, list(cohorts), numbers, run_id, status, errors, time.monotonic() - started)
    if options.update_notebooks and not status:
        update_kept_outputs(options.profile, "PHANTOM", numbers)
        print(f"The outputs of {len(numbers)} notebooks were updated in notebooks/.")
    return 1 if status else 0


def _numbers(options: Namespace) -> list[str]:
    """The notebooks of this run, in the study's order."""
    asked = [("--from", options.start, WORKFLOW)] if options.start is not None else []
    for option, number, known in asked + [("--only", number, WORKFLOW + BY_NAME) for number in options.only or ()]:
        if number not in known:
            raise StudyError(f"{option} {number}: there is no such notebook; wanted one of {', '.join(known)}")
    return sorted(set(options.only)) if options.only else list(WORKFLOW)


def _rule(number: str) -> str:
    """The workflow's rule for a notebook, named after it."""
    return find_notebook(number).stem.split("_", 1)[1]


@contextmanager
def _only_run(profile: str, cohort: str):
    """Lock a cohort for this run. The lock is released when the process ends, however it ends."""
    folder = data_folder(profile, cohort)
    if why := why_unwritable(folder):
        raise StudyError(f"{folder}: nothing can be stored there ({why}): set PRIORPATH_HOME to a folder where you can "
                         "write")
    holder = folder / ".run.txt"
    try:
        with FileLock(folder / ".run.lock", timeout=0):
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%F %T')}")
            yield
    except Timeout:
        raise StudyError(f"cohort {cohort} in the profile {profile} is already being run by {holder.read_text()}: "
                         "wait for it, or end it and start again") from None


def _fetched(cohort: str, settings: dict[str, Any], only_say: bool) -> bool:
    """Download the slides of a TCGA cohort, or only say what is missing. False if they are not there afterwards.

    This is done here and not in a notebook, since a cluster's nodes may have no network.
    """
    if cohort not in TCGA or settings["slides"]:
        return True
    from ppcore.slides.tcga import fetch  # here: other cohorts start without it

    folder = slides_folder(settings["profile"], cohort)
    there = fetch(cohort, folder, only_say)
    if there:
        list_sources(folder)  # raises for a slide that is not in the manifest
    return there


def _snakemake(options: Namespace, passed_on: list[str], run_file: Path, numbers: list[str]) -> tuple[int, str]:
    """Run the workflow, or print its plan for a dry run. Returns Snakemake's exit status, and its own errors."""
    command = _command(options, run_file, numbers) + passed_on
    environment = surroundings(run_file.parent) | {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    if options.dask:
        environment[DASK] = options.dask
    if not options.dry_run:
        with open(run_file.with_name("snakemake.txt"), "w+", encoding="utf-8", errors="replace") as said:
            done = subprocess.run(command, env=environment, check=False, stdout=2, stderr=said)  # 2: our own stderr
            said.seek(0)
            return done.returncode, _own_errors(said.read())
    planned = subprocess.run(command, env=environment, check=False, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if planned.returncode:
        print(planned.stdout, file=sys.stderr)
    else:
        _print_plan(planned.stdout, numbers)
    return planned.returncode, ""


def _own_errors(said: str) -> str:
    """The last lines of what Snakemake said, without its usual ones and its list of options."""
    said = re.sub(r"^usage: .*?\n(?=\S)", "", said, flags=re.M | re.S)
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(USUAL)]
    return "\n".join(lines[-MOST_LINES:])


def _command(options: Namespace, run_file: Path, numbers: list[str]) -> list[str]:
    command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(NOTEBOOKS / "Snakefile"),
               "--directory", str(home()), "--configfile", str(run_file), "--scheduler", "greedy", "--nolock",
               "--rerun-incomplete", "--keep-going", "--rerun-triggers", "params", "input", "mtime",
               "--max-checksum-file-size", "100MB"]
    command += ["--executor", options.executor, "--jobs", str(options.cores)] if options.executor else [
        "--cores", str(options.cores)]
    if options.force:
        command.append("--forceall")
    again = numbers if options.only else [n for n in numbers if options.start and n >= options.start]
    if again:
        command += ["--forcerun", *(_rule(number) for number in again)]
    if options.only:
        command += ["--allowed-rules", *map(_rule, numbers), "study"]
    # of what it says, the closing table needs only the errors
    return command + (["--dry-run"] if options.dry_run else ["--quiet", "rules", "progress", "reason", "host"])


def _print_plan(said: str, numbers: list[str]) -> None:
    """Print which notebooks Snakemake's dry run would execute, in the study's order, and its reason for each."""
    stems = {_rule(number): find_notebook(number).stem for number in numbers}
    jobs = re.findall(r"^rule (\w+):$.*?^    reason: (.*?)$.*?^    wildcards: .*?cohort=(\S+)$", said, re.M | re.S)
    for rule, reason, cohort in sorted(jobs, key=lambda job: (job[2], stems[job[0]])):  # its own order is not fixed
        print(f"would run {stems[rule]} · {cohort}: {shorten(reason, 150)}")
    if not jobs:
        print(f"Nothing would run: all {len(numbers)} notebooks of each cohort are up to date.")


def _closing_table(profile: str, cohorts: list[str], numbers: list[str], run_id: str, status: int, errors: str,
                   seconds: float) -> None:
    """Print the outcome of each cohort's notebooks, why some failed, and a summary.

    status: Snakemake's exit status. errors: its own, which tell why if no notebook does. seconds: of the whole run.
    """
    rows, remarks = [], []
    for cohort in cohorts:
        broken = False
        for number in numbers:
            path, stem = record_path(profile, cohort, number), find_notebook(number).stem
            executed = path.with_name(f"{stem}.ipynb")
            record = json.loads(path.read_text()) if path.exists() else {}
            outcome = _outcome(record, run_id, broken or (status and record.get("status") != "done"))
            broken |= outcome in ("failed", "stopped")
            rows.append((cohort, stem, outcome, f"{record['seconds']:.0f} s" if outcome in ("done", "failed") else ""))
            remarks += [f"{cohort} {stem}: {remark}" for remark in _remarks(outcome, record, executed)]
    outcomes = [outcome for _, _, outcome, _ in rows]
    stuck = outcomes.count("failed") + outcomes.count("stopped")
    if status and not stuck:
        remarks.append(f"Snakemake ended with status {status}: {errors or 'it did not say why'}".replace("\n", "\n  "))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    print()
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    for remark in remarks:
        print(f"! {remark}")
    if status:
        print(f"Not finished after {seconds:.0f} s" + (f": {stuck} failed or stopped." if stuck else "."))
    elif "done" not in outcomes:
        print(f"Nothing to do: all {len(rows)} notebooks are up to date (--force runs them again). {seconds:.0f} s")
    else:
        print(f"Finished in {seconds:.0f} s. Tables and figures: "
              + ", ".join(str(figures_folder(profile, cohort)) for cohort in cohorts))


def _outcome(record: dict[str, Any], run_id: str, not_reached: bool) -> str:
    """Outcome of a notebook: done, failed, stopped, not run or up to date.

    record: of its last execution, by this run or another; empty if there was none. not_reached: an earlier notebook
    failed, or the run did before this one was done.
    """
    if record.get("run") == run_id:
        return "stopped" if record["status"] == "running" else record["status"]
    return "not run" if not_reached else "up to date"


def _remarks(outcome: str, record: dict[str, Any], executed: Path) -> list[str]:
    """Why a notebook failed or stopped, and where to read more; its warnings."""
    if outcome == "done":
        return record.get("warnings", [])
    if outcome not in ("failed", "stopped"):
        return []
    where = f"cell {record['cell']}: " if record.get("cell") else ""
    return [f"{where}{ENDED if outcome == 'stopped' else record['error']}\n  see {executed}",
            *record.get("warnings", [])]
