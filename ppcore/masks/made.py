"""Where are the masks and images that a model makes stored?

    generated/<method>/<name>_<sample>.png    fine mask, 1 bit, or label map with a palette; or .webp, RGB image
    generated/<method>/index.csv              name, sample, tissue_fraction, hash

<name> is the patch whose outline or mask was the input, or `noise_<number>` without an input.
"""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ppcore.masks.labels import MASK, Classes, write_labels
from ppcore.masks.patches import write_image
from ppcore.study.files import hash_file, write_text
from ppcore.study.seeds import mixed


def generate_set(draw: Callable[[str, list[int]], list[np.ndarray]], names: Iterable[str], folder: str | Path,
                 seed: int, samples: int = 1, several: Iterable[str] = (), classes: Classes = MASK) -> pd.DataFrame:
    """Store one mask or image for each of `names`, and `samples` for those in `several`, as <name>_<sample>.

    draw: maps a name and a list of seeds to as many masks (H, W), label maps of `classes`, or images (H, W, 3) uint8.
    The noise of each depends only on `seed`, the position of its name and the number of its sample. The index, also
    returned, has the columns patch (the name), sample, tissue_fraction (of a mask) and hash; it is written last.
    """
    folder, several = Path(folder), set(several)
    shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for place, name in enumerate(tqdm(list(names), desc=f"generating {folder.name}", unit="patch")):
        count = samples if name in several else 1
        for sample, made in enumerate(draw(name, mixed(count, seed, place))):
            mask = made.ndim == 2
            path = folder / f"{name}_{sample}.{'png' if mask else 'webp'}"
            write_labels(path, made, classes) if mask else write_image(path, made)
            rows.append({"patch": name, "sample": sample, "tissue_fraction": (made > 0).mean() if mask else np.nan,
                         "hash": hash_file(path)})
    index = pd.DataFrame(rows)
    write_text(folder / "index.csv", index.to_csv(index=False, float_format="%.6f"))
    return index
