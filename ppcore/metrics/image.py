"""Do synthetic images look like real ones? Measured without a pretrained network.

An image becomes ten descriptors of colour and detail. Sets of images are compared like sets of masks, by
`ppcore.metrics.morphometry.mmd` and `wasserstein`. The descriptors say nothing about nuclei or diagnosis. Air has no
texture, and is compared by its colour alone.
"""

from collections.abc import Iterable

import cv2
import numpy as np

SCALES = (1, 2, 4, 8)  # px: sigma of the finer Gaussian of each octave
DESCRIPTORS: tuple[str, ...] = (
    "lightness_mean", "red_green_mean", "blue_yellow_mean", "lightness_sd", "red_green_sd", "blue_yellow_sd",
    *(f"detail_{scale}" for scale in SCALES))


def describe_image(rgb: np.ndarray) -> np.ndarray:
    """The descriptors of one image, in the order of DESCRIPTORS: (10,) float64, about 0 to 1.

    rgb: (H, W, 3) uint8. Mean and sd over the pixels of CIE L*, a* and b*, each divided by 100. detail_s: sd of the
    difference of two Gaussians of L*, of sigma s and 2 s px, divided by 10. Raises `ValueError` for other arrays.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"image is {rgb.shape} {rgb.dtype}: wanted (H, W, 3) uint8")
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    flat = lab.reshape(-1, 3).astype(np.float64)
    blurred = [cv2.GaussianBlur(lab[..., 0], (0, 0), sigma) for sigma in (*SCALES, 2 * SCALES[-1])]
    detail = [np.std(fine - coarse, dtype=np.float64) for fine, coarse in zip(blurred, blurred[1:])]
    return np.concatenate([flat.mean(axis=0) / 100, flat.std(axis=0) / 100, np.array(detail) / 10])


def describe_images(images: Iterable[np.ndarray]) -> np.ndarray:
    """`describe_image` of each image: (N, 10)."""
    return np.stack([describe_image(rgb) for rgb in images])


def air_sums(images: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of red, green and blue (N, 3) over the air of each image (H, W, 3) uint8, and its px (N,).

    masks: (H, W), of what each image shows; 0 is air.
    """
    sums, counts = [], []
    for rgb, mask in zip(images, masks, strict=True):
        air = rgb[mask == 0]
        sums.append(air.sum(axis=0, dtype=np.float64))
        counts.append(len(air))
    return np.array(sums), np.array(counts)


def draws_apart(samples: np.ndarray) -> float:
    """How much images of one mask differ: the mean over pixels and channels of the sd over draws, in gray levels.

    samples: (S, H, W, 3) uint8, S >= 2. 0: the noise has no effect. Raises `ValueError` for fewer.
    """
    if len(samples) < 2:
        raise ValueError(f"samples have shape {samples.shape}: wanted (S, H, W, 3), two or more of one mask")
    return float(np.std(samples, axis=0, dtype=np.float32).mean(dtype=np.float64))
