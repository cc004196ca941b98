"""What does Ctrl-C do to a training run? It waits for the end of the step, so that none is left half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def late_interrupt() -> Iterator[threading.Event]:
    """Turn a first Ctrl-C into an event, to be asked for between two steps; a second one acts at once.

    Outside the main thread, which alone receives it, and where Ctrl-C is ignored, nothing changes.
    """
    event, usual = threading.Event(), signal.getsignal(signal.SIGINT)

    def hold(number: int, frame: Any) -> None:
        event.set()
        signal.signal(signal.SIGINT, usual)

    held = threading.current_thread() is threading.main_thread() and callable(usual)
    if held:
        signal.signal(signal.SIGINT, hold)
    try:
        yield event
    finally:
        if held:
            signal.signal(signal.SIGINT, usual)


def ignore_interrupt(worker: int) -> None:
    """For the processes that load data: a terminal sends them Ctrl-C, too, but they end with the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
