"""A data set from the drawing page, and the page inside a notebook."""

import re
import socket

import numpy as np
import pandas as pd
from jupyter_client.manager import start_new_kernel

from ppcore.masks.make import read_mask
from ppcore.study.files import hash_file
from ppcore.study.runs import REPOSITORY
from ppcore.tests.test_answer import store_models
from ppcore.tests.test_run import run_all
from ppcore.tests.visit import WAY, Visit, needs_browser


def make_set(here: Visit, name: str, until: str = "pairs of") -> str:
    """What the page says in the end, or as soon as it says `until`."""
    here.page.get_by_placeholder("name of the data set").fill(name)
    here.press("Make the set")
    here.page.locator("#made", has_text=until).wait_for()
    return here.page.locator("#made").inner_text()


@needs_browser
def test_saved_drawings_become_a_data_set_the_same_as_by_the_command_it_names(visit):
    here = visit(width=390, height=844)
    sets = here.drawings.parent / "sets"
    here.mouse(WAY)
    assert "Saved in" in here.save("way")
    here.mouse([(0.2, 0.8), (0.8, 0.8)])
    assert "Saved in" in here.save("more")
    before = sorted(here.drawings.parent.rglob("*"))
    assert "is no valid name for a folder in sets" in make_set(here, "../out", "is no valid name")
    assert sorted(here.drawings.parent.rglob("*")) == before
    said = make_set(here, "mine")
    index = pd.read_csv(sets / "mine" / "index.csv").set_index("pair")
    assert f"{len(index)} pairs of {len(index) // 4} drawings in {sets / 'mine'}" in said
    assert {"way_0", "way_3", "more_3"} <= set(index.index) and index["variant"].max() == 3
    for name, row in index.iterrows():
        for kind, suffix in (("coarse", "png"), ("fine", "png"), ("rgb", "webp")):
            assert hash_file(sets / "mine" / kind / f"{name}.{suffix}") == row[f"{kind}_hash"]
    np.testing.assert_array_equal(read_mask(sets / "mine" / "coarse" / "way_1.png"),
                                  read_mask(here.drawings / "way" / "coarse.png"))
    command = re.search(r"run_all.sh (generate .*)", said)[1].replace(str(sets / "mine"), str(sets / "by-command"))
    assert run_all(*command.split(), home=here.drawings.parents[3])[0] == 0
    files = [{path.relative_to(folder): hash_file(path) for path in folder.rglob("*.*")}
             for folder in (sets / "mine", sets / "by-command")]
    assert files[0] == files[1]
    assert here.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@needs_browser
def test_a_set_grows_with_the_drawings_and_keeps_what_it_has(visit):
    here = visit()
    made = here.drawings.parent / "sets" / "grown"
    here.mouse(WAY)
    assert "Saved in" in here.save("first")
    make_set(here, "grown")
    before = {path: path.stat().st_mtime_ns for path in made.rglob("first_*")}
    assert len(before) == 12
    here.mouse([(0.3, 0.1), (0.3, 0.9)])
    assert "Saved in" in here.save("second")
    here.answered(lambda: here.press("Fill"))
    assert "Saved in" in here.save("full")
    assert "Left out, as all tissue or unreadable: full" in make_set(here, "grown", "Left out")
    assert {"first", "second"} <= set(pd.read_csv(made / "index.csv")["outline"])
    assert {path: path.stat().st_mtime_ns for path in made.rglob("first_*")} == before
    here.answered(lambda: here.page.get_by_label("Seed").fill("7"))
    assert "give another folder" in make_set(here, "grown", "holds pairs of other models")


@needs_browser
def test_the_page_in_a_notebook_answers_until_the_kernel_ends_and_leaves_no_frame_where_nobody_looks(
        browser, tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which must not matter to this machine's own page
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    store_models()
    manager, client = start_new_kernel(kernel_name="python3")

    def run(code: str, somebody: bool) -> str:
        seen: list[str] = []
        reply = client.execute_interactive(code, allow_stdin=somebody, timeout=120,
                                           output_hook=lambda message: seen.append(str(message["content"])))
        assert reply["content"]["status"] == "ok", seen
        return " ".join(seen)

    try:
        run("from ppcore.drawing.models import open_models\nfrom ppcore.drawing.page import show_inline\n"
            "models = open_models('smoke', 'PHANTOM', threads=1)", somebody=True)
        alone = run("page = show_inline(models)", somebody=False)
        assert "this notebook runs unattended" in alone and "iframe" not in alone and "127.0.0.1" not in alone
        shown = run("page = show_inline(models)", somebody=True)
        address = re.search(r'<iframe[^>]*src=\\?"(http://127.0.0.1:\d+)/', shown)[1]
        here = Visit(browser, (address, tmp_path, 0))
        here.mouse(WAY)
        assert f"asked for {here.expected(WAY).mean():.1%}" in here.said()
        colour = here.page.get_by_text("Draw", exact=True).evaluate("button => getComputedStyle(button).backgroundColor")
        assert colour == "rgb(0, 114, 178)" and not here.errors  # the page's own look came with it
        here.page.context.close()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address.rsplit(":", 1)[1])))
