"""How is the study run? The command line of `./run_all.sh`, the hand-over to Snakemake, the closing table."""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

DESCRIPTION = """\
Run the study: slides -> patches -> coarse masks -> models -> tables and figures, for one or more cohorts.
What is up to date is skipped; what was interrupted goes on where it stopped."""

EPILOG = """\
commands:
  ./run_all.sh [options]                  run the study
  ./run_all.sh test                       run all tests (unit tests, then every notebook twice in the smoke profile)
  ./run_all.sh parameters [--profile P]   list every parameter of a profile with its meaning
  ./run_all.sh draw [--cohort NAME] [--profile P] [--port N] [--host 127.0.0.1]
                                          open a page to draw on; the cohort's trained models answer with fine masks
                                          and images
  ./run_all.sh draw --reproduce DIR       make a drawing that was saved there again, and compare bit for bit
  ./run_all.sh generate --to DIR [--count N] [--sketches DIR] [--variants N] [--seed N]
                                          a paired data set (coarse, fine, image) by a cohort's trained models, from
                                          the kinds of mask it holds, or from sketches
  ./run_all.sh generate --to DIR --sketches DIR [--tone dark|light] [--canvas HEIGHTxWIDTH]
                                          the same at any size, 4096x4096 say, filled by overlapping windows

examples:
  ./run_all.sh                                                   the demo, on the embedded cohort
  ./run_all.sh --cohort MINE --slides ~/slides --stain he        on your own slides or fields
  ./run_all.sh -p coarse_close=12 epochs=20                      with two parameters changed
  ./run_all.sh --profile paper --executor slurm --cores 4 -- --default-resources slurm_partition=gpu
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit status: 0 all well, 1 a notebook failed, 2 nothing was started."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    arguments, passed_on = _split_at_dashes(arguments)
    options = _parser().parse_args(arguments)
    from ppcore.study.errors import StudyError  # after the parsing, so that --help needs no environment

    try:
        if options.command == "test":
            return run_tests()
        if options.command == "parameters":
            return list_parameters(options.profile)
        if options.command == "draw":
            return draw(options)
        if options.command == "generate":
            return generate(options)
        return run_study(options, passed_on)
    except StudyError as error:
        print(f"run_all.sh: nothing was started.\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrun_all.sh: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130


def _split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run_all.sh", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=("run", "test", "parameters", "draw", "generate"), default="run",
                        help="default: run")
    parser.add_argument("--profile", default="demo", choices=("smoke", "demo", "paper"),
                        help="size of the run: seconds, minutes on two CPU cores (default), the paper's")
    parser.add_argument("--cohort", nargs="+", default=["PHANTOM"], metavar="NAME",
                        help="PHANTOM (default), PHANTOM-IHC, PRAD, SKCM, LUSC (loaded from TCGA), NSCLC (the paper's "
                             "counts for your own IHC slides), or any name for the images in --slides")
    parser.add_argument("--slides", metavar="DIR", help="folder of slides or fields, with an optional subjects.csv")
    parser.add_argument("--stain", choices=("he", "ihc"), help="of your own images; decides the air threshold")
    parser.add_argument("-p", dest="parameters", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                        help="override parameters of the profile")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--from", dest="start", metavar="NN", help="run notebook NN and all later ones again")
    which.add_argument("--only", metavar="NN", help="run just notebook NN again; 12 (variants), 13 and 14 (speed) run in no other way")
    which.add_argument("--force", action="store_true", help="run everything again")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), metavar="N",
                        help="CPU cores in use at once, or jobs with --executor (default: all)")
    parser.add_argument("--dask", metavar="ADDRESS", help="cut slides on the workers of this dask scheduler, as in "
                                                           "tcp://node1:8786; all have to share the folders")
    parser.add_argument("--executor", metavar="NAME", help="a Snakemake executor plug-in, as in slurm")
    parser.add_argument("--update-notebooks", action="store_true",
                        help="keep this run's outputs in the notebooks (demo on PHANTOM only)")
    page = parser.add_argument_group("of the drawing page")
    page.add_argument("--port", type=int, default=7860, metavar="N", help="default: 7860")
    page.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                      help="default: 127.0.0.1, which only this machine reaches; 0.0.0.0 lets others in, with no "
                           "password")
    page.add_argument("--reproduce", metavar="DIR", help="make a saved drawing again instead, and compare")
    pairs = parser.add_argument_group("of generate")
    pairs.add_argument("--to", metavar="DIR", help="folder of the new set; what an interrupted run left there goes on")
    pairs.add_argument("--count", type=int, default=100, metavar="N", help="outlines, as many of each kind (default: 100)")
    pairs.add_argument("--sketches", metavar="DIR", help="take the drawings of this folder instead")
    pairs.add_argument("--tone", choices=("auto", "dark", "light"), default="auto",
                       help="which tone of a drawn picture is tissue; light, for masks that the study stored")
    pairs.add_argument("--canvas", metavar="HEIGHTxWIDTH", help="stretch them to this size, px, instead of a patch's")
    pairs.add_argument("--variants", type=int, default=1, metavar="N", help="pairs of each outline, 1 to 8 (default: 1)")
    pairs.add_argument("--seed", type=int, default=1, metavar="N", help="of the noise (default: 1)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run and why")
    return parser


def study_settings(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Cohort -> its checked settings. Raises `StudyError` on anything that would fail later for sure."""
    from ppcore.slides.cohorts import EMBEDDED, TABLE_1, TCGA, list_sources, slides_folder
    from ppcore.study.errors import StudyError
    from ppcore.study.settings import DRAWINGS, load_settings

    stains = {name: column["stain"] for name, column in TABLE_1.items()} | EMBEDDED
    overrides = _parse_parameters(options.parameters)
    cohorts = list(dict.fromkeys(options.cohort))
    if options.slides and len(cohorts) > 1:
        raise StudyError(f"--slides gives the images of one cohort, but --cohort names {len(cohorts)}: "
                         "run one at a time")
    if options.slides:
        overrides["slides"] = str(Path(options.slides).expanduser().resolve())
    if overrides.get("sketches"):
        folder = Path(str(overrides["sketches"])).expanduser().resolve()
        if not folder.is_dir():
            raise StudyError(f"-p sketches={overrides['sketches']}: no such folder; wanted one with drawings "
                             f"({', '.join(DRAWINGS)})")
        overrides["sketches"] = str(folder)
    checked = {}
    for cohort in cohorts:
        stain = overrides.get("stain", options.stain)
        if cohort in EMBEDDED and stain not in (None, EMBEDDED[cohort]):
            raise StudyError(f"cohort {cohort} is drawn with the stain {EMBEDDED[cohort]!r}, not {stain!r}: "
                             "leave --stain out")
        values = {"cohort": cohort, **overrides, "stain": stain or stains.get(cohort, "he")}
        if options.profile == "paper" and cohort in TABLE_1 and not {"test_fraction", "test_patches"} & set(overrides):
            values = {f"{side}_patches": TABLE_1[cohort][side] for side in ("train", "test")} | values
        settings = load_settings(options.profile, values)
        folder = slides_folder(options.profile, cohort, settings.slides)
        if cohort not in EMBEDDED and (cohort not in TCGA or settings.slides):
            list_sources(folder)
            if stain is None and cohort not in stains:
                raise StudyError(f"cohort {cohort}: which stain? Add --stain he (air above gray 204) or "
                                 "--stain ihc (235)")
        checked[cohort] = settings.model_dump()
    return checked


def _parse_parameters(pairs: list[str]) -> dict[str, Any]:
    import yaml

    from ppcore.study.errors import StudyError

    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise StudyError(f"-p {pair}: wanted NAME=VALUE, as in -p coarse_close=12")
        try:
            values[name] = yaml.safe_load(value) if value else ""
        except yaml.YAMLError:
            values[name] = value
    for name, instead in (("profile", "--profile"), ("cohort", "--cohort")):
        if name in values:
            raise StudyError(f"-p {name}=...: use {instead} {values[name]}")
    return values


def run_study(options: argparse.Namespace, passed_on: list[str]) -> int:
    """Check the settings, lock the cohorts, let Snakemake run what is needed, print the closing table."""
    from ppcore.slides.workers import connected
    from ppcore.study.errors import StudyError
    from ppcore.study.runs import home
    from ppcore.workflow.notebooks import update_kept_outputs

    cohorts = study_settings(options)
    if options.update_notebooks and (options.profile != "demo" or list(cohorts) != ["PHANTOM"] or options.parameters):
        raise StudyError("--update-notebooks keeps the outputs of the demo on PHANTOM with its own parameters, and of "
                         "nothing else: leave out --profile, --cohort and -p")
    numbers = _numbers(options)
    if options.dask:
        with connected(options.dask):  # that it answers is known before anything starts
            pass
    run_id = uuid.uuid4().hex
    started = time.monotonic()
    with ExitStack() as stack:
        if not options.dry_run:
            for cohort in cohorts:
                stack.enter_context(_only_run(options.profile, cohort))
        if not all([_fetched(cohort, settings, options.dry_run) for cohort, settings in cohorts.items()]):
            return 0
        (home() / ".snakemake").mkdir(parents=True, exist_ok=True)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=home() / ".snakemake")))
        run_file = folder / "run.json"
        run_file.write_text(json.dumps({
            "id": run_id, "owner": f"{socket.gethostname()}:{os.getpid()}", "profile": options.profile,
            "cohorts": cohorts, "targets": [_rule(number) for number in numbers], "run_file": str(run_file)}))
        status = _snakemake(options, passed_on, run_file, numbers)
    if options.dry_run:
        return status
    _closing_table(options.profile, list(cohorts), numbers, run_id, status, time.monotonic() - started)
    if options.update_notebooks and not status:
        update_kept_outputs(options.profile, "PHANTOM", numbers)
        print(f"The outputs of {len(numbers)} notebooks were renewed in notebooks/.")
    return 1 if status else 0


def _fetched(cohort: str, settings: dict[str, Any], only_say: bool) -> bool:
    """Have the slides of a TCGA cohort loaded; here, and not in a notebook, since a cluster's nodes may have no network."""
    from ppcore.slides.cohorts import TCGA, list_sources, slides_folder

    if cohort not in TCGA or settings["slides"]:
        return True
    from ppcore.slides.tcga import fetch

    folder = slides_folder(settings["profile"], cohort)
    there = fetch(cohort, folder, only_say)
    if there:
        list_sources(folder)  # stops here for a slide that the manifest does not name
    return there


WORKFLOW = ("01", "02", "03", "04", "05", "06", "08", "09", "10", "11")  # the notebooks of a plain run, in order
BY_NAME = ("12", "13", "14")  # run only when --only names them


def _numbers(options: argparse.Namespace) -> list[str]:
    """The notebooks that this run is about."""
    from ppcore.study.errors import StudyError

    for option, number in (("--from", options.start), ("--only", options.only)):
        known = WORKFLOW + (BY_NAME if option == "--only" else ())
        if number is not None and number not in known:
            raise StudyError(f"{option} {number}: there is no such notebook; wanted one of {', '.join(known)}")
    return [options.only] if options.only else list(WORKFLOW)


def _rule(number: str) -> str:
    """The workflow's rule for a notebook is named as the notebook is."""
    from ppcore.workflow.notebooks import find_notebook

    return find_notebook(number).stem.split("_", 1)[1]


@contextmanager
def _only_run(profile: str, cohort: str):
    """Hold a cohort for this run. The lock goes with the process, however that ends."""
    from filelock import FileLock, Timeout

    from ppcore.study.errors import StudyError
    from ppcore.study.runs import data_folder

    folder = data_folder(profile, cohort)
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / ".run.txt"
    try:
        with FileLock(folder / ".run.lock", timeout=0):
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%F %T')}")
            yield
    except Timeout:
        raise StudyError(f"cohort {cohort} in the profile {profile} is being run already by {holder.read_text()}: "
                         "wait for it, or end it and start again") from None


def _snakemake(options: argparse.Namespace, passed_on: list[str], run_file: Path, numbers: list[str]) -> int:
    """Run the workflow; returns Snakemake's exit status."""
    from ppcore.slides.workers import DASK
    from ppcore.study.runs import REPOSITORY, home
    from ppcore.workflow.notebooks import NOTEBOOKS

    command = [sys.executable, "-m", "snakemake", "--snakefile", str(NOTEBOOKS / "Snakefile"),
               "--directory", str(home()), "--configfile", str(run_file), "--scheduler", "greedy", "--nolock",
               "--rerun-incomplete", "--keep-going", "--rerun-triggers", "params", "input", "mtime",
               "--max-checksum-file-size", "100MB"]
    command += ["--executor", options.executor, "--jobs", str(options.cores)] if options.executor else [
        "--cores", str(options.cores)]
    if options.force:
        command.append("--forceall")
    again = numbers if options.only else [n for n in numbers if options.start and n >= options.start]
    if again:
        command += ["--forcerun", *(_rule(number) for number in again)]
    if options.only:
        command += ["--allowed-rules", _rule(options.only), "study"]
    # quiet, since the notebooks' own progress and the closing table say what is going on
    command += ["--dry-run"] if options.dry_run else ["--quiet", "all"]
    python_path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": python_path, "PYTHONHASHSEED": "0",
                   "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    if options.dask:
        environment[DASK] = options.dask
    if not options.dry_run:
        return subprocess.run(command + passed_on, env=environment, check=False).returncode
    planned = subprocess.run(command + passed_on, env=environment, check=False, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if planned.returncode:
        print(planned.stdout, file=sys.stderr)
    else:
        _print_plan(planned.stdout, numbers)
    return planned.returncode


def _print_plan(said: str, numbers: list[str]) -> None:
    """Print which notebooks Snakemake's dry run would execute, in the study's order, and its reason for each."""
    from ppcore.workflow.notebooks import find_notebook

    stems = {_rule(number): find_notebook(number).stem for number in numbers}
    jobs = re.findall(r"^rule (\w+):$.*?^    reason: (.*?)$.*?^    wildcards: .*?cohort=(\S+)$", said, re.M | re.S)
    for rule, reason, cohort in sorted(jobs, key=lambda job: (job[2], stems[job[0]])):  # its own order is not fixed
        print(f"would run {stems[rule]} · {cohort}: {shorten(reason, 150)}")
    if not jobs:
        print(f"Nothing would run: all {len(numbers)} notebooks of each cohort are up to date.")


def _closing_table(profile: str, cohorts: list[str], numbers: list[str], run_id: str, status: int,
                   seconds: float) -> None:
    """Print, for each cohort and notebook, whether it is done, was up to date, failed or did not run, and why."""
    from ppcore.study.runs import data_folder, figures_folder
    from ppcore.workflow.notebooks import find_notebook, record_path

    rows, remarks, counts = [], [], {"done": 0, "failed": 0, "stopped": 0}
    for cohort in cohorts:
        broken = False
        for number in numbers:
            path = record_path(profile, cohort, number)
            record = json.loads(path.read_text()) if path.exists() else {}
            stem = find_notebook(number).stem
            outcome, time_taken = "up to date", ""
            if record.get("run") == run_id:
                outcome, time_taken = record["status"], f"{record['seconds']:.0f} s"
                if outcome == "running":
                    outcome, time_taken = "stopped", ""
                    record["error"] = ("its process was ended from outside, or found no room to say why it failed; "
                                       "the same command goes on from there")
            elif broken or (status and record.get("status") != "done"):
                outcome = "not run"
            counts[outcome] = counts.get(outcome, 0) + 1
            rows.append((cohort, stem, outcome, time_taken))
            if outcome in ("failed", "stopped"):
                broken = True
                where = f"cell {record['cell']}: " if record.get("cell") else ""
                remarks.append(f"{cohort} {stem}: {where}{record['error']}\n"
                               f"  read {data_folder(profile, cohort) / 'notebooks' / stem}.ipynb")
            elif outcome == "done":
                remarks += [f"{cohort} {stem}: {warning}" for warning in record.get("warnings", [])]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    print()
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    for remark in remarks:
        print(f"! {remark}")
    if status:
        print(f"Not finished after {seconds:.0f} s: {counts['failed'] + counts['stopped']} failed or stopped.")
    elif not counts["done"]:
        print(f"Nothing to do: all {len(rows)} notebooks are up to date (--force runs them again). {seconds:.0f} s")
    else:
        print(f"Finished in {seconds:.0f} s. Tables and figures: "
              + ", ".join(str(figures_folder(profile, cohort)) for cohort in cohorts))


def list_parameters(profile: str) -> int:
    """Print every parameter with its value in `profile` and its meaning."""
    from ppcore.study.settings import Settings, load_settings

    for name, value in load_settings(profile, {}).model_dump().items():
        print(f"{name:22}{value!r:>12}  {Settings.model_fields[name].description}")
    return 0


def draw(options: argparse.Namespace) -> int:
    """Open the drawing page, or make a saved drawing again; 1 where it comes out otherwise."""
    from ppcore.study.errors import StudyError

    if len(options.cohort) > 1 or options.parameters:
        raise StudyError("draw: wanted one --cohort and no -p; the trained models bring their own parameters")
    if not options.reproduce:
        from ppcore.drawing.page import serve

        return serve(options.profile, options.cohort[0], options.host, options.port)
    from ppcore.drawing.stored import reproduce

    otherwise = reproduce(options.reproduce)
    print(f"{options.reproduce}: " + (f"came out otherwise: {', '.join(otherwise)}" if otherwise else
                                      "made again, the same bit for bit"))
    return 1 if otherwise else 0


def generate(options: argparse.Namespace) -> int:
    """Make a paired data set by the trained models of a cohort."""
    from ppcore.drawing.answer import open_models
    from ppcore.drawing.pairs import from_kinds, from_sketches, generate_pairs
    from ppcore.study.errors import StudyError

    if not options.to or len(options.cohort) > 1 or options.parameters or options.count < 1:
        raise StudyError("generate: wanted --to DIR, one --cohort, a --count of 1 or more and no -p, as in\n"
                         "  ./run_all.sh generate --cohort PHANTOM --to pairs --count 100")
    canvas = _canvas_size(options.canvas, options.sketches) if options.canvas else None
    models = open_models(options.profile, options.cohort[0])
    if options.sketches:
        outlines = from_sketches(models, options.sketches, options.tone, canvas)
    else:
        outlines = from_kinds(models, options.count, options.seed)
    index = generate_pairs(models, outlines, options.to, options.seed, options.variants)
    print(f"{len(index)} pairs of {index['outline'].nunique()} outlines in {options.to}")
    return 0


LARGEST_SIDE = 16383  # px, of a WebP image


def _canvas_size(text: str, sketches: str | None) -> tuple[int, int]:
    from ppcore.masks.sketches import LARGEST_PX
    from ppcore.study.errors import StudyError

    sides = re.fullmatch(r"(\d+)x(\d+)", text)
    height, width = map(int, sides.groups()) if sides else (0, 0)
    if not sketches or not 0 < height * width <= LARGEST_PX or max(height, width) > LARGEST_SIDE:
        raise StudyError(f"--canvas {text}: wanted HEIGHTxWIDTH, as in 4096x4096, with --sketches DIR; at most "
                         f"{LARGEST_PX / 1e6:.0f} million px, and {LARGEST_SIDE} a side")
    return height, width


def run_tests() -> int:
    """Unit tests; then the smoke profile in one empty folder, and its notebooks once more in another through nbval.

    nbval compares the outputs of the cells tagged `nbval-check-output`: two runs must print the same.
    """
    from ppcore.study.runs import REPOSITORY

    folder = Path(tempfile.mkdtemp(prefix="priorpath-test-"))
    try:
        environment = {**os.environ, "PRIORPATH_HOME": str(folder / "first")}
        for more in ([], *(["--only", number] for number in BY_NAME)):
            command = [sys.executable, "-m", "ppcore.run", "--profile", "smoke", *more]
            status = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
            if status:
                return status
        executed = sorted((folder / "first" / "data" / "smoke" / "PHANTOM" / "notebooks").glob("*.ipynb"))
        environment |= {"PRIORPATH_HOME": str(folder / "second"), "PRIORPATH_SMOKE": str(folder / "first")}
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--durations=10",
                   str(REPOSITORY / "ppcore" / "tests"), *map(str, executed)]
        return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
