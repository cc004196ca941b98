"""Does a texture come back at a fixed distance, as on wallpaper?

Where a coarse mask is uniform tissue, its fine mask is texture alone. The texture, less its local mean, is compared
with itself at every lag of 16 to 128 px. Tissue has no such period; a network that builds texture from the size of its
feature maps has.
"""

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

NEAR, FAR = 16, 128  # px, the longer side of a lag: beyond a texture's own grain, up to two tiles of 64 px
INSIDE = 8  # px from air of the coarse mask
LEAST_AREA, LEAST_AIR = 8192, 0.01  # px of uniform tissue, and its share of air: with less there is no texture
LOCAL = 12.0  # px, sigma of the local mean
OVERLAP = 0.35  # share of the uniform tissue that must meet itself at a lag


def repetition(masks: Iterable[np.ndarray], coarsen: Callable[[np.ndarray], np.ndarray],
               of: int = 0) -> dict[str, float]:
    """How strongly masks (H, W) in {0, 1}, or label maps, repeat themselves: `repetition`, `grid` and `n`.

    coarsen: C, from mask to coarse mask. of: the class whose places in uniform tissue are looked at: 0, the air in it,
    or a further class, as nuclei. repetition: mean over masks of the highest autocorrelation. Chance alone gives
    any texture some height, so compare it with that of real masks. grid: highest autocorrelation summed over all masks.
    Chance averages out, and what repeats at the same distance in all masks remains: the wallpaper of an upsampling
    network. n: masks with enough uniform tissue and enough of the class in it; both are nan if there are none.
    """
    highest, products, energies = [], [], []
    for mask in masks:
        if (found := _autocorrelation((mask != of).astype(np.uint8), coarsen(mask))) is not None:
            product, correlation, counts, area = found
            highest.append(correlation[_lags(counts.shape) & (counts >= OVERLAP * area)].max())
            energy = np.sqrt(product[0, 0])
            products.append(product / energy)
            energies.append(counts / area * energy)
    if not highest:
        return {"repetition": float("nan"), "grid": float("nan"), "n": 0}
    product, energy = sum(products), sum(energies)
    pooled = product / np.maximum(energy, 1e-9)
    allowed = _lags(pooled.shape) & (energy >= OVERLAP * energy[0, 0])
    return {"repetition": float(np.mean(highest)), "grid": float(pooled[allowed].max()), "n": len(highest)}


def _autocorrelation(mask: np.ndarray, outline: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int] | None:
    """Sums of products and their correlation at each lag (wrapped), px that meet at it, px of uniform tissue.

    outline: above 0 is tissue. None if there is too little uniform tissue, or air (0 in mask) in it.
    """
    inside = cv2.distanceTransform(np.pad(outline, 1, mode="edge"), cv2.DIST_C, 3)[1:-1, 1:-1] > INSIDE
    area = int(inside.sum())
    if area < LEAST_AREA or 1 - mask[inside].mean() < LEAST_AIR:
        return None
    weight = inside.astype(np.float64)
    mean = [gaussian_filter(part, LOCAL, mode="constant") for part in (mask * weight, weight)]
    texture = (mask - mean[0] / np.maximum(mean[1], 1e-6)) * weight
    texture -= texture[inside].mean() * weight
    shape = [next_fast_len(side + FAR, real=True) for side in mask.shape]
    t, w, squared = (rfft2(part, shape) for part in (texture, weight, texture**2))
    product, counts = irfft2(t * t.conj(), shape), irfft2(w * w.conj(), shape).round()
    ours = irfft2(squared * w.conj(), shape)  # energy of the one half of a lag's pairs, and of the other
    theirs = np.roll(ours[::-1, ::-1], (1, 1), (0, 1))
    return product, product / np.sqrt(np.maximum(ours, 1e-6) * np.maximum(theirs, 1e-6)), counts, area


def _lags(shape: tuple[int, int]) -> np.ndarray:
    """Which lags lie between NEAR and FAR: (H, W) bool, negative ones wrapped."""
    down, across = (np.minimum(np.arange(side), side - np.arange(side)) for side in shape)
    longer = np.maximum(down[:, None], across)
    return (longer >= NEAR) & (longer <= FAR)
