"""How does the drawing page show things? Masks in transit, answers, examples and messages as HTML."""

import base64
import html

import cv2
import numpy as np

from ppcore.drawing.answer import Drawing
from ppcore.drawing.models import Models, in_the_box, training_command
from ppcore.figures.style import mask_picture
from ppcore.masks.labels import MASK, Classes, shares
from ppcore.study.errors import StudyError


def pack(mask: np.ndarray, count: int = 2) -> str:
    """Map (H, W) of `count` classes in the surface's format: the lowest bits of all values, then the next, in base64."""
    return base64.b64encode(np.packbits([mask >> plane & 1 for plane in range(_planes(count))])).decode()


def unpack(text: str | None, height: int, width: int, count: int = 2) -> np.ndarray:
    """Map (height, width) uint8 of `count` classes that the surface sent; all air if nothing was drawn."""
    if not text:
        return np.zeros((height, width), np.uint8)
    try:
        planes = np.unpackbits(np.frombuffer(base64.b64decode(text, validate=True), np.uint8))
        planes = planes.reshape(_planes(count), height, width)
        drawn = sum(plane << number for number, plane in enumerate(planes))
        if drawn.max() < count:
            return drawn
    except ValueError:
        pass
    raise StudyError(f"the browser sent no mask of {height} x {width} px: reload the page")


def _planes(count: int) -> int:
    return (count - 1).bit_length()


def show_pens(classes: Classes) -> str:
    """A button for each class that can be drawn; that of a mask needs no colour."""
    drawn = ["Draw"] if classes == MASK else [f'<i style="background: {label.colour}"></i>{html.escape(label.name)}'
                                              for label in classes[1:]]
    return "".join(f'<button type="button" data-value="{value}" aria-pressed="{str(value == 1).lower()}">{words}</button>'
                   for value, words in enumerate(drawn, start=1))


def surface_colours(classes: Classes) -> list[int]:
    """The colour of each class as the surface draws it: 32 bits, from the highest alpha, blue, green, red."""
    values = np.arange(len(classes), dtype=np.uint8)[None]
    return [0xff << 24 | blue << 16 | green << 8 | red for red, green, blue in mask_picture(values, classes)[0].tolist()]


def show_answers(drawing: Drawing, waiting: bool, models: Models) -> str:
    """The answers as HTML, with the coarse outline over each, and those of further classes. waiting: images will follow."""
    height, width = drawing.coarse.shape
    outlines = [drawing.coarse > 0] + [drawing.coarse == value for value in range(2, len(models.classes))]
    paths = "".join(f'<path vector-effect="non-scaling-stroke" d="{_path(part.astype(np.uint8))}"/>' for part in outlines)
    over = f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none">{paths}</svg></div><figcaption>'
    frame = f'<figure><div class="frame" style="aspect-ratio: {width} / {height}">'
    shown = ""
    for n, mask in enumerate(drawing.fine):
        fine = _picture(mask_picture(mask, models.classes), ".png", "fine mask")
        shown += (f'{frame}{fine}{over}Fine mask {n + 1}: {html.escape(_fractions(mask, drawing.coarse, models))}'
                  '</figcaption></figure>')
        if drawing.images or waiting:
            image = (_picture(drawing.images[n], ".jpeg", "image") if drawing.images
                     else '<div class="waiting">making the image</div>')
            shown += f"{frame}{image}{over}Image {n + 1}</figcaption></figure>"
    return f'<div class="answers{" several" * (len(drawing.fine) > 1)}">{shown}</div>'


def _path(mask: np.ndarray) -> str:
    """The outline of a mask as the path of an SVG."""
    lines = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    return "".join("M" + "L".join(f"{x + 0.5:g} {y + 0.5:g}" for x, y in line[:, 0].tolist()) + "Z" for line in lines)


def _fractions(fine: np.ndarray, coarse: np.ndarray, models: Models) -> str:
    """Fractions obtained and asked for: of tissue as it is, of a further class where it is dense, as in the outline."""
    name = models.classes[1].name
    words = f"{(fine > 0).mean():.1%} {name}, asked for {(coarse > 0).mean():.1%}"
    if len(models.classes) > 2:
        made, asked = (shares(mask, len(models.classes)) for mask in (models.coarsen(fine), coarse))
        words += "".join(f"; {label.name} dense in {made[value]:.1%}, asked for {asked[value]:.1%}"
                         for value, label in enumerate(models.classes) if value > 1)
    return words


def _picture(rgb: np.ndarray, suffix: str, what: str) -> str:
    how = (cv2.IMWRITE_PNG_COMPRESSION, 1) if suffix == ".png" else (cv2.IMWRITE_JPEG_QUALITY, 92)
    data = base64.b64encode(cv2.imencode(suffix, rgb[..., ::-1], how)[1]).decode()
    return f'<img alt="{what}" src="data:image/{suffix[1:]};base64,{data}">'


def note(words: str) -> str:
    """A message in a frame."""
    return f'<div class="note">{html.escape(words)}</div>'


def show_examples(masks: list[np.ndarray], models: Models) -> str:
    """Coarse masks to start from, as buttons."""
    pictures = [_picture(mask_picture(mask, models.classes), ".png", "coarse mask") for mask in masks]
    buttons = "".join(f'<button type="button" data-number="{n}">{shown}</button>' for n, shown in enumerate(pictures))
    return f'<p>Start from a typical coarse mask of {models.cohort}</p><div class="examples">{buttons}</div>' if masks else ""


def show_stains(pieces: list[np.ndarray], numbers: list[int]) -> str:
    """Pieces of tissue, each with the number of the training patch that lends its stain."""
    shown = "".join(f'<figure>{_picture(piece, ".jpeg", f"stain of patch {number}")}<figcaption>{number}</figcaption></figure>'
                    for piece, number in zip(pieces, numbers))
    return f'<div class="stains">{shown}</div>'


def who_answers(models: Models) -> str:
    """A line of Markdown about the models."""
    made = models.made_with
    cards = ", ".join(f"{name} (card {hashes['card']})" for name, hashes in made["models"].items())
    missing = "" if models.image else (" · no images: no image model is trained, "
                                           f"`{training_command(models.profile, models.cohort)}` trains it")
    box = (" · **the models in the box**, trained by the demo on slides that a program drew" if
           in_the_box(models.profile, models.cohort) else "")
    return (f"Cohort **{models.cohort}**, profile {models.profile}, {models.height} x {models.width} px · "
            f"answered by {cards} · commit {made['commit']}, {made['device']}, {made['precision']}{box}{missing}")
