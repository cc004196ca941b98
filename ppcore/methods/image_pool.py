"""What does a CycleGAN's discriminator see besides the newest images? Some of the last 50 (Zhu 2017, section 4)."""

import numpy as np
import torch
from torch import Tensor, nn

from ppcore.training.ranks import all_items, rank_and_ranks


class ImagePool(nn.Module):
    """Keeps `size` synthetic images. Checkpoints include them and the number of images shown so far.

    That number seeds the draws. With several processes, each holds the same pool, with the images of all.
    """

    shown: Tensor

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        self.size = size
        self.images: list[Tensor] = []
        self.register_buffer("shown", torch.zeros((), dtype=torch.int64))

    def clear(self) -> None:
        """Empty the pool and restart the count."""
        self.images = []
        self.shown.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """Take (B, C, H, W) and return as many images, each the new one or, half the time, an older one.

        Until the pool is full it returns the new ones, as in the reference code. No gradient passes.
        """
        answers = []
        for image in all_items(images.detach().contiguous()):
            draw = np.random.default_rng(int(self.shown))
            self.shown += 1
            if len(self.images) < self.size:
                self.images.append(image)
            elif draw.random() < 0.5:
                place = draw.integers(self.size)
                self.images[place], image = image, self.images[place]
            answers.append(image)
        rank, ranks = rank_and_ranks()
        return torch.stack(answers[rank::ranks])

    def get_extra_state(self) -> Tensor:
        """The images as one tensor, for the checkpoint."""
        return torch.stack(self.images) if self.images else torch.empty(0)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the images of a checkpoint."""
        self.images = [image.to(self.shown.device) for image in state]
