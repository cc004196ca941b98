"""How is work stopped? Ctrl-C waits for the current step to finish; a helper process ends with its parent."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def late_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, to be checked between steps; a second one acts at once.

    Does nothing outside the main thread, the only one to receive Ctrl-C, or where Ctrl-C is ignored.
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
    """For data-loading processes: a terminal sends them Ctrl-C too, but they end with the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_with(owner: str) -> None:
    """End this process when its owner is gone, so that a killed run leaves nothing running.

    owner: "host:pid". On another host (a cluster node) the scheduler takes care of that.
    """
    host, pid = owner.rsplit(":", 1)
    if host != socket.gethostname():
        return

    def watch() -> None:
        while True:
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                os._exit(1)
            time.sleep(0.5)

    threading.Thread(target=watch, daemon=True).start()
