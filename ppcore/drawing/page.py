"""How does one try the study's models? On a page to draw on: a sketch by hand -> fine masks -> images.

page.html and page.js are the drawing surface, page.css is the look. Buttons call `ppcore.drawing.desk`,
`ppcore.drawing.answer` computes the answers, and `ppcore.drawing.page_html` shows them. Everything is served from here, so the page works offline.
"""

import os
import socket
import webbrowser
from pathlib import Path

import numpy as np
from IPython import get_ipython
from IPython.display import IFrame, display

from ppcore.drawing.answer import MOST_VARIANTS, draw_fine
from ppcore.drawing.desk import ANY, Desk, free_name
from ppcore.drawing.looks import stains, swatch
from ppcore.drawing.models import Models, answering, open_models, outlines_of
from ppcore.drawing.page_html import note, show_examples, show_pens, show_stains, surface_colours, who_answers
from ppcore.drawing.proxies import no_proxy
from ppcore.masks.make import read_mask
from ppcore.masks.sketches import OUTLINES
from ppcore.methods.table import find
from ppcore.study.errors import StudyError
from ppcore.study.files import read_table
from ppcore.study.runs import data_folder

with no_proxy():  # it opens a client as it is imported
    import gradio as gr

EXAMPLES = 8
BRUSH = 24  # px of the mask, at the start
PLAIN = {"apply_default_css": False}
CHOOSE = ('element.addEventListener("click", (event) => { const button = event.target.closest("button"); '
          'if (button) trigger("click", {number: Number(button.dataset.number)}); });')


def _beside(suffix: str) -> str:
    return Path(__file__).with_suffix(suffix).read_text(encoding="utf-8")


def _typical(folder: Path) -> list[Path]:
    """Of a folder of coarse masks, the best examples of each kind (notebook 03); without kinds, evenly spaced ones."""
    coarse, kinds = sorted(folder.glob("[!.]*.png")), folder.parent / "clusters" / "index.csv"
    if kinds.exists():
        best = read_table(kinds).sort_values(["rank", "cluster"])["patch"].head(EXAMPLES)
        coarse = [path for patch in best if (path := folder / f"{patch}.png").exists()] or coarse
    return coarse[:: max(1, len(coarse) // EXAMPLES)][:EXAMPLES]


def build(models: Models) -> gr.Blocks:
    """The page for a cohort's models: its layout, and the handler of each control."""
    folder = data_folder(models.profile, models.cohort)
    precision = "float32" if models.made_with["precision"] == "float32" else "auto"
    others = {name: open_models(models.profile, models.cohort, precision, models.made_with["threads"], name)
              for name in answering(models.profile, models.cohort) if name != models.method}
    desk = Desk(models, others, [read_mask(path) for path in _typical(outlines_of(models.profile, models.cohort))],
                folder / "drawings", folder / "sets")
    with gr.Blocks(title="PriorPath: draw tissue", analytics_enabled=False, delete_cache=(3600, 86400),
                   fill_width=True) as page:
        gr.Markdown(f"## Draw where tissue should be\n{who_answers(models)}")
        kept = gr.State()
        with gr.Row():
            with gr.Column(min_width=340, elem_classes="drawn"):
                surface, seed, variants, method, *choice, again, given, clicked = _drawing_side(desk)
            with gr.Column(min_width=340):
                shown = gr.HTML(note("Lift the pen, and the answer appears here."), elem_id="shown", **PLAIN)
                outline = gr.Checkbox(True, label="Show the coarse outline", container=False)
                name, keep, stored, set_name, make, made_set, each = _saving_side(desk)
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        # answers are made one at a time, in the order asked; a set is made in parallel
        made = {"outputs": [shown, kept], "concurrency_id": "models", **quiet}
        asked = {"inputs": [surface, seed, variants, method, *choice], **made}
        changes = [surface.input, again.click, *(part.change for part in (seed, variants, method, *choice))]
        for answered in (gr.on(changes, desk.answer, trigger_mode="always_last", **asked),
                         given.upload(desk.upload, given, surface, **quiet).success(desk.answer, **asked),
                         clicked.click(desk.start_from, None, surface, **quiet).success(desk.answer, **asked)):
            answered.then(desk.paint, kept, js="async (drawing) => { await surfaceAtRest(); return drawing; }", **made)
        keep.click(desk.store, [kept, name], [stored, name], concurrency_id="models", **quiet)
        make.click(desk.make_set, [set_name, each, seed, method, *choice], made_set, concurrency_id="sets", **quiet)
        outline.change(None, outline, js="(on) => document.body.classList.toggle('without-outline', !on)")
    return page


def _drawing_side(desk: Desk) -> tuple[gr.blocks.Block, ...]:
    """The surface, seed, variants, method, the fields of a `Choice`, the answer and upload buttons, and the examples."""
    height, width, classes = desk.models.height, desk.models.width, desk.models.classes
    template = _beside(".html").format(brush=BRUSH, height=height, width=width, pens=show_pens(classes))
    surface = gr.HTML(html_template=template, js_on_load=_beside(".js"), rows=height, columns=width,
                      names=[label.name for label in classes], colours=surface_colours(classes), elem_classes="surface",
                      **PLAIN)
    with gr.Row():
        seed = gr.Number(1, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=100)
        variants = gr.Slider(1, MOST_VARIANTS, 1, step=1, label="Variants", min_width=160)
        choice = [(find(name).label, name) for name in (desk.models.method, *desk.others)]
        method = gr.Dropdown(choice, value=desk.models.method, label="Answered by", min_width=160)
    with gr.Row():
        hold = gr.Checkbox(False, label="Hold fine masks to the outline", container=False, min_width=160)
        one_mask = gr.Checkbox(False, label="Variants of the image alone", container=False, min_width=160)
    stain = _stains(desk.models)
    with gr.Row():
        again = gr.Button("Answer", variant="primary", min_width=100, size="md")
        given = gr.UploadButton("Upload an image, Labelme or GeoJSON file", min_width=200, size="md",
                                file_types=["image", *OUTLINES])
    examples = show_examples(desk.examples, desk.models)
    clicked = gr.HTML(examples, js_on_load=CHOOSE, elem_classes="typical", **PLAIN)
    return surface, seed, variants, method, hold, one_mask, stain, again, given, clicked


def _stains(models: Models) -> gr.blocks.Block:
    """A choice of stains, with a piece of tissue in each above it; hidden if the image model has none."""
    numbers = stains(models)
    if numbers:
        gr.HTML(show_stains([swatch(models, number) for number in numbers], numbers), **PLAIN)
    return gr.Dropdown([("any, drawn by the seed", ANY), *((f"of training patch {number}", number) for number in numbers)],
                       value=ANY, label="Stain of images", visible=bool(numbers), min_width=160)


def _saving_side(desk: Desk) -> tuple[gr.blocks.Block, ...]:
    """Name, button and message for saving a drawing; the same for a data set, and its pairs per drawing."""
    with gr.Row():
        name = gr.Textbox(lambda: free_name(desk.drawings, "drawing"), show_label=False, max_length=80, min_width=160,
                          container=False, placeholder="name of the drawing")
        keep = gr.Button("Save", min_width=100, size="md")
    stored = gr.HTML(elem_id="stored", **PLAIN)
    gr.Markdown("**Data set:** outline, fine masks and images of every saved drawing")
    with gr.Row():
        set_name = gr.Textbox(lambda: free_name(desk.sets, "set"), show_label=False, max_length=80, min_width=120,
                              container=False, placeholder="name of the data set")
        each = gr.Dropdown([(f"{n} of each", n) for n in range(1, MOST_VARIANTS + 1)], value=4, show_label=False,
                           container=False, min_width=100)
        make = gr.Button("Make the set", min_width=100, size="md")
    return name, keep, stored, set_name, make, gr.HTML(elem_id="made", **PLAIN), each


def serve(profile: str, cohort: str, host: str, port: int) -> int:
    """Serve the page until interrupted. Raises `StudyError` before anything is served."""
    models = open_models(profile, cohort)
    try:
        socket.create_server((host, port)).close()
    except (OSError, OverflowError) as error:
        raise StudyError(f"--host {host} --port {port} cannot be opened ({error}): take another port") from None
    print(f"cohort {cohort}, profile {profile}: draw at http://{host}:{port} (Ctrl-C stops it)", flush=True)
    if host not in ("127.0.0.1", "localhost", "::1"):
        print("Anyone who can reach this address can draw and save: there is no password.", flush=True)
    page = _launch(models, host, port)
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(page.local_url)
    page.block_thread()
    return 0


def show_inline(models: Models, height: int = 1000) -> gr.Blocks:
    """Open the page in the output of a notebook cell; it is served until the kernel ends. height: of the output, px.

    It uses a free port of 127.0.0.1, given by `local_url` of the result. Another call replaces the previous page.
    In an unattended run, as under papermill, it is served but not shown: the stored frame would outlive the page.
    """
    gr.close_all()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    page = _launch(models, "127.0.0.1", port)
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is not None and kernel.get_parent("shell")["content"].get("allow_stdin"):  # a user is present
        print(f"Also at {page.local_url}, until the kernel ends.")
        display(IFrame(page.local_url, "100%", height))
    else:
        print("The page is not shown here, as this notebook runs unattended.")
    return page


def _launch(models: Models, host: str, port: int) -> gr.Blocks:
    draw_fine(models, np.ones((models.height, models.width)), 0)  # a network's first answer is slow
    page = build(models)
    page.queue(default_concurrency_limit=1)
    with no_proxy():
        page.launch(server_name=host, server_port=port, inline=False, share=False, quiet=True, footer_links=[],
                    run_history=False, ssr_mode=False, enable_monitoring=False, max_file_size="40mb",
                    css=_beside(".css"), prevent_thread_lock=True, theme=gr.themes.Default(
                        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]))
    return page
