"""What is the segmenter's network? A small U-Net from an RGB window to tissue or air."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ppcore.networks.layers import check_size


class PlainUNet(nn.Module):
    """Two 3 x 3 convolutions per level, max pooling, nearest-neighbour upsampling and skip connections.

    After Ronneberger et al. 2015 (arXiv 1505.04597), with zero padding and batch norm.
    Widths are `width` x (1, 2, 4, ...).
    """

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(_block(before, after) for before, after in zip([3, *widths], widths))
        self.up = nn.ModuleList(_block(below + beside, beside)
                                for below, beside in zip(widths[:0:-1], widths[-2::-1]))
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to logits of tissue (B, 1, H, W). Raises `ValueError` unless 2**(levels - 1) divides
        H and W."""
        check_size(image, 2 ** (self.levels - 1), f"a segmenter of {self.levels} levels")
        skips = []
        for block in self.down:
            image = block(functional.max_pool2d(image, 2) if skips else image)
            skips.append(image)
        image = skips.pop()
        for block in self.up:
            image = block(torch.cat((functional.interpolate(image, scale_factor=2), skips.pop()), dim=1))
        return self.last(image)


def _block(before: int, after: int) -> nn.Sequential:
    layers = []
    for width in (before, after):
        layers += [nn.Conv2d(width, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
