"""Where are a cohort's patches stored, are they intact, and how are they read?

    patches/rgb/<patch>.webp     (H, W, 3) uint8 RGB, lossless
    patches/fine/<patch>.png     fine mask, 1 bit, white = tissue; with further classes a label map with a palette
    patches/classes.csv          what the values of label maps mean, see `ppcore.masks.labels`; none of masks
    patches/index.csv            one line per kept patch, columns as INDEX; with classes.csv also classes_hash, the
                                 same in every line, so that whatever watches the index sees a change of a class
    patches/thumbnails/<name>.webp  the whole slide or field
    patches/sources.csv          one line per entry of the folder: its places by state, or why it was skipped; a remark
    patches/places.csv           one line per grid place, columns as PLACES

`index.csv` is written last: a folder without it is not a patch set. `check_set` compares the files with its hashes.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from ppcore.masks.labels import TABLE
from ppcore.masks.make import read_mask
from ppcore.study.errors import StudyError
from ppcore.study.files import atomic, hash_file, read_table, write_text

INDEX = ("patch", "file", "subject", "split", "x", "y", "row", "column", "mpp", "tissue_fraction", "rgb_hash",
         "fine_hash")
PLACES = ("file", "row", "column", "state")
LEAST = 3  # different masks, for training and for the test; see `check_enough`


def store_index(index: pd.DataFrame, sources: pd.DataFrame, folder: str | Path,
                others: dict[str, str] | None = None) -> None:
    """Store `sources.csv`, then `index.csv`, which makes the folder a patch set.

    sources: a line per file that was cut or skipped. others: name of each other entry of the cohort's folder, and why
    it is no image.
    """
    every = sources
    if others:
        unused = pd.DataFrame({"file": list(others), "skipped": list(others.values())})
        every = pd.concat([sources, unused], ignore_index=True)
        every = every.fillna(dict.fromkeys(sources.select_dtypes("number").columns, 0)).astype(sources.dtypes)
    write_text(Path(folder) / "sources.csv", every.to_csv(index=False))
    index, table = index[list(INDEX)], Path(folder) / TABLE
    if table.exists():
        index = index.assign(classes_hash=hash_file(table))
    write_text(Path(folder) / "index.csv", index.to_csv(index=False, float_format="%.6f"))


def load_index(folder: str | Path) -> pd.DataFrame:
    """Read `index.csv` of a patch set. Raises a `StudyError` that says which notebook makes it."""
    path = Path(folder) / "index.csv"
    if not path.exists():
        raise StudyError(f"{path} is not there: run notebook 01 first (./run_all.sh --only 01)")
    return read_table(path)


def check_enough(index: pd.DataFrame) -> None:
    """Raises `StudyError` if training or test have fewer than LEAST different masks.

    index: columns split and fine_hash. Whatever the settings, K-means needs one mask more than kinds, of which there
    are two at least (notebook 03), and the evaluation three real ones and as many of each method (08).
    """
    train, test = (index.loc[index["split"] == split, "fine_hash"].nunique() for split in ("train", "test"))
    if min(train, test) < LEAST:
        raise StudyError(f"{train} training and {test} test patches with different masks; wanted {LEAST} or more of "
                         "each: cut smaller patches (-p patch_height=... patch_width=...), add slides, or change the "
                         "share of the test (-p test_fraction=...)")


def check_set(folder: str | Path) -> int:
    """Compare every file of a patch set with the content hash in its `index.csv`; returns the number of patches.

    Raises a `StudyError` that names the files that are missing, damaged or not listed.
    """
    folder, index = Path(folder), load_index(folder)
    wrong = []
    for part, suffix, hashes in (("rgb", ".webp", index["rgb_hash"]), ("fine", ".png", index["fine_hash"])):
        files = {path.name for path in (folder / part).glob("[!.]*")}
        for name, stored in zip(index["patch"] + suffix, hashes):
            if name not in files:
                wrong.append(f"{part}/{name} is missing")
            elif hash_file(folder / part / name) != stored:
                wrong.append(f"{part}/{name} is damaged")
        wrong += [f"{part}/{name} is not listed" for name in sorted(files - set(index["patch"] + suffix))]
    if "classes_hash" in index and not ((table := folder / TABLE).exists() and
                                        hash_file(table) == index["classes_hash"].iloc[0]):
        wrong.append(f"{TABLE} was changed or is missing")
    if wrong:
        raise StudyError(f"{folder} differs from the patch set that was cut: {', '.join(wrong[:5])}"
                         f"{f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''}. Restore those files, or cut it "
                         "again (--from 01)")
    return len(index)


def load_places(folder: str | Path, index: pd.DataFrame) -> pd.DataFrame:
    """Read `places.csv`; the state of a kept place is its split in `index`."""
    places = read_table(Path(folder) / "places.csv")
    split = places.merge(index[["file", "row", "column", "split"]], how="left", on=["file", "row", "column"])["split"]
    return places.assign(state=split.fillna(places["state"]))


class PatchDataset(torch.utils.data.Dataset):
    """Patches as network inputs: one tensor for each of `folders`, by its name.

    A mask or label map (`<patch>.png`) of `classes` classes is float as `to_tensor` makes it; an image (`<patch>.webp`)
    is float (3, H, W) in [-1, 1]. With `crop` an item is a window of 1/crop of the height and width, the same in all
    its tensors, at a place drawn from torch's global generator.
    """

    def __init__(self, patches: list[str], crop: int = 1, classes: int = 2, **folders: str | Path) -> None:
        self.patches, self.crop, self.classes = list(patches), crop, classes
        self.folders = {name: Path(folder) for name, folder in folders.items()}

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        item = {name: read_patch(folder, self.patches[i], self.classes) for name, folder in self.folders.items()}
        if self.crop == 1:
            return item
        height, width = (size // self.crop for size in next(iter(item.values())).shape[-2:])
        top, left = (int(torch.randint(size * (self.crop - 1) + 1, ())) for size in (height, width))
        return {name: whole[:, top:top + height, left:left + width] for name, whole in item.items()}


def read_patch(folder: Path, patch: str, classes: int = 2) -> torch.Tensor:
    """The mask `<patch>.png` of a folder, else its image `<patch>.webp`, as in `PatchDataset`."""
    mask = folder / f"{patch}.png"
    return to_tensor(read_mask(mask), classes) if mask.exists() else image_to_tensor(
        read_image(folder / f"{patch}.webp"))


def read_image(path: str | Path) -> np.ndarray:
    """Read an RGB patch (H, W, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write_image(path: str | Path, rgb: np.ndarray) -> None:
    """Store an RGB patch (H, W, 3) uint8 as lossless WebP, atomically."""
    with atomic(path) as temporary:
        Image.fromarray(rgb).save(temporary, lossless=True, method=0, quality=0)  # 10 x faster, a sixth larger


def to_tensor(mask: np.ndarray, classes: int = 2) -> torch.Tensor:
    """Mask (H, W) in {0, 1} -> float tensor (1, H, W) in {-1, +1}, tissue = +1 (reading R14).

    A label map (H, W) in {0, ..., K - 1} of `classes` > 2 classes becomes one channel a class, (K, H, W): +1 in that of
    its class, -1 in the others. Raises `ValueError` for a value that is none of the classes.
    """
    if mask.size and mask.max() >= classes:
        raise ValueError(f"the map holds the value {mask.max()}: wanted {classes} classes, 0 to {classes - 1}")
    maps = mask[None] if classes == 2 else mask == np.arange(classes)[:, None, None]
    return torch.from_numpy(maps.astype(np.float32) * 2 - 1)


def to_mask(output: torch.Tensor) -> np.ndarray:
    """Network output (1, H, W) in [-1, 1] -> mask (H, W) uint8 in {0, 1}, threshold 0 (reading R14).

    Of one channel a class, (K, H, W), the largest -> label map (H, W) uint8. An image has three channels, too: whoever
    calls this knows that the network makes masks.
    """
    labels = output[0] > 0 if len(output) == 1 else output.argmax(0)
    return labels.to(torch.uint8).cpu().numpy()


def image_to_tensor(rgb: np.ndarray) -> torch.Tensor:
    """Image (H, W, 3) uint8 -> float tensor (3, H, W) in [-1, 1]."""
    return torch.from_numpy(rgb.astype(np.float32) / 127.5 - 1).permute(2, 0, 1).contiguous()


def to_image(output: torch.Tensor) -> np.ndarray:
    """Network output (3, H, W) in [-1, 1] -> image (H, W, 3) uint8."""
    return ((output + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
