"""Fixtures of the drawing page's tests: a server for all of them, and a browser for each file."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The page on models of no training, in an empty study: address, folder of drawings, process id."""
    from ppcore.tests.test_answer import store_models

    yield from _served(tmp_path_factory.mktemp("page"), store_models)


@pytest.fixture(scope="module")
def label_server(tmp_path_factory):
    """The same on models of three classes."""
    from ppcore.tests.test_pairs import store_label_models

    yield from _served(tmp_path_factory.mktemp("label-page"), store_label_models)


def _served(home: Path, store: Callable[[], None]) -> Iterator[tuple[str, Path, int]]:
    from ppcore.study.runs import REPOSITORY, data_folder

    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as free:
        patch.setenv("PRIORPATH_HOME", str(home))
        store()
        drawings, port = data_folder("smoke", "PHANTOM") / "drawings", free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "ppcore.run", "draw", "--profile", "smoke", "--port", str(port)], cwd=REPOSITORY,
        env={**os.environ, "PRIORPATH_HOME": str(home), "GRADIO_TEMP_DIR": str(home / "cache")}, text=True,
        stdout=subprocess.PIPE)
    assert "draw at" in process.stdout.readline()
    for _ in range(300):
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}", drawings, process.pid
    process.send_signal(signal.SIGINT)
    assert process.wait(20) in (0, 130)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    from ppcore.tests.visit import CHROMIUM

    with sync_playwright() as playwright:
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # whose Chromium starts only without its sandbox
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] * root)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server):
    """Opens the page in a window of its own, as often as it is called."""
    from ppcore.tests.visit import Visit

    visits = []

    def start(where=server, **how) -> Visit:
        visits.append(Visit(browser, where, **how))
        return visits[-1]

    yield start
    for each in visits:
        each.page.context.close()
        assert not each.outside and not each.errors
