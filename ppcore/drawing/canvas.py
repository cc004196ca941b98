"""How does a generator fill a canvas larger than a patch? By overlapping windows of a patch's size, blended.

Windows start every `window - overlap` px from the upper left corner; beyond the right and lower edges the canvas is
mirrored. The outputs, before any threshold, are averaged with weights that rise as a squared sine through the overlap
and sum to 1. Noise is tied to places of the canvas, and so is the texture map, so overlapping windows see the same.
Only one band of windows and the 8-bit canvases are in memory.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ppcore.masks.make import check_mask
from ppcore.masks.patches import to_image, to_mask, to_tensor
from ppcore.methods.sampling import noise_of
from ppcore.methods.texture import CELL
from ppcore.networks.noise import Noise, draw_noise
from ppcore.study.seeds import mix, rng_of
from ppcore.training.method import Method

GLASS = torch.ones(3)  # what a window without tissue becomes in an image: white
BENT = 1000  # number of the field that bends maps; those of a model's noise count from 0
BLOCK = 8  # cells per side of a block of noise drawn from one seed


def fill_mask(method: Method, coarse: np.ndarray, window: tuple[int, int], seed: int, overlap: int | None = None,
              tied: bool = True) -> np.ndarray:
    """Fine mask (H, W) uint8 in {0, 1} that a trained `method` makes of a coarse one (H, W) in {0, 1}, of any size.

    A method of K classes makes a label map in {0, ..., K - 1} of a coarse one.
    window: (h, w) of a patch, px. overlap: of neighbouring windows, px, from 0 (tiles side by side) to half the shorter
    side of a window, the default. tied: noise depends on the seed and the place; False: on the seed and the window. The
    same arguments give the same bytes. A canvas of one window is what `method.generate` makes of it with that noise.

    A window without tissue becomes air without running the model, which never saw such a patch (reading R4); a window
    without air is treated like any other. Raises `ValueError` for other shapes or values, for an overlap out of range,
    and for one that puts windows between the cells of the noise (2**(levels - 1) px for the U-Net).
    """
    filled = np.empty(coarse.shape, np.uint8)
    for top, band in bands(method, coarse, window, seed, overlap, tied):
        filled[top:top + band.shape[1]] = to_mask(band)
    return filled


def fill_image(method: Method, fine: np.ndarray, window: tuple[int, int], overlap: int | None = None,
               seed: int = 0, lender: int | None = None) -> np.ndarray:
    """Image (H, W, 3) uint8 that a trained `method` makes of a fine mask (H, W); otherwise as `fill_mask`.

    A model with a colour map paints windows without tissue too. One without, pix2pixHD, makes them white: the instance
    norm of a constant is 0, so it would return the gray of its last bias. For the same reason, the background of a
    window with little tissue may come out grayer than its neighbours': blending makes that change gradual, but does not
    remove it. lender: the patch whose colour map all windows get; None: each window borrows one, and they are blended.
    """
    filled = np.empty((*fine.shape, 3), np.uint8)
    for top, band in bands(method, fine, window, seed, overlap, True, GLASS, lender):
        filled[top:top + band.shape[1]] = to_image(band)
    return filled


def bands(method: Method, mask: np.ndarray, window: tuple[int, int], seed: int, overlap: int | None = None,
          tied: bool = True, air: Tensor | None = None, lender: int | None = None) -> Iterator[tuple[int, Tensor]]:
    """The canvas from top to bottom: first row, and finished rows (C, rows, W) in [-1, 1], before the threshold.

    air: the C values of a window without tissue; None: those of air in a mask. Otherwise as `fill_mask` and
    `fill_image`.
    """
    check_mask(mask, count=method.settings.classes)
    air = air_of(method) if air is None else air
    overlap = min(window) // 2 if overlap is None else overlap
    tops, lefts = (starts(length, size, overlap) for length, size in zip(mask.shape, window))
    band = torch.zeros(len(air), window[0], lefts[-1] + window[1])
    texture = texture_of(method, mask, window, seed, lender)
    with tqdm(total=len(tops) * len(lefts), desc="filling the canvas", unit="window", leave=False) as bar:
        for top in tops:
            down = ramp(window[0], overlap, top > 0, top < tops[-1])[:, None]
            for left in lefts:
                across = ramp(window[1], overlap, left > 0, left < lefts[-1])
                band[:, :, left:left + window[1]] += (
                    down * across * draw_window(method, mask, window, top, left, seed, tied, air, texture))
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
                tied: bool = True, air: Tensor | None = None, texture: Tensor | None = None) -> Tensor:
    """Output (C, h, w) in [-1, 1] of one window of the canvas; beyond its edges it is mirrored. As `bands`.

    texture: of the whole canvas, from `texture_of`.
    """
    rows, columns = (mirrored(start, size, length) for start, size, length in zip((top, left), window, mask.shape))
    seen = mask[rows[:, None], columns]
    if not seen.any() and not (method.makes == "image" and texture is not None):
        return (air_of(method) if air is None else air)[:, None, None].expand(-1, *window)
    generator, given = method.networks[method.generators[0]], to_tensor(seen, method.settings.classes)[None]
    z = noise_at(noise_of(generator, *window), window, top, left, seed) if tied else mix(seed, top, left)
    if tied and texture is not None:
        (row, column), (rows, columns) = (place_in_cells((top, left)), place_in_cells(window))
        z.append(texture[None, :, row:row + rows, column:column + columns])
    return method.generate(given, [z])[0].cpu()


def air_of(method: Method) -> Tensor:
    """The values (C,) of air in the masks of a method."""
    return to_tensor(np.zeros((1, 1), np.uint8), method.settings.classes)[:, 0, 0]


def texture_of(method: Method, mask: np.ndarray, window: tuple[int, int], seed: int,
               lender: int | None = None) -> Tensor | None:
    """The texture or colour map (C, H / 8, W / 8) of a whole canvas; None for a method without such maps.

    Windows that overlap by half each borrow a map for their part of the outline, or have that of `lender`; the maps are
    blended like windows, and bent, so that no stain or texture ends along a straight line (`bent`). Neighbouring windows
    are cut from this one map, so they agree. That of a single window stays as it was borrowed.
    """
    library = getattr(method.networks[method.generators[0]], "textures", None)
    if library is None:
        return None
    overlap, (height, width) = min(window) // 2, place_in_cells(window)
    tops, lefts = (starts(length, size, overlap) for length, size in zip(mask.shape, window))
    blended = torch.zeros(library.maps.shape[1], *place_in_cells((tops[-1] + window[0], lefts[-1] + window[1])))
    for top in tops:
        down = ramp(height, overlap // CELL, top > 0, top < tops[-1])[:, None]
        for left in lefts:
            across = ramp(width, overlap // CELL, left > 0, left < lefts[-1])
            rows, columns = (mirrored(start, size, length)
                             for start, size, length in zip((top, left), window, mask.shape))
            if (seen := mask[rows[:, None], columns]).any():
                row, column = place_in_cells((top, left))
                borrowed = (library.borrow(to_tensor(seen, method.settings.classes)[None], mix(seed, top, left))
                            if lender is None else library.lend(lender))
                blended[:, row:row + height, column:column + width] += down * across * borrowed[0]
    if len(tops) * len(lefts) > 1:
        blended = bent(blended, min(height, width), seed)
    return torch.nn.functional.pad(blended, (0, width, 0, height), mode="replicate")  # tiles may reach further


def bent(field: Tensor, size: int, seed: int) -> Tensor:
    """A field (C, H, W) with every place taken from another one nearby: by normal distances of sd size / 6 cells.

    The displacement is smooth: it is drawn at nodes size / 2 cells apart, each from the seed and its place. Outside the
    field, its border is continued.
    """
    step, (_, height, width) = max(1, size // 2), field.shape
    nodes = noise_field("normal", seed, BENT, 2, 0, 0, *(length // step + 2 for length in (height, width)))
    moved = torch.nn.functional.interpolate(torch.from_numpy(nodes)[None] * size / 6, mode="bicubic", align_corners=True,
                                            size=[step * (count - 1) + 1 for count in nodes.shape[1:]])
    down, across = moved[0, :, :height, :width]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([(columns + across) * 2 / max(1, width - 1) - 1, (rows + down) * 2 / max(1, height - 1) - 1], -1)
    return torch.nn.functional.grid_sample(field[None], places[None], padding_mode="border", align_corners=True)[0]


def place_in_cells(place: tuple[int, int]) -> tuple[int, int]:
    """A place or size in px, in cells of a texture map."""
    return place[0] // CELL, place[1] // CELL


def mirrored(start: int, size: int, length: int) -> np.ndarray:
    """Indices (size,) from `start` on into an axis of `length` that is mirrored at its ends repeatedly."""
    around = np.arange(start, start + size) % (2 * length)
    return np.minimum(around, 2 * length - 1 - around)


def noise_at(wanted: Sequence[Noise], window: tuple[int, int], top: int, left: int, seed: int) -> list[Tensor]:
    """The noise of the window (h, w) at (top, left), which overlapping windows share; a vector is the same everywhere.

    wanted: what the generator needs (`ppcore.methods.sampling.noise_of`). Raises `ValueError` for a place that is not
    aligned with the cells of a map.
    """
    z = []
    for number, noise in enumerate(wanted):
        if len(noise.shape) == 1:
            z += draw_noise([noise], 1, generator=torch.Generator().manual_seed(mix(seed, number)))
            continue
        channels, *cells = noise.shape
        corner = []
        for place, size, count in zip((top, left), window, cells):
            if place * count % size:
                raise ValueError(f"a window at ({top}, {left}) lies between cells of the noise, of {size // count} px: "
                                 f"take an overlap that differs from the window {window} by multiples of it")
            corner.append(place * count // size)
        field = noise_field(noise.kind, seed, number, channels, *corner, *cells)
        z.append(torch.from_numpy(field).float()[None])
    return z


def noise_field(kind: str, seed: int, number: int, channels: int, top: int, left: int, height: int,
                width: int) -> np.ndarray:
    """A part (channels, height, width) of an endless field of noise, `kind` as in `Noise`; positions in cells.

    Every block of BLOCK x BLOCK cells has its own seed, so a cell is the same in every part that contains it.
    """
    def block(row: int, column: int) -> np.ndarray:
        rng, shape = rng_of(seed, number, row, column), (channels, BLOCK, BLOCK)
        return rng.integers(0, 2, shape, np.uint8) if kind == "coin" else rng.standard_normal(shape, np.float32)

    rows, columns = ((start // BLOCK, -(-(start + size) // BLOCK)) for start, size in ((top, height), (left, width)))
    blocks = [[block(row, column) for column in range(*columns)] for row in range(*rows)]
    top, left = top - BLOCK * rows[0], left - BLOCK * columns[0]
    return np.block(blocks)[:, top:top + height, left:left + width]
