"""What happens to an image between two laboratories? Light, stain, blur, noise and compression, drawn from a seed.

None of them moves anything: what was tissue before is tissue after. An image is (H, W, 3) uint8 RGB.
"""

import cv2
import numpy as np

from ppcore.study.seeds import rng_of

MILD = 0.5  # the largest strength in training; tests use 1


def light(rgb: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A dimmer lamp of a slightly different colour: each channel times a gain, .56 to .91 at strength 1."""
    gains = (1 - strength * rng.uniform(0.15, 0.4)) * (1 + strength * rng.uniform(-0.07, 0.07, 3))
    return _by_level(rgb, np.linspace(0, 1, 256)[:, None] * gains)


def stain(rgb: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A paler or a darker stain: optical density times a factor, .39 to 2.6 at strength 1, drawn partly per channel. By
    the Beer-Lambert law, that is a power of the transmitted light; pure white stays white."""
    factors = np.exp(strength * (rng.uniform(-0.8, 0.8) + rng.uniform(-0.15, 0.15, 3)))
    return _by_level(rgb, np.linspace(0, 1, 256)[:, None] ** factors)


def blur(rgb: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Out of focus: a Gaussian, sigma 1 to 3 px at strength 1."""
    return cv2.GaussianBlur(rgb, (0, 0), max(0.1, strength * rng.uniform(1, 3)))


def noise(rgb: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Camera noise: independent Gaussian, sd 15 to 35 of 255 levels at strength 1."""
    sd = strength * rng.uniform(15, 35)
    return (rgb + sd * rng.standard_normal(rgb.shape, np.float32)).round().clip(0, 255).astype(np.uint8)


def jpeg(rgb: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Stored as JPEG, quality 10 to 25 at strength 1."""
    quality = round(100 - strength * rng.uniform(75, 90))
    stored = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    return cv2.cvtColor(cv2.imdecode(stored, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


NUISANCES = {"light": light, "stain": stain, "blur": blur, "noise": noise, "JPEG": jpeg}
UNSEEN = "JPEG"  # the one that training never shows


def disturb(rgb: np.ndarray, nuisance: str, name: str, seed: int) -> np.ndarray:
    """The test image `name` under one of NUISANCES at strength 1, the same for every model."""
    rng = rng_of(seed, f"{nuisance} {name}")
    return NUISANCES[nuisance](np.ascontiguousarray(rgb), 1.0, rng)


def disturb_mildly(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image as training sees it: each nuisance but UNSEEN with probability .5, at a strength up to MILD."""
    rgb = np.ascontiguousarray(rgb)
    for name, change in NUISANCES.items():
        if name != UNSEEN and rng.random() < 0.5:
            rgb = change(rgb, rng.uniform(0, MILD), rng)
    return rgb


def _by_level(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Look up each level of each channel in a table (256, 3) of values in [0, 1]."""
    levels = (255 * table).round().clip(0, 255).astype(np.uint8)
    return cv2.LUT(rgb, levels[None])
