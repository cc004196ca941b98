"""What is part three trained on? A cohort's patches, or those of some slides of the embedded one, drawn on the spot."""

from concurrent.futures import Executor, Future
from pathlib import Path

import pandas as pd

from ppcore.masks.make import tissue_mask, write_mask
from ppcore.masks.patches import check_enough, load_index, write_image
from ppcore.slides.phantom import Phantom, draw_slide, subject_of
from ppcore.slides.split import split_patches
from ppcore.study.files import hash_file
from ppcore.study.runs import data_folder

AIR_THRESHOLD, MAX_AIR = 204, 0.85  # readings R3, R4
# At the paper's 2 um per px, six patches of 512 x 1024 a slide.
DRAWN = Phantom(slides=24, width_um=4096, height_um=3072, mpp=2.0)
DRAWN_TINY = Phantom(slides=4, width_um=512, height_um=512, mpp=2.0)


def stored(cohort: str, folder: str | None) -> Path | None:
    """The folder of patches that was handed over, else the cohort's in the profile paper; None if there is none."""
    place = Path(folder) if folder else data_folder("paper", cohort) / "patches"
    return place if folder or (place / "index.csv").exists() else None


def begin_drawing(pool: Executor, folder: Path, tiny: bool, size: tuple[int, int]) -> list[Future]:
    """Draw the slides in the processes of a pool, into `folder`/fine and `folder`/rgb."""
    phantom = DRAWN_TINY if tiny else DRAWN
    return [pool.submit(draw_patches, phantom, number, folder, size) for number in range(1, phantom.slides + 1)]


def draw_patches(phantom: Phantom, number: int, folder: Path, size: tuple[int, int]) -> list[dict]:
    """Store the patches of one slide that are not almost all air; returns patch, file, subject and fine_hash of each."""
    rgb, (height, width), rows = draw_slide(phantom, number), size, []
    for top in range(0, rgb.shape[0] - height + 1, height):
        for left in range(0, rgb.shape[1] - width + 1, width):
            patch = rgb[top:top + height, left:left + width]
            fine = tissue_mask(patch, AIR_THRESHOLD)
            if 1 - fine.mean() > MAX_AIR:
                continue
            name = f"phantom-{number:02d}_r{top // height:03d}_c{left // width:03d}"
            write_image(folder / "rgb" / f"{name}.webp", patch)
            write_mask(folder / "fine" / f"{name}.png", fine)
            rows.append({"patch": name, "file": f"phantom-{number:02d}", "subject": f"phantom-{subject_of(number):02d}",
                         "fine_hash": hash_file(folder / "fine" / f"{name}.png")})
    return rows


def finish_drawing(slides: list[Future]) -> pd.DataFrame:
    """The index of the drawn patches: patch, file, subject, split."""
    index = pd.DataFrame([row for slide in slides for row in slide.result()])
    index = split_patches(index, 0.25, seed=1)
    check_enough(index)
    return index


def open_stored(folder: Path) -> pd.DataFrame:
    """The index of stored patches. Raises `StudyError` if there is none, or too few patches."""
    index = load_index(folder)
    check_enough(index)
    return index
