"""How long does it take, beside something else and beside what the machine could do?"""

import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode


def machine(device: str) -> str:
    """Name of the GPU, or of the CPU and its cores, and whether it has bfloat16 units."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in (info.read_text().splitlines() if info.exists() else [])
             if line.startswith("model name")]
    name = f"{len(names)} x {names[0]}" if names else platform.processor() or platform.machine()
    return f"{name}, {'with' if torch.cpu._is_avx512_bf16_supported() else 'without'} bfloat16 units"


def seconds(call: Callable[[], object], device: str) -> float:
    """Wall time of one call, on a GPU until it has done the work."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def matrix_product_peak(dtype: torch.dtype, device: str, size: int = 4096, repeats: int = 5) -> float:
    """FLOP/s of the best of some products of two square matrices: what this machine can do at most."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / min(seconds(lambda: a @ a, device) for _ in range(repeats))


def interleaved(calls: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, np.ndarray]:
    """Seconds of each call, (repeats,), taken in turns, so that a load beside them meets all; one round warms up."""
    rounds = [[seconds(call, device) for call in calls.values()] for _ in range(1 + repeats)]
    return dict(zip(calls, np.array(rounds[1:]).T))


def compare(times: dict[str, np.ndarray]) -> dict[str, float]:
    """Median seconds of `textbook` and `ours`; median and quartiles of their ratio, round by round."""
    low, ratio, high = np.quantile(times["textbook"] / times["ours"], [0.25, 0.5, 0.75])
    return {"textbook_s": np.median(times["textbook"]), "ours_s": np.median(times["ours"]),
            "ratio": ratio, "ratio_low": low, "ratio_high": high}


def count_flops(call: Callable[[], object]) -> int:
    """Floating-point operations of one call, an addition and a multiplication being two (convolutions and products)."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
