"""Does README say what the stored tables say?"""

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from ppcore.experiments.variants import OWN
from ppcore.study.errors import StudyError
from ppcore.study.settings import REPOSITORY
from ppcore.tests.test_paper_figures import METRICS
from ppcore.workflow.readme import BEGIN, END, insert, markdown, named_runs, section


@pytest.fixture
def stored(tmp_path) -> Path:
    """figures/ with one run in it."""
    folder = tmp_path / "demo" / "X"
    folder.mkdir(parents=True)
    METRICS.to_csv(folder / "metrics.csv", index=False)
    return tmp_path


def committed(runs: list[str], folder: Path) -> Path | None:
    """figures/ as the last commit has it; None outside git."""
    paths = [f"figures/{run}" for run in runs]
    done = subprocess.run(["git", "-C", str(REPOSITORY), "archive", "HEAD", *paths], capture_output=True, check=False)
    if done.returncode:
        return None
    tarfile.open(fileobj=io.BytesIO(done.stdout)).extractall(folder, filter="data")
    return folder / "figures"


def test_readme_shows_the_stored_results(tmp_path):
    """As they lie in figures/ or, where a run here has written its own since, as they were committed."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    runs = named_runs(readme)
    places = [place for place in (REPOSITORY / "figures", committed(runs, tmp_path)) if place]
    assert any(section(runs, place) in readme for place in places), "python -m ppcore.workflow.readme writes them"


def test_a_run_is_shown_with_what_was_changed_and_a_table_of_every_method(stored):
    folder = stored / "demo" / "X"
    assert "| PriorPath (pix2pix) | 40 | 0.2 [0.15, 0.3] |  | 0.9 [0.85, 0.95] | 0.8 [0.7, 0.9] |" not in markdown(folder)
    assert "| PriorPath (pix2pix) | 40 | 0.2 [0.15, 0.3] | 0.9 [0.85, 0.95] | 0.8 [0.7, 0.9] |" in markdown(folder)
    record = {"changed": {"epochs": 20}, "machine": "a machine", "seconds": {"04": 9000, "08": 0}}
    (folder / "run.json").write_text(json.dumps(record))
    text = markdown(folder)
    assert "`epochs=20`; a machine; 2.5 h in notebooks 04 to 08; seed 1, commit abc." in text and "plane.png" not in text
    (folder / "plane.png").touch()
    assert "(figures/demo/X/plane.png)" in markdown(folder)


def test_what_seeds_do_is_told_where_notebook_13_was_run(stored):
    folder = stored / "demo" / "X"
    assert "Seeds" not in markdown(folder)
    pd.DataFrame({"variant": OWN, "metric": ["mmd2", "mmd2"], "value": [0.2, 0.3]}).to_csv(folder / "variants.csv")
    assert "- Seeds (MMD²): 2 trainings" in markdown(folder) and "DEPAS (our reading) (1.4)" in markdown(folder)


def test_results_go_between_their_marks_and_nothing_else_changes(stored):
    readme = f"above\n{BEGIN.format('demo/Y')}\nstale\n{END}\nbelow\n"
    once = insert(readme, ["demo/X"], stored)
    assert once.startswith("above\n") and once.endswith(f"{END}\nbelow\n") and "stale" not in once and "<b>X</b>" in once
    assert named_runs(once) == ["demo/X"] and insert(once, ["demo/X"], stored) == once
    with pytest.raises(StudyError, match="no place for results"):
        named_runs("no marks")
    with pytest.raises(StudyError, match="run the cohort first"):
        insert(readme, ["demo/Z"], stored)


def test_several_runs_stand_side_by_side_and_the_first_one_open(stored):
    shutil.copytree(stored / "demo" / "X", stored / "demo" / "Y")
    METRICS.replace({"method": {"DEPAS": "DCGAN"}}).to_csv(stored / "demo" / "Y" / "metrics.csv", index=False)
    text = section(["demo/Y", "demo/X"], stored)
    assert "| MMD² to real test masks | Y | X |" in text and "| DEPAS (our reading) |  | 1.4 [" in text
    assert "| PriorPath (pix2pix) | 0.2 [0.15, 0.3] | 0.2 [0.15, 0.3] |" in text
    assert text.index("<details open><summary><b>Y") < text.index("<details><summary><b>X") and text.count("</details>") == 2
