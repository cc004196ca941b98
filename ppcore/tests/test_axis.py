"""Does one thing change along an axis, to what was asked for, and nothing else?"""

import numpy as np
import pandas as pd
import pytest

from ppcore.drawing.answer import draw_fine, draw_images
from ppcore.drawing.axis import along
from ppcore.drawing.models import Choice, chosen, in_the_box, open_models, outlines_of
from ppcore.drawing.pairs import Outline, from_sketches, generate_pairs
from ppcore.masks.make import read_mask
from ppcore.methods.along import images_along, masks_along, share_of
from ppcore.methods.texture import share_channels
from ppcore.run import main
from ppcore.study.errors import StudyError
from ppcore.tests.test_answer import disc
from ppcore.tests.test_pairs import labelled  # noqa: F401


@pytest.fixture
def box(tmp_path, monkeypatch):
    """The trained models that come with the study."""
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    models = open_models("demo", "PHANTOM", "float32", threads=1)
    assert in_the_box("demo", "PHANTOM")
    return models


def outline(models) -> np.ndarray:
    return read_mask(sorted(outlines_of("demo", "PHANTOM").glob("*.png"))[0])


def test_more_tissue_is_asked_for_and_obtained_with_one_noise(box):
    given, wanted = outline(box), (0.7, 0.8, 0.9)
    masks = masks_along(box.fine, given, 1, wanted, seed=3)
    assert [share_of(mask, given, 1) for mask in masks] == pytest.approx(wanted, abs=0.01)
    assert np.array_equal(masks[1], masks_along(box.fine, given, 1, wanted[1:2], seed=3)[0])
    other = masks_along(box.fine, given, 1, wanted[1:2], seed=4)[0]
    near = [np.mean(masks[1] != mask) for mask in (masks[0], masks[2], other)]
    assert max(near[:2]) < near[2]  # another amount moves less than another noise


def test_along_the_stain_the_mask_stays_and_the_image_darkens(box):
    models = along(box, "stain", "0.1:0.9", 3)
    drawing = draw_images(models, draw_fine(models, outline(box), 1, 3))
    assert np.array_equal(drawing.fine[0], drawing.fine[1]) and np.array_equal(drawing.fine[0], drawing.fine[2])
    pale, usual, dark = (image[drawing.fine[0] > 0].mean() for image in drawing.images)
    assert pale - 8 > usual > dark + 8
    plain = draw_fine(box, outline(box), 1)
    assert np.array_equal(plain.fine[0], drawing.fine[0])
    assert np.array_equal(draw_images(box, plain).images[0], drawing.images[1])  # .5 is the image as it is


def test_images_along_a_class_share_their_colours(box):
    masks = masks_along(box.fine, outline(box), 1, (0.75, 0.9), seed=3)
    images = images_along(box.image, masks, [0.5, 0.5], seed=3)
    both = (masks[0] > 0) & (masks[1] > 0)
    assert np.abs(images[0][both].mean(0) - images[1][both].mean(0)).max() < 10


def test_share_channels_are_those_that_the_map_moves_with(box):
    """Of three classes: nuclei have the last two channels, the gaps of the tissue the first two."""
    assert share_channels(1) == ([0, 1], -1) and share_channels(2) == ([4, 5], 1) and share_channels(3) == ([6, 7], 1)


def test_the_share_of_a_class_by_hand():
    given = np.array([[0, 1, 1, 2, 2]], np.uint8)
    made = np.array([[2, 0, 1, 2, 1]], np.uint8)
    assert share_of(made, given, 1) == 0.75 and share_of(made, given, 2) == 0.25


def test_a_set_along_an_axis_says_what_was_asked_and_obtained(box, tmp_path):
    models = along(box, "tissue", "0.7:0.9", 3)
    index = generate_pairs(models, [Outline("a", outline(box))], tmp_path / "set", 1, 3)
    table = pd.read_csv(tmp_path / "set" / "axis.csv")
    assert table["pair"].tolist() == index["pair"].tolist() == ["a_0", "a_1", "a_2"]
    assert table["asked"].tolist() == pytest.approx([0.7, 0.8, 0.9]) and set(table["axis"]) == {"tissue"}
    assert table["obtained"].tolist() == pytest.approx(table["asked"].tolist(), abs=0.01)


def test_label_maps_have_an_axis_a_class(labelled):  # noqa: F811
    models = along(labelled, "nuclei", "0.1:0.5", 2)
    assert len(draw_images(models, draw_fine(models, disc(), 1, 2)).images) == 2


@pytest.mark.parametrize("name, span, variants, choice", [
    ("mitoses", "0.1:0.2", 2, Choice()), ("tissue", "0.5", 2, Choice()), ("tissue", "0.5:0.2", 2, Choice()),
    ("tissue", "0.5:1.2", 2, Choice()), ("tissue", "0.5:0.9", 1, Choice()), ("tissue", "0.5:0.9", 2, Choice(hold=True))])
def test_what_is_no_axis_is_refused(box, name, span, variants, choice):
    with pytest.raises(StudyError, match=f"--axis {name} {span}: wanted"):
        along(chosen(box, choice), name, span, variants)


def test_the_command_makes_such_a_set(box, tmp_path):
    code = main(["generate", "--cohort", "PHANTOM", "--to", str(tmp_path / "set"), "--variants", "2", "--tone", "light",
                 "--sketches", str(outlines_of("demo", "PHANTOM")), "--axis", "stain", "0.2:0.8"])
    assert code == 0 and len(pd.read_csv(tmp_path / "set" / "axis.csv")) == 2 * len(from_sketches(box, outlines_of("demo", "PHANTOM"), "light"))
