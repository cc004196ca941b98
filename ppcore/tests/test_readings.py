"""Does every reading that is cited stand in the table of notebooks/README.md, and is every row of it cited?"""

import json
import re
from pathlib import Path

import pytest

from ppcore.study.runs import REPOSITORY
from ppcore.workflow.settings import Settings

TABLE = REPOSITORY / "notebooks" / "README.md"
CITED = re.compile(r"\bR\d+\b")  # no file has another word of this form
ROW = re.compile(r'^\| <a id="(r\d+)"></a>(R\d+) \|.*\|$', re.M)
CODE = (*sorted((REPOSITORY / "ppcore").rglob("*.py")), REPOSITORY / "notebooks" / "Snakefile",
        *sorted((REPOSITORY / "notebooks" / "profiles").glob("*.yaml")))
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))
PAGES = [REPOSITORY / folder / "README.md" for folder in ("", "data", "figures")]


def rows() -> list[str]:
    return [name for _, name in ROW.findall(TABLE.read_text(encoding="utf-8"))]


def source(path: Path) -> str:
    """A file's text; of a notebook what somebody wrote, without the outputs."""
    text = path.read_text(encoding="utf-8")
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"]) if path.suffix == ".ipynb" else text


def unknown(text: str) -> set[str]:
    """Readings that a text cites and the table does not have."""
    return set(CITED.findall(text)) - set(rows())


def test_the_table_has_a_row_and_an_anchor_for_each_of_31_readings():
    assert rows() == [f"R{number}" for number in range(1, 32)]
    assert all(anchor == name.lower() for anchor, name in ROW.findall(TABLE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [*CODE, *NOTEBOOKS, *PAGES, TABLE], ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_reading_that_a_file_cites_has_a_row(path):
    assert not unknown(source(path)), "notebooks/README.md, How we read the paper, has no such row"


def test_every_row_is_cited_by_code_or_a_notebook():
    cited = {name for path in (*CODE, *NOTEBOOKS) for name in CITED.findall(source(path))}
    assert set(rows()) <= cited


def test_the_parameters_of_a_reading_exist():
    cells = [re.split(r" *\| *", line)[4] for line in TABLE.read_text(encoding="utf-8").splitlines() if ROW.match(line)]
    named = {re.split("=", name)[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert len(named) > 40
    assert not {name for name in named if name not in Settings.model_fields and not name.endswith("_")}
    assert all(any(field.startswith(name) for field in Settings.model_fields) for name in named if name.endswith("_"))


def test_what_counts_as_a_citation():
    new = f"R{len(rows()) + 1}"
    assert unknown(f"(section 2.4; readings R1, {new})") == {new}
    assert not unknown("readings R16-R18; README, RGB, VGG19, SVR4x, KI67")
