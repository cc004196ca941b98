"""Which methods are there? One row each: its name, its look in figures, its input, and where it is trained.

Data only. The workflow, the evaluation, tables, figures and the drawing page take the methods from here. A new method
needs a row here, a class, its settings (`ppcore.methods.settings`) and a training in its notebook.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One method.

    name: in tables and of its folder, generated/<name>. label, colour, marker: in figures. given: its input; a
    "made mask" comes from PRIORPATH, a "drawn mask" from OURS. notebook: where it makes its set; the first row of a
    model is where that is trained. settings: prefix of its parameters. kind: module and class, empty for a baseline of notebook 08. model: folder, models/<model>.
    settings and model are empty for what is not trained.
    """

    name: str
    label: str
    colour: str
    marker: str
    given: Literal["nothing", "outline", "noise", "fine mask", "made mask", "drawn mask"]
    makes: Literal["mask", "image"]
    notebook: str
    settings: str = ""
    kind: str = ""
    model: str = ""


# In the order of the tables: a floor, two baselines without a model, the paper's models from an outline and from noise,
# then ours.
ROWS = (
    Row("real-train", "real-train", "#999999", "s", "nothing", "mask", "08"),
    Row("COPY", "COPY", "#E69F00", "D", "outline", "mask", "08"),
    Row("nearest-train", "nearest-train", "#56B4E9", "X", "outline", "mask", "08"),
    Row("pix2pix", "PriorPath (pix2pix)", "#0072B2", "o", "outline", "mask", "04",
        "pix2pix", "ppcore.methods.pix2pix:Pix2Pix", "pix2pix"),
    Row("CycleGAN", "CycleGAN", "#009E73", "^", "outline", "mask", "04",
        "cyclegan", "ppcore.methods.cyclegan:CycleGAN", "cyclegan"),
    Row("DCGAN", "DCGAN", "#CC79A7", "v", "noise", "mask", "05", "dcgan", "ppcore.methods.dcgan:DCGAN", "dcgan"),
    Row("DEPAS", "DEPAS (our reading)", "#D55E00", "P", "noise", "mask", "05",  # reading R21
        "depas", "ppcore.methods.depas:Depas", "depas"),
    # beyond the paper
    Row("quilting", "quilting", "#B3A000", "p", "outline", "mask", "07", kind="ppcore.methods.quilting:Quilt"),
    Row("diffusion", "Bernoulli diffusion", "#8C564B", "h", "outline", "mask", "07",
        "diffusion", "ppcore.methods.bernoulli_diffusion:BernoulliDiffusion", "diffusion"),
    Row("noise-GAN", "noise GAN (ours)", "#882255", ">", "outline", "mask", "07",
        "noise_gan", "ppcore.methods.noise_gan:NoiseGAN", "noise-gan"),
    Row("fine-to-image", "fine-to-image", "#0072B2", "o", "fine mask", "image", "06",
        "hd", "ppcore.methods.pix2pixhd:Pix2PixHD", "pix2pixhd"),
    Row("coarse-to-fine-to-image", "coarse-to-fine-to-image", "#009E73", "^", "made mask", "image", "06",
        "hd", "ppcore.methods.pix2pixhd:Pix2PixHD", "pix2pixhd"),
    Row("coarse-to-image", "coarse-to-image", "#D55E00", "P", "outline", "image", "06",
        "hd", "ppcore.methods.pix2pixhd:Pix2PixHD", "pix2pixhd-coarse"),
    # beyond the paper
    Row("noise-image", "noise image (ours)", "#882255", ">", "fine mask", "image", "06",
        "image", "ppcore.methods.noise_image:NoiseImage", "noise-image"),
    Row("outline-to-noise-image", "outline to image (ours)", "#CC79A7", "<", "drawn mask", "image", "07",
        "image", "ppcore.methods.noise_image:NoiseImage", "noise-image"),
)
FLOOR = "real-train"  # real tissue of other subjects
PRIORPATH = "pix2pix"  # what the paper kept, and what it is compared by
OURS, OURS_IMAGE = "noise-GAN", "noise-image"  # used for outlines on the drawing page and in sets of pairs
SKETCHED = "-sketches"  # generated/<name>-sketches: made from sketches (protocol B, reading R10)


def find(name: str) -> Row:
    """The row of a method."""
    return next(row for row in ROWS if row.name == name)


def names(makes: str = "mask", given: str | None = None, trained: bool = False) -> tuple[str, ...]:
    """Names of the methods that make masks or images; only those with input `given`, only `trained` ones, if asked."""
    return tuple(row.name for row in ROWS
                 if row.makes == makes and given in (None, row.given) and (row.model or not trained))


def class_of(name: str) -> type:
    """The class of a method, imported only now: the table itself loads no network."""
    module, kind = find(name).kind.split(":")
    return getattr(import_module(module), kind)


def models_trained(notebook: str) -> list[str]:
    """Folders of models/ that a notebook fills."""
    first = {row.model: row.notebook for row in reversed(ROWS) if row.model}
    return [model for model in dict.fromkeys(row.model for row in ROWS if row.model) if first[model] == notebook]


def further(name: str, seeds: int) -> list[str]:
    """Folders of generated/ with the masks of a method's second and later training, each with a seed of its own."""
    return [f"{name}-seed{number}" for number in range(2, seeds + 1)]


def sets_made(notebook: str | None = None) -> Iterator[str]:
    """Folders of generated/ that a notebook fills, or (None) all of them."""
    for row in ROWS:
        if row.kind and notebook in (None, row.notebook):
            yield row.name
            if row.makes == "mask" and row.given == "outline":
                yield row.name + SKETCHED
