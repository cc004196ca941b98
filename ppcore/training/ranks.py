"""Which of several training processes is this, and how do they agree? Alone, all of this is the identity."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed


def rank_and_ranks() -> tuple[int, int]:
    """Number of this process, from 0, and how many there are."""
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


def mean_of(values: Tensor) -> Tensor:
    """Mean over the processes of a tensor that each has in the same shape."""
    _, ranks = rank_and_ranks()
    if ranks > 1:
        distributed.all_reduce(values)
        values = values / ranks
    return values


def all_items(images: Tensor) -> Tensor:
    """The whole batch (B * ranks, ...) of which each process holds every ranks-th item, (B, ...)."""
    _, ranks = rank_and_ranks()
    if ranks == 1:
        return images
    shares = [torch.empty_like(images) for _ in range(ranks)]
    distributed.all_gather(shares, images)
    return torch.stack(shares, dim=1).flatten(0, 1)


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether the flag is up in any process."""
    return mean_of(torch.tensor(float(flag), device=device)).item() > 0


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let process 0 go through a block before the others."""
    rank, ranks = rank_and_ranks()
    if rank > 0:
        distributed.barrier()
    yield
    if rank == 0 and ranks > 1:
        distributed.barrier()
