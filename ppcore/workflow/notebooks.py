"""What does a notebook declare, and how is it executed?

A notebook declares its parameters in the cell tagged `parameters` (flat literals) and the modules of `ppcore` it
uses by importing them. The workflow reruns it when one of those, or its own code, has changed in content.
"""

import argparse
import ast
import json
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ppcore.study.files import atomic, write_text
from ppcore.study.fingerprint import code_hash, code_hashes
from ppcore.study.interrupt import end_with
from ppcore.study.runs import REPOSITORY, data_folder

NOTEBOOKS = REPOSITORY / "notebooks"


def find_notebook(number: str) -> Path:
    """The notebook whose name starts with `number`, as in "04"."""
    return next(NOTEBOOKS.glob(f"{number}_*.ipynb"))


def _code_cells(notebook: Path) -> list[dict]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells if cell["cell_type"] == "code"]


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Names and defaults in the notebook's `parameters` cell. Only these are passed to it and can rerun it."""
    source = next(cell["source"] for cell in _code_cells(notebook) if "parameters" in cell["metadata"].get("tags", []))
    return {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(source).body}


def code_fingerprint(notebook: Path, modules: Iterable[str] = ()) -> dict[str, str]:
    """File -> hash of the notebook's code and of every `ppcore` file that it imports, directly or not.

    modules: further modules that it uses without importing them by name.
    """
    source = "\n".join(cell["source"] for cell in _code_cells(notebook))
    imported = "\n".join([source, *(f"import {module}" for module in modules)])
    return {notebook.name: code_hash(source), **code_hashes(imported)}


def record_path(profile: str, cohort: str, number: str) -> Path:
    """Where the outcome of a notebook's last execution is stored (JSON), for the closing table."""
    return data_folder(profile, cohort) / "notebooks" / f"{number}.json"


def execute(number: str, profile: str, cohort: str, run_file: Path) -> int:
    """Execute one notebook of one cohort through papermill and record the outcome. Returns 0 or 1.

    run_file: JSON written by `ppcore.workflow.snakemake`: the run's id, owner, and the settings of each cohort. The
    executed notebook is stored in `data/<profile>/<cohort>/notebooks/`, even if it failed.
    """
    import papermill  # here, so that the workflow starts without it
    from papermill.exceptions import PapermillExecutionError

    plan = json.loads(run_file.read_text())
    settings = plan["cohorts"][cohort]
    notebook = find_notebook(number)
    values = {name: settings[name] for name in declared_parameters(notebook)}
    executed = data_folder(profile, cohort) / "notebooks" / notebook.name
    record = {"run": plan["id"], "notebook": notebook.stem, "status": "running", "seconds": 0.0}
    executed.parent.mkdir(parents=True, exist_ok=True)
    end_with(plan["owner"])

    started = time.monotonic()
    try:
        with FileLock(executed.parent / f".{number}.lock", timeout=30):
            write_text(record_path(profile, cohort, number), json.dumps(record))
            print(f"\n{notebook.stem} · {cohort}", file=sys.stderr, flush=True)
            plain = [str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, executed)]  # for its format()
            papermill.execute_notebook(*plain, parameters=values, kernel_name="python3", cwd=NOTEBOOKS,
                                       progress_bar=False, stderr_file=sys.stderr,
                                       extra_arguments=["--log-level=CRITICAL"])  # of the kernel itself
        record["status"] = "done"
    except PapermillExecutionError as error:
        record |= {"status": "failed", "cell": error.exec_count, "error": _last_line(f"{error.ename}: {error.evalue}")}
    except Timeout:
        record |= {"status": "failed", "error": f"another process is executing this notebook for {cohort}: wait for it"}
    except Exception as error:  # a killed kernel, a full disk: the table must say so, whatever it was
        record |= {"status": "failed", "error": _last_line(f"{type(error).__name__}: {error}")}
    record["seconds"] = time.monotonic() - started
    if "error" in record:
        print(f"{notebook.stem} · {cohort}: {record['error']}", file=sys.stderr)  # there may be no room for the record
    try:
        record["warnings"] = _tidy_streams(executed)
    except (OSError, ValueError) as error:  # cut short by a full disk, or never written
        print(f"{executed} is incomplete: {error}", file=sys.stderr)
    write_text(record_path(profile, cohort, number), json.dumps(record))
    return 0 if record["status"] == "done" else 1


def _last_line(text: str) -> str:
    return [line for line in text.splitlines() if line.strip()][-1].strip()


def _tidy_streams(executed: Path) -> list[str]:
    """Keep the last state of each progress bar in an executed notebook. Returns the study's warnings in it."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    found = []
    for cell in notebook.cells:
        text = {"stdout": "", "stderr": ""}
        others = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                text[output.name] += output.text
            else:
                others.append(output)
        if any(text.values()):
            kept = {name: _last_of_each_bar(value) for name, value in text.items()}
            streams = [nbformat.v4.new_output("stream", name=name, text=value) for name, value in kept.items() if value]
            cell.outputs = streams + others
            found += [line.removeprefix("StudyWarning: ") for line in kept["stderr"].splitlines()
                      if line.startswith("StudyWarning: ")]
    with atomic(executed) as temporary:
        nbformat.write(notebook, temporary)
    return found


def _last_of_each_bar(text: str) -> str:
    """A stream with the last state of each progress bar; of several bars with one name, only the last bar."""
    kept: dict[str, str] = {}
    for number, line in enumerate(text.split("\n")):
        line = line.rsplit("\r", 1)[-1]
        bar = re.match(r"(.+?):\s+\d+(%\||\w+ \[)", line)
        name = bar[1] if bar else f"line {number}"
        kept.pop(name, None)
        kept[name] = line
    return "\n".join(kept.values())


def update_kept_outputs(profile: str, cohort: str, numbers: list[str]) -> None:
    """Copy the outputs of executed notebooks to the notebooks of the repository, without papermill's metadata."""
    import nbformat

    for number in numbers:
        source = find_notebook(number)
        notebook = nbformat.read(data_folder(profile, cohort) / "notebooks" / source.name, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
        notebook.metadata.pop("papermill", None)
        for cell in notebook.cells:
            cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        with atomic(source) as temporary:
            nbformat.write(notebook, temporary)


if __name__ == "__main__":  # as the workflow calls it
    parser = argparse.ArgumentParser(description="Execute one notebook of one cohort.")
    for name in ("number", "profile", "cohort"):
        parser.add_argument(name)
    parser.add_argument("run_file", type=Path)
    sys.exit(execute(**vars(parser.parse_args())))
