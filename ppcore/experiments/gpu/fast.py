"""How fast is a device? Training steps beside a textbook's, generation, and the page's answer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ppcore.experiments.gpu.bench import Clock, batch_of, computing, make, reason
from ppcore.experiments.gpu.floors import seconds_at_least, step_floor
from ppcore.experiments.gpu.right import Answer, relative
from ppcore.experiments.speed import interleaved, matrix_product_peak, seconds
from ppcore.experiments.textbook import textbook_step
from ppcore.methods.bernoulli_diffusion import BackInTime
from ppcore.methods.colours import colours_of
from ppcore.methods.sampling import noise_of
from ppcore.methods.table import find
from ppcore.methods.texture import textures_of
from ppcore.networks.noise import draw_noise
from ppcore.training.method import Method
from ppcore.training.precision import precision_on, prepared

IN_A_ROW = 3  # steps of one timed call on a GPU, where the next one is prepared while one is computed
BATCHES, MANY = (2, 4, 8, 16, 32), 16  # larger batches of steps; images generated
BATCHES_TINY, MANY_TINY = (2,), 4
GAIN = 1.05  # a larger batch is tried as long as the last one was this much faster per image
CROP, CROPS = 128, 4  # the study's crops and their number in a step: noise GAN and diffusion
Calls = dict[str, Callable[[], object]]


def machine_rates(device: str, small: bool) -> dict[str, float]:
    """What the device reaches: `flop_per_s` of bfloat16 products, `float32_flop_per_s` without TF32, `bytes_per_s` of a
    large copy, read and written."""
    largest, gib = (512, 2**24) if small else (8192, 2**30)
    source = torch.randint(255, (gib,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copies = [seconds(lambda: target.copy_(source), device) for _ in range(10)]
    with computing(tf32=False):
        float32 = matrix_product_peak(torch.float32, device, largest)
    return {"flop_per_s": matrix_product_peak(precision_on(device), device, largest), "float32_flop_per_s": float32,
            "bytes_per_s": 2 * gib / float(np.median(copies))}


def timed(calls: Calls, allowed: float, device: str, most: int = 20) -> dict[str, np.ndarray]:
    """Seconds of each call, taken in turns, in as many rounds as fit into the seconds allowed: 2 to `most`."""
    first = interleaved(calls, 1, device)
    rounds = int(allowed / max(sum(float(taken[0]) for taken in first.values()), 1e-6)) - 3
    return interleaved(calls, min(max(rounds, 2), most), device)


def steps_of(name: str, size: tuple[int, int], narrow: bool, count: int, device: str, ways: Sequence[str],
             stack: ExitStack) -> Calls:
    """Some `ways` to make a method's step on `count` patches, each as a call that makes a few.

    textbook: in float32 without TF32. textbook TF32. ours: as a training makes it. ours, cuDNN's choice: with its
    algorithms chosen by trial. stack: holds what is undone afterwards.
    """
    batch, ours, calls = batch_of(count, size, device), make(name, size, narrow), {}
    stack.enter_context(prepared(ours, device, precision_on(device)))
    textbook = textbook_step(name, make(name, size, narrow), device) if any("textbook" in way for way in ways) else None
    for way in ways:
        step = textbook if "textbook" in way else ours.step
        how = {"tf32": way != "textbook", "benchmark": "choice" in way}
        calls[way] = partial(_several, step, batch, how, IN_A_ROW if device == "cuda" else 1)
    return calls


def _several(step: Callable[[dict], object], batch: dict[str, Tensor], how: dict, times: int) -> None:
    with computing(**how):
        for _ in range(times):
            step(batch)


def step_rows(name: str, size: tuple[int, int], narrow: bool, device: str, allowed: float,
              rates: dict[str, float]) -> Iterator[dict]:
    """Rows of a method's training steps: at batch 1 in every way, then ours at larger batches while they gain."""
    clock, in_a_row = Clock(allowed), IN_A_ROW if device == "cuda" else 1
    ways = ("textbook", "textbook TF32", "ours", "ours, cuDNN's choice") if device == "cuda" else ("textbook", "ours")
    rate = 0.0
    for count in (1, *(BATCHES_TINY if narrow else BATCHES)):
        chosen = ways if count == 1 else ("ours",)
        try:
            with ExitStack() as stack:
                calls = steps_of(name, size, narrow, count, device, chosen, stack)
                times = timed(calls, allowed / 2 if count == 1 else allowed / 10, device)
        except torch.OutOfMemoryError as error:
            yield {"what": "training step", "how": "ours", "batch": count, "note": reason(error)}
            break
        finally:
            memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
            calls = None  # so that its memory is free for the next
            empty(device)
        floor = step_floor(name, size, narrow, count)
        for way, taken in times.items():
            yield {"what": "training step", "how": way, "batch": count, "memory_gib": memory,
                   **spread(taken / in_a_row, count), **shares(floor, taken / in_a_row, rates)}
        now = count / float(np.median(times["ours"]))
        if now < GAIN * rate or not clock.left():
            break
        rate = now
    if "texture" in vars(make(name, size, True).settings):
        yield from crop_rows(name, size, narrow, device, allowed / 10)


def crop_rows(name: str, size: tuple[int, int], narrow: bool, device: str, allowed: float) -> Iterator[dict]:
    """A step on the study's batch of crops; its rate is that of the pixels, in patches."""
    side = min(CROP, size[0])
    with ExitStack() as stack:
        times = timed(steps_of(name, (side, side), narrow, CROPS, device, ("ours",), stack), allowed, device)["ours"]
    images = CROPS * side**2 / (size[0] * size[1])
    yield {"what": "training step on crops", "how": "ours", "batch": CROPS,
           **spread(times / (IN_A_ROW if device == "cuda" else 1), images)}
    empty(device)


def empty(device: str) -> None:
    """Give a GPU's memory back, and count its use anew."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def spread(taken: np.ndarray, images: float) -> dict[str, float]:
    """Median, quartiles and number of some times, s, and the rate of images."""
    low, median, high = np.quantile(taken, [0.25, 0.5, 0.75])
    return {"seconds": median, "low": low, "high": high, "rounds": len(taken), "images_per_s": images / median}


def shares(floor: dict[str, float], taken: np.ndarray, rates: dict[str, float]) -> dict[str, float]:
    """Share of the fastest product's rate, of the memory's, and of the time that the larger of both needs."""
    median = float(np.median(taken))
    return {**floor, "share_of_peak": floor["flop"] / median / rates["flop_per_s"],
            "share_of_memory": floor["bytes"] / median / rates["bytes_per_s"],
            "share_of_floor": seconds_at_least(floor, rates) / median}


def generation_rows(name: str, size: tuple[int, int], narrow: bool, device: str, allowed: float) -> Iterator[dict]:
    """Rows of generation as a loaded model does it: one image, many one after the other, and many in one pass.

    `error` of the last: share of pixels that differ from those of one after the other, or relative error of images.
    """
    method, dtype = make(name, size, narrow), precision_on(device)
    for key in method.generators:
        method.networks[key].to(device=device, dtype=dtype, memory_format=torch.channels_last)
    given = {"noise": None, "outline": "coarse"}.get(find(name).given, "mask")
    count = MANY_TINY if narrow else MANY
    x, seeds = batch_of(count, size, device)[given] if given else None, list(range(count))
    ways = {(1, "one"): lambda: method.generate(None if x is None else x[:1], seeds[:1]),
            (count, "one after the other"): lambda: method.generate(x, seeds),
            (count, "in one pass"): lambda: at_once(method, x, seeds, device)}
    for (images, how), call in ways.items():
        taken = timed({"call": call}, allowed / len(ways), device)["call"]
        yield {"what": "generation", "how": how, "batch": images, **spread(taken, images),
               **({"error": _difference(call(), method.generate(x, seeds))} if how == "in one pass" else {})}
    empty(device)


@torch.no_grad()
def at_once(method: Method, x: Tensor | None, seeds: list[int], device: str) -> Tensor:
    """As `method.generate`, in one pass for all images, up to rounding. Logits of masks, or images."""
    network = method.networks[method.generators[0]]
    weight = next(network.parameters())
    generator = BackInTime(network, method.settings) if hasattr(method.settings, "power") else network
    wanted = noise_of(generator, *(() if x is None else x.shape[-2:]))
    each = [draw_noise(wanted, 1, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    inputs = [] if x is None else [x.to(weight)]
    if hasattr(network, "textures"):
        lend = colours_of if method.makes == "image" else textures_of
        inputs.append(lend(method, x, seeds).to(weight))
    if wanted:
        inputs.append([torch.cat(parts).to(weight) for parts in zip(*each)])
    generator.eval()
    made = generator(*inputs).float()
    generator.train()
    return made


def _difference(ours: Tensor, reference: Tensor) -> float:
    masks = ours.shape[1] == 1
    return float(((ours > 0) != (reference > 0)).double().mean()) if masks else relative(ours.cpu(), reference.cpu())


def answer_rows(answer: Callable[[str, str], Answer], size: tuple[int, int], device: str, allowed: float) -> Iterator[dict]:
    """A row of the page's answer to a sketch, from array to array."""
    sketch = (batch_of(1, size)["coarse"][0, 0] > 0).numpy().astype(np.uint8)
    with computing():
        call = answer(device, "auto")
        taken = timed({"call": lambda: call(sketch, 1)}, allowed, device)["call"]
    yield {"what": "answer", "how": "page", "batch": 1, **spread(taken, 1)}
