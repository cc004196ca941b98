"""Does a GPU compute what the CPU computes? One step of each method, what it generates, and the page's answer."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ppcore.experiments.gpu.bench import batch_of, computing, make
from ppcore.methods.table import find
from ppcore.training.ema import Average
from ppcore.training.method import Method
from ppcore.training.precision import prepared

# Largest relative error that passes. A mask's is the share of pixels that differ; a pixel near the threshold may flip.
# A fresh network with norms of nearly flat maps makes rounding errors thousands of times as large. So in float32 NOISE
# times what another order of sums changes on the CPU passes too, and gradients of lower precision must only be finite.
BOUNDS = {"float32": {"losses": 1e-5, "gradients": 1e-3, "made": 1e-3},
          "TF32": {"losses": 1e-2, "gradients": float("inf"), "made": 0.05},
          "bfloat16": {"losses": 0.1, "gradients": float("inf"), "made": 0.2}}
NOISE = 10.0
Answer = Callable[[np.ndarray, int], np.ndarray]  # a sketch (H, W) in {0, 1} and a seed -> a fine mask (H, W)


@dataclass
class Outcome:
    """Of one step without an update: losses (K,), gradients of each network in a row, and what is generated.

    All are on the CPU. method: after the step.
    """

    method: Method
    losses: Tensor
    gradients: dict[str, Tensor]
    made: Tensor


class SameDraws(TorchFunctionMode):
    """Inside the block, random tensors are drawn on the CPU and moved, so that every device sees the same."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.rand_like, torch.randn_like):
            alike = torch.rand if func is torch.rand_like else torch.randn
            return alike(args[0].shape).to(args[0])
        if func in (torch.rand, torch.randn):
            device = kwargs.pop("device", None)
            return func(*args, **kwargs).to(device or "cpu")
        return func(*args, **kwargs)


def relative(ours: Tensor, reference: Tensor) -> float:
    """|ours - reference| / |reference|, in float64; nan if either holds one, and 0 for equal zeros."""
    ours, reference = ours.double(), reference.double()
    size = reference.norm()
    return float((ours - reference).norm() / size) if size else float(ours.norm())


def outcome(name: str, size: tuple[int, int], narrow: bool, device: str, dtype: torch.dtype,
            layout: torch.memory_format | None = None) -> Outcome:
    """What a method computes from seed 1 on a device. layout: of the networks; None: as in a training.

    The noise GAN's penalty, which only every fourth step has, is in it. All weights are moved a little: some start at 0,
    where every device is right.
    """
    method, batch, draws = make(name, size, narrow, every=1), batch_of(1, size, device), torch.Generator().manual_seed(1)
    for weight in [weight for network in method.networks.values() for weight in network.parameters()]:
        weight.data.add_(0.02 * torch.randn(weight.shape, generator=draws))
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = 0.0  # the second network's gradients would depend on the update of the first
    with ExitStack() as stack:
        stack.enter_context(prepared(method, device, dtype))
        if layout is not None:
            for network in method.networks.values():
                network.to(memory_format=layout)
        with SameDraws():
            torch.manual_seed(1)
            losses = method.step(batch)
        given = {"nothing": None, "noise": None, "outline": batch["coarse"]}.get(find(name).given, batch["mask"])
        made = method.generate(given, [1]).cpu()
    gradients = {key: torch.cat([weight.grad.flatten().cpu() for weight in network.parameters()])
                 for key, network in method.networks.items() if any(True for _ in network.parameters())}
    return Outcome(method, torch.stack([loss.detach().float().cpu() for loss in losses.values()]), gradients, made)


def errors(ours: Outcome, reference: Outcome) -> dict[str, float]:
    """Relative errors of `losses`, `gradients` (the worst network's) and what was `made`; nan if anything is not finite."""
    if not all(part.isfinite().all() for part in (ours.losses, ours.made, *ours.gradients.values())):
        return dict.fromkeys(("losses", "gradients", "made"), float("nan"))
    mask = reference.made.shape[1] == 1
    return {"losses": relative(ours.losses, reference.losses),
            "gradients": max(relative(ours.gradients[key], reference.gradients[key]) for key in reference.gradients),
            "made": float(((ours.made > 0) != (reference.made > 0)).double().mean()) if mask else
            relative(ours.made, reference.made)}


def row(check: str, what: str, error: float, bound: float) -> dict:
    """A line of right.csv. An error that is not a number fails."""
    return {"check": check, "what": what, "error": error, "bound": bound, "ok": bool(error <= bound)}


def of_method(name: str, size: tuple[int, int], narrow: bool, device: str) -> list[dict]:
    """All checks of a method's step and of what it generates.

    float32: device against CPU. layout: channels_last against the usual one on the device. TF32: as PyTorch computes
    float32 convolutions on a GPU, against the CPU. bfloat16: against float32 on the device. Adam: an update from the
    same gradients, device against CPU.
    """
    def on(where: str, dtype: torch.dtype = torch.float32, layout: torch.memory_format | None = None) -> Outcome:
        return outcome(name, size, narrow, where, dtype, layout)

    reference = on("cpu")
    noise = errors(on("cpu", layout=torch.channels_last), reference)
    exact = {what: max(bound, NOISE * noise[what]) for what, bound in BOUNDS["float32"].items()}
    with computing(tf32=False):
        ours = on(device)
        other = on(device, layout=torch.contiguous_format if device == "cuda" else torch.channels_last)
        found = [("float32", errors(ours, reference), exact), ("layout", errors(other, ours), exact),
                 ("bfloat16", errors(on(device, torch.bfloat16), ours), BOUNDS["bfloat16"])]
    if device == "cuda":
        found.append(("TF32", errors(on(device), reference), BOUNDS["TF32"]))
    rows = [row(check, what, error, bounds[what]) for check, some, bounds in found for what, error in some.items()]
    return [*rows, row("Adam", "update", adam_error(ours.method, reference.method), 1e-4)]


def adam_error(ours: Method, reference: Method) -> float:
    """Relative error of the first update of all weights from the reference's gradients."""
    changes = []
    for method in (ours, reference):
        before, after = [], []
        for key, optimizer in method.optimizers.items():
            optimizer.state.clear()
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            theirs = [weight for group in reference.optimizers[key].param_groups for weight in group["params"]]
            for weight, their in zip(weights, theirs, strict=True):
                weight.grad = torch.empty_like(weight).copy_(their.grad)
            optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"]
            before += [weight.detach().cpu().flatten() for weight in weights]
            optimizer.step()
            after += [weight.detach().cpu().flatten() for weight in weights]
        changes.append(torch.cat(after) - torch.cat(before))
    return relative(*changes)


def mean_error(name: str, size: tuple[int, int], narrow: bool, device: str) -> float:
    """Relative error of the running mean of the weights (EMA) on a device after five changes, against float64."""
    method = make(name, size, narrow)
    generator = method.networks[method.generators[0]].to(device)
    average, draws = Average(method, 0.9), torch.Generator().manual_seed(1)
    average.start()
    expected = _flat(generator)
    for _ in range(5):
        with torch.no_grad():
            for weight in generator.parameters():
                weight.add_(torch.randn(weight.shape, generator=draws).to(device))
        average.update()
        expected = 0.9 * expected + 0.1 * _flat(generator)
    return relative(_flat(method.networks[average.names[method.generators[0]]]), expected)


def _flat(network: torch.nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten().double().cpu() for weight in network.parameters()])


def of_answer(answer: Callable[[str, str], Answer], size: tuple[int, int], device: str) -> list[dict]:
    """The page's answer to a sketch on a device, in float32 and as it comes, against the CPU's: pixels that differ.

    answer: from a device and a precision, "auto" or "float32", to what answers (`ppcore.drawing`).
    """
    sketch = (batch_of(1, size)["coarse"][0, 0] > 0).numpy().astype(np.uint8)
    rows = []
    with computing(tf32=False):
        reference = answer("cpu", "float32")(sketch, 1)
        for precision, check in (("float32", "float32"), ("auto", "bfloat16")):
            differs = float(np.mean(answer(device, precision)(sketch, 1) != reference))
            rows.append(row(check, "made", differs, BOUNDS[check]["made"]))
    return rows
