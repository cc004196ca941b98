"""How do images score? All metrics of a set of images against the real test images, as rows of `tidy`."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ppcore.masks.make import tissue_mask
from ppcore.masks.stain import label_made
from ppcore.masks.stain_cut import Cut
from ppcore.metrics.control import iou
from ppcore.metrics.frechet import fid_kid
from ppcore.metrics.image import DESCRIPTORS, air_sums, draws_apart
from ppcore.metrics.morphometry import mmd, mmd_interval, wasserstein
from ppcore.metrics.repetition import image_repetition
from ppcore.metrics.rows import perception_rows, window_rows
from ppcore.metrics.sets import ImageSet
from ppcore.metrics.table import NO_WEIGHTS
from ppcore.metrics.tidy import bootstrapped, mean_row, prefixes, row_of
from ppcore.metrics.windows import Windows

Images = Sequence[np.ndarray]  # (H, W, 3) uint8 each


def image_rows(real: ImageSet, synthetic: ImageSet, *, permutations: int, resamples: int, seed: int,
               weights=None) -> list[dict]:
    """Rows that compare two sets of images: FID, KID, kd and fd (as for masks), MMD and Wasserstein of colours and
    detail (`ppcore.metrics.image`)."""
    n, subjects = len(synthetic.images), (real.masks.subjects, synthetic.masks.subjects)
    scores = {"fid": NO_WEIGHTS, "kid": NO_WEIGHTS, "n": n}
    if weights is not None:
        scores = fid_kid(synthetic.images, real.images, weights, seed=seed)
    described = real.descriptors, synthetic.descriptors
    distance, p = mmd(*described, permutations, seed)
    interval = mmd_interval(*described, *subjects, resamples, seed)
    distances = wasserstein(*described)
    return [*(row_of(f"image_{name}", scores[name], scores["n"]) for name in ("fid", "kid")),
            *perception_rows(real.features, synthetic.features, *subjects, resamples=resamples, seed=seed, prefix="image_"),
            row_of("image_mmd2", distance, n, *interval), row_of("image_mmd_p", p, n),
            row_of("image_w1_mean", distances.mean(), n),
            *(row_of(f"image_w1_{name}", value, n) for name, value in zip(DESCRIPTORS, distances))]


def image_control_row(masks: Sequence[np.ndarray], images: Images, air_threshold: int) -> dict:
    """Mean IoU of the tissue of each mask or label map and its image's own, by the real threshold (gray 0-255; R3)."""
    return row_of("image_control_iou", float(np.mean([iou(np.minimum(mask, 1), tissue_mask(rgb, air_threshold))
                                                    for mask, rgb in zip(masks, images)])), len(masks))


def image_air_row(real: ImageSet, synthetic: ImageSet, *, resamples: int, seed: int) -> dict:
    """How far the mean colour of air is from that of real air, in gray levels 0-255: `image_air`, a mean over channels.

    Air is where the masks of each set say so; nan where one has none.
    """
    sums, counts = zip(*(air_sums(found.images, found.masks.masks) for found in (real, synthetic)))

    def apart(*drawn: np.ndarray) -> float:
        areas = [count[i].sum() for count, i in zip(counts, drawn)]
        if not all(areas):
            return float("nan")
        one, other = (total[i].sum(axis=0) / area for total, i, area in zip(sums, drawn, areas))
        return float(np.abs(one - other).mean())

    return bootstrapped("image_air", len(synthetic.images), apart, real.masks.subjects, synthetic.masks.subjects,
                        resamples=resamples, seed=seed)


def image_repetition_rows(found: ImageSet, coarsen: Callable[[np.ndarray], np.ndarray]) -> list[dict]:
    """`image_repetition` and `image_grid`: as `rows.repetition_rows`, of gray levels where C(m) is uniform tissue."""
    values = image_repetition(found.images, (coarsen(mask) for mask in found.masks.masks))
    return [row_of(f"image_{name}", values[name], values["n"]) for name in ("repetition", "grid")]


def image_likeness_rows(real: ImageSet, synthetic: ImageSet, coarsen: Callable[[np.ndarray], np.ndarray], *,
                        permutations: int, weights=None, **options) -> list[dict]:
    """Everything that compares a set with the real one, and how much it repeats itself.

    options: resamples and seed. The rows of `image_rows`, `image_air_row` and `image_repetition_rows`.
    """
    return [*image_rows(real, synthetic, permutations=permutations, weights=weights, **options),
            image_air_row(real, synthetic, **options), *image_repetition_rows(synthetic, coarsen)]


def image_dice_rows(synthetic: ImageSet, cut: Cut, mpp: float, air_threshold: int, *, resamples: int,
                    seed: int) -> list[dict]:
    """Does the labeller find in images what was asked for? `<class>: image_dice`, over the pixels of all images.

    synthetic: with the label maps asked for. cut: that of the cohort. mpp: um per px. The labeller,
    `masks.stain.label`, made the maps of real images with the scale of their subjects. Here it is `label_made`, so that
    real images, too, are a little below 1: they show what a method can reach.
    """
    return [bootstrapped(f"{named}image_dice", len(synthetic.images), lambda i, b=both, e=either: dice(b[i], e[i]),
                         synthetic.masks.subjects, resamples=resamples, seed=seed)
            for named, (both, either) in labels_shown(synthetic, cut, mpp, air_threshold).items()]


def labels_shown(made: ImageSet, cut: Cut, mpp: float, air_threshold: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each further class, as `prefixes` name it: px that are of it in the image and in its map, (N,), and px that
    are in the one plus px in the other, (N,). In the image `label_made` says so."""
    found = [label_made(rgb, tissue_mask(rgb, air_threshold), cut, mpp) for rgb in made.images]
    counts = {}
    for value, named in prefixes(made.masks.classes).items():
        pairs = [(one == value, other == value) for one, other in zip(found, made.masks.masks, strict=True)]
        counts[named] = (np.array([np.count_nonzero(one & other) for one, other in pairs]),
                         np.array([np.count_nonzero(one) + np.count_nonzero(other) for one, other in pairs]))
    return counts


def dice(both: np.ndarray, either: np.ndarray) -> float:
    """Dice over all images, from counts of `labels_shown`; nan without any px."""
    return 2 * both.sum() / either.sum() if either.any() else float("nan")


def image_diversity_rows(samples: Iterable[np.ndarray], subjects: np.ndarray, *, resamples: int,
                         seed: int) -> list[dict]:
    """`image_diversity`, a mean over masks; none for a method that drew one image a mask.

    samples: (S, H, W, 3) for each mask. subjects: label of each.
    """
    spread = np.array([draws_apart(group) for group in samples])
    return [mean_row("image_diversity", spread, subjects, resamples=resamples, seed=seed)] if len(spread) else []


def image_window_rows(train: Windows, real: Windows, synthetic: Windows, *, resamples: int, seed: int) -> list[dict]:
    """Are windows of 64 px copies of training images? As `rows.window_rows`."""
    return [row | {"metric": f"image_{row['metric']}"}
            for row in window_rows(train, real, synthetic, resamples=resamples, seed=seed)]
