"""How does the drawing page show things? Masks in transit, answers, examples and messages as HTML."""

import base64
import html

import cv2
import numpy as np

from ppcore.drawing.answer import Drawing, Models, in_the_box, training_command
from ppcore.figures.style import mask_picture
from ppcore.study.errors import StudyError


def pack(mask: np.ndarray) -> str:
    """Mask (H, W) in {0, 1} in the surface's format: its bits in base64."""
    return base64.b64encode(np.packbits(mask)).decode()


def unpack(text: str | None, height: int, width: int) -> np.ndarray:
    """Mask (height, width) uint8 in {0, 1} that the surface sent; all air if nothing was drawn."""
    if not text:
        return np.zeros((height, width), np.uint8)
    try:
        bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        return np.unpackbits(bits).reshape(height, width)
    except ValueError:
        raise StudyError(f"the browser sent no mask of {height} x {width} px: reload the page") from None


def show_answers(drawing: Drawing, waiting: bool) -> str:
    """The answers as HTML, with the coarse outline over each. waiting: images will follow."""
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
                     else '<div class="waiting">making the image</div>')
            shown += f"{frame}{image}{over}Image {n + 1}</figcaption></figure>"
    return f'<div class="answers{" several" * (len(drawing.fine) > 1)}">{shown}</div>'


def _picture(rgb: np.ndarray, suffix: str, what: str) -> str:
    how = (cv2.IMWRITE_PNG_COMPRESSION, 1) if suffix == ".png" else (cv2.IMWRITE_JPEG_QUALITY, 92)
    data = base64.b64encode(cv2.imencode(suffix, rgb[..., ::-1], how)[1]).decode()
    return f'<img alt="{what}" src="data:image/{suffix[1:]};base64,{data}">'


def note(words: str) -> str:
    """A message in a frame."""
    return f'<div class="note">{html.escape(words)}</div>'


def show_examples(masks: list[np.ndarray], cohort: str) -> str:
    """Coarse masks to start from, as buttons."""
    pictures = [_picture(mask_picture(mask), ".png", "coarse mask") for mask in masks]
    buttons = "".join(f'<button type="button" data-number="{n}">{shown}</button>' for n, shown in enumerate(pictures))
    return f'<p>Start from a typical coarse mask of {cohort}</p><div class="examples">{buttons}</div>' if masks else ""


def who_answers(models: Models) -> str:
    """A line of Markdown about the models."""
    made = models.made_with
    cards = ", ".join(f"{name} (card {hashes['card']})" for name, hashes in made["models"].items())
    missing = "" if models.image else (" · no images: pix2pixHD is not trained, "
                                           f"`{training_command(models.profile, models.cohort)}` trains it")
    box = (" · **the model in the box**, trained by the demo on slides that a program drew" if
           in_the_box(models.profile, models.cohort) else "")
    return (f"Cohort **{models.cohort}**, profile {models.profile}, {models.height} x {models.width} px · "
            f"answered by {cards} · commit {made['commit']}, {made['device']}, {made['precision']}{box}{missing}")
