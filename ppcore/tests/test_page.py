"""The drawing page as a person meets it: a real server, a real browser, and what arrives at the model."""

import re
import socket
import statistics

import numpy as np
import pytest
from PIL import Image

from ppcore.drawing.page_html import pack, unpack
from ppcore.masks.labelme import read_labelme
from ppcore.masks.make import read_mask
from ppcore.metrics.control import iou
from ppcore.study.errors import StudyError
from ppcore.tests.test_answer import H, W, disc, store_models
from ppcore.tests.test_run import run_all
from ppcore.tests.visit import WAY, needs_browser


@needs_browser
def test_a_stroke_of_the_mouse_reaches_the_model_as_drawn_and_undo_takes_it_back(visit):
    here = visit()
    here.mouse(WAY)
    first = here.expected(WAY)
    assert np.sum(here.drawn("mouse-1") != first) <= 2  # ties of rounding
    here.page.get_by_text("Erase").click()
    here.page.locator("[data-is=size]").fill("9")
    here.mouse([(0.1, 0.5), (0.9, 0.5)])
    assert np.sum(here.drawn("mouse-2") != first * (1 - here.expected([(0.1, 0.5), (0.9, 0.5)], 9))) <= 2
    here.answered(lambda: here.press("Undo"))
    assert np.sum(here.drawn("mouse-3") != first) <= 2
    here.answered(lambda: here.page.keyboard.press("Control+z"))
    assert "The drawing is empty: draw where tissue should be" in here.said()


@needs_browser
def test_the_class_of_the_pen_reaches_the_model(visit, label_server):
    """Tissue, then nuclei over it, an eraser across both; and what was asked for and obtained, a class."""
    here = visit(label_server)
    here.mouse(WAY)
    tissue = here.expected(WAY)
    here.press("nuclei")
    over, across = [(0.3, 0.5), (0.9, 0.5)], [(0.5, 0.1), (0.5, 0.9)]
    here.mouse(over)
    wanted = np.where(here.expected(over), 2, tissue)
    assert np.sum(here.drawn("classes-1") != wanted) <= 4
    here.press("Erase")
    here.mouse(across)
    wanted = wanted * (1 - here.expected(across))
    drawn = here.drawn("classes-2")
    assert np.sum(drawn != wanted) <= 6
    shares = [np.mean(drawn == value) for value in (1, 2)]
    surface = here.page.locator("[data-is=asked]").inner_text()
    assert surface == f"{shares[0]:.1%} tissue, {shares[1]:.1%} nuclei".replace("%", " %")
    assert f"asked for {np.mean(drawn > 0):.1%}; nuclei dense in" in here.said()
    assert f"asked for {shares[1]:.1%}" in here.said()
    here.answered(lambda: here.press("Undo"))
    here.answered(lambda: here.press("Undo"))
    assert np.sum(here.drawn("classes-3") != tissue) <= 2
    assert here.page.locator("#shown svg").first.locator("path").count() == 2


@needs_browser
def test_a_finger_draws_in_px_of_the_mask_in_a_narrow_window(visit):
    here = visit(width=390, height=844, has_touch=True, is_mobile=True, device_scale_factor=3)
    assert here.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    here.finger(WAY)
    assert np.sum(here.drawn("finger") != here.expected(WAY)) <= 2


@needs_browser
def test_an_upload_becomes_the_drawing_and_a_broken_one_leaves_it(visit, tmp_path):
    here = visit()
    Image.fromarray(np.kron(1 - disc(), np.full((2, 2), 255, np.uint8))).save(tmp_path / "paper.png")  # dark on light
    here.answered(lambda: here.page.set_input_files("input[type=file]", tmp_path / "paper.png"))
    np.testing.assert_array_equal(here.drawn("upload"), disc())
    (tmp_path / "broken.png").write_bytes((tmp_path / "paper.png").read_bytes()[:60])
    here.page.set_input_files("input[type=file]", tmp_path / "broken.png")
    here.page.get_by_text(re.compile("broken.png cannot be read")).wait_for()
    np.testing.assert_array_equal(here.drawn("upload-2"), disc())
    here.answered(lambda: here.press("Undo"))
    assert "empty" in here.said()
    here.answered(lambda: here.page.get_by_role("button", name="coarse mask").first.click())
    np.testing.assert_array_equal(here.drawn("example"), disc())


@needs_browser
def test_what_is_saved_is_made_again_bit_for_bit_and_a_bad_name_is_refused(visit):
    here = visit()
    here.mouse(WAY)
    here.answered(lambda: here.page.get_by_label("number input for Variants").fill("2"))
    assert here.page.locator("#shown img").count() == 4 and here.page.locator("#shown svg path").count() == 4
    fine = f"{here.expected(WAY).mean():.1%}"
    assert here.said().count(f"tissue, asked for {fine}") == 2
    before = sorted(here.drawings.parent.rglob("*"))
    assert "is no valid name for a folder in drawings" in here.save("../../out")
    assert sorted(here.drawings.parent.rglob("*")) == before
    assert "Saved in" in here.save("kept") and "take another name" in here.save("kept")
    outlined, _ = read_labelme(here.drawings / "kept" / "sketch.json", H, W)  # what Labelme opens
    assert iou(outlined, read_mask(here.drawings / "kept" / "sketch.png")) > 0.98
    status, said = run_all("draw", "--reproduce", str(here.drawings / "kept"), home=here.drawings.parents[3])
    assert status == 0 and "reproduced bit for bit" in said
    assert sorted(path.name for path in (here.drawings / "kept").iterdir()) == [
        "coarse.png", "drawing.json", "fine_0.png", "fine_1.png", "rgb_0.webp", "rgb_1.webp", "sketch.json",
        "sketch.png"]


@needs_browser
def test_strokes_in_quick_succession_end_in_the_image_of_all_of_them(visit):
    here = visit()
    ways = [[(0.1, y), (0.9, y)] for y in (0.2, 0.5, 0.8)]

    def draw() -> None:
        for way in ways:
            here.page.mouse.move(*here.place(*way[0]))
            here.page.mouse.down()
            here.page.mouse.move(*here.place(*way[1]))
            here.page.mouse.up()

    here.answered(draw)
    expected = np.max([here.expected(way) for way in ways], axis=0)
    here.page.get_by_text(f"asked for {expected.mean():.1%}").wait_for()
    here.page.wait_for_function("() => document.querySelector('#shown img[alt=image]')")
    assert np.sum(here.drawn("quick") != expected) <= 4


@needs_browser
def test_from_letting_go_of_the_pen_to_the_answer_on_the_page(visit, record_property, capsys):
    here = visit()
    for n in range(8):
        here.mouse([(0.1, 0.1 * n + 0.1), (0.9, 0.1 * n + 0.1)])
    times = here.page.evaluate("() => window.times")
    median = statistics.median(times)
    record_property("pen_to_mask_ms", median)
    with capsys.disabled():
        print(f"\npen to mask on the page, models of no size: median {median:.0f} ms, longest {max(times):.0f} ms")
    assert len(times) == 8


def test_a_mask_comes_through_the_wire_and_another_size_is_told():
    np.testing.assert_array_equal(unpack(pack(disc()), H, W), disc())
    for count in (2, 3, 4, 5, 16):
        labels = np.random.default_rng(count).integers(0, count, (H, W), np.uint8)
        np.testing.assert_array_equal(unpack(pack(labels, count), H, W, count), labels)
    with pytest.raises(StudyError, match="reload the page"):  # a value that no class has
        unpack(pack(np.full((H, W), 3, np.uint8), 4), H, W, 3)
    assert not unpack(None, H, W).any()
    for wrong in ("!", "AAAA", pack(disc())[:-8]):
        with pytest.raises(StudyError, match="no mask of 64 x 128 px: reload the page"):
            unpack(wrong, H, W)


def test_a_page_that_cannot_open_says_why(tmp_path, monkeypatch, capsys):
    from ppcore.run import main

    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    assert main(["draw", "--cohort", "PRAD"]) == 2
    assert "./run_all.sh --profile demo --cohort PRAD" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert main(["draw", "--cohort", "A", "B"]) == 2 and "wanted one --cohort" in capsys.readouterr().err
    store_models()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["draw", "--profile", "smoke", "--port", port]) == 2
    assert f"--port {port} cannot be opened" in capsys.readouterr().err
    assert main(["draw", "--reproduce", str(tmp_path)]) == 2 and "holds no drawing" in capsys.readouterr().err
