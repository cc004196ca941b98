"""What is measured, on which input, and in how much time? Every trained method of the study."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

import torch
from torch import Tensor
from torch.nn import functional as F

from ppcore.methods.colours import colour_map
from ppcore.methods.table import OURS, OURS_IMAGE, PRIORPATH, ROWS, class_of
from ppcore.methods.texture import texture_map
from ppcore.training.method import Method

FULL, TINY = (512, 1024), (64, 128)  # px: the paper's patch (reading R1), and one to try the script on
FIRST = (OURS, OURS_IMAGE, PRIORPATH, "diffusion")  # should the time run out
_ONE_EACH = {row.kind: row.name for row in reversed(ROWS) if row.model}.values()  # the first row of each class
NAMES = (*FIRST, *sorted(set(_ONE_EACH) - set(FIRST)))
NARROW = {"pix2pix": {"ngf": 4, "levels": 4}, "CycleGAN": {"ngf": 2, "blocks": 1, "pool_size": 2},
          "DCGAN": {"ngf": 4, "latent": 8},
          "DEPAS": {"ngf": 4, "latent": 8, "scales": 2}, "diffusion": {"widths": (8, 8, 16), "steps": 3},
          "noise-GAN": {"widths": (8, 8, 8, 8)}, "noise-image": {"widths": (8, 8, 8, 8)},
          "fine-to-image": {"ngf": 4, "downs": 2, "blocks": 1}}


def make(name: str, size: tuple[int, int], narrow: bool, **changes: float) -> Method:
    """A method with the study's settings for patches of `size`, or with `narrow` networks; weights from seed 1.

    changes: of settings; a method without such a setting ignores them. Its texture maps, if any, are noise.
    """
    kind, given = class_of(name), dict(zip(("height", "width"), size))
    given |= ({"ndf": 4, "lenders": 4} | NARROW.get(name, {}) if narrow else {}) | changes
    known = {field.name for field in fields(kind.Settings)}
    method = kind(kind.Settings(**{key: value for key, value in given.items() if key in known}), seed=1)
    for network in method.networks.values():
        if hasattr(network, "textures"):
            draws = torch.Generator().manual_seed(1)
            network.textures.maps.random_(-40, 40, generator=draws)
            network.textures.thumbnails.random_(0, 256, generator=draws)
    return method


def batch_of(count: int, size: tuple[int, int], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """`coarse`, `fine` and `mask`, the same, (B, 1, H, W) in {-1, 1}; `image` (B, 3, H, W) in [-1, 1]; `texture`
    and `colours`, their maps.

    Blobs with holes, drawn from seed 1. H and W are multiples of 16.
    """
    draws = torch.Generator().manual_seed(1)
    wide = torch.randn(count, 1, size[0] // 16, size[1] // 16, generator=draws)
    wide = F.interpolate(wide, size, mode="bilinear")
    coarse = torch.where(wide > -0.3, 1.0, -1.0)
    holes = F.avg_pool2d(torch.randn(count, 1, *size, generator=draws), 5, 1, 2) > 0.25
    fine = torch.where(holes, -1.0, coarse)
    image = (0.3 - 0.4 * fine + 0.1 * torch.randn(count, 3, *size, generator=draws)).clamp(-1, 1)
    batch = {"coarse": coarse, "fine": fine, "mask": fine, "image": image, "texture": texture_map(coarse, fine),
             "colours": colour_map(fine, image)}
    return {name: tensor.to(device) for name, tensor in batch.items()}


class Clock:
    """Tells what is left of some seconds."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until the end, 0 after it."""
        return max(0.0, self.end - time.monotonic())


@contextmanager
def computing(tf32: bool = True, benchmark: bool = False, deterministic: bool = False) -> Iterator[None]:
    """How a GPU computes inside the block: float32 convolutions and products in TF32; cuDNN's choice of algorithms.

    The defaults are PyTorch's for convolutions. Afterwards all is as before, and so is the number of CPU threads.
    """
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark, cudnn.deterministic
    now, threads = (tf32, tf32, benchmark, deterministic), torch.get_num_threads()
    try:
        cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark, cudnn.deterministic = now
        yield
    finally:
        cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
        torch.set_num_threads(threads)


def reason(error: BaseException) -> str:
    """An error in a cell of a table: its kind and its first line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
