"""What does `./run_all.sh gpu` do? Three parts in order of worth; each stores its table as it goes.

    figures/gpu/right.csv   is it right?      method, check, what, error, bound, ok
    figures/gpu/fast.csv    how fast?         a line per method, what is timed and how; a machine's rates
    figures/gpu/good.csv    how good, when?   a line per method and rung
    figures/gpu/masks.png   outlines, real masks, then rung by rung noise GAN, pix2pix, diffusion; middles of patches
    figures/gpu/images.jpg  masks, real images, then rung by rung noise-image
    figures/gpu/<method>.safetensors          the small models after their last rung
    figures/gpu/table.txt   what is printed at the end

At most 8 files, each below 16 MB.
"""

import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children
from os import cpu_count
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ppcore.experiments.gpu import fast, faster, good, patches, resumed, right
from ppcore.experiments.gpu.bench import FULL, NAMES, TINY, Clock, reason
from ppcore.experiments.gpu.floors import H100, seconds_at_least, step_floor
from ppcore.experiments.gpu.measured import helpers
from ppcore.experiments.gpu.needs import FOR_KD, missing
from ppcore.study.errors import StudyError
from ppcore.study.files import write_text
from ppcore.study.runs import commit, machine

RIGHT_SIZE = (256, 512)  # px: the CPU has to compute it too
SHARES = {"right": 1 / 4, "fast": 1 / 5, "faster": 1 / 5}  # of the time; the rest is for part three
AT_MOST = {"right": 75.0, "fast": 90.0, "faster": 90.0}  # s
SECONDS_TINY = 12.0  # of a trial's faster ways
ANSWER = "page's answer"


class Bench:
    """A run of the script: where it computes, until when, and its tables so far."""

    def __init__(self, device: str, minutes: float, folder: Path, answer: Callable[[str, str], right.Answer]) -> None:
        self.device, self.minutes, self.folder, self.answer = device, minutes, folder, answer
        self.tiny = device == "cpu"
        self.clock, self.size = Clock(60 * minutes), TINY if self.tiny else FULL
        self.about = {"device": machine(device), "torch": torch.__version__, "commit": commit()}
        self.tables: dict[str, list[dict]] = {"right": [], "fast": [], "good": []}

    def seconds(self, part: str) -> float:
        """What a part may take, s. A trial tries everything, however long it takes."""
        return np.inf if self.tiny else min(AT_MOST[part], 60 * self.minutes * SHARES[part])

    def write(self, part: str, rows: list[dict] | None = None) -> None:
        """Store a table, all over again."""
        self.tables[part] = self.tables[part] if rows is None else rows
        table = pd.DataFrame(self.tables[part]).assign(**self.about)
        write_text(self.folder / f"{part}.csv", table.to_csv(index=False, float_format="%.6g"))

    def collect(self, part: str, name: str, rows: Iterable[dict]) -> None:
        """Take rows as they come; an error becomes a row, and the next method has its turn."""
        try:
            for row in rows:
                self.tables[part].append({"method": name, **row})
        except Exception as error:
            traceback.print_exc()
            self.tables[part].append({"method": name, "note": reason(error), **({"ok": False} if part == "right" else {})})
        self.write(part)


def run(device: str, minutes: float, folder: Path, cohort: str, handed: str | None,
        answer: Callable[[str, str], right.Answer]) -> int:
    """All parts; returns 1 if a check of part one failed. device: "cuda", or "cpu" at a tiny size.

    minutes: for everything. cohort, handed: whose patches part three trains on (`patches.stored`). answer: the page's
    (`right.of_answer`). Raises `StudyError` before anything is computed.
    """
    torch.set_num_threads(1 if device == "cpu" else min(16, cpu_count() or 1))
    place = patches.stored(cohort, handed)
    if place is None and cohort != "PHANTOM":
        raise StudyError(f"gpu: cohort {cohort} has no patches in the profile paper: cut them with\n"
                         f"  ./run_all.sh --profile paper --cohort {cohort} --only 01\nor name a folder of patches, --patches DIR")
    index = None if place is None else patches.open_stored(place)
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(device, minutes, folder, answer)
    print(f"{bench.about['device']}, torch {torch.__version__}, commit {bench.about['commit']}, {minutes:g} minutes"
          + (": a trial at a tiny size, whose numbers mean nothing" if bench.tiny else ""), flush=True)
    if kd := missing(FOR_KD):
        print(f"kd is left out: pip install {' '.join(kd)}", flush=True)
    home = Path(tempfile.mkdtemp(prefix="priorpath-gpu-"))
    try:
        with helpers(1 if bench.tiny else max(1, min(12, (cpu_count() or 1) - 2))) as pool:
            slides = [] if index is not None else patches.begin_drawing(pool, home, bench.tiny, bench.size)
            part_right(bench, home)
            data = None
            try:
                index = patches.finish_drawing(slides) if index is None else index
                data = good.open_data(index, place or home, home / "coarse", pool, not kd)
            except Exception as error:
                traceback.print_exc()
                bench.write("good", [{"method": "patches", "note": reason(error)}])
            part_fast(bench)
            if data is not None:
                part_good(bench, data, pool)
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():  # what is not measured by now would take past the end
                child.kill()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    text = closing_table(bench)
    write_text(folder / "table.txt", text + "\n")
    print(text)
    return int(not all(row.get("ok", True) for row in bench.tables["right"]))


@contextmanager
def part(name: str):
    """Say when a part begins and how long it took."""
    print(f"\n{name}", flush=True)
    start = time.monotonic()
    yield
    print(f"{name} {time.monotonic() - start:.0f} s", flush=True)


def part_right(bench: Bench, home: Path) -> None:
    """right.csv: every method against the CPU, the page's answer, the running mean, and resumed trainings."""
    size = TINY if bench.tiny else RIGHT_SIZE
    clock, device = Clock(bench.seconds("right")), bench.device
    with part("Is it right?"):
        checks = [(name, lambda name=name: right.of_method(name, size, bench.tiny, device)) for name in NAMES]
        checks.insert(1, (ANSWER, lambda: right.of_answer(bench.answer, bench.size, device)))
        checks.insert(2, (NAMES[0], lambda: [right.row("EMA", "mean", right.mean_error(NAMES[0], size, bench.tiny, device),
                                                       1e-5)]))
        checks += [(name, lambda name=name: resumed.of_method(name, device, home / "resumed")) for name in NAMES]
        for name, check in tqdm(checks, desc="right", unit="check"):
            late = not clock.left()
            bench.collect("right", name, [{"note": "no time left"}] if late else _several(check))


def _several(check: Callable[[], list[dict]]) -> Iterable[dict]:
    yield from check()  # inside the loop that catches its errors


def part_fast(bench: Bench) -> None:
    """fast.csv: the machine, every method's floors, steps and generation, the page's answer, and faster ways."""
    device, size, tiny = bench.device, bench.size, bench.tiny
    clock = Clock(bench.seconds("fast"))
    with part("How fast?"):
        rates = fast.machine_rates(device, tiny)
        bench.tables["fast"].append({"method": "machine", "what": "rates", **rates})
        for name in NAMES:
            bench.collect("fast", name, _several(lambda name=name: [paper_floor(name)]))
        for done, name in enumerate(tqdm(NAMES, desc="fast", unit="method")):
            each = 0.5 if tiny else clock.left() / (len(NAMES) + 1 - done)
            if not each:
                bench.collect("fast", name, [{"note": "no time left"}])
                continue
            bench.collect("fast", name, fast.step_rows(name, size, tiny, device, 0.6 * each, rates))
            bench.collect("fast", name, fast.generation_rows(name, size, tiny, device, 0.2 * each))
        bench.collect("fast", ANSWER, fast.answer_rows(bench.answer, size, device, 2.0))
    clock = Clock(SECONDS_TINY if tiny else bench.seconds("faster"))
    with part("Faster ways?"):
        for way, share in ((faster.GRAPH, 0.4), (faster.COMPILE, 1.0)):
            bench.collect("fast", "", faster.attempts(way, size, tiny, device, NAMES, share * clock.left()))
    if device == "cuda":
        torch.cuda.empty_cache()


def paper_floor(name: str) -> dict:
    """What a method's step at the paper's size takes at least on an H100, by its data sheet."""
    floor = step_floor(name, FULL, False, 1)
    return {"what": "floor on paper", "how": "H100, 512 x 1024 px", "batch": 1, **floor,
            "seconds": seconds_at_least(floor, H100)}


def part_good(bench: Bench, data: good.Data, pool) -> None:
    """good.csv, the sheets and the small models."""
    workers = 0 if bench.tiny else min(4, max(1, (cpu_count() or 1) // 4))
    with part("How good, after how many minutes?"):
        reserve = min(45.0, 0.2 * bench.clock.left())
        try:
            results = good.Results(data, pool, bench.folder, partial(bench.write, "good"))
            good.climb(data, bench.tiny, bench.device, workers, bench.clock, reserve, results,
                       partial(good.store_model, folder=bench.folder))
        except Exception as error:
            traceback.print_exc()
            bench.write("good", [*bench.tables["good"], {"method": "all", "note": reason(error)}])


def closing_table(bench: Bench) -> str:
    """A line per method: its worst check in float32 and in bfloat16, its rates, and its last rung."""
    checks, times, rungs = (pd.DataFrame(bench.tables[part]) for part in ("right", "fast", "good"))
    lines = []
    for name in (*NAMES, ANSWER, "real-train", "real-train, images"):
        line = {"method": name}
        mine = checks[checks["method"] == name]
        if len(mine):
            judged = mine.get("ok", pd.Series(dtype=object)).dropna().astype(bool)
            line["right"] = "FAILS" if not judged.all() else f"{len(judged)} checks" if len(judged) else "no time"
            for check in ("float32", "bfloat16"):
                line[check] = mine.loc[mine.get("check") == check, "error"].max()
        line |= _rates(times[times["method"] == name])
        if "minutes" in rungs and len(mine := rungs[rungs["method"] == name]):
            measured = mine[mine["minutes"].notna() & mine.get("mmd2", pd.Series(np.nan, mine.index)).notna()]
            last = (measured if len(measured) else mine).iloc[-1]
            line |= {key: last.get(key, np.nan) for key in ("minutes", "mmd2", "kd", "coverage", "iou")}
        lines.append(line)
    table = pd.DataFrame(lines).set_index("method")
    failed = checks[checks.get("ok", True) == False]  # noqa: E712
    words = [table.map(_short).to_string()]
    if len(failed):
        words.append("\nFailed checks\n" + failed.to_string(index=False))
    return "\n".join(words)


def _rates(mine: pd.DataFrame) -> dict[str, object]:
    """Rates of a method's steps and generation in images per second, its gain over the textbook, and faster ways."""
    if "images_per_s" not in mine or not len(mine):
        return {}
    steps = mine[(mine["what"] == "training step") & mine["images_per_s"].notna()]
    at_one = steps[steps["batch"] == 1].set_index("how")["images_per_s"]
    ours, found = steps[steps["how"] == "ours"], {}
    if len(ours):
        best = ours.loc[ours["images_per_s"].idxmax()]
        floor = mine.loc[mine["what"] == "floor on paper", "seconds"].max()
        found = {"steps/s": at_one["ours"], "best": best["images_per_s"], "at batch": best["batch"],
                 "x textbook": at_one["ours"] / at_one.get("textbook", np.nan), "of peak": best["share_of_peak"],
                 "of floor": best["share_of_floor"], "H100 at most/s": 1 / floor}
    for key, what in (("made/s", "generation"), ("made/s", "answer")):
        if len(made := mine[(mine["what"] == what) & (mine["batch"] == 1)]):
            found[key] = made["images_per_s"].iloc[0]
    for way, short in ((faster.GRAPH, "x graph"), (faster.COMPILE, "x compile")):
        if "gain" in mine and len(tried := mine[mine["how"] == way]):
            found[short] = tried["gain"].iloc[0]
    return found


def _short(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{value:.3g}"
