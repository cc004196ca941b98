"""What must be known about a run besides its numbers? run.json, for readers of its tables elsewhere."""

import json
from pathlib import Path

import pandas as pd

from ppcore.study.runs import Run, machine
from ppcore.workflow.notebooks import NOTEBOOKS
from ppcore.workflow.settings import PATHS, load_settings


def run_record(run: Run, metrics: pd.DataFrame) -> dict:
    """The content of run.json: profile, parameters that differ from it, machine, commit and seed of the evaluation, and
    seconds of each notebook's last execution.

    From the executed notebooks in the run's data folder; `changed` is None if papermill has executed none of them.
    """
    given, seconds = {}, {}
    names = [path.name for path in sorted(NOTEBOOKS.glob("0[1-9]_*.ipynb"))]
    for path in filter(Path.exists, (run.data / "notebooks" / name for name in names)):
        papermill = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill", {})
        given |= papermill.get("parameters", {})
        if papermill.get("duration"):
            seconds[path.stem[:2]] = round(papermill["duration"], 1)
    usual = load_settings(run.profile, {"stain": given.get("stain", "he")}).model_dump()
    changed = {name: Path(value).name if name in PATHS else value for name, value in sorted(given.items())
               if name not in ("profile", "cohort", "slides", "stain") and usual.get(name) != value}
    return {"profile": run.profile, "cohort": run.cohort, "changed": changed if given else None,
            "machine": machine(run.device), "device": str(metrics["device"].iloc[0]),
            "commit": str(metrics["commit"].iloc[0]), "seed": int(metrics["seed"].iloc[0]), "seconds": seconds}
