"""Which files of a folder are slides or fields, whose are they, and what is everything else in it?

A slide may have several files. Those that belong to it are its parts, and no images of their own.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openslide

from ppcore.slides.subjects import SUBJECTS, read_subjects, tidy
from ppcore.study.errors import StudyError, some, warn
from ppcore.study.runs import home

FIELDS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".czi", ".dcm")
SUFFIXES = SLIDES + FIELDS
LABELS = "labels"  # folder of the user's own labels of the images, see `ppcore.slides.own_labels`
LABEL_TABLES = ("classes.csv", "labels.csv")
OWN = ("manifest.csv", "phantom.json")  # of the study itself: what was downloaded or drawn
# Reasons that need no warning
UNSAID = ("hidden", "a part of ", "names the subjects", "of the study itself", "labels of the images")


@dataclass(frozen=True)
class Source:
    """One slide or field of a cohort.

    file: where it is. subject: the participant it comes from. name: its path in the cohort's folder, as text. parts:
    further files of the same slide.
    """

    file: Path
    subject: str
    name: str
    parts: tuple[Path, ...] = ()


def list_sources(folder: str | Path, labelled: bool = False) -> list[Source]:
    """The slides and fields of a folder and its sub-folders; see `list_folder`."""
    return list_folder(folder, labelled)[0]


def list_folder(folder: str | Path, labelled: bool = False) -> tuple[list[Source], dict[str, str]]:
    """The slides and fields of a folder and its sub-folders, by name, and for each other entry why it is none.

    `subjects.csv`, in the folder itself, names the subjects. Without it every file is a subject of its own, named by
    its stem; files of one folder that share a stem share the subject, too. Raises `StudyError` for a folder without
    images and for a file without a line in subjects.csv, since a wrong split leaks. A line without a file is warned of.

    The sub-folder `labels` holds labels of the images, and no images, if it has one of LABEL_TABLES or if `labelled`.
    """
    folder = Path(folder)
    files, others, table, labels = {}, {}, None, label_files(folder, labelled)
    for path in _entries(folder):
        name = name_in(folder, path)
        if path in labels:
            others[name] = "labels of the images"
        elif path.parent == folder and path.name.casefold() == SUBJECTS:
            if table is not None:
                raise StudyError(f"{folder} holds both {table.name} and {path.name}: keep one of them")
            table, others[name] = path, "names the subjects"
        elif reason := _no_image(path):
            others[name] = reason
        elif name in files:
            raise StudyError(f"{folder} holds two files that are both called {name}, written in two ways: rename one")
        else:
            files[name] = path
    parts = _parts(files)
    for slide, own in parts.items():
        for path in own:
            name = name_in(folder, path)
            files.pop(name, None)
            others[name] = f"a part of {slide}"
    if not files:
        raise StudyError(f"{folder} holds no image ({len(others)} other entries): wanted slides or fields "
                         f"({' '.join(SUFFIXES)})")
    subject_of = _subjects_by_name(files) if table is None else _subjects_by_table(files, table)
    return ([Source(files[name], subject_of[name], name, tuple(parts.get(name, ()))) for name in sorted(files)],
            dict(sorted(others.items())))


def label_files(folder: str | Path, labelled: bool = False) -> set[Path]:
    """The files of a cohort's folder that are labels of its images, with their tables; see `list_folder`."""
    place = Path(folder) / LABELS
    if not labelled and not any((place / name).is_file() for name in LABEL_TABLES):
        return set()
    return {path for path in _entries(place) if not path.name.startswith(".") and path.is_file()}


def name_in(folder: Path, path: Path) -> str:
    """The path of a file in a folder, as tidy text with "/"."""
    return tidy(path.relative_to(folder).as_posix())


def say_others(others: dict[str, str]) -> None:
    """Warn once of all entries that are neither images nor parts of one. others: from `list_folder`."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in others.items():
        if not reason.startswith(UNSAID):
            by_reason.setdefault(reason, []).append(name)
    if by_reason:
        warn("not used are " + "; ".join(f"{some(names)}: {reason}" for reason, names in by_reason.items()))


def _entries(folder: Path) -> Iterator[Path]:
    """All files of a folder and its sub-folders, and the folders that are hidden or cannot be read; a link is followed
    once. What the study itself stores is left out, in case it does so in there."""
    seen, unreadable = {os.path.realpath(home() / name) for name in ("data", "figures")}, []
    for place, folders, files in os.walk(folder, followlinks=True, onerror=lambda error: unreadable.append(error.filename)):
        real, hidden = os.path.realpath(place), {name for name in folders if name.startswith(".")}
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(set(folders) - hidden)
        yield from (Path(place, name) for name in sorted([*files, *hidden]))
    yield from map(Path, unreadable)


def _no_image(path: Path) -> str:
    """Why an entry is no slide or field; empty for one that is worth opening."""
    if path.name.startswith("."):
        return "hidden"
    if path.name in OWN:
        return "of the study itself"
    if not path.exists():
        return "a link to nothing"
    if path.is_dir():
        return "a folder that cannot be read"
    if not path.is_file():
        return "no file"
    if path.suffix.lower() == ".ndpis":
        return "a list of .ndpi files, which are read themselves"
    if path.suffix.lower() in SUFFIXES:
        return ""
    try:
        known = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError:
        known = None
    return "" if known else f"no slide or field ({path.suffix or 'no suffix'})"


def _parts(files: dict[str, Path]) -> dict[str, list[Path]]:
    """Name of each slide of several files -> its further files."""
    parts, series = {}, {}
    for name, path in sorted(files.items()):
        kind = path.suffix.lower()
        if kind == ".mrxs" and path.with_suffix("").is_dir():
            parts[name] = list(_entries(path.with_suffix("")))
        elif kind in (".vms", ".vmu"):
            parts[name] = [part for part in named_parts(path) if part.is_file()]
        elif kind == ".dcm" and (key := _series(path)):
            first = series.setdefault((path.parent, key), name)
            if first != name:
                parts.setdefault(first, []).append(path)
    return parts


def named_parts(path: Path) -> list[Path]:
    """The files that a Hamamatsu .vms or .vmu file names, whether they are there or not."""
    text = path.read_text(encoding="latin-1")[:2**20]
    names = re.findall(r"^(?:ImageFile|MapFile|OptimisationFile|MacroImage)[^=\n]*=[ \t]*(\S[^\r\n]*?)\s*$", text, re.M)
    return [path.parent / name for name in names if "/" not in name and "\0" not in name]


def _series(path: Path) -> str:
    """The series that a DICOM slide belongs to; empty if OpenSlide cannot tell."""
    try:
        with openslide.OpenSlide(path) as slide:
            return slide.properties.get("dicom.SeriesInstanceUID", "")
    except openslide.OpenSlideError:
        return ""


def _subjects_by_name(files: dict[str, Path]) -> dict[str, str]:
    """Name -> subject without a table: the stem, with its folder where files of several folders have the same."""
    stems = {name: tidy(path.stem) for name, path in files.items()}
    folders: dict[str, set[Path]] = {}
    for name, path in files.items():
        folders.setdefault(stems[name], set()).add(path.parent)
    return {name: stem if len(folders[stem]) == 1 else "/".join([*name.split("/")[:-1], stem])
            for name, stem in stems.items()}


def _subjects_by_table(files: dict[str, Path], table: Path) -> dict[str, str]:
    """Name -> subject from subjects.csv, which may give a path in the folder or, if only one file has it, a name."""
    listed = read_subjects(table, {name.split("/")[-1] for name in files})
    last = {name: name.split("/")[-1] for name in files}
    count = Counter(last.values())
    entry = {name: name if name in listed else last[name] for name in files
             if name in listed or (last[name] in listed and count[last[name]] == 1)}
    forgotten = sorted(set(files) - set(entry))
    if forgotten:
        raise StudyError(f"{table} names no subject for {len(forgotten)} of {len(files)} files ({some(forgotten)}): "
                         "add a line for each, or remove it to make every file a subject of its own")
    absent = sorted(set(listed) - set(entry.values()))
    if absent:
        warn(f"{table} lists {len(absent)} files that are not there ({some(absent)})")
    return {name: listed[entry[name]] for name in files}
