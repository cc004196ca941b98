"""How is a cohort of slides cut into patches?"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from ppcore.masks import stain_cut
from ppcore.masks.labels import TABLE
from ppcore.masks.make import tissue_mask, write_mask
from ppcore.masks.patches import PLACES, write_image
from ppcore.slides.folder import Source
from ppcore.slides.grid import places_of, spread, surely_glass, why_dropped
from ppcore.slides.read import Field, WholeSlide, open_slide
from ppcore.slides.scale import SlideError
from ppcore.slides.workers import workers
from ppcore.study.errors import StudyError, some, warn
from ppcore.study.files import hash_file, remove_parts, write_text

# States of a place. glass: not read, see `grid.surely_glass`; unused: not needed
STATES = ("kept", "air", "black", "ink", "glass", "unused")
LONGEST_NAME = 120  # bytes; file systems take 255, and patches and their samples get longer names
THUMBNAIL = 1500  # px, the longer side of the picture of each slide


def cut_patches(sources: list[Source], folder: str | Path, *, height: int, width: int, mpp: float, air_threshold: int,
                max_air: float, stain: str, max_ink: float = 0.25, wanted: int = 0, seed: int = 0, strict: bool = False,
                jobs: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut every source on a grid without overlap, drop patches of air, black or ink, store RGB and mask of the rest.

    height, width: px. mpp: um per px. air_threshold: gray 0-255 (reading R3). max_air: a patch with a larger air
    fraction is dropped (section 2.1, R4). stain: "he" or "ihc"; in IHC fewer inks can be told from tissue (see
    `grid.ink_share`). max_ink: a patch with a larger share of pen ink is dropped. wanted: at most this many patches
    per file, drawn from `seed` and spread over it; 0: all. A file that cannot be used is skipped with a warning and
    listed with the reason, or stops the run if `strict`. jobs: slides cut at once, unless a cluster's workers decide
    (`ppcore.slides.workers`). Returns the index without `split`, and the table of sources; stores `places.csv` and
    `thumbnails/`, but not yet `index.csv` (see `store_index`). Raises `StudyError` if no patch is left.
    """
    folder = Path(folder)
    shutil.rmtree(folder / "sheets", ignore_errors=True)  # notebook 01 draws them again
    for part in ("rgb", "fine", "thumbnails"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir(parents=True)
    for name in ("index.csv", "sources.csv", "places.csv", TABLE, stain_cut.FILE):
        (folder / name).unlink(missing_ok=True)
    names = unique_names([source.name for source in sources])
    grid = {"height": height, "width": width, "mpp": mpp, "air_threshold": air_threshold, "max_air": max_air,
            "stain": stain, "max_ink": max_ink, "wanted": wanted, "seed": seed}
    tasks = (delayed(_cut_one)(source, name, folder, **grid) for source, name in zip(sources, names))
    index, table, places = [], [], []
    with workers(jobs, folder, *{source.file.parent for source in sources}) as how:
        results = Parallel(return_as="generator", **how)(tasks)
        for (kept, row, states), source in zip(tqdm(results, total=len(sources), desc="cutting", unit="file"), sources):
            if row["skipped"]:
                if strict:
                    raise StudyError(f"{source.file}: {row['skipped']} (strict=true stops at the first such file)")
                warn(f"{source.name} was skipped: {row['skipped']}")
            index += kept
            table.append(row)
            places += [(source.name, *place, state) for place, state in sorted(states.items())]
    for part in ("rgb", "fine", "thumbnails"):
        remove_parts(folder / part)
    write_text(folder / "places.csv", pd.DataFrame(places, columns=list(PLACES)).to_csv(index=False))
    index, table = pd.DataFrame(index), pd.DataFrame(table)
    if index.empty:
        raise StudyError(_why_empty(table, max_air, air_threshold))
    for remark, files in table[table["remark"] != ""].groupby("remark", sort=False)["file"]:
        warn(f"{some(files.tolist())}: {remark}")
    return index, table


def _cut_one(source: Source, name: str, folder: Path, *, height: int, width: int, mpp: float,
             **how) -> tuple[list[dict], dict, dict[tuple[int, int], str]]:
    """Cut one file. Returns its lines of the index, its line of the table of sources and the state of each place; never
    raises SlideError."""
    row = {"file": source.name, "name": name, "subject": source.subject, "width": 0, "height": 0, "places": 0,
           **dict.fromkeys(STATES, 0), "skipped": "", "remark": ""}
    kept: list[dict] = []
    states: dict[tuple[int, int], str] = {}
    try:
        slide = _read(open_slide, source.file, mpp)
        row |= {"remark": slide.remark, "width": slide.size[0], "height": slide.size[1]}
        found = tiles(slide, height=height, width=width, **how)
        while tile := _read(next, found, None):
            (r, c), state, rgb, fine = tile
            states[r, c] = state
            if state != "kept":
                continue
            patch = f"{name}_r{r:03d}_c{c:03d}"
            write_image(folder / "rgb" / f"{patch}.webp", rgb)
            write_mask(folder / "fine" / f"{patch}.png", fine)
            kept.append({"patch": patch, "file": source.name, "subject": source.subject,
                         "x": round(c * width * slide.scale[0]), "y": round(r * height * slide.scale[1]), "row": r,
                         "column": c, "mpp": slide.mpp, "tissue_fraction": float(fine.mean()),
                         "rgb_hash": hash_file(folder / "rgb" / f"{patch}.webp"),
                         "fine_hash": hash_file(folder / "fine" / f"{patch}.png")})
        write_image(folder / "thumbnails" / f"{name}.webp", _read(slide.thumbnail, THUMBNAIL))
    except SlideError as error:  # remove what was already stored of a damaged slide: all or nothing
        for line in kept:
            (folder / "rgb" / f"{line['patch']}.webp").unlink()
            (folder / "fine" / f"{line['patch']}.png").unlink()
        return [], {**row, "skipped": str(error)}, {}
    counts = {state: sum(found == state for found in states.values()) for state in STATES}
    return sorted(kept, key=lambda line: (line["row"], line["column"])), {**row, "places": len(states), **counts}, states


def _read(function: Callable, *args: Any) -> Any:
    """Call a function that reads a slide; whatever it raises becomes a `SlideError`, as one bad slide must not stop the
    others."""
    try:
        return function(*args)
    except SlideError:
        raise
    except Exception as error:
        raise SlideError(f"cannot be read ({type(error).__name__}: {error}): copy the file again or remove it") from error


def tiles(slide: WholeSlide | Field, *, height: int, width: int, air_threshold: int, max_air: float, stain: str,
          max_ink: float, wanted: int = 0, seed: int = 0) -> Iterator[tuple[tuple[int, int], str, np.ndarray | None, np.ndarray | None]]:
    """The state of each place (row, column) of a slide's grid, one of STATES, and its image and mask if it was read.

    Arguments as in `cut_patches`. Memory holds one tile and the overview for `grid.surely_glass`. Raises `SlideError`
    for a slide smaller than one patch or a damaged file.
    """
    places = places_of(slide.size, height, width)
    if not places:
        raise SlideError(f"{slide.size[0]} x {slide.size[1]} px is smaller than one patch of {width} x {height} px "
                         "(width x height): run with a smaller patch_height, patch_width or mpp")
    overview = slide.overview()
    glass = set() if overview is None else surely_glass(overview, slide.size, height, width, air_threshold, max_air)
    yield from ((place, "glass", None, None) for place in places if place in glass)
    kept = 0
    for r, c in spread([place for place in places if place not in glass], wanted, seed):
        if wanted and kept == wanted:
            yield (r, c), "unused", None, None
            continue
        rgb = slide.read(c * width, r * height, width, height)
        fine = tissue_mask(rgb, air_threshold)
        state = why_dropped(rgb, fine, max_air, stain, max_ink) or "kept"
        kept += state == "kept"
        yield (r, c), state, rgb, fine


def unique_names(files: list[str]) -> list[str]:
    """A name for each file that its patches begin with: unique even if case is ignored, at most `LONGEST_NAME` bytes.

    It is the stem; where that is not unique, the whole name with its folders. A long name is cut and ends in a hash.
    files: paths in the cohort's folder.
    """
    whole = [file.replace("/", "__") for file in files]
    names = [Path(file).stem for file in files]
    while True:
        count = Counter(name.casefold() for name in names)
        unclear = {i for i, name in enumerate(names) if count[name.casefold()] > 1 and name != whole[i]}
        if not unclear:
            break
        names = [whole[i] if i in unclear else name for i, name in enumerate(names)]
    return [name if len(name.encode()) <= LONGEST_NAME and count[name.casefold()] == 1 else
            f"{name.encode()[:LONGEST_NAME - 9].decode(errors='ignore')}~{hashlib.sha256(file.encode()).hexdigest()[:8]}"
            for name, file in zip(names, files)]


def _why_empty(table: pd.DataFrame, max_air: float, air_threshold: int) -> str:
    skipped = table[table["skipped"] != ""]
    if len(skipped) == len(table):
        return (f"none of the {len(table)} files could be used; the first, {skipped['file'].iloc[0]}: "
                f"{skipped['skipped'].iloc[0]}")
    return (f"no patch is left: all {table['places'].sum()} places of {len(table) - len(skipped)} files are more than "
            f"{max_air:.0%} air at the threshold {air_threshold} (gray above it is air), black, or ink. Is the stain "
            "right (--stain he|ihc)? If so, run with a larger -p air_threshold=... or max_air=...")
