"""Where do the patches of a cohort lie, and how are they cut and split?

    patches/rgb/<patch>.webp     (H, W, 3) uint8 RGB, lossless
    patches/fine/<patch>.png     fine mask, 1 bit, white = tissue
    patches/index.csv            one line a kept patch, columns as INDEX
    patches/sources.csv          one line a file: its places by what became of them; or why it was skipped
    patches/places.csv           one line a place of a grid, columns as PLACES

`index.csv` is written last: a folder without it is no patch set.
"""

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from PIL import Image
from tqdm import tqdm

from ppcore.cohorts import TABLE_1, Source
from ppcore.files import atomic, hash_file, write_text
from ppcore.grid import places_of, spread, surely_glass, why_dropped
from ppcore.masks import read_mask, tissue_mask, write_mask
from ppcore.settings import StudyError, warn
from ppcore.slides import SlideError, open_slide

INDEX = ("patch", "file", "subject", "split", "x", "y", "row", "column", "mpp", "tissue_fraction", "rgb_hash",
         "fine_hash")
PLACES = ("file", "row", "column", "state")
STATES = ("kept", "air", "black", "glass", "unused")  # glass: not read, see `grid.surely_glass`; unused: not wanted


def cut_patches(sources: list[Source], folder: str | Path, *, height: int, width: int, mpp: float, air_threshold: int,
                max_air: float, wanted: int = 0, seed: int = 0, strict: bool = False,
                jobs: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut every source on a grid without overlap, drop what is mostly air or black, store RGB and mask of the rest.

    height, width: px. mpp: um per px. air_threshold: gray 0-255 (reading R3). max_air: a patch with a larger air
    fraction is dropped (section 2.1, R4). wanted: at most so many patches of a file, drawn from `seed` and spread over
    it; 0: all. A file that cannot be used is skipped, warned of and listed with the reason, or stops the run if
    `strict`. Returns the index without `split`, and the table of sources; stores `places.csv`, and no `index.csv` yet
    (see `store_index`). Raises `StudyError` if no patch is left.
    """
    folder = Path(folder)
    shutil.rmtree(folder / "sheets", ignore_errors=True)  # notebook 01 draws them anew
    for part in ("rgb", "fine"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir(parents=True)
    for name in ("index.csv", "sources.csv", "places.csv"):
        (folder / name).unlink(missing_ok=True)
    names = _unique_names([source.file for source in sources])
    grid = {"height": height, "width": width, "mpp": mpp, "air_threshold": air_threshold, "max_air": max_air,
            "wanted": wanted, "seed": seed}
    jobs_list = (delayed(_cut_one)(source, name, folder, **grid) for source, name in zip(sources, names))
    # threads: OpenSlide, OpenCV and the WebP encoder work outside Python's lock
    results = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(jobs_list)

    index, table, places = [], [], []
    for (kept, row, states), source in zip(tqdm(results, total=len(sources), desc="cutting", unit="file"), sources):
        if row["skipped"]:
            if strict:
                raise StudyError(f"{source.file}: {row['skipped']} (strict=true stops at the first such file)")
            warn(f"{source.file.name} was skipped: {row['skipped']}")
        index += kept
        table.append(row)
        places += [(source.file.name, *place, state) for place, state in sorted(states.items())]
    write_text(folder / "places.csv", pd.DataFrame(places, columns=list(PLACES)).to_csv(index=False))
    index, table = pd.DataFrame(index), pd.DataFrame(table)
    if index.empty:
        raise StudyError(_why_empty(table, max_air, air_threshold))
    return index, table


def _cut_one(source: Source, name: str, folder: Path, *, height: int, width: int, mpp: float, air_threshold: int,
             max_air: float, wanted: int, seed: int) -> tuple[list[dict], dict, dict[tuple[int, int], str]]:
    """Cut one file. Returns its lines of the index, its line of the table of sources and what became of each place;
    never raises SlideError."""
    row = {"file": source.file.name, "subject": source.subject, "places": 0, **dict.fromkeys(STATES, 0), "skipped": ""}
    kept: list[dict] = []
    try:
        slide = open_slide(source.file, mpp)
        places = places_of(slide.size, height, width)
        if not places:
            raise SlideError(f"{slide.size[0]} x {slide.size[1]} px is smaller than one patch of {width} x {height} px "
                             "(width x height): run with a smaller patch_height, patch_width or mpp")
        overview = slide.overview()
        glass = set() if overview is None else surely_glass(overview, slide.size, height, width, air_threshold, max_air)
        states = {place: "glass" if place in glass else "unused" for place in places}
        for r, c in spread([place for place in places if place not in glass], wanted, seed):
            if wanted and len(kept) == wanted:
                break
            rgb = slide.read(c * width, r * height, width, height)
            fine = tissue_mask(rgb, air_threshold)
            states[r, c] = why_dropped(rgb, fine, max_air) or "kept"
            if states[r, c] != "kept":
                continue
            patch = f"{name}_r{r:03d}_c{c:03d}"
            write_image(folder / "rgb" / f"{patch}.webp", rgb)
            write_mask(folder / "fine" / f"{patch}.png", fine)
            kept.append({"patch": patch, "file": source.file.name, "subject": source.subject,
                         "x": round(c * width * slide.scale), "y": round(r * height * slide.scale), "row": r,
                         "column": c, "mpp": slide.mpp, "tissue_fraction": float(fine.mean()),
                         "rgb_hash": hash_file(folder / "rgb" / f"{patch}.webp"),
                         "fine_hash": hash_file(folder / "fine" / f"{patch}.png")})
    except SlideError as error:  # what was already stored of a damaged slide goes too: all of it or none
        for line in kept:
            (folder / "rgb" / f"{line['patch']}.webp").unlink()
            (folder / "fine" / f"{line['patch']}.png").unlink()
        return [], {**row, "skipped": str(error)}, {}
    counts = {state: sum(found == state for found in states.values()) for state in STATES}
    return sorted(kept, key=lambda line: (line["row"], line["column"])), {**row, "places": len(places), **counts}, states


def _unique_names(files: list[Path]) -> list[str]:
    """Stems, or whole names where two files share a stem."""
    stems = [path.stem for path in files]
    return [path.stem if stems.count(path.stem) == 1 else path.name for path in files]


def _why_empty(table: pd.DataFrame, max_air: float, air_threshold: int) -> str:
    skipped = table[table["skipped"] != ""]
    if len(skipped) == len(table):
        return (f"none of the {len(table)} files could be used; the first, {skipped['file'].iloc[0]}: "
                f"{skipped['skipped'].iloc[0]}")
    return (f"no patch is left: all {table['places'].sum()} places of {len(table) - len(skipped)} files are more than "
            f"{max_air:.0%} air at the threshold {air_threshold} (gray above it is air), or black. Is the stain right "
            "(--stain he|ihc)? Else run with a larger -p air_threshold=... or max_air=...")


def split_patches(index: pd.DataFrame, test_fraction: float, seed: int, how: str = "auto") -> pd.DataFrame:
    """Add the column `split`: train, test, or gap (used for nothing).

    By subject, never by patch (reading R5): subjects are shuffled by `seed` and go to the test until its share of
    patches is as close to `test_fraction` as whole subjects allow; each side gets at least one.

    One subject alone cannot be split so. If it is a single slide and `how` is auto, or `how` is region, the lower
    rows of each file become the test, with one row between left out; a warning says that the test is then no other
    patient. Several files of one subject under `auto`, and one subject under `subject`, raise `StudyError`.
    """
    subjects = sorted(index["subject"].unique())
    if how != "region" and len(subjects) > 1:
        return index.assign(split=np.where(index["subject"].isin(_test_subjects(index, test_fraction, seed)),
                                           "test", "train"))
    if how == "subject" or (how == "auto" and index["file"].nunique() > 1):
        raise StudyError(f"all {index['file'].nunique()} files belong to one subject ({subjects[0]}), and a split by "
                         "subject needs two or more: add slides of others, mend subjects.csv, or accept a split of "
                         "each file into regions with -p split=region (its test then says nothing about other "
                         "patients)")
    warn("the test is a region of the same slides, not another patient (split=region): the numbers are optimistic")
    split = pd.Series("train", index=index.index)
    for _, patches in index.groupby("file"):
        rows = np.sort(patches["row"].unique())
        tested = min(max(1, round(test_fraction * len(rows))), len(rows) - 1)
        split[patches.index[patches["row"].isin(rows[len(rows) - tested:])]] = "test" if tested else "train"
        if len(rows) - tested >= 3:
            split[patches.index[patches["row"] == rows[len(rows) - tested - 1]]] = "gap"
    if set(split) < {"train", "test"}:
        raise StudyError(f"{len(index)} patches in one row of one slide cannot be split into train and test: "
                         "run with a smaller -p patch_height=... or mpp=...")
    return index.assign(split=split)


def _test_subjects(index: pd.DataFrame, test_fraction: float, seed: int) -> set[str]:
    """Shuffled subjects as long as they fit into the wanted number, and one more if that comes closer to it."""
    counts = index["subject"].value_counts().sort_index()
    order = np.random.default_rng(seed).permutation(counts.index.to_numpy()).tolist()
    wanted, test, have = test_fraction * len(index), [], 0
    for subject in order:
        if have + counts[subject] <= wanted:
            test.append(subject)
            have += counts[subject]
    left = [subject for subject in order if subject not in test]
    nearest = min(left, key=lambda subject: abs(have + counts[subject] - wanted))
    if len(left) > 1 and (not test or abs(have + counts[nearest] - wanted) < abs(have - wanted)):
        test.append(nearest)
    return set(test)


def store_index(index: pd.DataFrame, sources: pd.DataFrame, folder: str | Path) -> None:
    """Store `sources.csv`, then `index.csv`, which makes the folder a patch set."""
    write_text(Path(folder) / "sources.csv", sources.to_csv(index=False))
    write_text(Path(folder) / "index.csv", index[list(INDEX)].to_csv(index=False, float_format="%.6f"))


def load_index(folder: str | Path) -> pd.DataFrame:
    """Read `index.csv` of a patch set. Raises `StudyError` that says which notebook makes it."""
    path = Path(folder) / "index.csv"
    if not path.exists():
        raise StudyError(f"{path} is not there: run notebook 01 first (./run_all.sh --only 01)")
    return pd.read_csv(path, dtype={"patch": str, "file": str, "subject": str})


def load_places(folder: str | Path, index: pd.DataFrame) -> pd.DataFrame:
    """Read `places.csv`; the state of a kept place is its split in `index`."""
    places = pd.read_csv(Path(folder) / "places.csv", dtype={"file": str})
    split = places.merge(index[["file", "row", "column", "split"]], how="left", on=["file", "row", "column"])["split"]
    return places.assign(state=split.fillna(places["state"]))


def table_1(index: pd.DataFrame, height: int, width: int, stain: str) -> pd.DataFrame:
    """Table 1 of the paper for this cohort: parameter and value, one a row."""
    counts = index["split"].value_counts()
    values = _table_1_values(index["file"].nunique(), index["subject"].nunique(), counts.get("train", 0),
                             counts.get("test", 0), height=height, width=width, stain=stain, mpp=index["mpp"].mean())
    return pd.DataFrame(values.items(), columns=["parameter", "value"])


def table_1_beside(index: pd.DataFrame, height: int, width: int, stain: str, cohort: str) -> pd.DataFrame:
    """`table_1` in a column named `cohort`, and beside it the paper's four; a row a parameter."""
    ours = table_1(index, height, width, stain).set_index("parameter")["value"]
    papers = {f"paper's {name}": _table_1_values(**column, height=512, width=1024) for name, column in TABLE_1.items()}
    return pd.DataFrame({cohort: ours} | papers)


def _table_1_values(slides: int, participants: int, train: int, test: int, *, height: int, width: int, stain: str,
                    mpp: float = math.nan) -> dict[str, str]:
    return {"# of slides": str(slides), "# of participants": str(participants), "# of train patches": f"{train:,}",
            "# of test patches": f"{test:,}", "Patch size": f"{height} x {width}",
            "um per pixel": "not stated" if math.isnan(mpp) else f"{mpp:.2f}",
            "Staining method": {"he": "H&E", "ihc": "IHC"}[stain]}


class PatchDataset(torch.utils.data.Dataset):
    """Patches as network inputs: for each of `folders`, by its name, what it holds of a patch.

    A mask (`<patch>.png`) as float (1, H, W) in {-1, +1}, tissue = +1 (reading R14); an image (`<patch>.webp`) as float
    (3, H, W) in [-1, 1]. With `crop` an item is a window of 1/crop of the height and width, the same in all of a patch,
    at a place drawn from torch's global generator.
    """

    def __init__(self, patches: list[str], crop: int = 1, **folders: str | Path) -> None:
        self.patches, self.crop = list(patches), crop
        self.folders = {name: Path(folder) for name, folder in folders.items()}

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        item = {name: read_patch(folder, self.patches[i]) for name, folder in self.folders.items()}
        if self.crop == 1:
            return item
        height, width = (size // self.crop for size in next(iter(item.values())).shape[-2:])
        top, left = (int(torch.randint(size * (self.crop - 1) + 1, ())) for size in (height, width))
        return {name: whole[:, top:top + height, left:left + width] for name, whole in item.items()}


def read_patch(folder: Path, patch: str) -> torch.Tensor:
    """The mask `<patch>.png` of a folder, else its image `<patch>.webp`, as `PatchDataset` gives them."""
    mask = folder / f"{patch}.png"
    return to_tensor(read_mask(mask)) if mask.exists() else image_to_tensor(read_image(folder / f"{patch}.webp"))


def read_image(path: str | Path) -> np.ndarray:
    """Read an RGB patch (H, W, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write_image(path: str | Path, rgb: np.ndarray) -> None:
    """Store an RGB patch (H, W, 3) uint8 as lossless WebP, atomically."""
    with atomic(path) as temporary:
        Image.fromarray(rgb).save(temporary, lossless=True, method=2)


def to_tensor(mask: np.ndarray) -> torch.Tensor:
    """Mask (H, W) in {0, 1} -> float tensor (1, H, W) in {-1, +1} (reading R14)."""
    return torch.from_numpy(mask.astype(np.float32) * 2 - 1)[None]


def to_mask(output: torch.Tensor) -> np.ndarray:
    """Network output (1, H, W) in [-1, 1] -> mask (H, W) uint8 in {0, 1}, threshold 0 (reading R14)."""
    return (output[0] > 0).to(torch.uint8).cpu().numpy()


def image_to_tensor(rgb: np.ndarray) -> torch.Tensor:
    """Image (H, W, 3) uint8 -> float tensor (3, H, W) in [-1, 1]."""
    return torch.from_numpy(rgb.astype(np.float32) / 127.5 - 1).permute(2, 0, 1).contiguous()


def to_image(output: torch.Tensor) -> np.ndarray:
    """Network output (3, H, W) in [-1, 1] -> image (H, W, 3) uint8."""
    return ((output + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
