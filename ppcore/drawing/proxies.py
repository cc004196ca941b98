"""How does the page reach its own server, if the user has a proxy? Without it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_proxy() -> Iterator[None]:
    """Hide the proxies of the environment (HTTP_PROXY, all_proxy and others) from Gradio, then put them back.

    Gradio asks its own server whether it is up, which no proxy can reach, and needs a package more for SOCKS.
    """
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ.update(hidden)
