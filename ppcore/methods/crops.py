"""What part of a patch does a step see? A random square, flipped and transposed, and the same part of its maps."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CELL = 8  # px, side of a cell of a texture or colour map


@dataclass(frozen=True)
class Cut:
    """A square of `size` px at (top, left), multiples of CELL; first transposed, then flipped down and across."""

    top: int
    left: int
    size: int
    transposed: bool
    down: bool
    across: bool

    def of(self, picture: np.ndarray) -> np.ndarray:
        """The part (S, S) or (S, S, C) of a picture (H, W) or (H, W, C)."""
        part = picture[self.top:self.top + self.size, self.left:self.left + self.size]
        return (part.swapaxes(0, 1) if self.transposed else part)[::-1 if self.down else 1, ::-1 if self.across else 1]

    def of_map(self, maps: Tensor, directed: bool) -> Tensor:
        """The part (C, S / 8, S / 8) of a map (C, H / 8, W / 8). directed: as of `flipped`."""
        row, column, cells = self.top // CELL, self.left // CELL, self.size // CELL
        part = maps[:, row:row + cells, column:column + cells]
        if self.transposed:
            part = part.mT * _minus(part, 2) if directed else part.mT
        return flipped(part, self.down, self.across, directed)


def draw_cut(height: int, width: int, size: int) -> Cut:
    """A square of a patch, drawn from torch's global generator."""
    top, left = (CELL * int(torch.randint((side - size) // CELL + 1, ())) for side in (height, width))
    return Cut(top, left, size, *(bool(flip) for flip in torch.randint(2, (3,))))


def check_crop(size: int, shape: tuple[int, ...], patch: str) -> None:
    """Raises `ValueError` unless crops of `size` px fit the networks and a patch of a shape (H, W)."""
    if size % 16 or size > min(shape):
        raise ValueError(f"crops of {size} px from {patch} of {shape}: wanted a multiple of 16 that fits")


def flipped(texture: Tensor, down: bool, across: bool, directed: bool = True) -> Tensor:
    """A map (..., C, h, w) as of the flipped patch: flipped itself, and its direction, if it has one, mirrored."""
    turned = texture.flip([axis for axis, flip in ((-2, down), (-1, across)) if flip])
    return turned * _minus(turned, 3) if directed and down != across else turned


def _minus(texture: Tensor, channel: int) -> Tensor:
    """Factors (C, 1, 1) for the channels of a map: -1 for one of them, else 1."""
    factors = texture.new_ones(texture.shape[-3], 1, 1)
    factors[channel] = -1
    return factors
