"""What does README say that the runs found? A table across them, and each one's own, from their stored tables alone.

    .venv/bin/python -m ppcore.workflow.readme                          renew what README shows
    .venv/bin/python -m ppcore.workflow.readme demo/PHANTOM demo/KI67   show these runs, in this order
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ppcore.experiments import variants
from ppcore.methods.table import FLOOR, OURS
from ppcore.metrics.findings import COLUMNS, methods_of, read_run, reading, scores, shown
from ppcore.metrics.table import LABELS
from ppcore.study.errors import StudyError
from ppcore.study.files import write_text
from ppcore.study.settings import REPOSITORY

BEGIN, END = "<!-- results of {}; python -m ppcore.workflow.readme writes them, a test holds them against figures/ -->", "<!-- end -->"


def markdown(folder: str | Path) -> str:
    """One run as README shows it: what it was, a table, and what may be read from it."""
    folder = Path(folder)
    metrics, cells, record = read_run(folder)
    table = scores(metrics)
    words = metrics[metrics["protocol"] == "A"].set_index(["method", "metric"])
    columns = {metric: title for metric, title in COLUMNS.items() if metric in set(metrics["metric"])}
    lines = [_what_it_was(folder, metrics, record), "",
             f"| method | n | {' | '.join(columns.values())} |", "|---" * (len(columns) + 2) + "|"]
    for method in methods_of(metrics):
        found = [shown(table, method, metric) or str(words["value"].get((method, metric), "")) for metric in columns]
        lines.append(f"| {LABELS.get(method, method)} | {words.loc[(method, 'mmd2'), 'n']} | {' | '.join(found)} |")
    sentences = reading(metrics, cells)
    if (folder / "variants.csv").exists():
        others = {LABELS.get(name, name): table.loc[(name, "mmd2"), "value"] for name in methods_of(metrics)
                  if name not in (OURS, FLOOR)}
        sentences += variants.reading(pd.read_csv(folder / "variants.csv"), others)
    lines += ["", *(f"- {sentence}" for sentence in sentences), ""]
    if (folder / "plane.png").exists():
        lines += [f"![{folder.name}: distance to real masks against how well the outline is kept]"
                  f"(figures/{folder.parent.name}/{folder.name}/plane.png)", ""]
    return "\n".join(lines)


def _what_it_was(folder: Path, metrics: pd.DataFrame, record: dict) -> str:
    parts = [f"Profile `{folder.parent.name}`"]
    if (folder / "table1.csv").exists():
        value = pd.read_csv(folder / "table1.csv", dtype=str).set_index("parameter").iloc[:, 0]
        parts.append(f"{value['Staining method']}, {value['# of slides']} slides of {value['# of participants']} subjects, "
                     f"{value['# of train patches']} training and {value['# of test patches']} test patches of "
                     f"{value['Patch size']} px")
    if record:
        changed = record["changed"]
        parts.append("parameters not recorded" if changed is None else "parameters of the profile" if not changed else
                     ", ".join(f"`{name}={value}`" for name, value in changed.items()))
        parts.append(record["machine"])
        if record["seconds"]:
            seconds = sum(record["seconds"].values())
            parts.append(f"{f'{seconds / 3600:.1f} h' if seconds > 7200 else f'{seconds / 60:.0f} min'} in notebooks "
                         f"{min(record['seconds'])} to {max(record['seconds'])}")
    parts.append(f"seed {metrics['seed'].iloc[0]}, commit {metrics['commit'].iloc[0]}")
    return "; ".join(parts) + "."


def side_by_side(folders: Sequence[Path]) -> str:
    """MMD² of every method in every run, and how well PriorPath keeps to the outline: the table above the runs' own."""
    runs = {folder.name: read_run(folder)[0] for folder in folders}
    methods = list(dict.fromkeys(name for metrics in runs.values() for name in methods_of(metrics)))
    cells = [[LABELS.get(name, name), *(shown(scores(metrics), name, "mmd2") for metrics in runs.values())] for name in methods]
    cells.append([f"IoU to the outline, {LABELS[OURS]}", *(shown(scores(metrics), OURS, "control_iou") for metrics in runs.values())])
    rows = [["MMD² to real test masks", *runs], ["---"] * (len(runs) + 1), *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def section(runs: Sequence[str], figures: str | Path) -> str:
    """The results of several runs, each "profile/cohort", between the two marks that stand in README; each run's own are
    folded away, and the first one's open."""
    folders = [Path(figures) / run for run in runs]
    lines = [BEGIN.format(" ".join(runs)), *([side_by_side(folders)] if len(folders) > 1 else [])]
    for number, folder in enumerate(folders):
        lines += [f"<details{'' if number else ' open'}><summary><b>{folder.name}</b>: every measure, and what may be "
                  "read from it</summary>", "", markdown(folder), "</details>", ""]
    return "\n".join([*lines, END])


def named_runs(readme: str) -> list[str]:
    """The runs that a README shows. Raises `StudyError` where its marks are missing."""
    found = re.search(re.escape(BEGIN).replace(r"\{\}", "(.*)"), readme)
    if not found or END not in readme[found.end():]:
        raise StudyError(f"README.md has no place for results: wanted a line {BEGIN.format('demo/PHANTOM')!r} and, below, "
                         f"{END!r}")
    return found[1].split()


def insert(readme: str, runs: Sequence[str], figures: str | Path) -> str:
    """README with the results between its marks written anew."""
    shown_now = BEGIN.format(" ".join(named_runs(readme)))
    start = readme.index(shown_now)
    end = readme.index(END, start) + len(END)
    return readme[:start] + section(runs, figures) + readme[end:]


def main(arguments: list[str] | None = None) -> int:
    """Write README's results; returns the exit status, 2 where nothing was written."""
    parser = argparse.ArgumentParser(prog="python -m ppcore.workflow.readme", description="Write README's results from figures/.")
    parser.add_argument("runs", nargs="*", metavar="PROFILE/COHORT", help="as in demo/PHANTOM (default: those shown now)")
    options = parser.parse_args(arguments)
    path = REPOSITORY / "README.md"
    readme = path.read_text(encoding="utf-8")
    try:
        runs = options.runs or named_runs(readme)
        write_text(path, insert(readme, runs, REPOSITORY / "figures"))
    except StudyError as error:
        print(f"README.md was left as it is.\n{error}", file=sys.stderr)
        return 2
    print(f"README.md shows {', '.join(runs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())


def speed_table(table: pd.DataFrame) -> str:
    """The rows of batch 1 of a stored benchmark, as README shows them."""
    lines = ["| what | textbook | ours | times as fast | without bfloat16 | share of peak |", "|---|---|---|---|---|---|"]
    for row in table[table["batch"] == 1].itertuples():
        float32 = "" if np.isnan(row.float32_ratio) else f"{row.float32_ratio:.2f}"
        lines.append(f"| {row.what}, {row.method} | {row.textbook_s:.3g} s | {row.ours_s:.3g} s | {row.ratio:.2f} "
                     f"[{row.ratio_low:.2f}, {row.ratio_high:.2f}] | {float32} | {row.share_of_peak:.0%} |")
    return "\n".join(lines) + "\n"


def slides_speed_table(table: pd.DataFrame) -> str:
    """The rows of a stored benchmark of slides, as README shows them."""
    lines = ["| what | case | measured |", "|---|---|---|"]
    for row in table.itertuples():
        number = "{:.0%}" if row.unit == "of its rate" else "{:.3g}"
        spread = "" if np.isnan(row.low) else f" [{number.format(row.low)}, {number.format(row.high)}]"
        lines.append(f"| {row.what} | {row.case} | {number.format(row.value)}{spread} {row.unit} |")
    return "\n".join(lines) + "\n"
