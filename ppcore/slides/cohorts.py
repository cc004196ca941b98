"""Which cohort is it, and which files and subjects make it up?"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ppcore.study.errors import StudyError, warn
from ppcore.study.runs import data_folder, home

EMBEDDED = {"PHANTOM": "he", "PHANTOM-IHC": "ihc"}  # drawn by ppcore.slides.phantom
TCGA = {"PRAD": "TCGA-PRAD", "SKCM": "TCGA-SKCM", "LUSC": "TCGA-LUSC"}  # H&E; ppcore.slides.tcga downloads them
TABLE_1 = {  # of the paper, which states no um per pixel; every patch is 512 x 1024 px
    "PRAD": {"slides": 50, "participants": 50, "train": 5983, "test": 1000, "stain": "he"},
    "SKCM": {"slides": 50, "participants": 50, "train": 5759, "test": 1000, "stain": "he"},
    "LUSC": {"slides": 50, "participants": 50, "train": 5559, "test": 1000, "stain": "he"},
    "NSCLC": {"slides": 55, "participants": 4, "train": 4000, "test": 1500, "stain": "ihc"},
}
SUFFIXES = (".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide",
            ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Source:
    """One image file of a cohort and the subject (participant) it comes from."""

    file: Path
    subject: str


def slides_folder(profile: str, cohort: str, slides: str = "") -> Path:
    """The folder of a cohort's images: `slides` if given, else data/slides/<cohort>.

    An embedded cohort is drawn anew for each profile, into the run's own data folder.

    Raises `StudyError` for a cohort that is neither embedded nor has a folder of images.
    """
    default = home() / "data" / "slides" / cohort
    if cohort in EMBEDDED:
        if slides:
            raise StudyError(f"cohort {cohort} is drawn by the study itself and takes no --slides: "
                             f"choose another name for the images in {slides}, as in --cohort MINE --slides {slides}")
        return data_folder(profile, cohort) / "slides"
    if slides:
        if not Path(slides).is_dir():
            raise StudyError(f"--slides {slides}: no such folder; wanted a folder with slides or fields "
                             f"({' '.join(SUFFIXES)})")
        return Path(slides)
    if not default.is_dir() and cohort not in TCGA:
        raise StudyError(f"cohort {cohort!r} is not known: wanted one of {', '.join((*EMBEDDED, *TCGA))}, or a folder "
                         f"of images given as --cohort {cohort} --slides DIR --stain he|ihc (or stored in {default})")
    return default


def list_sources(folder: str | Path) -> list[Source]:
    """All images of a folder, sorted by name, each with its subject.

    `subjects.csv` (columns file, subject) names the subjects; without it every file is a subject of its own, named
    by its stem. A listed file that is missing gives a warning. A file that is not listed raises `StudyError`, since a
    wrong split leaks; so does a folder without images.
    """
    folder = Path(folder)
    files = sorted(path for path in folder.iterdir()
                   if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."))
    if not files:
        others = sum(1 for path in folder.iterdir() if path.is_file())
        raise StudyError(f"{folder} holds no image ({others} other files): wanted files that end in "
                         f"{' '.join(SUFFIXES)}")
    table = folder / "subjects.csv"
    if not table.exists():
        return [Source(path, path.stem) for path in files]

    listed = pd.read_csv(table, dtype=str, skipinitialspace=True)
    if not {"file", "subject"} <= set(listed.columns):
        raise StudyError(f"{table}: found columns {', '.join(listed.columns)}; wanted file, subject")
    incomplete = listed[listed[["file", "subject"]].isna().any(axis=1)]
    if len(incomplete):
        raise StudyError(f"{table}: line {incomplete.index[0] + 2} has no file or no subject: fill it in or remove it")
    twice = listed["file"][listed["file"].duplicated()]
    if len(twice):
        raise StudyError(f"{table}: {twice.iloc[0]} is listed twice: keep one line per file")
    subject_of = dict(zip(listed["file"], listed["subject"]))
    forgotten = [path.name for path in files if path.name not in subject_of]
    if forgotten:
        raise StudyError(f"{table} names no subject for {len(forgotten)} of {len(files)} files ({some(forgotten)}): "
                         "add a line for each, or remove subjects.csv to make every file a subject of its own")
    absent = sorted(set(subject_of) - {path.name for path in files})
    if absent:
        warn(f"{table} lists {len(absent)} files that are not there ({some(absent)})")
    return [Source(path, subject_of[path.name]) for path in files]


def fingerprint(folder: str | Path, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, str]:
    """Name -> size and hash of each image of a folder and of subjects.csv, to tell whether a cohort has changed.

    Of a large file only the first, middle and last 64 KiB are hashed: cheap for a whole slide. A new time stamp
    alone changes nothing.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes or path.name == "subjects.csv")
    return {path.name: _sampled_hash(path) for path in paths if path.is_file()}


def _sampled_hash(path: Path, window: int = 2**16) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for start in sorted({0, max(0, size // 2 - window // 2), max(0, size - window)}):
            handle.seek(start)
            digest.update(handle.read(window))
    return f"{size}-{digest.hexdigest()[:16]}"


def some(names: list[str], shown: int = 3) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
