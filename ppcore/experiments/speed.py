"""How long does it take, compared with other code and with what the machine could do?"""

import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode


def seconds(call: Callable[[], object], device: str) -> float:
    """Wall time of one call; on a GPU, until the work is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def matrix_product_peak(dtype: torch.dtype, device: str, largest: int = 4096, repeats: int = 10) -> float:
    """FLOP/s of the fastest product of two square matrices of 512, 1024, ... `largest` rows.

    Roughly the machine's maximum: a convolution whose data stay in the cache may exceed it by a few percent.
    """
    rates = []
    for size in (2**power for power in range(9, largest.bit_length())):
        a = torch.randn(size, size, device=device, dtype=dtype)
        rates += [2 * size**3 / seconds(lambda: a @ a, device) for _ in range(repeats)]
    return max(rates)


def interleaved(calls: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, np.ndarray]:
    """Seconds of each call, (repeats,), taken in turns so that other load affects all alike; one round warms up."""
    rounds = [[seconds(call, device) for call in calls.values()] for _ in range(1 + repeats)]
    return dict(zip(calls, np.array(rounds[1:]).T))


def compare(times: dict[str, np.ndarray]) -> dict[str, float]:
    """Median seconds of `textbook` and `ours`; median and quartiles of their ratio, round by round.

    Likewise the ratio of `float32`, ours without bfloat16; nan if it was not timed.
    """
    row = {"textbook_s": np.median(times["textbook"]), "ours_s": np.median(times["ours"])}
    for key, name in (("ours", "ratio"), ("float32", "float32_ratio")):
        ratios = times["textbook"] / times.get(key, np.nan)
        row |= dict(zip((f"{name}_low", name, f"{name}_high"), np.quantile(ratios, [0.25, 0.5, 0.75])))
    return row


def in_new_process(call: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds of a call in a new process, and the peak growth of its memory in bytes.

    call: anything that can be pickled. Memory is resident memory, as Linux counts it.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_measured, call).result()


def _measured(call: Callable[[], object]) -> tuple[float, float]:
    before = _resident("VmRSS")
    return seconds(call, "cpu"), _resident("VmHWM") - before


def _resident(name: str) -> int:
    return 1024 * int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def count_flops(call: Callable[[], object]) -> int:
    """Floating-point operations of one call (convolutions and products); an addition and a multiplication are two."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
