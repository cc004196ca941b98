"""Fixtures of the drawing page's tests: a server for all of them, and a browser for each file."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The page on models of no training, in an empty study: address, folder of drawings, process id."""
    from ppcore.study.runs import REPOSITORY, data_folder
    from ppcore.tests.test_answer import store_models

    home = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as free:
        patch.setenv("PRIORPATH_HOME", str(home))
        store_models()
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

    def start(**how) -> Visit:
        visits.append(Visit(browser, server, **how))
        return visits[-1]

    yield start
    for each in visits:
        each.page.context.close()
        assert not each.outside and not each.errors
