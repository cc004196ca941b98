"""What does an outline leave open, and where does it come from when a mask is made?

Many fine masks fit one outline. A **texture map** says on a grid of 8 px which of them is meant: how many gaps the
tissue has, how long their edges are, and in which direction they run; of label maps also how much more there is of each
further class, and of its edges, than the outline lets expect. In training it is the patch's own. When a mask is made,
it is borrowed from a training patch with a similar outline, so that draws differ and textures stay plausible.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from tqdm import tqdm

from ppcore.masks.make import coarse_mask, read_mask
from ppcore.masks.patches import to_tensor
from ppcore.methods.classes import layers
from ppcore.methods.crops import CELL, check_crop, draw_cut, flipped
from ppcore.methods.sampling import Seed
from ppcore.study.seeds import rng_of
from ppcore.training.method import Method

SIGMA = 2.0  # cells, width of its local means
LENDERS = 8  # of these training patches with the most similar outlines, one lends its map
THUMBNAIL = (4, 8)  # outlines are compared at this size
STEPS_PER_SD = 16  # maps are stored as int8, in steps of 1 / 16 standard deviation


def map_channels(classes: int) -> int:
    """Channels of a texture map for so many classes."""
    return 4 + 2 * (classes - 2)


def share_channels(value: int) -> tuple[list[int], int]:
    """The channels of a texture map that say how much there is of class `value`, and how long its edges are.

    And their sign: for tissue, class 1, they are those of its gaps, so that less is more.
    """
    return ([0, 1], -1) if value == 1 else ([2 * value, 2 * value + 1], 1)


def texture_map(x: Tensor, y: Tensor) -> Tensor:
    """The texture map of fine masks y under coarse masks x, both (B, 1, H, W) in [-1, 1]: (B, 4, H / 8, W / 8).

    Channels: root of the local share of gaps in the outline's tissue; the same of the gaps' rims; cosine and sine of
    twice the direction across which the gaps change, times how clear that direction is. Where no tissue is near, the
    shares are those of the whole patch, so that the map can be laid on another outline.

    Of label maps (B, K, H, W) each further class has two more channels, in order: roots of the local shares of the
    class in the outline's tissue, and of its rims.
    """
    tissue, (present, *further) = layers(x)[0].float(), layers(y)
    gaps = tissue * ~present
    soft = gaussian(gaps, 1.0)
    across, down = (F.conv2d(F.pad(soft, (1, 1, 1, 1), mode="replicate"), kernel) for kernel in _sobel(y))
    area = local(tissue)
    whole = tissue.sum((2, 3), keepdim=True).clamp(min=400)
    shares = [((local(part) + 0.05 * part.sum((2, 3), keepdim=True) / whole) / (area + 0.05)).sqrt()
              for kind in (gaps, *(tissue * one for one in further)) for part in (kind, rims(kind))]
    a, b, c = local(across**2), local(down**2), local(across * down)
    return torch.cat([*shares[:2], (a - b) / (a + b + 0.02), 2 * c / (a + b + 0.02), *shares[2:]], 1)


def rims(field: Tensor) -> Tensor:
    """Which pixels of a field (B, 1, H, W) in {0, 1} differ from the one above or to the left, likewise."""
    return torch.maximum((field.diff(dim=2, prepend=field[:, :, :1]) != 0).float(),
                         (field.diff(dim=3, prepend=field[..., :1]) != 0).float())


def room(x: Tensor) -> Tensor:
    """Where a coarse mask (B, C, H, W) leaves room for texture: its local share of tissue, (B, 1, H / 8, W / 8)."""
    return local(layers(x)[0].float())


def shares_asked(x: Tensor) -> Tensor:
    """Local share of the tissue of coarse label maps (B, K, H, W) that is of each further class: (B, K - 2, H / 8, W / 8)."""
    tissue, *further = (layer.float() for layer in layers(x))
    return torch.cat([tissue[:, :0, ::CELL, ::CELL], *(local(one) / (local(tissue) + 0.05) for one in further)], 1)


def beyond(maps: Tensor, asked: Tensor, rooms: Tensor) -> Tensor:
    """Texture maps (N, D, h, w) without what their outlines let expect, so that a borrowed one does not overrule them.

    asked: `shares_asked` of the outlines. From the channels of each further class, the line through all cells that tells
    them from its share in the outline is subtracted; cells count as much as they have tissue, rooms (N, 1, h, w).
    """
    maps, weight = maps.clone(), rooms[:, 0]
    for number, share in enumerate(asked.unbind(1)):
        apart = share - (weight * share).sum() / weight.sum()
        for channel in share_channels(2 + number)[0]:
            mean = (weight * maps[:, channel]).sum() / weight.sum()
            slope = (weight * apart * maps[:, channel]).sum() / (weight * apart.square()).sum().clamp(min=1e-6)
            maps[:, channel] -= mean + slope * apart
    return maps


def local(field: Tensor) -> Tensor:
    """Local means of a field (B, C, H, W) on the grid of the map."""
    return gaussian(F.avg_pool2d(field, CELL), SIGMA)


def gaussian(field: Tensor, sigma: float) -> Tensor:
    """A field (B, C, H, W) blurred; its border is continued."""
    radius = int(3 * sigma + 0.5)
    weights = torch.exp(-torch.arange(-radius, radius + 1, device=field.device) ** 2 / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(field.shape[1], 1, -1)
    padded = F.pad(field, (radius, radius, radius, radius), mode="replicate")
    padded = F.conv2d(padded, weights[:, :, None], groups=field.shape[1])
    return F.conv2d(padded, weights[..., None], groups=field.shape[1])


class TexturedCrops(Dataset):
    """Crops of training masks: `coarse` and `fine` (C, S, S) in {-1, 1}, and `texture`, their maps (D, S / 8, S / 8).

    C: `classes.channels`. D: `map_channels`. An epoch shows about as many pixels as the patches have. A crop's coarse
    mask is that of the crop itself (`ppcore.masks.make.coarse_mask`). Crops are flipped and transposed at random, and
    of those that are almost all air, four in five are drawn again.
    maps: (N, D, H / 8, W / 8) of all patches, `beyond` their outlines and standardised. rooms, thumbnails: `room` and
    `thumbnail` of each.
    """

    def __init__(self, patches: Sequence[str], fine: str | Path, size: int, open_size: int, close_size: int,
                 shifted: bool = False, textured: bool = True, dense: Sequence[tuple[int, int]] = ()) -> None:
        """size: side of a crop, px, a multiple of 16. textured: False sets all maps to 0, for an ablation.

        open_size, close_size, shifted, dense: of `coarse_mask`; dense has an entry for each further class of the maps.
        Raises `ValueError` for a size that does not fit the patches.
        """
        self.patches, self.fine, self.size, self.textured = list(patches), Path(fine), size, textured
        self.coarsen = {"open_size": open_size, "close_size": close_size, "shifted": shifted, "dense": tuple(dense)}
        self.classes = 2 + len(dense)
        maps, rooms, thumbnails, asked = [], [], [], []
        for patch in tqdm(self.patches, desc="texture maps", unit="mask"):
            mask = read_mask(self.fine / f"{patch}.png")
            check_crop(size, mask.shape, patch)
            x, y = (to_tensor(part, self.classes)[None] for part in (coarse_mask(mask, **self.coarsen), mask))
            maps.append(texture_map(x, y))
            rooms.append(room(x))
            thumbnails.append(thumbnail(x))
            asked.append(shares_asked(x))
        self.rooms, self.thumbnails = torch.cat(rooms), torch.cat(thumbnails)
        maps = beyond(torch.cat(maps), torch.cat(asked), self.rooms)
        self.area = mask.size
        mean, sd = maps.mean((0, 2, 3), keepdim=True), maps.std((0, 2, 3), keepdim=True).clamp(min=1e-3)
        mean[:, 2:4] = 0  # no direction stays no direction
        self.maps = (maps - mean) / sd * textured

    def __len__(self) -> int:
        return len(self.patches) * max(1, self.area // self.size**2)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        i %= len(self.patches)
        mask = read_mask(self.fine / f"{self.patches[i]}.png")
        while True:
            cut = draw_cut(*mask.shape, self.size)
            fine = cut.of(mask)
            coarse = coarse_mask(fine, **self.coarsen)  # after the flips: kernels of even side have no middle
            if (coarse > 0).mean() >= 0.02 or torch.rand(()) < 0.2:
                break
        return {"coarse": to_tensor(coarse, self.classes), "fine": to_tensor(fine, self.classes),
                "texture": cut.of_map(self.maps[i] * self.rooms[i], directed=True)}


class TextureLibrary(nn.Module):
    """Texture maps of training patches to borrow. It has no weights; a model is stored with it.

    count: of patches. height, width: of a patch, px. classes: of its label maps. colours: channels of colour maps
    (`ppcore.methods.colours`), if it lends these instead. Its buffers are integers, so that they are the same in every
    precision.
    """

    def __init__(self, count: int, height: int, width: int, classes: int = 2, colours: int = 0) -> None:
        super().__init__()
        cells, self.directed = (height // CELL, width // CELL), not colours
        self.register_buffer("maps", torch.zeros(count, colours or map_channels(classes), *cells, dtype=torch.int8))
        self.register_buffer("thumbnails", torch.zeros(count, classes, *THUMBNAIL, dtype=torch.uint8))

    def fill(self, data: Dataset, seed: int) -> None:
        """Take the `maps` and `thumbnails` of a data set's patches, `TexturedCrops` or `ppcore.methods.colours.ImageCrops`.

        If it has more patches than the library, of a sample drawn from `seed`.
        """
        count = len(self.maps)
        taken = np.sort(rng_of(seed).choice(len(data.maps), count, replace=len(data.maps) < count))
        self.maps.copy_((data.maps[taken] * STEPS_PER_SD).round().clamp(-127, 127))
        self.thumbnails.copy_(data.thumbnails[taken])

    def lend(self, number: int) -> Tensor:
        """The map (1, D, h, w) of patch `number`, from 0 up."""
        return self.maps[number:number + 1].float() / STEPS_PER_SD

    def borrow(self, x: Tensor, seed: int) -> Tensor:
        """The map (1, D, h, w) of a patch with an outline like x, (1, C, H, W) in [-1, 1], in the best of four flips.

        It has the size of the library's patches, and is not yet limited to where x has tissue (`fitted`).
        """
        turns = [(down, across) for down in (False, True) for across in (False, True)]
        seen = thumbnail(x.float().cpu())[0].float()
        asked = torch.stack([seen.flip([axis for axis, flip in ((-2, down), (-1, across)) if flip])
                             for down, across in turns])
        distance = (self.thumbnails.cpu().float()[:, None] - asked).square().sum((2, 3, 4))  # (count, 4)
        nearest, turn = distance.min(1)
        lender = int(nearest.argsort(stable=True)[rng_of(seed).integers(min(LENDERS, len(nearest)))])
        return flipped(self.lend(lender), *turns[int(turn[lender])], self.directed)


def thumbnail(x: Tensor) -> Tensor:
    """Where the tissue of coarse masks (B, 1, H, W) lies, and where it is wide: (B, 2, 4, 8) uint8.

    Of coarse label maps (B, K, H, W) also where each further class lies: (B, K, 4, 8).
    """
    tissue, *further = (layer.float() for layer in layers(x))
    wide = -F.max_pool2d(F.max_pool2d(-tissue, (1, 15), stride=1, padding=(0, 7)), (15, 1), stride=1, padding=(7, 0))
    small = [F.adaptive_avg_pool2d(part, THUMBNAIL) for part in (tissue, wide, *further)]
    return (torch.cat(small, 1) * 255).round().to(torch.uint8)


def fitted(texture: Tensor, x: Tensor) -> Tensor:
    """A borrowed map, resized to the outline x (B, C, H, W) and limited to where it has tissue."""
    limits = room(x)
    if texture.shape[-2:] != limits.shape[-2:]:
        texture = F.interpolate(texture, limits.shape[-2:], mode="bilinear")
    return texture.to(limits) * limits


def textures_of(method: Method, coarse: Tensor, seeds: Sequence[Seed]) -> Tensor:
    """Texture maps (B, D, H / 8, W / 8) for outlines (B, C, H, W): borrowed, by seed, or the last part of given noise.

    method: its generator has `textures`, its settings have `texture`.
    """
    library, used = method.networks["generator"].textures, method.settings.texture
    return torch.cat([used * fitted(library.borrow(x, seed) if isinstance(seed, int) else seed[-1], x)
                      for x, seed in zip(coarse.split(1), seeds)])


def _sobel(like: Tensor) -> tuple[Tensor, Tensor]:
    across = like.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])[None, None]
    return across, across.mT
