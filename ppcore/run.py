"""What can the study be told to do? The command line of `./run_all.sh`.

Imports beyond the standard library are inside functions: `--help` needs no environment, and no command loads what it
does not use.
"""

import argparse
import os
import sys
import sysconfig
from pathlib import Path

DESCRIPTION = """\
Run the study: slides -> patches -> coarse masks -> models -> tables and figures, for one or more cohorts.
Whatever is up to date is skipped; an interrupted run resumes where it stopped."""

EPILOG = """\
commands:
  ./run_all.sh [options]                  run the study
  ./run_all.sh test                       run all tests (unit tests, then every notebook twice in the smoke profile)
  ./run_all.sh parameters [--profile P]   list every parameter of a profile with its meaning
  ./run_all.sh draw [--cohort NAME] [--profile P] [--port N] [--host 127.0.0.1]
                                          open a page to draw on; the cohort's trained models answer with fine masks
                                          and images
  ./run_all.sh draw --reproduce DIR       reproduce the drawing saved there, and compare it bit for bit
  ./run_all.sh generate --to DIR [--count N] [--sketches DIR] [--variants N] [--seed N]
                                          make a paired data set (coarse, fine, image) with a cohort's trained models,
                                          from its kinds of mask or from sketches
  ./run_all.sh generate --to DIR --sketches DIR [--tone dark|light] [--canvas HEIGHTxWIDTH]
                                          the same at any size, such as 4096x4096, filled by overlapping windows
  ./run_all.sh generate --to DIR ... [--geojson] [--slide [--mpp UM]]
                                          also for QuPath: the masks as GeoJSON, each pair as a pyramidal TIFF
  ./run_all.sh gpu [--minutes 9] [--cohort NAME | --patches DIR] [--to DIR] [--device cpu]
                                          check a GPU against the CPU, time it, and train on it for some minutes

examples:
  ./run_all.sh                                                   the demo, on the embedded cohort
  ./run_all.sh --cohort MINE --slides ~/slides --stain he        on your own slides or fields
  ./run_all.sh -p coarse_close=12 pix2pix_epochs=20              with two parameters changed
  ./run_all.sh --profile paper --executor slurm --cores 4 -- --default-resources slurm_partition=gpu
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit status: 0 success, 1 a notebook failed, 2 nothing was started."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    arguments, passed_on = _split_at_dashes(arguments)
    options = _parser().parse_args(arguments)
    from ppcore.study.errors import StudyError  # after the parsing, so that --help needs no environment

    try:
        if options.command == "test":
            from ppcore.workflow.checks import run_tests

            return run_tests()
        if options.command == "parameters":
            return list_parameters(options.profile)
        if options.command == "draw":
            return draw(options)
        if options.command == "generate":
            return generate(options)
        if options.command == "gpu":
            return gpu(options)
        from ppcore.workflow.snakemake import run_study

        return run_study(options, passed_on)
    except StudyError as error:
        print(f"run_all.sh: nothing was started.\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrun_all.sh: interrupted; run the same command to resume.", file=sys.stderr)
        return 130


def _split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run_all.sh", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", default="run", help="default: run",
                        choices=("run", "test", "parameters", "draw", "generate", "gpu"))
    parser.add_argument("--profile", default="demo", choices=("smoke", "demo", "paper"),
                        help="size of the run: smoke for tests, demo for two CPU cores (default), paper for a GPU")
    parser.add_argument("--cohort", nargs="+", default=["PHANTOM"], metavar="NAME",
                        help="PHANTOM (default), PHANTOM-IHC, PRAD, SKCM, LUSC (downloaded from TCGA), NSCLC (the "
                             "paper's counts for your own IHC slides), or any name for the images in --slides")
    parser.add_argument("--slides", metavar="DIR", help="folder of slides or fields, with an optional subjects.csv")
    parser.add_argument("--stain", choices=("he", "ihc"), help="stain of your own images; sets the air threshold")
    parser.add_argument("-p", dest="parameters", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                        help="override parameters of the profile")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--from", dest="start", metavar="NN", help="run notebook NN and all later ones again")
    which.add_argument("--only", nargs="+", metavar="NN", help="run only these notebooks again; 11 (usefulness), 12 "
                                                               "(variants), 13, 14 (speed), 15 and 16 (what models "
                                                               "need) only this way")
    which.add_argument("--force", action="store_true", help="run everything again")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), metavar="N",
                        help="CPU cores to use at once, or jobs with --executor (default: all)")
    parser.add_argument("--dask", metavar="ADDRESS", help="cut slides on the workers of this dask scheduler, such as "
                                                           "tcp://node1:8786; all must see the same folders")
    parser.add_argument("--executor", metavar="NAME", help="a Snakemake executor plug-in, such as slurm")
    parser.add_argument("--update-notebooks", action="store_true",
                        help="store this run's outputs in the notebooks (demo on PHANTOM only)")
    page = parser.add_argument_group("options of draw")
    page.add_argument("--port", type=int, default=7860, metavar="N", help="default: 7860")
    page.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                      help="default: 127.0.0.1, which only this machine reaches; 0.0.0.0 lets others in, with no "
                           "password")
    page.add_argument("--reproduce", metavar="DIR", help="reproduce a saved drawing instead, and compare")
    pairs = parser.add_argument_group("options of generate")
    pairs.add_argument("--to", metavar="DIR", help="folder of the new set; an interrupted set is resumed. Of gpu: folder "
                                                    "of its tables (default: figures/gpu)")
    pairs.add_argument("--count", type=int, default=100, metavar="N",
                       help="number of outlines, equally many of each kind (default: 100)")
    pairs.add_argument("--sketches", metavar="DIR", help="use the drawings in this folder instead")
    pairs.add_argument("--tone", choices=("auto", "dark", "light"), default="auto",
                       help="which tone of a picture is tissue (default: auto); light for masks stored by the study")
    pairs.add_argument("--canvas", metavar="HEIGHTxWIDTH", help="stretch them to this size in px, not to a patch's")
    pairs.add_argument("--geojson", action="store_true", help="store each fine mask as QuPath GeoJSON, too")
    pairs.add_argument("--slide", action="store_true",
                       help="store each pair as slides, too: its image and its labels as pyramidal TIFFs, with GeoJSON")
    pairs.add_argument("--mpp", type=float, metavar="UM", help="um per px of these slides (default: the cohort's)")
    pairs.add_argument("--variants", type=int, default=1, metavar="N",
                       help="pairs per outline, 1 to 8 (default: 1)")
    pairs.add_argument("--method", default="noise-GAN", metavar="NAME",
                       help="what makes the fine masks: noise-GAN (default), diffusion, pix2pix or CycleGAN")
    pairs.add_argument("--hold", action="store_true",
                       help="hold the fine masks to their outlines, at a price in realism (notebook 07)")
    pairs.add_argument("--one-mask", action="store_true", help="variants of an outline differ in their images alone")
    pairs.add_argument("--stain-of", type=int, metavar="N",
                       help="all images in the stain of one training patch, by the number that the page shows")
    pairs.add_argument("--axis", nargs=2, metavar=("NAME", "LOW:HIGH"),
                       help="variants differ along an axis alone: the share of a class, as nuclei 0.05:0.5, or how dark "
                            "the stain is, as stain 0.05:0.95 (0.5: as it was drawn)")
    pairs.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the noise (default: 1)")
    trial = parser.add_argument_group("options of gpu")
    trial.add_argument("--minutes", type=float, default=9.0, metavar="N", help="for everything (default: 9)")
    trial.add_argument("--patches", metavar="DIR", help="train on these: a folder like data/<profile>/<cohort>/patches "
                                                        "(default: the cohort's in the profile paper; PHANTOM's are "
                                                        "drawn if there are none)")
    trial.add_argument("--device", choices=("cuda", "cpu"), default="cuda",
                       help="cpu only shows, at a tiny size, that the script works")
    parser.add_argument("--dry-run", action="store_true", help="show what would run and why")
    return parser


def list_parameters(profile: str) -> int:
    """Print every parameter with its value in `profile` and its meaning."""
    from ppcore.workflow.settings import PARTS, load_settings

    values = load_settings(profile, {}).model_dump()
    for part in PARTS:
        print(f"\n{part.__doc__}")
        for name, field in part.model_fields.items():
            print(f"  {name:22}{values[name]!r:>12}  {field.description}")
    return 0


def draw(options: argparse.Namespace) -> int:
    """Open the drawing page, or reproduce a saved drawing; returns 1 if it differs."""
    from ppcore.study.errors import StudyError

    if len(options.cohort) > 1 or options.parameters:
        raise StudyError("draw: wanted one --cohort and no -p; the trained models bring their own parameters")
    if not options.reproduce:
        from ppcore.drawing.page import serve

        return serve(options.profile, options.cohort[0], options.host, options.port)
    from ppcore.drawing.stored import reproduce

    otherwise = reproduce(options.reproduce)
    print(f"{options.reproduce}: " + (f"differs in {', '.join(otherwise)}" if otherwise else
                                      "reproduced bit for bit"))
    return 1 if otherwise else 0


def generate(options: argparse.Namespace) -> int:
    """Make a paired data set with the trained models of a cohort."""
    from ppcore.drawing.axis import along
    from ppcore.drawing.models import Choice, open_models
    from ppcore.drawing.export import export_geojson, export_slides, slide_mpp
    from ppcore.drawing.looks import check_stain
    from ppcore.drawing.pairs import canvas_size, from_kinds, from_sketches, generate_pairs
    from ppcore.study.errors import StudyError

    if not options.to or len(options.cohort) > 1 or options.parameters or options.count < 1:
        raise StudyError("generate: wanted --to DIR, one --cohort, a --count of 1 or more and no -p, as in\n"
                         "  ./run_all.sh generate --cohort PHANTOM --to pairs --count 100")
    if options.mpp is not None and not (options.slide and 0.01 <= options.mpp <= 100):
        raise StudyError(f"generate: found --mpp {options.mpp:g}; wanted um per px, 0.01 to 100, with --slide")
    canvas = canvas_size(options.canvas, options.sketches) if options.canvas else None
    choice = Choice(options.hold, options.one_mask, options.stain_of)
    models = open_models(options.profile, options.cohort[0], method=options.method, choice=choice)
    check_stain(models, options.stain_of)
    if options.axis:
        models = along(models, *options.axis, options.variants, canvas)
    mpp = (options.mpp or slide_mpp(models)) if options.slide else 0.0
    if options.sketches:
        outlines = from_sketches(models, options.sketches, options.tone, canvas)
    else:
        outlines = from_kinds(models, options.count, options.seed)
    index = generate_pairs(models, outlines, options.to, options.seed, options.variants)
    if options.geojson:
        export_geojson(models, options.to, index["pair"])
    if options.slide:
        export_slides(models, options.to, index["pair"], mpp)
    print(f"{len(index)} pairs of {index['outline'].nunique()} outlines in {options.to}")
    return 0


def gpu(options: argparse.Namespace) -> int:
    """Check, time and try a GPU; returns 1 if it computes something wrong."""
    from ppcore.experiments.gpu.needs import check_needs
    from ppcore.study.errors import StudyError

    check_needs()
    import torch

    from ppcore.drawing.answer import answers_at
    from ppcore.experiments.gpu.bench import FULL, TINY
    from ppcore.experiments.gpu.script import run
    from ppcore.study.runs import home

    if options.minutes <= 0 or len(options.cohort) > 1 or options.parameters:
        raise StudyError("gpu: wanted --minutes above 0, one --cohort and no -p")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise StudyError("gpu: torch finds no GPU: run it on a machine with one, or try the script with --device cpu")
    size = TINY if options.device == "cpu" else FULL
    return run(options.device, options.minutes, Path(options.to or home() / "figures" / "gpu"), options.cohort[0],
               options.patches, lambda device, precision: answers_at(*size, device, precision))


if __name__ == "__main__":
    # For run_all.sh: this checkout's code, before what the environment names, but behind Python's and the packages' own.
    packages = sysconfig.get_path("purelib")
    sys.path.insert(sys.path.index(packages) + 1 if packages in sys.path else len(sys.path),
                    str(Path(__file__).resolve().parents[1]))
    from ppcore.study.errors import show_warnings_plainly

    show_warnings_plainly()
    sys.exit(main())
