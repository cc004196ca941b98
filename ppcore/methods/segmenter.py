"""What is the segmenter of notebook 11, and how is it trained? A small U-Net: which pixels of an RGB window are nuclei?

The generator of pix2pix (`ppcore.networks.unet`) is unsuitable: its dropout stays on at test time, and its instance
norm removes a window's mean brightness, the only cue where tissue fills the window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ppcore.masks.patches import image_to_tensor, to_mask
from ppcore.methods.sampling import Seed, generate
from ppcore.networks.plain_unet import PlainUNet
from ppcore.training.method import update


@dataclass(frozen=True)
class SegmenterSettings:
    """width: of the first level; 16 gives .49 M parameters. levels: of the U-Net, each half the size of the last."""

    width: int = 16
    levels: int = 4
    learning_rate: float = 0.01


class Segmenter:
    """Foreground or not for every pixel, learned by cross-entropy; a method for `ppcore.training.loop.train`."""

    Settings = SegmenterSettings
    generators = ("segmenter",)

    def __init__(self, settings: SegmenterSettings, seed: int = 0) -> None:
        self.settings = settings
        self.networks: dict[str, nn.Module] = {"segmenter": PlainUNet(settings.width, settings.levels)}
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights from `seed`, as in He et al. 2015 (arXiv 1502.01852), and make a new optimiser.

        Unlike reading R19: with N(0, .02) the logits start so small that a short training mostly makes them grow.
        """
        network, generator = self.networks["segmenter"], torch.Generator().manual_seed(seed)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()
        self.optimizers = {"segmenter": torch.optim.Adam(network.parameters(), self.settings.learning_rate, fused=True)}

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """One step on `image` (B, 3, H, W) and `fine` (B, 1, H, W), both in [-1, 1]."""
        logits = self.networks["segmenter"].train()(batch["image"])
        loss = functional.binary_cross_entropy_with_logits(logits, (batch["fine"] + 1) / 2)
        update(self.optimizers["segmenter"], loss)
        return {"cross_entropy": loss}

    def generate(self, images: Tensor, seeds: Sequence[Seed]) -> Tensor:
        """Logits of the foreground (B, 1, H, W) from images (B, 3, H, W) in [-1, 1]. Seeds have no effect: no noise."""
        return generate(self.networks["segmenter"], images, seeds)

    def predict(self, rgb: np.ndarray) -> np.ndarray:
        """Foreground (H, W) uint8 in {0, 1} of an image (H, W, 3) uint8: where its probability is above .5."""
        return to_mask(self.generate(image_to_tensor(rgb)[None], [0])[0])
