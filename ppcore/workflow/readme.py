"""Which results do README.md and figures/README.md show? The parts between marks are written from figures/.

    .venv/bin/python -m ppcore.workflow.readme                          update what they show
    .venv/bin/python -m ppcore.workflow.readme demo/PHANTOM demo/KI67   show these runs, in this order
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ppcore.study.errors import StudyError
from ppcore.study.files import write_text
from ppcore.study.runs import REPOSITORY
from ppcore.workflow.results import measured, measures, results, slides_speed_table, speed_table
from ppcore.workflow.usefulness import useful_tables

MARK, END = "<!-- {} of {}; written by python -m ppcore.workflow.readme -->", "<!-- end -->"
SPEED, SLIDES_SPEED = "demo/benchmark.csv", "demo/benchmark_slides.csv"
Part = tuple[str, str, str]  # kind, source, text


def parts(runs: Sequence[str], figures: str | Path) -> dict[str, list[Part]]:
    """Page -> what is written into it. runs: each "profile/cohort", folders of `figures`."""
    figures = Path(figures)
    folders = [figures / run for run in runs]
    return {"README.md": [("results", " ".join(runs), results(folders))],
            "figures/README.md": [
                ("measures", " ".join(runs), measures(folders)),
                ("usefulness", " ".join(runs), useful_tables(folders)),
                ("speed", SPEED, measured(figures / SPEED, speed_table)),
                ("speed on slides", SLIDES_SPEED, measured(figures / SLIDES_SPEED, slides_speed_table))]}


def named_runs(readme: str) -> list[str]:
    """The runs that README.md shows. Raises `StudyError` if its mark is missing."""
    return _place(readme, "results")[1].split()


def insert(page: str, kind: str, what: str, text: str) -> str:
    """The page with `text` in its place for this kind. Raises `StudyError` if it has none."""
    place = _place(page, kind)
    written = f"{MARK.format(kind, what)}\n\n{text.strip()}\n\n{END}"
    return page[:place.start()] + written + page[place.end():]


def _place(page: str, kind: str) -> re.Match:
    mark = re.escape(MARK).replace(r"\{\}", kind, 1).replace(r"\{\}", "([^;]*)")
    found = re.search(f"{mark}.*?{END}", page, re.S)
    if not found:
        raise StudyError(f"there is no place for {kind}: wanted a line {MARK.format(kind, '...')!r} and, below it, "
                         f"{END!r}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Write both pages; returns the exit status, 2 if nothing was written."""
    parser = argparse.ArgumentParser(prog="python -m ppcore.workflow.readme",
                                     description="Write the results in figures/ into README.md and figures/README.md.")
    parser.add_argument("runs", nargs="*", metavar="PROFILE/COHORT",
                        help="such as demo/PHANTOM (default: those shown now)")
    options = parser.parse_args(arguments)
    try:
        runs = options.runs or named_runs((REPOSITORY / "README.md").read_text(encoding="utf-8"))
        pages = {}
        for name, found in parts(runs, REPOSITORY / "figures").items():
            page = (REPOSITORY / name).read_text(encoding="utf-8")
            for part in found:
                page = insert(page, *part)
            pages[name] = page
    except StudyError as error:
        print(f"No page was changed.\n{error}", file=sys.stderr)
        return 2
    for name, page in pages.items():
        write_text(REPOSITORY / name, page)
    print(f"{' and '.join(pages)} show {', '.join(runs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
