"""Which labels did the user bring, and what are they of a patch?

    labels/classes.csv   value,name,colour[,close_size,open_size], see `ppcore.masks.labels`
    labels/NAME.*        of the image NAME, in one of the formats of `ppcore.masks.label_files`
    labels/labels.csv    file,labels: which label file belongs to which image, if the names do not say so

The folder lies directly in the cohort's. Labels of an image in a sub-folder may lie in a sub-folder of that name.
"""

from collections import Counter
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ppcore.masks.label_files import KINDS, LabelFile, read_label_file
from ppcore.masks.labels import MOST, TABLE, Classes, read_classes, write_classes, write_labels
from ppcore.masks.make import read_mask
from ppcore.masks.patches import PLACES
from ppcore.slides.cut import STATES
from ppcore.slides.folder import LABEL_TABLES, LABELS, Source, label_files, name_in
from ppcore.slides.read import open_slide
from ppcore.slides.scale import SlideError
from ppcore.slides.subjects import tidy
from ppcore.study.errors import StudyError, some, warn
from ppcore.study.files import hash_file, read_table, write_text

COLOURS = ("#ffffff", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")  # Okabe and Ito's


def own_labels(index: pd.DataFrame, table: pd.DataFrame, folder: str | Path, sources: list[Source], images: str | Path,
               mpp: float, strict: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Replace the fine masks that `cut_patches` stored by the user's labels; its index and table, changed.

    index, table: from `cut_patches`, before the split. folder: of the patches. sources, images: the cohort's images and
    their folder. mpp: that they were cut at. Stores `fine/<patch>.png`, `places.csv` and `classes.csv`; sets
    tissue_fraction, the share of all classes but 0, and fine_hash. An image whose labels are missing or broken leaves
    the cohort with its files: a warning and its line of the table say why. A patch in which nothing is labelled is
    dropped as air. Warnings count these, and regions that are not used.

    Raises `StudyError` for classes that classes.csv lacks, with the lines wanted; without classes.csv; if no patch is
    left; and for the first image without good labels if `strict`.
    """
    folder, place = Path(folder), Path(images) / LABELS
    classes, matched = own_classes(place), match_labels(table["file"].tolist(), Path(images))
    paths = {source.name: source.file for source in sources}
    why, empty, left_out, unknown = {}, [], Counter(), {}
    for file, patches in tqdm(list(index.groupby("file", sort=False)), desc="labels", unit="file"):
        try:
            if file not in matched:
                raise StudyError(f"no labels: wanted {LABELS}/{Path(file).stem} with one of {' '.join(KINDS)}")
            slide = open_slide(paths[file], mpp)
            found = read_label_file(matched[file], *slide.full[::-1], classes, slide.scanned)
        except (StudyError, SlideError) as error:
            if strict:
                raise StudyError(f"{file}: {error} (strict=true stops at the first such file)") from None
            why[file] = str(error)
            continue
        left_out += found.left_out
        for name, sums in found.unknown.items():
            unknown[name] = tuple(map(sum, zip(sums, unknown.get(name, (0, 0)))))
        if not unknown:
            empty += _paint(found, patches, folder / "fine", slide.scale, classes)
    if unknown:
        raise StudyError(_wanted_lines(place / TABLE, classes, unknown))
    reasons = [f"{file}: {reason}" for file, reason in why.items()]
    if not classes:
        every = reasons + [f"{count} {reason}" for reason, count in left_out.most_common()]
        raise StudyError(f"{place / TABLE} is missing, and the label files name no class for it: "
                         f"{some(every) or 'nothing is drawn in them'}")
    if left_out:
        warn(f"left out of the labels: {', '.join(f'{count} {reason}' for reason, count in left_out.most_common())}")
    if empty:
        warn(f"{len(empty)} patches in which nothing is labelled are dropped as air")
    if why:
        warn(f"{len(why)} of {len(table)} images are left out: {some(reasons)}")
    write_classes(folder, classes)
    return _without(index, table, folder, why, empty)


def own_classes(place: Path) -> Classes:
    """The classes of a folder `labels`; none if it has no table yet. Raises `StudyError` for a table that is broken."""
    try:
        return read_classes(place / TABLE) if (place / TABLE).is_file() else ()
    except StudyError:
        raise
    except (ValueError, TypeError, OverflowError) as error:  # pandas raises many kinds
        raise StudyError(f"{place / TABLE} cannot be read ({error}): wanted value,name,colour in UTF-8") from None


def match_labels(files: list[str], images: Path) -> dict[str, Path]:
    """Image, by its name in the cohort's folder, -> its label file. files: all images.

    Raises `StudyError` for an image with two label files and a label file of two images. Label files without an image
    are warned of.
    """
    place = images / LABELS
    every = {name_in(place, path): path for path in label_files(images, True)}
    there = {name: path for name, path in every.items() if path.suffix.lower() in KINDS}
    if foreign := sorted(every.keys() - there.keys() - set(LABEL_TABLES)):
        warn(f"{len(foreign)} files of {place} are not read: {some(foreign)}: wanted {' '.join(KINDS)}")
    listed = place / "labels.csv"
    names = _listed(listed, files, there) if listed.is_file() else _by_stem(files, sorted(there))
    if twice := [name for name, count in Counter(names.values()).items() if count > 1]:
        raise StudyError(f"{place}: {some(twice)} would belong to two images: keep one label file per image, or name "
                         f"them in {listed.name} (file,labels)")
    if alone := sorted(set(there) - set(names.values())):
        warn(f"{len(alone)} label files belong to no image: {some(alone)}")
    return {file: there[name] for file, name in names.items()}


def _by_stem(files: list[str], there: list[str]) -> dict[str, str]:
    """Image -> label file, by their stems or, as a.svs.geojson, by the image's whole name; with their folders, or
    without."""
    of_stem: dict[str, list[str]] = {}
    for name in there:
        of_stem.setdefault(str(Path(name).with_suffix("")), []).append(name)
    names = {}
    for file in files:
        path = Path(file)
        keys = str(path.with_suffix("")), file, path.stem, path.name
        own = next((of_stem[key] for key in keys if key in of_stem), [])
        if len(own) > 1:
            raise StudyError(f"{LABELS} holds {some(own)} for {file}: keep one of them, or name it in labels.csv "
                             "(file,labels)")
        names |= dict.fromkeys([file][:len(own)], *own)
    return names


def _listed(path: Path, files: list[str], there: dict[str, Path]) -> dict[str, str]:
    """Image -> label file, from labels.csv."""
    try:
        table = read_table(path).dropna(how="all")
        pairs = [(tidy(str(file)), tidy(str(name))) for file, name in zip(table["file"], table["labels"])]
    except (ValueError, KeyError) as error:
        raise StudyError(f"{path} cannot be read ({error}): wanted the columns file,labels, in UTF-8") from None
    if twice := [file for file, count in Counter(file for file, _ in pairs).items() if count > 1]:
        raise StudyError(f"{path} names {some(twice)} twice: keep one line per image")
    if absent := [name for file, name in pairs if name not in there] + [file for file, _ in pairs if file not in files]:
        warn(f"{path} names {some(absent)}: not there")
    return {file: name for file, name in pairs if file in files and name in there}


def _paint(found: LabelFile, patches: pd.DataFrame, fine: Path, scale: tuple[float, float],
           classes: Classes) -> list[str]:
    """Store the label maps of one image's patches; returns those in which nothing is labelled."""
    empty = []
    for patch, x, y in patches[["patch", "x", "y"]].itertuples(index=False):
        labels = found.window((x, y), read_mask(fine / f"{patch}.png").shape, scale)
        write_labels(fine / f"{patch}.png", labels, classes)
        empty += [] if labels.any() else [patch]
    return empty


def _wanted_lines(path: Path, classes: Classes, unknown: dict[str | int, tuple[int, float]]) -> str:
    """What to say of classes without a line, with the lines that classes.csv would need: a value of a PNG keeps its
    place, names come in the order of the size of their regions, as large ones are to be painted first."""
    size = {name: area / count for name, (count, area) in unknown.items()}
    drawn = sorted((name for name in unknown if isinstance(name, str)), key=lambda name: (-size[name], name))
    values = sorted(unknown.keys() - set(drawn))
    counts = ", ".join([f"{name} ({unknown[name][0]} region{'s' * (unknown[name][0] > 1)})" for name in drawn]
                       + [f"value {value} ({unknown[value][0]} PNG)" for value in values])
    said = f"{path} {'lacks' if classes else 'is missing;'} classes of the label files: {counts}. "
    if values and values[-1] >= MOST:
        return said + f"At most {MOST} classes are possible: store them as 0, 1, 2 and so on, not as gray levels"
    names = [label.name for label in classes] or ["other"]
    while drawn or len(names) <= max(values, default=0):
        named = drawn and len(names) not in values
        names.append(drawn.pop(0) if named else f"class {len(names)}")
    lines = [f"{value},{name},{COLOURS[value % len(COLOURS)]}" for value, name in enumerate(names)]
    return (said + "Write these lines, in the order in which they are to be painted, with names and colours to your "
            "liking:\n" + "\n".join(lines[len(classes):] if classes else ["value,name,colour", *lines]))


def _without(index: pd.DataFrame, table: pd.DataFrame, folder: Path, why: dict[str, str],
             empty: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Index and table without some images (reason by name) and `empty` patches, whose files go, too; `places.csv`."""
    gone = index[index["file"].isin(why) | index["patch"].isin(empty)]
    for patch in gone["patch"]:
        (folder / "rgb" / f"{patch}.webp").unlink()
        (folder / "fine" / f"{patch}.png").unlink()
    table, out = table.copy(), table["file"].isin(why)
    for name in table.loc[out, "name"]:
        (folder / "thumbnails" / f"{name}.webp").unlink()
    table.loc[out, ["places", *STATES]] = 0
    table.loc[out, "skipped"] = table["file"].map(why)
    bare = index[index["patch"].isin(empty) & ~index["file"].isin(why)]
    moved = table["file"].map(bare["file"].value_counts()).fillna(0).astype(int)
    table["kept"], table["air"] = table["kept"] - moved, table["air"] + moved
    places = read_table(folder / "places.csv")
    places = places[~places["file"].isin(why)].merge(bare[["file", "row", "column"]], how="left", indicator=True)
    places["state"] = places["state"].mask(places["_merge"] == "both", "air")
    write_text(folder / "places.csv", places[list(PLACES)].to_csv(index=False))
    index = index.drop(gone.index).reset_index(drop=True)
    if index.empty:
        raise StudyError(f"no patch is left: the labels of all {len(table)} images are missing, broken or empty "
                         f"({'; '.join(list(why.values())[:1]) or 'nothing is labelled'})")
    masks = [folder / "fine" / f"{patch}.png" for patch in index["patch"]]
    return index.assign(tissue_fraction=[float((read_mask(mask) > 0).mean()) for mask in masks],
                        fine_hash=[hash_file(mask) for mask in masks]), table
