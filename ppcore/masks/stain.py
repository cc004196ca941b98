"""Which pixels of tissue are nuclei, and which are positive for DAB? Label maps from the stain, without annotation.

The optical density -ln(I / 255) of a pixel adds up what its stains absorb; `skimage.color.rgb2hed` solves for the
amounts of haematoxylin h and DAB d (Ruifrok and Johnston 2001). A subject's haematoxylin is scaled by its own tissue,

    s = (h - q01) / (q99 - q01),    nuclei: s > cut.nuclei,    positive: d > cut.positive

where q01 and q99 are percentiles, since slides are stained darker or paler. DAB is not scaled: a slide without the
antigen stays negative. Both cuts are Otsu's, one for a cohort, on pixels of training patches only; for DAB on the
square root, as little tissue is brown. No expert is asked. Air is what the paper's threshold says.
"""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from ppcore.masks.labels import Classes, Label, write_classes, write_labels
from ppcore.masks.make import read_mask
from ppcore.masks.patches import read_image
from ppcore.masks.specks import without_small
from ppcore.masks.stain_cut import OWN, Cut, learn_cut, write_cut
from ppcore.study.errors import warn
from ppcore.study.files import hash_file
from ppcore.study.seeds import rng_of

NUCLEI, POSITIVE = 2, 3
SMOOTH = 0.5  # um, sd of the Gaussian over the stain: less than a nucleus, more than noise of a pixel
LEAST = 8.0  # um^2; a smaller object is dropped, a smaller hole filled. A lymphocyte's nucleus has 30
NECK = 1.5  # um; nuclei that touch are cut apart where the neck is thinner than both by more, in half-widths
WIDEST = 20.0  # um, half-width; what is wider is no nucleus, but cartilage, mucin or a fold
# um, of the coarse form: what lies nearer than the first is one area, what is narrower than the second is none
KERNELS = {"nuclei": (20.0, 25.0), "positive": (40.0, 25.0)}
RESOLVED = 3.0  # um per px; nuclei of 8 um cannot be told apart in larger pixels
RIM = 1.0  # um, over which brown fades at the edge of a positive nucleus
DRAWN = 1000  # pixels of tissue a patch, for percentiles and cuts
INK = 0.05  # optical density, base 10; in H&E the ink of a pen absorbs red by so much more than green (`slides.grid`)
EDGE = 2.0  # um, over which ink mixes with tissue


def classes_of(stain: str, mpp: float) -> Classes:
    """The classes that "he" and "ihc" yield. mpp: um per px, for the kernels of their coarse forms."""
    nuclei, positive = (Label(name, colour, *(min(501, max(1, round(size / mpp))) for size in KERNELS[name]))
                        for name, colour in (("nuclei", "#3f2a82"), ("positive", "#a6611a")))
    return (Label("air", "#ffffff"), Label("tissue", "#eebfd0"), nuclei, *([positive] if stain == "ihc" else []))


def stains(rgb: np.ndarray, mpp: float) -> tuple[np.ndarray, np.ndarray]:
    """Amounts of haematoxylin and DAB, (H, W) float32 each, smoothed. rgb: (H, W, 3) uint8. mpp: um per px."""
    from skimage.color import rgb2hed  # here: most runs make no labels

    hed = rgb2hed(rgb)
    return tuple(cv2.GaussianBlur(hed[..., i].astype(np.float32), (0, 0), SMOOTH / mpp) for i in (0, 2))


def label(rgb: np.ndarray, fine: np.ndarray, cut: Cut, subject: str, mpp: float) -> np.ndarray:
    """The label map of a patch, (H, W) uint8: 0 air, 1 tissue, 2 nuclei, 3 positive.

    rgb: (H, W, 3) uint8. fine: its mask, (H, W) in {0, 1}. mpp: um per px. Nuclei are what takes haematoxylin without
    DAB; a positive nucleus is class 3 alone, with its rim, where brown fades.
    """
    haematoxylin, dab = stains(rgb, mpp)
    low, span = cut.scale[subject]
    positive = (fine > 0) & (dab > (np.inf if cut.positive is None else cut.positive))
    nuclei = (fine > 0) & (haematoxylin > max(cut.palest, low + cut.nuclei * span))
    if cut.positive is None:
        nuclei &= ~_ink(rgb, mpp)
    positive, nuclei = _clean(positive, mpp), _apart(_clean(nuclei & ~positive, mpp), mpp)
    if positive.any():
        positive |= _rims(nuclei, positive, mpp)
    labels = (fine > 0).astype(np.uint8)
    labels[nuclei & (fine > 0)] = NUCLEI
    labels[positive & (fine > 0)] = POSITIVE
    return labels


def _clean(mask: np.ndarray, mpp: float) -> np.ndarray:
    """A class (H, W) bool without small objects and small holes."""
    return ~without_small(~without_small(mask, LEAST / mpp**2, 8), LEAST / mpp**2, 4)


def _apart(mask: np.ndarray, mpp: float) -> np.ndarray:
    """Nuclei (H, W) bool that touch are cut apart, by lines of a pixel or two; what is wider than a nucleus is dropped.

    The cut is a watershed of the distance to the edge. Two maxima are two nuclei if the ridge between them falls by
    NECK below both, an h-maxima transform (Soille 2003, Morphological Image Analysis, 6.3.4).
    """
    from skimage.segmentation import watershed

    depth = cv2.GaussianBlur(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5), (0, 0), 1) * mask
    peaks = depth - _below(depth, NECK / mpp) > 0.999 * NECK / mpp
    count, markers = cv2.connectedComponents(peaks.astype(np.uint8))
    basin = watershed(-depth, markers, mask=mask)
    deepest = np.zeros(count)
    np.maximum.at(deepest, markers.ravel(), np.where(peaks, depth, 0).ravel())
    line = cv2.dilate(basin.astype(np.float32), np.ones((3, 3), np.uint8)) > basin
    return without_small(mask & ~line & (deepest * mpp <= WIDEST)[basin], LEAST / mpp**2, 8)


def _rims(nuclei: np.ndarray, positive: np.ndarray, mpp: float) -> np.ndarray:
    """Nuclei (H, W) bool that are no more than the rim of a positive one: most of their area is within RIM of it."""
    near = cv2.distanceTransform((~positive).astype(np.uint8), cv2.DIST_L2, 5) * mpp <= RIM
    count, number = cv2.connectedComponents(nuclei.astype(np.uint8))
    area, at_rim = (np.bincount(number[mask], minlength=count) for mask in (nuclei, nuclei & near))
    return (2 * at_rim > area)[number] & nuclei


def _below(depth: np.ndarray, drop: float) -> np.ndarray:
    """The surface `depth` lowered by `drop`, then grown again as far as it fits below.

    A maximum that rises by less than `drop` over the ridge to a higher one is a maximum no more.
    """
    level = np.maximum(depth - drop, 0)
    while True:
        grown = np.minimum(cv2.dilate(level, np.ones((3, 3), np.uint8)), depth)
        if np.array_equal(grown, level):
            return level
        level = grown


def _ink(rgb: np.ndarray, mpp: float) -> np.ndarray:
    """Blue and green pens, with their edge: red is absorbed more than green, which no stain of H&E does."""
    density = -np.log10(np.maximum(cv2.GaussianBlur(rgb, (0, 0), 2 * SMOOTH / mpp), 1) / np.float32(255))
    ink = _clean(density[..., 0] - density[..., 1] > INK, mpp)
    edge = 2 * max(1, round(EDGE / mpp)) + 1
    return cv2.dilate(ink.astype(np.uint8), np.ones((edge, edge), np.uint8)) > 0


def label_made(rgb: np.ndarray, fine: np.ndarray, cut: Cut, mpp: float) -> np.ndarray:
    """`label` of an image that a model made, or of a real one whose subject is not known.

    Such an image is a slide of its own: how dark its stain is follows from the model or from a patch that lent its
    colours, not from the subject of its mask. So its haematoxylin is scaled by its own tissue.
    """
    clear = _clear(rgb, fine, "he" if cut.positive is None else "ihc", mpp)
    amounts = (amount.ravel()[clear] for amount in stains(rgb, mpp))
    return label(rgb, fine, cut.scaled_to(*amounts), OWN, mpp)


def draw_pixels(rgb: np.ndarray, fine: np.ndarray, stain: str, mpp: float, rng: np.random.Generator) -> np.ndarray:
    """Haematoxylin and DAB (N, 2) of at most DRAWN pixels of a patch's tissue; in H&E without a pen's ink."""
    tissue = _clear(rgb, fine, stain, mpp)
    chosen = rng.choice(tissue, min(DRAWN, len(tissue)), replace=False)
    return np.stack([amount.ravel()[chosen] for amount in stains(rgb, mpp)], axis=1)


def _clear(rgb: np.ndarray, fine: np.ndarray, stain: str, mpp: float) -> np.ndarray:
    """Places (N,), in the flat image, of tissue; in H&E of tissue without ink, if there is any."""
    clear = (fine > 0) & ~_ink(rgb, mpp) if stain == "he" else fine > 0
    return np.flatnonzero(clear if clear.any() else fine)


def label_set(index: pd.DataFrame, folder: str | Path, stain: str, mpp: float, seed: int,
              jobs: int = 1) -> tuple[pd.DataFrame, Cut]:
    """Replace every `fine/<patch>.png` of a patch set by its label map; store `classes.csv` and the cut.

    index: with its split. folder: of the patch set. stain: "he" or "ihc". mpp: um per px of patches whose file states
    none, with a warning. jobs: threads. Returns the index with new `fine_hash`, and the cut.
    """
    folder, scales = Path(folder), index["mpp"].fillna(mpp)
    if scales.max() > RESOLVED:
        warn(f"at {scales.max():g} um per px single nuclei cannot be seen: labels=stain marks where they are dense; "
             f"for nuclei cut at {RESOLVED:g} or less (-p mpp=...)")
    if unknown := index.loc[index["mpp"].isna(), "file"].nunique():
        warn(f"{unknown} files state no um per px: for labels from their stain, a px counts as mpp={mpp:g} um")
    classes = classes_of(stain, float(scales.median()))

    def draw(row: int, patch: str, scale: float) -> np.ndarray:
        return draw_pixels(*_read(folder, patch), stain, scale, rng_of(seed, "stain", row))

    def paint(patch: str, subject: str, scale: float) -> str:
        path = folder / "fine" / f"{patch}.png"
        write_labels(path, label(*_read(folder, patch), cut, subject, scale), classes)
        return hash_file(path)

    def each(function, what: str, *columns: Iterable) -> list:
        tasks = (delayed(function)(*values) for values in zip(*columns))
        done = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(tasks)
        return list(tqdm(done, total=len(index), desc=what, unit="patch"))

    cut = learn_cut(index, each(draw, "measuring the stain", range(len(index)), index["patch"], scales), stain)
    hashes = each(paint, "labelling", index["patch"], index["subject"], scales)
    write_classes(folder, classes)
    write_cut(folder, cut)
    return index.assign(fine_hash=hashes), cut


def _read(folder: Path, patch: str) -> tuple[np.ndarray, np.ndarray]:
    """The image and the tissue of a patch, whose mask may be a label map already."""
    return read_image(folder / "rgb" / f"{patch}.webp"), np.minimum(read_mask(folder / "fine" / f"{patch}.png"), 1)
