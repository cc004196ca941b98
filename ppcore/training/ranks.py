"""Which of several training processes is this, and how do they communicate? With one process, nothing happens."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed


def rank_and_ranks() -> tuple[int, int]:
    """Index of this process, from 0, and the number of processes."""
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


def mean_of(values: Tensor) -> Tensor:
    """Mean over the processes of a tensor that has the same shape in each."""
    _, ranks = rank_and_ranks()
    if ranks > 1:
        distributed.all_reduce(values)
        values = values / ranks
    return values


def all_items(images: Tensor) -> Tensor:
    """The whole batch (B * ranks, ...), of which each process holds every ranks-th item, (B, ...)."""
    _, ranks = rank_and_ranks()
    if ranks == 1:
        return images
    shares = [torch.empty_like(images) for _ in range(ranks)]
    distributed.all_gather(shares, images)
    return torch.stack(shares, dim=1).flatten(0, 1)


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process."""
    return mean_of(torch.tensor(float(flag), device=device)).item() > 0


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let process 0 finish a block before the others start it."""
    rank, ranks = rank_and_ranks()
    if rank > 0:
        distributed.barrier()
    yield
    if rank == 0 and ranks > 1:
        distributed.barrier()
