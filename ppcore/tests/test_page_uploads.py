"""What does the drawing page do with files that are wrong, huge or hostile, and with ten requests at once?"""

import base64
import io
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from ppcore.drawing.answer import draw_fine
from ppcore.drawing.models import Choice, open_models
from ppcore.drawing.page_html import pack
from ppcore.figures.style import mask_picture
from ppcore.tests.test_answer import H, W, disc
from ppcore.tests.visit import WAY, needs_browser

MOST_MIB = 100  # that a refused file may add to the most memory that the server had


def payload(name: str, content: bytes | dict) -> dict:
    """A file as Playwright hands it in."""
    return {"name": name, "mimeType": "", "buffer": content if isinstance(content, bytes) else json.dumps(content).encode()}


def labelme(*shapes: dict, height: int = H, width: int = W, data: str | None = None) -> dict:
    return payload("outlines.json", {"version": "5.5.0", "shapes": list(shapes), "imageData": data, "imageHeight": height,
                                     "imageWidth": width})


def png(width: int, height: int, dark: tuple = (0, 0, 0, 0)) -> bytes:
    """One bit a pixel, white, with a black box."""
    image, stored = Image.new("1", (width, height), 1), io.BytesIO()
    image.paste(0, dark)
    image.save(stored, "PNG")
    return stored.getvalue()


def memory(pid: int, key: str) -> int:
    """MiB of a process: VmRSS, or VmHWM, the most that it had."""
    return int(re.search(rf"{key}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) // 1024


@needs_browser
def test_an_empty_drawing_is_told_and_one_that_is_all_tissue_is_answered(visit):
    here = visit()
    here.answered(lambda: here.press("Answer"))
    assert "The drawing is empty: draw where tissue should be" in here.said()
    here.answered(lambda: here.press("Fill"))
    assert "asked for 100.0%" in here.said() and here.page.locator("#shown img[alt=image]").count() == 1
    here.answered(lambda: here.press("Clear"))
    assert "The drawing is empty" in here.said()


def write_huge(folder: Path) -> dict[str, str]:
    """Files to be refused -> words of the refusal."""
    bitmap = {"label": "a", "shape_type": "mask", "points": [[0, 0], [12_999, 12_999]],
              "mask": base64.b64encode(png(13_000, 13_000)).decode()}
    files = {
        "square.png": (png(20_000, 20_000), "wanted at most 50 million in all: save it smaller"),
        "nested.json": (b"[" * 1_000_000, "nested.json is nested too deeply for a Labelme file"),
        "large.json": (b" " * 45_000_000, "exceed the maximum allowed size of 40.0 Mb"),
        "image.json": (b'{"shapes": [], "imageData": "' + b"A" * 2**24 + b'"}',
                       "image.json has 16 MiB; wanted at most 16: save it from Labelme without the image data"),
        "points.json": (b'{"shapes": [{"points": [' + b"[1,1]," * 2_500_000 + b"[1,1]]}]}",
                        "points.json holds 7,500,006 values; wanted at most 1,200,000: simplify its outlines"),
        "shapes.json": (b'{"shapes": [' + b"{}," * 5_000_000 + b"{}]}", "values; wanted at most 1,200,000"),
        "bitmap.json": (json.dumps({"imageHeight": 13_000, "imageWidth": 13_000, "shapes": [bitmap]}).encode(),
                        "brings its bitmaps to 169 million px; wanted at most 50")}
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    return {name: words for name, (_, words) in files.items()}


@needs_browser
def test_a_huge_file_is_refused_in_words_and_leaves_drawing_memory_and_server_as_they_were(visit, server, tmp_path):
    here = visit()
    here.mouse(WAY)
    for name, words in write_huge(tmp_path).items():
        Path(f"/proc/{server[2]}/clear_refs").write_text("5")  # the most it had is what it has now
        before = memory(server[2], "VmRSS")
        here.refused(tmp_path / name, words)
        assert memory(server[2], "VmHWM") - before < MOST_MIB, name
        here.answered(lambda: here.press("Answer"))
        assert f"asked for {here.expected(WAY).mean():.1%}" in here.said()


@needs_browser
def test_a_strip_of_20000_px_is_scaled_and_says_so(visit):
    here = visit()
    here.upload(payload("strip.png", png(20_000, 100, dark=(5000, 25, 15_000, 75))))
    here.page.locator(".toast-body", has_text="resized from 100 x 20000 px, aspect ratio not kept").wait_for()
    expected = np.zeros((H, W), np.uint8)
    expected[H // 4:3 * H // 4, W // 4:3 * W // 4] = 1
    assert np.mean(here.drawn("strip") != expected) < 0.02  # the shorter side is stretched


@needs_browser
def test_labelme_shapes_become_the_drawing_and_its_own_file_the_same_one(visit, tmp_path):
    here = visit()
    outer = {"label": "tissue", "shape_type": "polygon", "points": [[10, 5], [90, 5], [90, 55], [10, 55]]}
    hole = {"label": "hole", "shape_type": "polygon", "points": [[30, 15], [70, 15], [70, 45], [30, 45]]}
    circle = {"label": "tissue", "shape_type": "circle", "points": [[50, 30], [50, 38]]}
    box = {"label": "tissue", "shape_type": "rectangle", "points": [[120, 60], [100, 40]]}
    expected = np.zeros((H, W), np.uint8)
    expected[5:55, 10:90], expected[15:45, 30:70] = 1, 0
    rows, columns = np.mgrid[:H, :W] + 0.5
    expected[(rows - 30) ** 2 + (columns - 50) ** 2 < 64] = 1
    expected[40:60, 100:120] = 1
    here.upload(labelme(outer, hole, circle, box))
    drawn = here.drawn("outlined")
    assert np.sum(drawn != expected) <= 4  # the circle's rim
    here.page.locator(".toast-body", has_text="circle 1, polygon 2, rectangle 1; 1 of them cut out").wait_for()
    here.answered(lambda: here.press("Clear"))
    here.upload(here.drawings / "outlined" / "sketch.json")  # as the page saved it
    np.testing.assert_array_equal(here.drawn("outlined-again"), drawn)


@needs_browser
def test_geojson_of_qupath_becomes_the_drawing_and_its_own_file_the_same_one(visit, label_server):
    here = visit(label_server)
    boxes = [("nuclei", 20, 10, 40, 30), ("tissue", 10, 5, 90, 55)]
    regions = [{"type": "Feature", "properties": {"classification": {"name": name}}, "geometry": {
        "type": "Polygon", "coordinates": [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]]}}
        for name, left, top, right, bottom in boxes]
    expected = np.zeros((H, W), np.uint8)
    expected[5:55, 10:90], expected[10:30, 20:40] = 1, 2
    here.upload(payload("outlines.geojson", {"type": "FeatureCollection", "features": regions}))
    np.testing.assert_array_equal(here.drawn("regions"), expected)
    here.page.locator(".toast-body", has_text="outlines: tissue 1, nuclei 1").wait_for()
    here.answered(lambda: here.press("Clear"))
    here.upload(here.drawings / "regions" / "sketch.geojson")  # as the page saved it
    np.testing.assert_array_equal(here.drawn("regions-again"), expected)
    regions[0]["properties"]["classification"]["name"] = "Necrosis"
    here.page.set_input_files("input[type=file]", payload("outlines.geojson", regions[0]))
    here.page.locator(".toast-body", has_text="1 of Necrosis. Wanted air, tissue, nuclei").wait_for()


@needs_browser
def test_a_labelme_file_of_another_size_is_scaled_and_its_image_does_not_matter(visit):
    here = visit()
    box = {"label": "tissue", "shape_type": "rectangle", "points": [[0, 0], [H, W]]}
    image = base64.b64encode(png(2 * H, 2 * W)).decode()
    for number, data in enumerate((None, image)):
        here.answered(lambda: here.press("Clear"))
        here.upload(labelme(box, height=2 * W, width=2 * H, data=data))
        said = f"resized from {2 * W} x {2 * H} px, aspect ratio not kept: 4.00 times wider"
        here.page.locator(".toast-body", has_text=said).first.wait_for()
        drawn = here.drawn(f"scaled-{number}")
        assert drawn[:H // 2, :W // 2].all() and drawn.sum() == H * W // 4


@needs_browser
def test_a_file_name_that_climbs_out_of_its_folder_does_not(visit):
    here = visit()
    home = here.drawings.parents[3]
    for name in ("../../evil.png", "..\\..\\evil.png", "/tmp/../evil.png", "a" * 300 + ".png"):
        here.answered(lambda: here.press("Clear"))
        here.upload(payload(name, png(W, H, dark=(10, 10, 50, 50))))
        assert "asked for 19.5%" in here.said()
    outside = [path for path in home.rglob("*.png") if "evil" in path.name and home / "cache" not in path.parents]
    assert not outside and not list(home.parent.glob("evil*")) and not Path("/evil.png").exists()


BY = ("noise-GAN", "pix2pix")  # what answers


def test_ten_requests_at_once_each_get_their_own_answer(server, monkeypatch):
    """Through the server's own queue, as ten windows would ask: another drawing and seed, one of two models, held or not."""
    address, drawings, _ = server
    answer = next(event["id"] for event in requests.get(f"{address}/config").json()["dependencies"]
                  if event["api_name"] == "answer")
    masks = [np.roll(disc(), 5 * number, axis=1) for number in range(10)]

    def ask(seed: int) -> str:
        session = uuid.uuid4().hex
        asked = {"data": [pack(masks[seed]), seed, 2, BY[seed % 2], seed > 6, False, -1], "fn_index": answer, "session_hash": session}
        requests.post(f"{address}/gradio_api/queue/join", json=asked).raise_for_status()
        said = requests.get(f"{address}/gradio_api/queue/data", params={"session_hash": session}, stream=True)
        for line in said.iter_lines():
            if b"process_completed" in line:
                return json.loads(line.removeprefix(b"data: "))["output"]["data"][0]

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(10)))
    monkeypatch.setenv("PRIORPATH_HOME", str(drawings.parents[3]))
    models = [[open_models("smoke", "PHANTOM", method=method, choice=Choice(hold)) for method in BY] for hold in (False, True)]
    for seed, (mask, shown) in enumerate(zip(masks, answers)):
        pictures = re.findall(r'alt="fine mask" src="data:image/png;base64,([^"]+)"', shown)
        fine = [np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))) for picture in pictures]
        wanted = draw_fine(models[seed > 6][seed % 2], mask, seed, 2).fine
        np.testing.assert_array_equal(fine, [mask_picture(made) for made in wanted])
