"""The drawing page: a sketch by hand -> fine masks -> images. What answers is `ppcore.answer`; this is what one sees.

draw.html and draw.js are the surface that is drawn on, draw.css is the look. All is served from here: it works offline.
"""

import base64
import html
import itertools
import os
import socket
from pathlib import Path

import cv2
import gradio as gr
import numpy as np
import pandas as pd

from ppcore.answer import MOST_VARIANTS, Drawing, Models, draw_fine, draw_images, open_models, training_command
from ppcore.drawings import save
from ppcore.figures import mask_picture
from ppcore.masks import read_mask
from ppcore.settings import StudyError, data_folder
from ppcore.sketches import read_sketch

EXAMPLES = 8
BRUSH = 24  # px of the mask, to begin with
CHOOSE = ('element.addEventListener("click", (event) => { const button = event.target.closest("button"); '
          'if (button) trigger("click", {number: Number(button.dataset.number)}); });')


def pack(mask: np.ndarray) -> str:
    """Mask (H, W) in {0, 1} as the surface takes it: its bits in base64."""
    return base64.b64encode(np.packbits(mask)).decode()


def unpack(text: str | None, height: int, width: int) -> np.ndarray:
    """Mask (height, width) uint8 in {0, 1} that the surface sent; all air before anything was drawn."""
    if not text:
        return np.zeros((height, width), np.uint8)
    try:
        bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        return np.unpackbits(bits).reshape(height, width)
    except ValueError:
        raise StudyError(f"what came is no mask of {height} x {width} px: reload the page") from None


def show(drawing: Drawing, waiting: bool) -> str:
    """The answers as HTML, the coarse outline over each. waiting: images are still to come."""
    height, width = drawing.coarse.shape
    lines = cv2.findContours(drawing.coarse, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    path = "".join("M" + "L".join(f"{x + 0.5:g} {y + 0.5:g}" for x, y in line[:, 0].tolist()) + "Z" for line in lines)
    over = (f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none"><path vector-effect="non-scaling-stroke" '
            f'd="{path}"/></svg></div><figcaption>')
    frame = f'<figure><div class="frame" style="aspect-ratio: {width} / {height}">'
    shown = ""
    for n, mask in enumerate(drawing.fine):
        fine = _picture(mask_picture(mask), ".png", "fine mask")
        shown += (f'{frame}{fine}{over}Fine mask {n + 1}: {mask.mean():.1%} tissue, asked for '
                  f'{drawing.coarse.mean():.1%}</figcaption></figure>')
        if drawing.images or waiting:
            image = (_picture(drawing.images[n], ".jpeg", "image") if drawing.images
                     else '<div class="waiting">image to come</div>')
            shown += f"{frame}{image}{over}Image {n + 1}</figcaption></figure>"
    return f'<div class="answers{" several" * (len(drawing.fine) > 1)}">{shown}</div>'


def _picture(rgb: np.ndarray, suffix: str, what: str) -> str:
    how = (cv2.IMWRITE_PNG_COMPRESSION, 1) if suffix == ".png" else (cv2.IMWRITE_JPEG_QUALITY, 92)
    data = base64.b64encode(cv2.imencode(suffix, rgb[..., ::-1], how)[1]).decode()
    return f'<img alt="{what}" src="data:image/{suffix[1:]};base64,{data}">'


def _beside(suffix: str) -> str:
    return Path(__file__).with_suffix(suffix).read_text(encoding="utf-8")


def _note(words: str) -> str:
    return f'<div class="note">{html.escape(words)}</div>'


def _examples(masks: list[np.ndarray], cohort: str) -> str:
    """Coarse masks to start from, as buttons."""
    pictures = [_picture(mask_picture(mask), ".png", "coarse mask") for mask in masks]
    buttons = "".join(f'<button type="button" data-number="{n}">{shown}</button>' for n, shown in enumerate(pictures))
    return f'<p>Start from a typical coarse mask of {cohort}</p><div class="examples">{buttons}</div>' if masks else ""


def _typical(folder: Path) -> list[Path]:
    """Coarse masks of the best examples of each kind (notebook 03); without kinds, some from all over the cohort."""
    coarse, kinds = sorted((folder / "coarse").glob("[!.]*.png")), folder / "clusters" / "index.csv"
    if kinds.exists():
        best = pd.read_csv(kinds, dtype={"patch": str}).sort_values(["rank", "cluster"])["patch"].head(EXAMPLES)
        coarse = [path for patch in best if (path := folder / "coarse" / f"{patch}.png").exists()] or coarse
    return coarse[:: max(1, len(coarse) // EXAMPLES)][:EXAMPLES]


def _free_name(drawings: Path) -> str:
    return next(name for n in itertools.count(1) if not (drawings / (name := f"drawing-{n}")).exists())


def _who_answers(models: Models) -> str:
    made = models.made_with
    cards = ", ".join(f"{name} (card {hashes['card']})" for name, hashes in made["models"].items())
    missing = "" if models.pix2pixhd else (" · no image: no pix2pixHD is trained, "
                                           f"`{training_command(models.profile, models.cohort)}` makes one")
    return (f"Cohort **{models.cohort}**, profile {models.profile}, {models.height} x {models.width} px · "
            f"answered by {cards} · commit {made['commit']}, {made['device']}, {made['precision']}{missing}")


def build(models: Models) -> gr.Blocks:
    """The page for the models of a cohort."""
    size = models.height, models.width
    folder = data_folder(models.profile, models.cohort)
    drawings = folder / "drawings"
    examples = [read_mask(path) for path in _typical(folder)]
    plain = {"apply_default_css": False}

    def answer(text: str, seed: float, variants: float) -> tuple[str, Drawing | None]:
        try:
            drawing = draw_fine(models, unpack(text, *size), int(seed or 0), int(variants))
        except StudyError as error:
            return _note(str(error)), None
        return show(drawing, models.pix2pixhd is not None), drawing

    def paint(drawing: Drawing | None) -> tuple[str, Drawing] | dict:
        if drawing is None or drawing.images or not models.pix2pixhd:
            return gr.skip()
        drawing = draw_images(models, drawing)
        return show(drawing, False), drawing

    def start_from(event: gr.EventData) -> str:
        return pack(examples[event.number])

    def upload(path: str) -> str | dict:
        try:
            mask, remark = read_sketch(path, *size)
        except StudyError as error:
            gr.Warning(html.escape(str(error)), duration=15)
            return gr.skip()
        gr.Info(html.escape(remark))
        return pack(mask)

    def store(drawing: Drawing | None, name: str) -> tuple[str, str]:
        if drawing is None:
            return _note("There is nothing to save yet: draw first."), name
        try:
            drawing = drawing if drawing.images else draw_images(models, drawing)
            folder = save(models, drawing, name.strip())
        except StudyError as error:
            return _note(str(error)), name
        words = f"Saved in {folder}\nTo make it again and compare: ./run_all.sh draw --reproduce {folder}"
        return _note(words), _free_name(drawings)

    with gr.Blocks(title="PriorPath: draw tissue", analytics_enabled=False, delete_cache=(3600, 86400),
                   fill_width=True) as page:
        gr.Markdown(f"## Draw where tissue should be\n{_who_answers(models)}")
        kept = gr.State()
        with gr.Row():
            with gr.Column(min_width=340):
                surface = gr.HTML(html_template=_beside(".html").format(brush=BRUSH, height=size[0], width=size[1]),
                                  js_on_load=_beside(".js"), rows=size[0],
                                  columns=size[1], elem_classes="surface", **plain)
                with gr.Row():
                    seed = gr.Number(1, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=100)
                    variants = gr.Slider(1, MOST_VARIANTS, 1, step=1, label="Variants", min_width=160)
                with gr.Row():
                    again = gr.Button("Answer", variant="primary", min_width=100, size="md")
                    given = gr.UploadButton("Upload an image or Labelme file", min_width=200, size="md",
                                            file_types=["image", ".json"])
                chosen = gr.HTML(_examples(examples, models.cohort), js_on_load=CHOOSE, **plain)
            with gr.Column(min_width=340):
                shown = gr.HTML(_note("Let go of the pen, and the answer comes here."), elem_id="shown", **plain)
                outline = gr.Checkbox(True, label="Show the coarse outline", container=False)
                with gr.Row():
                    name = gr.Textbox(lambda: _free_name(drawings), show_label=False, max_length=80, min_width=160,
                                      container=False, placeholder="name of the drawing")
                    keep = gr.Button("Save", min_width=100, size="md")
                stored = gr.HTML(elem_id="stored", **plain)
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        made = {"outputs": [shown, kept], "concurrency_id": "models", **quiet}  # one after another, in the order asked
        asked = {"inputs": [surface, seed, variants], **made}
        changes = [surface.input, again.click, seed.change, variants.change]
        for answered in (gr.on(changes, answer, trigger_mode="always_last", **asked),
                         given.upload(upload, given, surface, **quiet).success(answer, **asked),
                         chosen.click(start_from, None, surface, **quiet).success(answer, **asked)):
            answered.then(paint, kept, js="async (drawing) => { await surfaceAtRest(); return drawing; }", **made)
        keep.click(store, [kept, name], [stored, name], concurrency_id="models", **quiet)
        outline.change(None, outline, js="(on) => document.body.classList.toggle('without-outline', !on)")
    return page


def serve(profile: str, cohort: str, host: str, port: int) -> int:
    """Open the page and stay until it is interrupted. Raises `StudyError` before anything is served."""
    models = open_models(profile, cohort)
    draw_fine(models, np.ones((models.height, models.width)), 0)  # the first answer of a network is a slow one
    try:
        socket.create_server((host, port)).close()
    except (OSError, OverflowError) as error:
        raise StudyError(f"--host {host} --port {port} cannot be opened ({error}): take another port") from None
    page = build(models)
    page.queue(default_concurrency_limit=1)
    print(f"cohort {cohort}, profile {profile}: draw at http://{host}:{port} (Ctrl-C ends it)", flush=True)
    if host not in ("127.0.0.1", "localhost", "::1"):
        print("Whoever reaches this address can draw and save: there is no password.", flush=True)
    page.launch(server_name=host, server_port=port, share=False, quiet=True, footer_links=[], run_history=False,
                ssr_mode=False, enable_monitoring=False, max_file_size="40mb", css=_beside(".css"),
                inbrowser=bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")),
                theme=gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]))
    return 0
