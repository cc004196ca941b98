"""What does a label map leave open in an image, and where does it come from when an image is made?

A label map says where nuclei are, not how the slide was stained. A **colour map** says on a grid of 8 px which colour
each class has, and how much it varies. In training it is the patch's own. When an image is made, it is borrowed from a
training patch with a similar label map, so that draws differ in their stain, and no stain is one that no slide has. Air has no
stain; what lies in it, as mucus, is left to the noise.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from tqdm import tqdm

from ppcore.masks.make import read_mask
from ppcore.masks.patches import image_to_tensor, read_image, to_tensor
from ppcore.methods.classes import layers
from ppcore.methods.crops import CELL, check_crop, draw_cut
from ppcore.methods.sampling import Seed
from ppcore.methods.texture import gaussian, thumbnail
from ppcore.training.method import Method

SIGMA = 4.0  # cells, width of the local means: wider than any structure that a label map could show
PER_CLASS = 4  # channels: red, green, blue and the spread of their mean
SEEN = 97  # one tissue pixel in so many tells the colours of tissue


def colour_channels(classes: int) -> int:
    """Channels of a colour map for so many classes."""
    return PER_CLASS * (classes - 1)


def colour_map(x: Tensor, image: Tensor) -> Tensor:
    """The colour map of images (B, 3, H, W) in [-1, 1] with label maps x (B, C, H, W): (B, 4 (K - 1), H / 8, W / 8).

    For each class but air, in the order of their values: local means of the optical density of red, green and
    blue, -log((I + 1) / 256), I = 0 to 255, and the local sd of their mean. Where a class is not near, those of the
    whole patch; nan for a class that the patch has not.
    """
    density = -torch.log((image.float() + 1) * 127.5 / 256 + 1 / 256)
    density = torch.cat([density, density.mean(1, keepdim=True).square()], 1)
    maps = []
    for kind in kinds(x)[1:]:
        area, held = near(kind), near(kind * density)
        whole = (kind * density).sum((2, 3), keepdim=True) / kind.sum((2, 3), keepdim=True)  # nan for no pixel
        means = (held + 0.02 * whole) / (area + 0.02)
        spread = means[:, 3:] - means[:, :3].mean(1, keepdim=True).square()
        maps += [means[:, :3], spread.clamp(min=0).sqrt()]
    return torch.cat(maps, 1)


def colours_shown(maps: Tensor, value: int) -> np.ndarray:
    """The mean colours of class `value` in a colour map (D, H / 8, W / 8) as a picture (H, W, 3) uint8."""
    rgb = (torch.exp(-maps[PER_CLASS * (value - 1):PER_CLASS * value - 1]) * 256 - 1).clamp(0, 255).round().to(torch.uint8)
    return rgb.permute(1, 2, 0).numpy().repeat(CELL, 0).repeat(CELL, 1)


def kinds(x: Tensor) -> list[Tensor]:
    """Which pixels are of each class: K fields (B, 1, H, W) in {0, 1}, of label maps in {-1, 1}."""
    tissue, *further = (layer.float() for layer in layers(x))
    return [1 - tissue, tissue - sum(further), *further]


def near(field: Tensor) -> Tensor:
    """Local means of a field (B, C, H, W) on the grid of the map."""
    return gaussian(F.avg_pool2d(field, CELL), SIGMA)


class ImageCrops(Dataset):
    """Crops of training patches: `mask` (C, S, S) in {-1, 1}, `image` (3, S, S) in [-1, 1], `colours` (D, S / 8, S / 8).

    C: `classes.channels`. D: `colour_channels`. An epoch shows about as many pixels as the patches have. Crops are
    flipped and transposed at random, and of those that are almost all air, four in five are drawn again.
    maps: (N, D, H / 8, W / 8) of all patches, standardised; 0 for a class that a patch has not. thumbnails: `thumbnail`
    of each. seen: colours (M, 3) of tissue, in [-1, 1].
    """

    def __init__(self, patches: Sequence[str], masks: str | Path, rgb: str | Path, size: int, classes: int = 2) -> None:
        """masks: folder of fine or coarse masks. size: side of a crop, px, a multiple of 16.

        Raises `ValueError` for a size that does not fit the patches.
        """
        self.patches, self.size, self.classes = list(patches), size, classes
        self.masks, self.rgb = Path(masks), Path(rgb)
        maps, thumbnails, seen = [], [], []
        for patch in tqdm(self.patches, desc="colour maps", unit="patch"):
            mask, rgb = self._read(patch)
            check_crop(size, mask.shape, patch)
            x = to_tensor(mask, classes)[None]
            maps.append(colour_map(x, image_to_tensor(rgb)[None]))
            thumbnails.append(thumbnail(x))
            seen.append(rgb[mask > 0][::SEEN])
        self.area, self.thumbnails, maps = mask.size, torch.cat(thumbnails), torch.cat(maps)
        self.seen = torch.from_numpy(np.concatenate(seen).astype(np.float32) / 127.5 - 1)
        mean = maps.nanmean((0, 2, 3), keepdim=True)
        sd = (maps - mean).square().nanmean((0, 2, 3), keepdim=True).sqrt().clamp(min=1e-3)
        self.maps = ((maps - mean) / sd).nan_to_num(0.0)

    def _read(self, patch: str) -> tuple[np.ndarray, np.ndarray]:
        return read_mask(self.masks / f"{patch}.png"), read_image(self.rgb / f"{patch}.webp")

    def __len__(self) -> int:
        return len(self.patches) * max(1, self.area // self.size**2)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        i %= len(self.patches)
        mask, rgb = self._read(self.patches[i])
        while True:
            cut = draw_cut(*mask.shape, self.size)
            if (cut.of(mask) > 0).mean() >= 0.05 or torch.rand(()) < 0.2:
                break
        return {"mask": to_tensor(cut.of(mask), self.classes), "image": image_to_tensor(cut.of(rgb)),
                "colours": cut.of_map(self.maps[i], directed=False)}


def axes_of(seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3,) of atanh of colours (M, 3) in [-1, 1], and in columns their principal axes, each as long as its sd."""
    places = torch.atanh(0.95 * seen.double())
    values, axes = torch.linalg.eigh(places.T.cov())
    axes = torch.where(axes.sum(0) < 0, -axes, axes)  # their sign is arbitrary
    return places.mean(0).float(), (axes * values.clamp(min=1e-6).sqrt()).float()


def colours_of(method: Method, masks: Tensor, seeds: Sequence[Seed]) -> Tensor:
    """Colour maps (B, D, H / 8, W / 8) for label maps (B, C, H, W): borrowed, by seed, or the last part of given noise.

    method: its generator has a library `textures`, its settings have `colours`.
    """
    library, size = method.networks["generator"].textures, [side // CELL for side in masks.shape[-2:]]
    lent = [library.borrow(x, seed) if isinstance(seed, int) else seed[-1] for x, seed in zip(masks.split(1), seeds)]
    return torch.cat([method.settings.colours * (one if one.shape[-2:] == tuple(size) else
                                                 F.interpolate(one, size, mode="bilinear")) for one in lent]).to(masks)
