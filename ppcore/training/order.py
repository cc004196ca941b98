"""In which order does a run see its data, and where do its random draws come from?

The order comes from (seed, epoch), the draws of an item from (seed, epoch, item), those of a step from (seed, step).
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ppcore.study.seeds import mix, rng_of

ORDER, ITEM, STEP = range(3)


def data_order(
    items: int, batch_size: int, seed: int, step: int, total: int, of: int = 0, rank: int = 0, ranks: int = 1,
) -> Iterator[list[tuple[int, int]]]:
    """Yield the batches of a run of `total` steps after its first `step`, each a list of (epoch, index).

    An epoch is the first `items` of one permutation of all `of` (or `items`) items, wherever the run was stopped.
    The last batch of an epoch holds the remainder. Of each batch, process `rank` of `ranks` gets every ranks-th item:
    an equal share if `items` and `batch_size` are multiples of `ranks`.
    """
    while step < total:
        epoch, done = divmod(step, math.ceil(items / batch_size))
        order = rng_of(seed, ORDER, epoch).permutation(of or items).tolist()[:items]
        for start in range(done * batch_size, items, batch_size):
            yield [(epoch, index) for index in order[start:start + batch_size][rank::ranks]]
            step += 1


class SeededItems(Dataset):
    """Item (epoch, index) of a data set, with torch's generator seeded for it in the process that loads it."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Return what `dataset[index]` returns: a dict of tensors."""
        torch.manual_seed(mix(self.seed, ITEM, *key))
        return self.dataset[key[1]]


