"""In which numbers does a device compute? In bfloat16 where it has units for it, else in float32."""

import torch

PRECISIONS = ("auto", "float32")


def precision_on(device: str, precision: str = "auto") -> torch.dtype:
    """Type of the activations on "cpu" or "cuda"; weights and losses stay float32 in training.

    precision: "auto", or "float32" to have it everywhere. A CPU without such units computes bfloat16, too, but many
    times slower than float32. Raise `ValueError` for another precision.
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
