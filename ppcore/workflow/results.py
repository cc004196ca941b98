"""How are stored tables written as Markdown? One run, several side by side, and speed, from figures/ alone."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ppcore.experiments import variants
from ppcore.methods.table import FLOOR, OURS, PRIORPATH
from ppcore.metrics.findings import COLUMNS, methods_of, read_run, reading, scores, shown, told_apart
from ppcore.metrics.table import IMAGE_METHODS, LABELS
from ppcore.workflow.usefulness import useful, usefulness

DIRECT = "coarse-to-image"  # left out of README's table of images
SHOWN = {"mmd2": "MMD² to real test masks", "kd": "kd to real test masks"}  # README's tables
SHORT = {"mmd2": "shapes (MMD²)", "kd": "Texture (kd)"}


def results(folders: Sequence[Path]) -> str:
    """README's tables, MMD² and kd of every method in every run, and their sentences.

    Masks of further classes have descriptors and colours of their own: their runs are only in the table of images.
    """
    runs = {folder.name: read_run(folder)[0] for folder in folders}
    tissue = {cohort: metrics for cohort, metrics in runs.items() if not metrics["metric"].str.contains(": ").any()}
    trainings = {folder.name: pd.read_csv(folder / "variants.csv") for folder in folders
                 if (folder / "variants.csv").exists()}
    tables = [*(side_by_side(tissue, metric, title) for metric, title in SHOWN.items()),
              side_by_side(runs, "image_kd", "kd to real test images", [name for name in IMAGE_METHODS if name != DIRECT])]
    sentences = [*across(tissue, trainings), *useful(usefulness(folders))]
    return "\n".join([*tables, *(f"- {sentence}" for sentence in sentences)])


def side_by_side(runs: Mapping[str, pd.DataFrame], metric: str, title: str, methods: Sequence[str] = ()) -> str:
    """runs: cohort -> tidy metrics. One row per method, those of masks if none are given; empty if no run has the metric."""
    runs = {cohort: metrics for cohort, metrics in runs.items() if metric in set(metrics["metric"])}
    if not runs:
        return ""
    methods = methods or list(dict.fromkeys(name for metrics in runs.values() for name in methods_of(metrics)))
    tables = {cohort: scores(metrics) for cohort, metrics in runs.items()}
    cells = [[LABELS.get(name, name), *(shown(table, name, metric) for table in tables.values())] for name in methods]
    rows = [[title, *runs], ["---"] * (len(runs) + 1), *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def across(runs: Mapping[str, pd.DataFrame], trainings: Mapping[str, pd.DataFrame]) -> list[str]:
    """What holds over several runs, in up to six paragraphs that follow from the numbers alone.

    runs: cohort -> tidy metrics. trainings: cohort -> variants.csv of notebook 12, where that was run.
    """
    tables = {cohort: scores(metrics) for cohort, metrics in runs.items()}
    verdicts = {(metric, one): {cohort: _verdicts(runs[cohort], tables[cohort], metric, one) for cohort in runs}
                for metric in ("mmd2", "ks", "kd") for one in (PRIORPATH, OURS)}
    sentences = [_compared("**Shapes** (MMD²)", verdicts["mmd2", PRIORPATH]),
                 _compared("**Amount of tissue** (KS)", verdicts["ks", PRIORPATH]) + f" FID {_fid(runs)}."]
    if any(verdicts["mmd2", OURS].values()):
        beyond = [_compared(title, verdicts[metric, OURS], f"the {LABELS[OURS]}")
                  for metric, title in SHORT.items() if any(verdicts[metric, OURS].values())]
        sentences.append(f"**Beyond the paper**, {' '.join(beyond)}")
        sentences += _seeds(runs)
    if control := _span(tables, PRIORPATH, "control_iou"):
        others = [f"; {whose}, with {span}" for whose, name in
                  ((f"those of the {LABELS[OURS]}", OURS), ("the real masks of nearest-train", "nearest-train"))
                  if (span := _span(tables, name, "control_iou"))]
        sentences.append("**Control**: coarsened again, PriorPath's masks overlap the outline with an IoU of "
                         f"{control}{''.join(others)}.")
    if covered := _span(tables, PRIORPATH, "coverage"):
        real = _span(tables, FLOOR, "coverage")
        sentences.append(f"**Variety**: PriorPath covers {covered} of the real test masks"
                         + (f"; real masks of other subjects cover {real}." if real else "."))
    return sentences + ([_chance(tables, verdicts["mmd2", PRIORPATH], trainings)] if trainings else [])


def _verdicts(metrics: pd.DataFrame, table: pd.DataFrame, metric: str, one: str) -> dict[str, str]:
    """Method -> whether `one` is "better", "alike" or "worse"; without those that cannot be compared."""
    found = {name: told_apart(table, metric, name, one) for name in methods_of(metrics) if name not in (one, FLOOR)}
    return {name: verdict for name, verdict in found.items() if verdict != "unknown"}


def _compared(title: str, verdicts: Mapping[str, dict[str, str]], who: str = "PriorPath") -> str:
    """On how many cohorts a method, called `who`, is better and worse than each other one."""
    compared = {cohort: found for cohort, found in verdicts.items() if found}
    if not compared:
        return f"{title}: no cohort has intervals, so nothing is compared."
    parts = []
    for word in ("better", "worse"):
        counts = {name: sum(found.get(name) == word for found in compared.values())
                  for name in dict.fromkeys(name for found in compared.values() for name in found)}
        than = ", ".join(f"{LABELS.get(name, name)} on {count}" for name, count in counts.items() if count)
        parts += [f"{word} than {than}"] if than else []
    on = "the one cohort" if len(compared) == 1 else f"the {len(compared)} cohorts"
    return f"{title}: of {on} with intervals, {who} is {'; '.join(parts) or 'neither better nor worse on any'}."


def _seeds(runs: Mapping[str, pd.DataFrame]) -> list[str]:
    """Over which MMD², and for images kd, the trainings of one method spread, where it was trained several times."""
    found, counts = {}, set()
    for metric, title in {"mmd2": "MMD²", "image_kd": "kd of images"}.items():
        for cohort, metrics in runs.items():
            own = metrics[(metrics["metric"] == metric) & (metrics["protocol"] == "A")]
            for method, rows in own.groupby("method", sort=False):
                if len(rows) > 1:
                    values = rows["value"].astype(float)
                    counts.add(len(rows))
                    found.setdefault(f"{title}, {LABELS[method]}", []).append(
                        f"{cohort} {values.min():.3g} to {values.max():.3g}")
    spans = "; ".join(f"{what}: {', '.join(cohorts)}" for what, cohorts in found.items())
    return [f"**Seeds**, {_range(counts)} trainings of each, of which the tables show the mean: {spans}."] if found else []


def _fid(runs: Mapping[str, pd.DataFrame]) -> str:
    """The FID of PriorPath in every run that has one."""
    values = {}
    for cohort, metrics in runs.items():
        rows = metrics[(metrics["metric"] == "fid") & (metrics["protocol"] == "A") & (metrics["method"] == PRIORPATH)]
        if rows["value"].map(_is_number).any():
            values[cohort] = rows["value"].iloc[0]
    if not values:
        return "was not computed: the Inception weights were not available"
    return "is " + ", ".join(f"{value} on {cohort}" for cohort, value in values.items())


def _is_number(value: object) -> bool:
    return not np.isnan(pd.to_numeric(value, errors="coerce"))


def _span(tables: Mapping[str, pd.DataFrame], method: str, metric: str) -> str:
    """The least and the largest value over runs: "0.3 to 0.6"; empty without any."""
    return _range([table.loc[(method, metric), "value"] for table in tables.values() if (method, metric) in table.index])


def _range(values: Collection[float]) -> str:
    """The least and the largest value, one number where they look alike."""
    return " to ".join(dict.fromkeys(f"{value:.3g}" for value in (min(values), max(values)))) if values else ""


def _chance(tables: Mapping[str, pd.DataFrame], verdicts: Mapping[str, dict[str, str]],
            trainings: Mapping[str, pd.DataFrame]) -> str:
    """How many verdicts on shapes another seed could change: the other's MMD² is in the prediction interval."""
    told, unsafe, counts = 0, 0, set()
    for cohort, table in trainings.items():
        own = table[(table["variant"] == variants.OWN) & (table["metric"] == "mmd2")]["value"].astype(float)
        low, high = variants.one_more(own)
        counts.add(len(own))
        for name, verdict in verdicts[cohort].items():
            if verdict != "alike":
                told += 1
                unsafe += low <= tables[cohort].loc[(name, "mmd2"), "value"] <= high
    return (f"**Chance**: on {' and '.join(trainings)}, pix2pix was trained with {_range(counts)} seeds each; of the {told} "
            f"comparisons of shapes there that came out better or worse, {unsafe} could change with another seed.")


def measures(folders: Sequence[Path]) -> str:
    """Every measure of every run, each under a heading of its own."""
    return "\n".join(f"### {folder.name}\n\n{markdown(folder)}" for folder in folders)


def markdown(folder: str | Path) -> str:
    """One run: its description, a table, and sentences on it."""
    folder = Path(folder)
    metrics, cells, record = read_run(folder)
    table = scores(metrics)
    words = metrics[metrics["protocol"] == "A"].drop_duplicates(["method", "metric"]).set_index(["method", "metric"])
    columns = {metric: title for metric, title in COLUMNS.items() if metric in set(metrics["metric"])}
    lines = [_what_it_was(folder, metrics, record), "",
             f"| method | n | {' | '.join(columns.values())} |", "|---" * (len(columns) + 2) + "|"]
    for method in methods_of(metrics):
        found = [shown(table, method, metric) or str(words["value"].get((method, metric), "")) for metric in columns]
        lines.append(f"| {LABELS.get(method, method)} | {words.loc[(method, 'mmd2'), 'n']} | {' | '.join(found)} |")
    sentences = reading(metrics, cells)
    if (folder / "variants.csv").exists():
        others = {LABELS.get(name, name): table.loc[(name, "mmd2"), "value"] for name in methods_of(metrics)
                  if name not in (PRIORPATH, FLOOR)}
        sentences += variants.reading(pd.read_csv(folder / "variants.csv"), others)
    lines += ["", *(f"- {sentence}" for sentence in sentences), ""]
    if (folder / "plane.png").exists():
        lines += [f"![{folder.name}: distance to real masks against how well the outline is kept]"
                  f"({folder.parent.name}/{folder.name}/plane.png)", ""]
    return "\n".join(lines)


def _what_it_was(folder: Path, metrics: pd.DataFrame, record: dict) -> str:
    parts = [f"Profile `{folder.parent.name}`"]
    if (folder / "table1.csv").exists():
        value = pd.read_csv(folder / "table1.csv", dtype=str).set_index("parameter").iloc[:, 0]
        parts.append(f"{value['Staining method']}, {value['# of slides']} slides of {value['# of participants']} "
                     f"subjects, {value['# of train patches']} training and {value['# of test patches']} test patches "
                     f"of {value['Patch size']} px")
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


def measured(path: str | Path, shown_as: Callable[[pd.DataFrame], str]) -> str:
    """A stored benchmark: where it was measured, and its table."""
    table = pd.read_csv(path)
    first = table.iloc[0]
    threads = f", {first['threads']} threads" if "threads" in table else ""
    return (f"Measured on {first['machine']}{threads}; patches of {first['height']} x {first['width']} px.\n\n"
            f"{shown_as(table)}")


def speed_table(table: pd.DataFrame) -> str:
    """The rows of batch 1 of a stored benchmark."""
    titles = "what", "textbook", "ours", "speed-up", "without bfloat16", "share of peak"
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in table[table["batch"] == 1].itertuples():
        float32 = "" if np.isnan(row.float32_ratio) else f"{row.float32_ratio:.2f}"
        lines.append(f"| {row.what}, {row.method} | {row.textbook_s:.3g} s | {row.ours_s:.3g} s | {row.ratio:.2f} "
                     f"[{row.ratio_low:.2f}, {row.ratio_high:.2f}] | {float32} | {row.share_of_peak:.0%} |")
    return "\n".join(lines) + "\n"


def slides_speed_table(table: pd.DataFrame) -> str:
    """The rows of a stored benchmark of slides."""
    lines = ["| what | case | measured |", "|---|---|---|"]
    for row in table.itertuples():
        number = "{:.0%}" if row.unit == "of its rate" else "{:.3g}"
        spread = "" if np.isnan(row.low) else f" [{number.format(row.low)}, {number.format(row.high)}]"
        lines.append(f"| {row.what} | {row.case} | {number.format(row.value)}{spread} {row.unit} |")
    return "\n".join(lines) + "\n"
