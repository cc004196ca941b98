"""What changes along one axis, with everything else fixed? More or less of one class, or a paler or darker stain.

Pictures along an axis share their outline, their noise and what they borrow. Along the share of a class, the texture
map asks for more of it, and for as much more of its edge, until the mask has what was asked for; the colour map stays
that of the first mask. Along the stain the mask stays, and the colour map is shifted.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from ppcore.masks.labels import MASK, Classes
from ppcore.masks.patches import to_image, to_mask, to_tensor
from ppcore.masks.specks import without_specks
from ppcore.methods.colours import PER_CLASS
from ppcore.methods.noise_gan import NoiseGAN
from ppcore.methods.noise_image import NoiseImage
from ppcore.methods.sampling import noise_of
from ppcore.methods.texture import share_channels
from ppcore.networks.noise import draw_noise

FURTHEST = 4.0  # sd of the training patches; a map is shifted by no more, lest the model leaves what it has learned
DARKEST = 3.0  # sd; no stain is shifted by more
ROUNDS = 7  # halvings of the interval that holds the shift: to 1 / 16 sd


def share_of(labels: np.ndarray, outline: np.ndarray, value: int) -> float:
    """Share of the outline's tissue that is class `value` in a fine label map; of class 1, that is not air."""
    found = labels > 0 if value == 1 else labels == value
    return float(np.count_nonzero(found & (outline > 0)) / max(1, np.count_nonzero(outline)))


def masks_along(method: NoiseGAN, outline: np.ndarray, value: int, shares: Sequence[float], seed: int,
                classes: Classes = MASK) -> list[np.ndarray]:
    """Label maps (H, W) of an outline (H, W), one for each share of class `value` in its tissue, all of the same noise.

    The nearest that the model makes, without specks: compare with `share_of`. Some shares lie beyond what it has learned.
    """
    x, G = to_tensor(outline, method.settings.classes)[None], method.networks["generator"]
    noise, texture = _noise(G, outline, seed), G.textures.borrow(x, seed)
    channels, sign = share_channels(value)

    def made(shift: float) -> np.ndarray:
        moved = texture.clone()
        moved[:, channels] += sign * shift
        return without_specks(to_mask(method.generate(x, [[*noise, moved]])[0]), classes)

    return [_nearest(made, share, outline, value) for share in shares]


def _nearest(made: Callable[[float], np.ndarray], share: float, outline: np.ndarray, value: int) -> np.ndarray:
    """Of the masks that halving the interval of shifts finds, the one whose share is nearest."""
    low, high, seen = -FURTHEST, FURTHEST, []
    for _ in range(ROUNDS):
        mask = made((low + high) / 2)
        found = share_of(mask, outline, value)
        seen.append((abs(found - share), len(seen), mask))
        low, high = ((low + high) / 2, high) if found < share else (low, (low + high) / 2)
    return min(seen, key=lambda one: one[:2])[2]


def images_along(method: NoiseImage, masks: Sequence[np.ndarray], stains: Sequence[float], seed: int) -> list[np.ndarray]:
    """Images (H, W, 3) of label maps, all of the same noise and of the colour map that the first one borrows.

    stains: how dark each is, 0 to 1: .5 as it was borrowed, .16 and .84 an sd of the training patches paler and darker, as
    of a normal distribution.
    """
    G, classes = method.networks["generator"], method.settings.classes
    noise, colours = _noise(G, masks[0], seed), G.textures.borrow(to_tensor(masks[0], classes)[None], seed)
    images = []
    for mask, place in zip(masks, stains, strict=True):
        moved = colours.clone()
        for channel in range(3):  # red, green and blue of each class
            moved[:, channel::PER_CLASS] += float(np.clip(norm.ppf(place), -DARKEST, DARKEST))
        images.append(to_image(method.generate(to_tensor(mask, classes)[None], [[*noise, moved]])[0]))
    return images


def _noise(generator: torch.nn.Module, mask: np.ndarray, seed: int) -> list[Tensor]:
    return draw_noise(noise_of(generator, *mask.shape), 1, generator=torch.Generator().manual_seed(seed))
