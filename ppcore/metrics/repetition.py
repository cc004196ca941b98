"""Does a texture come back at a fixed distance, as on wallpaper?

Where a coarse mask is uniform tissue, its fine mask, or its image, is texture alone. The texture, less its local mean,
is compared with itself at every lag of 16 to 128 px. Tissue has no such period; a network that builds texture from the
size of its feature maps has.
"""

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

NEAR, FAR = 16, 128  # px, the longer side of a lag: beyond a texture's own grain, up to two tiles of 64 px
INSIDE = 8  # px from air of the coarse mask
LEAST_AREA, LEAST_AIR = 8192, 0.01  # px of uniform tissue, and its share of air: with less there is no texture
LEAST_SD = 1.0  # gray levels, of uniform tissue in an image: a flat one has no texture
LOCAL = 12.0  # px, sigma of the local mean
OVERLAP = 0.35  # share of the uniform tissue that must meet itself at a lag

Texture = tuple[np.ndarray, np.ndarray]  # values, and where they count


def repetition(masks: Iterable[np.ndarray], coarsen: Callable[[np.ndarray], np.ndarray],
               of: int = 0) -> dict[str, float]:
    """How strongly masks (H, W) in {0, 1}, or label maps, repeat themselves: `repetition`, `grid` and `n`.

    coarsen: C, from mask to coarse mask. of: the class whose places in uniform tissue are looked at: 0, the air in it,
    or a further class, as nuclei. repetition: mean over masks of the highest autocorrelation. Chance alone gives
    any texture some height, so compare it with that of real masks. grid: highest autocorrelation summed over all masks.
    Chance averages out, and what repeats at the same distance in all masks remains: the wallpaper of an upsampling
    network. n: masks with enough uniform tissue, in large enough pieces, and enough of the class in it; both are nan if
    there are none.
    """
    def textures() -> Iterator[Texture]:
        for mask in masks:
            rest, inside = (mask != of).astype(np.uint8), _uniform(coarsen(mask))
            if inside.sum() >= LEAST_AREA and 1 - rest[inside].mean() >= LEAST_AIR:
                yield rest, inside

    return _strength(textures())


def image_repetition(images: Iterable[np.ndarray], outlines: Iterable[np.ndarray]) -> dict[str, float]:
    """The same of the gray levels of images (H, W, 3) uint8 where their coarse masks (H, W) are uniform tissue."""
    def textures() -> Iterator[Texture]:
        for rgb, outline in zip(images, outlines, strict=True):
            gray, inside = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float64), _uniform(outline)
            if inside.sum() >= LEAST_AREA and gray[inside].std() >= LEAST_SD:
                yield gray / 255, inside

    return _strength(textures())


def _uniform(outline: np.ndarray) -> np.ndarray:
    """Where a coarse mask or label map, above 0 tissue, is uniform tissue: (H, W) bool."""
    return cv2.distanceTransform(np.pad(outline, 1, mode="edge"), cv2.DIST_C, 3)[1:-1, 1:-1] > INSIDE


def _strength(textures: Iterable[Texture]) -> dict[str, float]:
    highest, product, energy = [], 0.0, 0.0
    for values, inside in textures:
        products, correlation, counts = _autocorrelation(values, inside)
        met = _lags(counts.shape) & (counts >= OVERLAP * inside.sum())
        if not met.any():
            continue  # scattered pieces: at no lag does enough of them meet itself
        highest.append(correlation[met].max())
        own = np.sqrt(products[0, 0])
        product, energy = product + products / own, energy + counts / inside.sum() * own
    if not highest:
        return {"repetition": float("nan"), "grid": float("nan"), "n": 0}
    pooled = product / np.maximum(energy, 1e-9)
    allowed = _lags(pooled.shape) & (energy >= OVERLAP * energy[0, 0])
    grid = float(pooled[allowed].max()) if allowed.any() else float("nan")
    return {"repetition": float(np.mean(highest)), "grid": grid, "n": len(highest)}


def _autocorrelation(values: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of products of values (H, W) and their correlation at each lag (wrapped), and px that meet at it.

    Only px of `inside`, (H, W) bool, count.
    """
    weight = inside.astype(np.float64)
    mean = [gaussian_filter(part, LOCAL, mode="constant") for part in (values * weight, weight)]
    texture = (values - mean[0] / np.maximum(mean[1], 1e-6)) * weight
    texture -= texture[inside].mean() * weight
    shape = [next_fast_len(side + FAR, real=True) for side in values.shape]
    t, w, squared = (rfft2(part, shape) for part in (texture, weight, texture**2))
    product, counts = irfft2(t * t.conj(), shape), irfft2(w * w.conj(), shape).round()
    ours = irfft2(squared * w.conj(), shape)  # energy of the one half of a lag's pairs, and of the other
    theirs = np.roll(ours[::-1, ::-1], (1, 1), (0, 1))
    return product, product / np.sqrt(np.maximum(ours, 1e-6) * np.maximum(theirs, 1e-6)), counts


def _lags(shape: tuple[int, int]) -> np.ndarray:
    """Which lags lie between NEAR and FAR: (H, W) bool, negative ones wrapped."""
    down, across = (np.minimum(np.arange(side), side - np.arange(side)) for side in shape)
    longer = np.maximum(down[:, None], across)
    return (longer >= NEAR) & (longer <= FAR)
