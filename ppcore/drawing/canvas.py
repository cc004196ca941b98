"""How does a generator fill a canvas larger than a patch? By overlapping windows of a patch's size, blended.

Windows start every `window - overlap` px from the upper left corner; beyond the right and lower edge they see the
canvas mirrored. The outputs, before any threshold, are averaged with weights that rise as a squared sine through the
overlap and sum to 1. Noise belongs to a place of the canvas, so that overlapping windows see the same z. In memory are
one band of windows and the 8-bit canvases alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ppcore.masks.make import check_mask
from ppcore.masks.patches import to_image, to_mask, to_tensor
from ppcore.networks.unet import Noise
from ppcore.training.method import Method

AIR, GLASS = (-1.0,), (1.0, 1.0, 1.0)  # what a window without tissue becomes: air in a mask, white in an image
BLOCK = 8  # cells a side of the noise that one seed draws


def fill_mask(method: Method, coarse: np.ndarray, window: tuple[int, int], seed: int, overlap: int | None = None,
              tied: bool = True) -> np.ndarray:
    """Fine mask (H, W) uint8 in {0, 1} that a trained `method` makes of a coarse one (H, W) in {0, 1}, of any size.

    window: (h, w) of a patch, px. overlap: of neighbouring windows, px, from 0 (tiles side by side) to half the shorter
    side of a window, the default. Noise depends on the seed and the place; with `tied` False on the window instead. The
    same arguments give the same bytes. A canvas of one window is what `method.generate` makes of it with that noise.

    A window without any tissue becomes air without asking the model, which was shown no such patch (reading R4); one
    without air is asked like any other. Raises `ValueError` for another shape or other values, for an overlap out of
    range, and for one that puts windows between the cells of the noise (2**(levels - 1) px of the U-Net).
    """
    filled = np.empty(coarse.shape, np.uint8)
    for top, band in bands(method, coarse, window, seed, overlap, tied, AIR):
        filled[top:top + band.shape[1]] = to_mask(band)
    return filled


def fill_image(method: Method, fine: np.ndarray, window: tuple[int, int], overlap: int | None = None) -> np.ndarray:
    """Image (H, W, 3) uint8 that pix2pixHD makes of a fine mask (H, W) in {0, 1}; otherwise as `fill_mask`.

    A window without any tissue becomes white: the instance norm of a constant is 0, and the answer would be the gray of
    the last bias.
    One with little of it is asked, and its ground may come out grayer than its neighbours', for the same reason: the
    blend turns that into a slow change, and does not remove it.
    """
    filled = np.empty((*fine.shape, 3), np.uint8)
    for top, band in bands(method, fine, window, 0, overlap, True, GLASS):
        filled[top:top + band.shape[1]] = to_image(band)
    return filled


def bands(method: Method, mask: np.ndarray, window: tuple[int, int], seed: int, overlap: int | None = None,
          tied: bool = True, air: tuple[float, ...] = AIR) -> Iterator[tuple[int, Tensor]]:
    """The canvas from top to bottom: first row, and finished rows (C, rows, W) in [-1, 1], before the threshold.

    air: the C values of a window without tissue. Otherwise as `fill_mask`.
    """
    check_mask(mask)
    overlap = min(window) // 2 if overlap is None else overlap
    tops, lefts = (starts(length, size, overlap) for length, size in zip(mask.shape, window))
    band = torch.zeros(len(air), window[0], lefts[-1] + window[1])
    with tqdm(total=len(tops) * len(lefts), desc="filling the canvas", unit="window", leave=False) as bar:
        for top in tops:
            down = ramp(window[0], overlap, top > 0, top < tops[-1])[:, None]
            for left in lefts:
                across = ramp(window[1], overlap, left > 0, left < lefts[-1])
                band[:, :, left:left + window[1]] += (
                    down * across * draw_window(method, mask, window, top, left, seed, tied, air))
                bar.update()
            finished = window[0] - (overlap if top < tops[-1] else 0)
            yield top, band[:, :min(finished, len(mask) - top), :mask.shape[1]]
            band = torch.nn.functional.pad(band[:, finished:], (0, 0, 0, finished))


def starts(length: int, size: int, overlap: int) -> range:
    """Where windows of `size` px start so that they cover `length` px; the last may reach beyond it.

    Raises `ValueError` for an overlap below 0 or above half a window: at most two windows share a place.
    """
    if not 0 <= overlap <= size // 2:
        raise ValueError(f"windows of {size} px that overlap by {overlap} px: wanted 0 to {size // 2} px")
    return range(0, max(1, length - overlap), size - overlap)


def ramp(size: int, overlap: int, rises: bool, falls: bool) -> Tensor:
    """Weights (size,) in [0, 1] of a window along one axis: a squared sine up and down through the overlaps, 1 between.

    rises, falls: whether there is a neighbour before and after. Where two windows overlap, their weights sum to 1.
    """
    weights = torch.ones(size)
    up = torch.sin((torch.arange(overlap) + 0.5) * (torch.pi / 2 / max(overlap, 1))) ** 2
    if rises:
        weights[:overlap] = up
    if falls:
        weights[size - overlap:] = 1 - up
    return weights


def draw_window(method: Method, mask: np.ndarray, window: tuple[int, int], top: int, left: int, seed: int,
                tied: bool = True, air: tuple[float, ...] = AIR) -> Tensor:
    """Output (C, h, w) in [-1, 1] of one window of the canvas; beyond its edges it is mirrored. As `bands`."""
    rows, columns = (mirrored(start, size, length) for start, size, length in zip((top, left), window, mask.shape))
    seen = mask[rows[:, None], columns]
    if not seen.any():
        return torch.tensor(air)[:, None, None].expand(-1, *window)
    own = int(np.random.SeedSequence([seed, top, left]).generate_state(1)[0])
    if not tied:
        return method.generate(to_tensor(seen)[None], [own])[0].cpu()
    with noise_of_place(method, window, top, left, seed):
        return method.generate(to_tensor(seen)[None], [own])[0].cpu()


def mirrored(start: int, size: int, length: int) -> np.ndarray:
    """Indices (size,) from `start` on into an axis of `length`, which is mirrored at its end, again and again."""
    around = np.arange(start, start + size) % (2 * length)
    return np.minimum(around, 2 * length - 1 - around)


@contextmanager
def noise_of_place(method: Method, window: tuple[int, int], top: int, left: int, seed: int) -> Iterator[None]:
    """While it lasts, the method's U-Net takes the noise of the window at (top, left) instead of drawing its own.

    Hooks on its `Noise` layers do it; the network stays as it was. Raises `ValueError` at a place that does not lie on
    the cells of a layer.
    """
    def take(number: int, layer: Noise, given: tuple[Tensor], drawn: Tensor) -> Tensor:
        channels, *cells = given[0].shape[1:]
        corner = []
        for place, size, count in zip((top, left), window, cells):
            if place * count % size:
                raise ValueError(f"a window at ({top}, {left}) lies between cells of the noise, of {size // count} px: "
                                 f"take an overlap that differs from the window {window} by multiples of it")
            corner.append(place * count // size)
        kept = torch.from_numpy(noise_field(seed, number, channels, *corner, *cells)).to(drawn.device)
        return given[0] * (2 * kept)

    layers = [layer for network in method.networks.values() for layer in network.modules() if isinstance(layer, Noise)]
    hooks = [layer.register_forward_hook(partial(take, number)) for number, layer in enumerate(layers)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def noise_field(seed: int, layer: int, channels: int, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A part (channels, height, width) of {0, 1} of an endless field, each value a fair coin; places in cells.

    Every block of BLOCK x BLOCK cells has a seed of its own, so that a cell is the same in whichever part it is seen.
    """
    rows, columns = ((start // BLOCK, -(-(start + size) // BLOCK)) for start, size in ((top, height), (left, width)))
    blocks = [[np.random.default_rng([seed, layer, row, column]).integers(0, 2, (channels, BLOCK, BLOCK), np.uint8)
               for column in range(*columns)] for row in range(*rows)]
    top, left = top - BLOCK * rows[0], left - BLOCK * columns[0]
    return np.block(blocks)[:, top:top + height, left:left + width]
