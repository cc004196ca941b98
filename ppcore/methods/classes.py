"""What do networks read and say of K classes?

In maps for networks (`ppcore.masks.patches.to_tensor`), two classes share one channel, in which 1 is tissue and -1 air;
more have a channel each. So a network answers with one logit a pixel, and sigmoid, or with K, and softmax: sigmoid is
softmax with a logit of 0 for air. Only in this file, and where a docstring says so, do the two differ.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def channels(classes: int) -> int:
    """Channels of a map of so many classes."""
    return 1 if classes == 2 else classes


def layers(maps: Tensor) -> list[Tensor]:
    """Where there is tissue of any class, then where each further class is: K - 1 masks (B, 1, H, W) of bool.

    maps: (B, 1, H, W) or (B, K, H, W) in {-1, 1}.
    """
    tissue = maps > 0 if maps.shape[1] == 1 else maps[:, :1] <= 0
    return [tissue, *(maps[:, value:value + 1] > 0 for value in range(2, maps.shape[1]))]


def hard(scores: Tensor) -> Tensor:
    """The likeliest class of each pixel as a map in {-1, 1}: tissue above 0, or of several channels the largest."""
    if scores.shape[1] == 1:
        return torch.where(scores > 0, 1.0, -1.0)
    return torch.full(scores.shape, -1.0, device=scores.device).scatter(1, scores.argmax(1, keepdim=True), 1.0)


def soft(logits: Tensor) -> Tensor:
    """Probabilities p of the classes as a map 2 p - 1 in [-1, 1]: 2 sigmoid - 1 = tanh(logits / 2), or softmax."""
    return torch.tanh(logits / 2) if logits.shape[1] == 1 else 2 * logits.softmax(1) - 1


def cross_entropy(logits: Tensor, maps: Tensor) -> Tensor:
    """Cross-entropy of the logits of maps in {-1, 1}, in nats a pixel, a scalar."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits, (maps + 1) / 2)
    return F.cross_entropy(logits, maps.argmax(1))
