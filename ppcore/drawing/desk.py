"""What happens when one presses a button of the page? The handlers of its controls."""

import html
import itertools
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppcore.drawing.answer import Drawing, draw_fine, draw_images
from ppcore.drawing.models import Choice, Models, chosen
from ppcore.drawing.page_html import note, pack, show_answers, unpack
from ppcore.drawing.pairs import from_sketches, growing_rows
from ppcore.drawing.proxies import no_proxy
from ppcore.drawing.stored import named_folder, save
from ppcore.masks.sketches import read_sketch
from ppcore.study.errors import StudyError

with no_proxy():  # it opens a client as it is imported
    import gradio as gr


ANY = -1  # the stain of a `Choice` that the seed draws


def choice_of(hold: bool, one_mask: bool, stain: int) -> Choice:
    """What was chosen on the page."""
    return Choice(hold, one_mask, None if stain == ANY else stain)


def free_name(folder: Path, stem: str) -> str:
    return next(name for n in itertools.count(1) if not (folder / (name := f"{stem}-{n}")).exists())


@dataclass(frozen=True)
class Desk:
    """Handlers of the page's controls: a cohort's models, and the folders that drawings and sets are saved in.

    models: those that answer at first. others: by method, those one can choose instead. examples: coarse masks (H, W)
    to start from. Errors of the user are shown on the page.
    """

    models: Models
    others: dict[str, Models]
    examples: list[np.ndarray]
    drawings: Path
    sets: Path

    def of(self, method: str, choice: Choice) -> Models:
        """The models with a method for fine masks, and with what was chosen."""
        return chosen(self.others.get(method, self.models), choice)

    def answer(self, text: str, seed: float, variants: float, method: str, *choice) -> tuple[str, Drawing | None]:
        """Fine masks of the sketch that the surface sent; images follow."""
        try:
            sketch = unpack(text, self.models.height, self.models.width, len(self.models.classes))
            drawing = draw_fine(self.of(method, choice_of(*choice)), sketch, int(seed or 0), int(variants))
        except StudyError as error:
            return note(str(error)), None
        return show_answers(drawing, self.models.image is not None, self.models), drawing

    def paint(self, drawing: Drawing | None) -> tuple[str, Drawing] | dict:
        """The images of a drawing that has none yet."""
        if drawing is None or drawing.images or not self.models.image:
            return gr.skip()
        drawing = draw_images(self.of(drawing.method, drawing.choice), drawing)
        return show_answers(drawing, False, self.models), drawing

    def start_from(self, event: gr.EventData) -> str:
        """The example that was clicked, in the surface's format."""
        return pack(self.examples[event.number], len(self.models.classes))

    def upload(self, path: str) -> str | dict:
        """A picture, a Labelme or a GeoJSON file, in the surface's format."""
        try:
            mask, remark = read_sketch(path, self.models.height, self.models.width, classes=self.models.classes)
        except StudyError as error:
            gr.Warning(html.escape(str(error)), duration=15)
            return gr.skip()
        gr.Info(html.escape(remark))
        return pack(mask, len(self.models.classes))

    def store(self, drawing: Drawing | None, name: str) -> tuple[str, str]:
        """Save a drawing with its images. Returns a message and the name to suggest next."""
        if drawing is None:
            return note("There is nothing to save yet: draw first."), name
        try:
            models = self.of(drawing.method, drawing.choice)
            drawing = drawing if drawing.images else draw_images(models, drawing)
            folder = save(models, drawing, name.strip())
        except StudyError as error:
            return note(str(error)), name
        words = f"Saved in {folder}\nTo reproduce and compare it: ./run_all.sh draw --reproduce {folder}"
        return note(words), free_name(self.drawings, "drawing")

    def make_set(self, name: str, variants: float, seed: float, method: str, *choice) -> Iterator[str]:
        """Make a data set of all saved drawings. Yields messages: its progress, then where it is stored."""
        models, started = self.of(method, choice_of(*choice)), time.monotonic()
        try:
            target = named_folder(models, "sets", name.strip())
            saved = {path.parent.name for path in self.drawings.glob("[!.]*/sketch.png")}
            if not saved:
                raise StudyError("No drawing is saved yet: save at least one first.")
            outlines = from_sketches(models, self.drawings)
            yield note(f"0 of {len(outlines)} drawings")
            for done, rows in enumerate(growing_rows(models, outlines, target, int(seed or 0), int(variants)), start=1):
                rate = len(rows) / (time.monotonic() - started)
                yield note(f"{done} of {len(outlines)} drawings, {len(rows)} pairs, {rate:.2g} pairs per second")
        except StudyError as error:
            yield note(str(error))
            return
        left_out = sorted(saved - {outline.name for outline in outlines})
        command = ["./run_all.sh", "generate", "--profile", models.profile, "--cohort", models.cohort,
                   "--sketches", str(self.drawings), "--to", str(target), "--variants", str(int(variants)),
                   "--seed", str(int(seed or 0)), "--method", models.method,
                   *["--hold"] * models.choice.hold, *["--one-mask"] * models.choice.one_mask,
                   *([] if models.choice.stain is None else ["--stain-of", str(models.choice.stain)])]
        yield note(f"{len(rows)} pairs of {len(outlines)} drawings in {target}\n"
                   f"The same on the command line: {shlex.join(command)}"
                   + (f"\nLeft out, as all tissue or unreadable: {', '.join(left_out)}" if left_out else ""))
