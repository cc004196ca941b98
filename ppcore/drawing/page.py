"""The drawing page: a sketch by hand -> fine masks -> images. What answers is `ppcore.drawing.answer`; this is what one sees.

draw.html and draw.js are the surface that is drawn on, draw.css is the look, `ppcore.drawing.page_html` shows what came. All is
served from here: it works offline.
"""

import html
import itertools
import os
import shlex
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import IFrame, display

from ppcore.drawing.answer import MOST_VARIANTS, Drawing, Models, draw_fine, draw_images, open_models
from ppcore.drawing.page_html import note, pack, show_answers, show_examples, unpack, who_answers
from ppcore.drawing.pairs import from_sketches, growing_rows
from ppcore.drawing.stored import named_folder, save
from ppcore.masks.make import read_mask
from ppcore.masks.sketches import read_sketch
from ppcore.study.errors import StudyError
from ppcore.study.runs import data_folder

EXAMPLES = 8
BRUSH = 24  # px of the mask, to begin with
CHOOSE = ('element.addEventListener("click", (event) => { const button = event.target.closest("button"); '
          'if (button) trigger("click", {number: Number(button.dataset.number)}); });')


def _beside(suffix: str) -> str:
    return Path(__file__).with_suffix(suffix).read_text(encoding="utf-8")


def _typical(folder: Path) -> list[Path]:
    """Coarse masks of the best examples of each kind (notebook 03); without kinds, some from all over the cohort."""
    coarse, kinds = sorted((folder / "coarse").glob("[!.]*.png")), folder / "clusters" / "index.csv"
    if kinds.exists():
        best = pd.read_csv(kinds, dtype={"patch": str}).sort_values(["rank", "cluster"])["patch"].head(EXAMPLES)
        coarse = [path for patch in best if (path := folder / "coarse" / f"{patch}.png").exists()] or coarse
    return coarse[:: max(1, len(coarse) // EXAMPLES)][:EXAMPLES]


def _free_name(folder: Path, stem: str) -> str:
    return next(name for n in itertools.count(1) if not (folder / (name := f"{stem}-{n}")).exists())


def build(models: Models) -> gr.Blocks:
    """The page for the models of a cohort."""
    size = models.height, models.width
    folder = data_folder(models.profile, models.cohort)
    drawings, sets = folder / "drawings", folder / "sets"
    examples = [read_mask(path) for path in _typical(folder)]
    plain = {"apply_default_css": False}

    def answer(text: str, seed: float, variants: float) -> tuple[str, Drawing | None]:
        try:
            drawing = draw_fine(models, unpack(text, *size), int(seed or 0), int(variants))
        except StudyError as error:
            return note(str(error)), None
        return show_answers(drawing, models.image is not None), drawing

    def paint(drawing: Drawing | None) -> tuple[str, Drawing] | dict:
        if drawing is None or drawing.images or not models.image:
            return gr.skip()
        drawing = draw_images(models, drawing)
        return show_answers(drawing, False), drawing

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
            return note("There is nothing to save yet: draw first."), name
        try:
            drawing = drawing if drawing.images else draw_images(models, drawing)
            folder = save(models, drawing, name.strip())
        except StudyError as error:
            return note(str(error)), name
        words = f"Saved in {folder}\nTo make it again and compare: ./run_all.sh draw --reproduce {folder}"
        return note(words), _free_name(drawings, "drawing")

    def make_set(name: str, variants: float, seed: float) -> Iterator[str]:
        started = time.monotonic()
        try:
            target = named_folder(models, "sets", name.strip())
            saved = {path.parent.name for path in drawings.glob("[!.]*/sketch.png")}
            if not saved:
                raise StudyError("No drawing is saved yet: save one, or several, first.")
            outlines = from_sketches(models, drawings)
            yield note(f"0 of {len(outlines)} drawings")
            for done, rows in enumerate(growing_rows(models, outlines, target, int(seed or 0), int(variants)), start=1):
                rate = len(rows) / (time.monotonic() - started)
                yield note(f"{done} of {len(outlines)} drawings, {len(rows)} pairs, {rate:.2g} pairs a second")
        except StudyError as error:
            yield note(str(error))
            return
        left_out = sorted(saved - {outline.name for outline in outlines})
        command = ["./run_all.sh", "generate", "--profile", models.profile, "--cohort", models.cohort, "--sketches",
                   str(drawings), "--to", str(target), "--variants", str(int(variants)), "--seed", str(int(seed or 0))]
        yield note(f"{len(rows)} pairs of {len(outlines)} drawings in {target}\nThe same by a command: {shlex.join(command)}"
                   + (f"\nLeft out, as all tissue or not readable: {', '.join(left_out)}" if left_out else ""))

    with gr.Blocks(title="PriorPath: draw tissue", analytics_enabled=False, delete_cache=(3600, 86400),
                   fill_width=True) as page:
        gr.Markdown(f"## Draw where tissue should be\n{who_answers(models)}")
        kept = gr.State()
        with gr.Row():
            with gr.Column(min_width=340, elem_classes="drawn"):
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
                chosen = gr.HTML(show_examples(examples, models.cohort), js_on_load=CHOOSE, elem_classes="typical",
                                 **plain)
            with gr.Column(min_width=340):
                shown = gr.HTML(note("Let go of the pen, and the answer comes here."), elem_id="shown", **plain)
                outline = gr.Checkbox(True, label="Show the coarse outline", container=False)
                with gr.Row():
                    name = gr.Textbox(lambda: _free_name(drawings, "drawing"), show_label=False, max_length=80, min_width=160,
                                      container=False, placeholder="name of the drawing")
                    keep = gr.Button("Save", min_width=100, size="md")
                stored = gr.HTML(elem_id="stored", **plain)
                gr.Markdown("**Data set:** outline, fine masks and images of every saved drawing")
                with gr.Row():
                    set_name = gr.Textbox(lambda: _free_name(sets, "set"), show_label=False, max_length=80, min_width=120,
                                          container=False, placeholder="name of the data set")
                    each = gr.Dropdown([(f"{n} of each", n) for n in range(1, MOST_VARIANTS + 1)],
                                       value=4, show_label=False, container=False, min_width=100)
                    make = gr.Button("Make the set", min_width=100, size="md")
                made_set = gr.HTML(elem_id="made", **plain)
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        made = {"outputs": [shown, kept], "concurrency_id": "models", **quiet}  # one after another, in the order asked
        asked = {"inputs": [surface, seed, variants], **made}
        changes = [surface.input, again.click, seed.change, variants.change]
        for answered in (gr.on(changes, answer, trigger_mode="always_last", **asked),
                         given.upload(upload, given, surface, **quiet).success(answer, **asked),
                         chosen.click(start_from, None, surface, **quiet).success(answer, **asked)):
            answered.then(paint, kept, js="async (drawing) => { await surfaceAtRest(); return drawing; }", **made)
        keep.click(store, [kept, name], [stored, name], concurrency_id="models", **quiet)
        make.click(make_set, [set_name, each, seed], made_set, concurrency_id="sets", **quiet)  # beside the answers
        outline.change(None, outline, js="(on) => document.body.classList.toggle('without-outline', !on)")
    return page


def serve(profile: str, cohort: str, host: str, port: int) -> int:
    """Open the page and stay until it is interrupted. Raises `StudyError` before anything is served."""
    models = open_models(profile, cohort)
    try:
        socket.create_server((host, port)).close()
    except (OSError, OverflowError) as error:
        raise StudyError(f"--host {host} --port {port} cannot be opened ({error}): take another port") from None
    print(f"cohort {cohort}, profile {profile}: draw at http://{host}:{port} (Ctrl-C ends it)", flush=True)
    if host not in ("127.0.0.1", "localhost", "::1"):
        print("Whoever reaches this address can draw and save: there is no password.", flush=True)
    _launch(models, host, port, inbrowser=bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")))
    return 0


def show_inline(models: Models, height: int = 1000) -> gr.Blocks:
    """Open the page in the output of a notebook's cell; it is served until the kernel ends. height: px of the output.

    At a free port of 127.0.0.1, in `local_url` of what is returned. Another call takes the place of the one before.
    Where nobody sits at the notebook, as under papermill, it is served and not shown: a frame of it would outlast it.
    """
    gr.close_all()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    page = _launch(models, "127.0.0.1", port, prevent_thread_lock=True)
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is not None and kernel.get_parent("shell")["content"].get("allow_stdin"):  # somebody could be asked
        print(f"Also at {page.local_url}, until the kernel ends.")
        display(IFrame(page.local_url, "100%", height))
    else:
        print("The page is not shown here, since nobody sits at this notebook.")
    return page


def _launch(models: Models, host: str, port: int, **how) -> gr.Blocks:
    draw_fine(models, np.ones((models.height, models.width)), 0)  # the first answer of a network is a slow one
    mine = [os.environ.get("no_proxy"), os.environ.get("NO_PROXY"), host]
    os.environ["no_proxy"] = ",".join(filter(None, mine))  # a proxy does not know this machine's own addresses
    page = build(models)
    page.queue(default_concurrency_limit=1)
    page.launch(server_name=host, server_port=port, inline=False, share=False, quiet=True, footer_links=[],
                run_history=False, ssr_mode=False, enable_monitoring=False, max_file_size="40mb", css=_beside(".css"),
                theme=gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]),
                **how)
    return page
