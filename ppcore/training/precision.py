"""In which precision does a device compute? In bfloat16 where it has units for it, else in float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate.utils import convert_outputs_to_fp32

from ppcore.training.method import Method

PRECISIONS = ("auto", "float32")


def precision_on(device: str, precision: str = "auto") -> torch.dtype:
    """Type of the activations on "cpu" or "cuda"; weights and losses stay float32 in training.

    precision: "auto", or "float32" to use it everywhere. A CPU without such units can compute in bfloat16 too, but many
    times slower than in float32. Raise `ValueError` for another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: wanted one of {', '.join(PRECISIONS)}")
    if precision == "float32":
        return torch.float32
    if device == "cuda":
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_units = torch.cpu._is_avx512_bf16_supported()  # the only name torch has for it
    return torch.bfloat16 if has_units else torch.float32


def layout_on(method: Method, device: torch.device, dtype: torch.dtype) -> torch.memory_format:
    """Layout of a method's networks: channels_last where it is faster, else as it is.

    In float32 on a CPU it gains a sixth to a third, but loses where a generator has transposed convolutions.
    """
    transposed = any(isinstance(part, torch.nn.ConvTranspose2d) for name in method.generators
                     for part in method.networks[name].modules())
    slower = dtype == torch.float32 and device.type == "cpu" and transposed
    return torch.preserve_format if slower else torch.channels_last


@contextmanager
def prepared(method: Method, device: torch.device | str, dtype: torch.dtype) -> Iterator[None]:
    """Hold the networks on `device`, with autocast forward passes in `dtype` and weights and outputs in float32.

    Autocast wraps each forward pass, not the step: its cache could otherwise give G's update the weights that D had
    before its own update.
    """
    device = torch.device(device)
    lower = dtype != torch.float32
    layout = layout_on(method, device, dtype)
    for network in method.networks.values():
        network.to(device=device, memory_format=layout)
        if lower:
            network.forward = convert_outputs_to_fp32(torch.autocast(device.type, dtype)(network.forward))
    try:
        yield
    finally:
        for network in method.networks.values():
            vars(network).pop("forward", None)
