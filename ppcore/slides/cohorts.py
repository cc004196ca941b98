"""Which cohort is it, where are its images, and have they changed?"""

from pathlib import Path

from ppcore.slides.folder import SUFFIXES, label_files, list_sources, name_in
from ppcore.slides.subjects import SUBJECTS
from ppcore.study.errors import StudyError
from ppcore.study.hashes import content_hashes
from ppcore.study.runs import data_folder, home

EMBEDDED = {"PHANTOM": "he", "PHANTOM-IHC": "ihc"}  # drawn by ppcore.slides.phantom
TCGA = {"PRAD": "TCGA-PRAD", "SKCM": "TCGA-SKCM", "LUSC": "TCGA-LUSC"}  # H&E; ppcore.slides.tcga downloads them
TABLE_1 = {  # of the paper, which states no um per pixel; every patch is 512 x 1024 px
    "PRAD": {"slides": 50, "participants": 50, "train": 5983, "test": 1000, "stain": "he"},
    "SKCM": {"slides": 50, "participants": 50, "train": 5759, "test": 1000, "stain": "he"},
    "LUSC": {"slides": 50, "participants": 50, "train": 5559, "test": 1000, "stain": "he"},
    "NSCLC": {"slides": 55, "participants": 4, "train": 4000, "test": 1500, "stain": "ihc"},
}


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


def fingerprint(folder: str | Path, labelled: bool = False) -> dict[str, str]:
    """Name -> content hash of each slide or field of a folder, of its parts, its labels and subjects.csv, to tell
    whether a cohort has changed. labelled: as in `list_folder`."""
    folder = Path(folder)
    sources = list_sources(folder, labelled)
    files = {source.name: source.file for source in sources}
    parts = {name_in(folder, part): part for source in sources for part in source.parts}
    tables = {path.name: path for path in folder.iterdir() if path.name.casefold() == SUBJECTS}
    labels = {name_in(folder, path): path for path in label_files(folder, labelled)}
    return content_hashes(files | parts | tables | labels)
