"""Would torch.compile or CUDA graphs make a training step faster, and compute the same?

Tried in a process of its own, which is ended when its time is over: a compilation cannot be interrupted otherwise, and
a graph that fails to record can leave a process unable to use the GPU.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import Tensor

from ppcore.experiments.gpu.bench import Clock, batch_of, make, reason
from ppcore.experiments.gpu.fast import spread, timed
from ppcore.experiments.gpu.right import relative
from ppcore.study.interrupt import end_with
from ppcore.training.method import Method
from ppcore.training.precision import precision_on, prepared

GRAPH, COMPILE = "CUDA graph", "torch.compile"
SECONDS = 1.0  # of timing an attempt
WARM = 3  # steps before a graph is recorded


def attempts(way: str, size: tuple[int, int], narrow: bool, device: str, names: tuple[str, ...],
             allowed: float) -> Iterator[dict]:
    """Rows of GRAPH or COMPILE for each method at batch 1, against the same step without it; at most `allowed` s.

    `error`: relative error of a step's gradients, with equal draws. `note`: why there is no time.
    """
    if way == GRAPH and device != "cuda":
        yield from ({"method": name, "what": "training step", "how": way, "note": "only on a GPU"} for name in names)
        return
    names = tuple(sorted(names, key=lambda name: name == "CycleGAN"))  # its pool reads a count back: no graph, none after it
    clock, left = Clock(allowed), list(names)
    context = get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    process = context.Process(target=_try_all, args=(way, size, narrow, device, names, owner, torch.get_num_threads(), send))
    process.start()
    send.close()
    try:
        while left and receive.poll(clock.left()):
            row = receive.recv()
            left.remove(row["method"])
            yield row
    except EOFError:  # it ended by itself
        pass
        process.join(10)
    finally:
        process.kill()
        process.join()
    why = f"no time left of {allowed:.0f} s" if not clock.left() else "its process ended"
    yield from ({"method": name, "what": "training step", "how": way, "note": why} for name in left)


def _try_all(way: str, size: tuple[int, int], narrow: bool, device: str, names: tuple[str, ...], owner: str, threads: int,
             send: Connection) -> None:
    end_with(owner)
    torch.set_num_threads(threads)
    for name in names:
        row = {"method": name, "what": "training step", "how": way, "batch": 1}
        try:
            send.send(row | attempt(way, name, size, narrow, device))
        except Exception as error:  # each method may fail in its own way; the table says how
            send.send(row | {"note": reason(error)})


def attempt(way: str, name: str, size: tuple[int, int], narrow: bool, device: str) -> dict:
    """Times and error of a method's step made in a way, and `gain`, how many times as fast it is."""
    batch, gradients = batch_of(1, size, device), {}
    with started(name, size, narrow, device) as plain, started(name, size, narrow, device, way == COMPILE) as other:
        calls = {"plain": lambda: plain.step(batch), way: lambda: other.step(batch)}
        if way == GRAPH:
            several(plain, batch)
            calls[way] = recorded(other, batch)
        for key, method in (("plain", plain), (way, other)):
            torch.manual_seed(1)
            calls[key]()
            gradients[key] = torch.cat([weight.grad.flatten().cpu() for network in method.networks.values()
                                        for weight in network.parameters()])
        times = timed(calls, SECONDS, device)
    return {**spread(times[way], 1), "gain": float(np.median(times["plain"] / times[way])),
            "error": relative(gradients[way], gradients["plain"])}


@contextmanager
def started(name: str, size: tuple[int, int], narrow: bool, device: str, compiled: bool = False) -> Iterator[Method]:
    """A method as a training holds it, its networks compiled or not. Its penalty, drawn on the CPU, is left out.

    On a CPU the compiler only follows the code and makes none: it would need a C++ compiler.
    """
    method = make(name, size, narrow, gamma=0.0)
    if compiled:
        for network in method.networks.values():
            if any(True for _ in network.parameters()):
                network.forward = torch.compile(network.forward, backend="inductor" if device == "cuda" else "aot_eager")
    with prepared(method, device, precision_on(device)):
        yield method


def recorded(method: Method, batch: dict[str, Tensor]) -> Callable[[], None]:
    """A method's step recorded as one CUDA graph, after WARM steps; the call replays it with new draws."""
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["capturable"] = True
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        several(method, batch)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        method.step(batch)
    return graph.replay


def several(method: Method, batch: dict[str, Tensor]) -> None:
    """WARM steps with draws from seed 1."""
    torch.manual_seed(1)
    for _ in range(WARM):
        method.step(batch)
