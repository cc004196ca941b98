"""What does a notebook's parameters cell contain? One line per parameter, with its unit and meaning.

    .venv/bin/python -m ppcore.workflow.cells     rewrite the cells with the values of the demo
"""

import json

from ppcore.study.files import write_text
from ppcore.workflow.notebooks import NOTEBOOKS, declared_parameters
from ppcore.workflow.settings import load_settings, meaning

WHO_WINS = "# ./run_all.sh overrides these values with its profile and -p; Jupyter uses them as they are."


def parameters_cell(names: list[str]) -> str:
    """Source of a parameters cell that declares `names`, with the demo's values."""
    demo = load_settings("demo", {}).model_dump()
    values = [json.dumps(value) if isinstance(value, str) else repr(value) for value in map(demo.get, names)]
    return "\n".join([WHO_WINS, *(f"{name} = {value}  # {meaning(name)}" for name, value in zip(names, values))])


def main() -> None:
    """Rewrite the cell of every notebook; the declared parameters stay."""
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cell = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
        cell["source"] = parameters_cell(list(declared_parameters(path))).splitlines(keepends=True)
        write_text(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
