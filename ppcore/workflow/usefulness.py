"""What did notebook 11 find? In a sentence for README.md and in tables for figures/README.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ppcore.experiments import utility


def usefulness(folders: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Cohort -> the Dice of `utility.csv` over all seeds, by arm, test and n, where notebook 11 was run."""
    tables = {folder.name: pd.read_csv(folder / "utility.csv", dtype={"n": str, "seed": str}) for folder in folders
              if (folder / "utility.csv").exists()}
    return {cohort: table[(table["seed"] == "mean") & (table["metric"] == "dice")].set_index(["arm", "test", "n"])
            for cohort, table in tables.items()}


def useful(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What synthetic pairs and copy-paste change on other patients, of the same look and of another one."""
    both, pasted = ("; ".join(_changes(tables, arm)) for arm in ("both", "copy-paste"))
    if not both:
        return []
    return ["**Worth training on** (notebook 11, [all numbers](figures/README.md#worth-training-on)): pairs from "
            "generators that saw n labelled patches alone, added to these, change the Dice of nuclei on other patients "
            f"(in brackets, at which n that is told apart from no change): {both}."
            + (f" One another's nuclei pasted in: {pasted}." if pasted else "")]


def _changes(tables: Mapping[str, pd.DataFrame], arm: str) -> list[str]:
    """Each cohort and look: the least and the largest change of Dice over n, and at which n it is told apart from none."""
    parts = []
    for cohort, table in tables.items():
        changes = table.loc[table.index.get_level_values("arm") == f"{arm} - real"]
        for test, rows in changes.groupby("test", sort=False):
            if test in (utility.SAME, utility.OTHER):
                verdicts = [utility.verdict(low, high) for low, high in zip(rows["low"], rows["high"])]
                sizes = {word: [n for n, one in zip(rows.index.get_level_values("n"), verdicts) if one == word]
                         for word in ("HELPS", "HARMS")}
                told = "; ".join(f"{word} at n = {', '.join(found)}" for word, found in sizes.items() if found)
                span = " to ".join(dict.fromkeys(f"{value:+.3f}" for value in (rows["value"].min(), rows["value"].max())))
                parts.append(f"{cohort}, {test}, {span} ({told or 'not told apart'})")
    return parts


def useful_tables(folders: Sequence[Path]) -> str:
    """All tests of notebook 11, a table a cohort: real patches alone, then what each arm changes."""
    pages = []
    for cohort, table in usefulness(folders).items():
        sizes = list(dict.fromkeys(table.index.get_level_values("n")))
        rows = [[f"Dice of nuclei, {cohort}", *(f"n = {n}" for n in sizes)], ["---"] * (len(sizes) + 1)]
        for test in dict.fromkeys(table.index.get_level_values("test")):
            own = table.xs(test, level="test")
            rows.append([f"{test}, real", *(f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
                                            for row in (own.loc["real", n] for n in sizes))])
            for arm in list(utility.ARMS)[1:]:
                cells = [own.loc[f"{arm} - real", n] for n in sizes]
                rows.append([f"{test}, {arm} minus real", *(
                    f"{row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}] {utility.verdict(row['low'], row['high'])}"
                    for row in cells)])
        pages.append("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
    return "\n".join(pages)
