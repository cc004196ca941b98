"""How does a patch become a fine tissue mask, and a fine mask a coarse one?

A mask is a numpy array (H, W) of uint8 in {0, 1}: 1 = tissue, 0 = air. A label map has further classes (`labels`).
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from ppcore.study.files import atomic, hash_file, write_text

# run-length strategy: as small as the default on masks, ten times as fast
ONE_BIT = (cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
FAR, ROUNDS = 16.0, 8  # `keep_outline`: px from tissue of the outline; repetitions


def tissue_mask(rgb: np.ndarray, air_threshold: int) -> np.ndarray:
    """Fine mask of an RGB image: tissue where its luma is at most `air_threshold` (section 2.1; reading R3).

    rgb: (H, W, 3) uint8. air_threshold: gray level 0-255; 204 for H&E, 235 for IHC in the paper.
    Returns (H, W) uint8 in {0, 1}, without further cleaning.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"rgb has shape {rgb.shape} and type {rgb.dtype}: wanted (H, W, 3) of uint8")
    return (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) <= air_threshold).astype(np.uint8)


def coarse_mask(mask: np.ndarray, open_size: int = 5, close_size: int = 10, shifted: bool = False,
                dense: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """C(m): an opening, then a closing, with square all-ones kernels (section 2.3; reading R6).

    mask: (H, W) in {0, 1}. open_size, close_size: kernel side in px. Returns (H, W) uint8 in {0, 1}.

    Of a label map C shows tissue, as of a mask, and painted over it, in their order, where the further classes are
    dense: where the closing, then the opening, of a class is not empty. dense: those two kernels of classes 2, 3, ...,
    px. Returns (H, W) in {0, ..., K - 1}.

    A kernel of even side has no centre pixel. OpenCV uses the same anchor for erosion and dilation, so
    `cv2.morphologyEx` shifts the mask by one pixel to the right and down. Here the second operation uses the mirrored
    anchor: nothing shifts, and C is idempotent, C(C(m)) = C(m) (reading R7). `shifted=True` gives OpenCV's form. The
    border is neutral: it neither erodes nor extends tissue that touches it (reading R8).
    """
    mask = np.ascontiguousarray(mask, dtype=np.uint8)
    tissue = _close(_open(np.minimum(mask, 1), open_size, shifted), close_size, shifted)
    coarse = tissue.copy()
    for value, (close, opening) in enumerate(dense, start=2):
        found = _open(_close((mask == value).astype(np.uint8), close, shifted), opening, shifted)
        coarse[(found & tissue) > 0] = value
    return coarse


def keep_outline(fine: np.ndarray, coarse: np.ndarray, coarsen: Callable[[np.ndarray], np.ndarray],
                 far: float = FAR) -> np.ndarray:
    """A fine mask held to its outline: where C(y) differs from x, y takes x; far inside air of x it is air.

    fine: y, coarse: x, both (H, W) uint8 in {0, 1}. coarsen: C. far: px from the nearest tissue of x. Each change can
    make C(y) differ elsewhere, so it is repeated, at most ROUNDS times; from the third on, y takes x around such pixels
    too. It serves masks from any model, at a price in realism at the edge of the outline.

    Of label maps only tissue and air are held. What becomes tissue is class 1, and pixels of further classes keep them:
    x says where nuclei are dense, so to take x there would draw them as one solid block.
    """
    outline = np.minimum(coarse, 1)
    near = outline > 0
    if near.any():
        near = cv2.distanceTransform(1 - outline, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= far
    fine = np.where(near, fine, outline)
    for again in range(ROUNDS):
        wrong = ((coarsen(fine) > 0) != outline).astype(np.uint8)
        if not wrong.any():
            break
        around = cv2.dilate(wrong, np.ones((3, 3), np.uint8), iterations=max(0, again - 1))
        fine = np.where(around, outline * np.maximum(fine, 1), fine)
    return fine


def _open(mask: np.ndarray, size: int, shifted: bool) -> np.ndarray:
    return _dilate(_erode(mask, size), size, mirrored=not shifted)


def _close(mask: np.ndarray, size: int, shifted: bool) -> np.ndarray:
    return _erode(_dilate(mask, size), size, mirrored=not shifted)


def _erode(mask: np.ndarray, size: int, mirrored: bool = False) -> np.ndarray:
    return cv2.erode(mask, np.ones((size, size), np.uint8), anchor=_anchor(size, mirrored))


def _dilate(mask: np.ndarray, size: int, mirrored: bool = False) -> np.ndarray:
    return cv2.dilate(mask, np.ones((size, size), np.uint8), anchor=_anchor(size, mirrored))


def _anchor(size: int, mirrored: bool) -> tuple[int, int]:
    centre = size - 1 - size // 2 if mirrored else size // 2
    return centre, centre


def write_mask(path: str | Path, mask: np.ndarray) -> None:
    """Store a mask (H, W) in {0, 1} as a 1-bit PNG (white = tissue), atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", mask * np.uint8(255), ONE_BIT)[1])


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask that `write_mask` stored, (H, W) uint8 in {0, 1}, or a label map of `labels.write_labels`."""
    with Image.open(path) as image:
        return np.array(image if image.mode == "P" else image.convert("1"), dtype=np.uint8)


def coarsen_set(patches: Iterable[str], fine: str | Path, coarse: str | Path, open_size: int, close_size: int,
                shifted: bool = False, classes: Sequence = ()) -> pd.DataFrame:
    """Store C(m) of every fine mask `fine`/<patch>.png as `coarse`/<patch>.png, then `coarse`/index.csv.

    classes: of label maps (`labels.Classes`); the further ones bring the kernels of their coarse forms. The index, also
    returned, has the columns patch, tissue_fraction and coarse_hash. It is written last: a folder without it is not a
    set of coarse masks.
    """
    from ppcore.masks.labels import MASK, kernels, write_labels  # here: `labels` imports this file

    fine, coarse = Path(fine), Path(coarse)
    shutil.rmtree(coarse, ignore_errors=True)
    rows = []
    for patch in tqdm(list(patches), desc="coarsening", unit="mask"):
        mask = coarse_mask(read_mask(fine / f"{patch}.png"), open_size, close_size, shifted, kernels(classes))
        write_labels(coarse / f"{patch}.png", mask, classes or MASK)
        rows.append({"patch": patch, "tissue_fraction": (mask > 0).mean(),
                     "coarse_hash": hash_file(coarse / f"{patch}.png")})
    index = pd.DataFrame(rows)
    write_text(coarse / "index.csv", index.to_csv(index=False, float_format="%.6f"))
    return index


def check_mask(mask: np.ndarray, smallest: int = 1, count: int = 2) -> None:
    """Raises ValueError unless mask is (H, W) uint8 in {0, ..., count - 1} with at least `smallest` px per side."""
    if mask.ndim != 2 or mask.dtype != np.uint8 or min(mask.shape) < smallest:
        raise ValueError(f"mask is {mask.shape} {mask.dtype}: wanted (H, W) uint8, {smallest} px or more per side")
    if mask.max(initial=0) >= count:
        wanted = "only 0 (air) and 1 (tissue)" if count == 2 else f"0 to {count - 1}"
        raise ValueError(f"mask holds the value {mask.max()}: wanted {wanted}")
