"""Is a sketch answered in the same way every time, and can what was stored be made again?"""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import torch

from ppcore.drawing.answer import MOST_VARIANTS, Drawing, as_coarse, draw_canvas, draw_fine, draw_images
from ppcore.drawing.models import Choice, chosen, in_the_box, open_models
from ppcore.drawing.looks import check_stain, stains, swatch
from ppcore.drawing.stored import reproduce, save
from ppcore.masks.labels import MASK, Label
from ppcore.masks.make import coarse_mask, read_mask, tissue_mask, write_mask
from ppcore.masks.patches import read_image
from ppcore.masks.specks import without_specks
from ppcore.methods.noise_gan import NoiseGAN, NoiseGANSettings
from ppcore.methods.noise_image import NoiseImage, NoiseImageSettings
from ppcore.methods.pix2pix import Pix2Pix, Pix2PixSettings
from ppcore.metrics.control import iou
from ppcore.study.errors import StudyError
from ppcore.study.runs import data_folder
from ppcore.training.model_card import write_model

H, W = 64, 128
FINE = NoiseGANSettings(H, W, lenders=3, ndf=4)
IMAGE = NoiseImageSettings(H, W, lenders=3, widths=(4, 4, 4, 4), ndf=4)
OTHER = Pix2PixSettings(ngf=4, ndf=4, levels=5)


def store_models(cohort: str = "PHANTOM", image: bool = True, seed: int = 0) -> None:
    """Models of no training, and one coarse mask, which tells the size of a patch."""
    folder = data_folder("smoke", cohort)
    methods = {"noise-gan": with_textures(NoiseGAN(FINE, seed)), "pix2pix": Pix2Pix(OTHER, seed)}
    methods |= {"noise-image": with_textures(NoiseImage(IMAGE, seed))} if image else {}
    for name, method in methods.items():
        card = {"method": type(method).__name__, "settings": vars(method.settings), "training": {"steps": 0}}
        write_model(method, folder / "models" / name, card)
    write_mask(folder / "coarse" / "patch-0.png", disc())


def with_textures(method: NoiseGAN | NoiseImage) -> NoiseGAN | NoiseImage:
    """Texture maps of no patch, and outlines of none."""
    library, generator = method.networks["generator"].textures, torch.Generator().manual_seed(0)
    library.maps.copy_(torch.randint(-40, 40, library.maps.shape, generator=generator))
    library.thumbnails.copy_(torch.randint(256, library.thumbnails.shape, generator=generator))
    return method


def disc() -> np.ndarray:
    rows, columns = np.mgrid[:H, :W]
    return ((rows - 30) ** 2 + (columns - 50) ** 2 < 20**2).astype(np.uint8)


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    store_models()
    return open_models("smoke", "PHANTOM")


def test_a_sketch_becomes_masks_and_images_of_the_size_of_a_patch(models):
    drawing = draw_images(models, draw_fine(models, disc(), seed=1, variants=2))
    np.testing.assert_array_equal(drawing.coarse, disc())  # as drawn, not C of it
    assert [mask.shape for mask in drawing.fine] == [(H, W)] * 2 and {0, 1} == set(np.unique(drawing.fine))
    assert [image.shape for image in drawing.images] == [(H, W, 3)] * 2
    assert not np.array_equal(*drawing.fine) and not np.array_equal(*drawing.images)


@pytest.mark.parametrize("answer", [draw_fine, draw_canvas])
def test_label_maps_have_no_specks(models, answer):
    """Of nuclei, which lie at random without training, as small as a pixel."""
    fine = with_textures(NoiseGAN(replace(FINE, classes=3, dense=((3, 5),))))
    nuclei = Label("nuclei", "#3f2a82", 3, 5)
    raw, clean = (answer(replace(models, fine=fine, image=None, classes=(*MASK, given)), disc(), 1).fine[0]
                  for given in (nuclei, replace(nuclei, least_object=30, least_hole=30)))
    found = without_specks(raw, (*MASK, replace(nuclei, least_object=30, least_hole=30)))
    assert not np.array_equal(raw, clean) and np.array_equal(found, clean)


def test_one_mask_may_have_several_images_and_a_stain_may_be_asked_for(models):
    free = draw_images(models, draw_fine(models, disc(), 5, 3))
    same = chosen(models, Choice(one_mask=True))
    one = draw_images(same, draw_fine(same, disc(), 5, 3))
    assert all(np.array_equal(mask, free.fine[0]) for mask in one.fine)
    assert np.array_equal(one.images[0], free.images[0]) and not np.array_equal(one.images[0], one.images[1])
    dyed = [draw_images(chosen(models, Choice(stain=number)), free).images[0] for number in (0, 0, 2)]
    assert np.array_equal(*dyed[:2]) and not np.array_equal(*dyed[1:])
    folder = save(chosen(models, Choice(one_mask=True, stain=2)), draw_images(chosen(models, Choice(one_mask=True, stain=2)), one), "dyed")
    assert reproduce(folder) == []


def test_stains_to_choose_from_are_those_of_the_library_and_others_are_refused(models):
    offered = stains(models)
    assert len(set(offered)) == 3 and not np.array_equal(*(swatch(models, number) for number in offered[:2]))
    check_stain(models, 2), check_stain(models, None)
    with pytest.raises(StudyError, match="stain 3: wanted 0 to 2"):
        check_stain(models, 3)
    assert stains(replace(models, image=None)) == []
    with pytest.raises(StudyError, match="no image model with stains is trained"):
        check_stain(replace(models, image=None), 0)


def test_a_variant_depends_on_the_seed_and_its_number_alone(models):
    one, three = draw_fine(models, disc(), 5), draw_fine(models, disc(), 5, 3)
    torch.manual_seed(99)
    again = draw_fine(models, disc(), 5, 3)
    np.testing.assert_array_equal(one.fine[0], three.fine[0])
    np.testing.assert_array_equal(three.fine, again.fine)
    assert not np.array_equal(draw_fine(models, disc(), 6).fine[0], one.fine[0])


def test_ten_requests_at_once_are_answered_as_one_after_another(models):
    alone = [draw_fine(models, disc(), seed).fine[0] for seed in range(10)]
    with ThreadPoolExecutor(10) as pool:
        together = list(pool.map(lambda seed: draw_images(models, draw_fine(models, disc(), seed)), range(10)))
    np.testing.assert_array_equal(alone, [drawing.fine[0] for drawing in together])
    assert all(len(drawing.images) == 1 for drawing in together)


def test_a_long_job_lets_an_answer_in(models, monkeypatch):
    served, begun = [], Event()

    def noted(generate):
        def call(method, masks, seeds):
            served.extend([type(method)] * len(masks))
            begun.set()
            return generate(method, masks, seeds)
        return call

    for kind in (NoiseGAN, NoiseImage):
        monkeypatch.setattr(kind, "generate", noted(kind.generate))
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(draw_images, models, Drawing(disc(), disc(), 1, [disc()] * 200))
        assert begun.wait(60)
        draw_fine(models, disc(), 1)
        job.result()
    assert served.index(NoiseGAN) < 200


@pytest.mark.parametrize("sketch, words", [
    (np.zeros((H, W)), "The drawing is empty: draw where tissue should be"),
    (np.full((H, W), 255), r"not all in \[0, 1\]"),
    (np.full((H, W), np.nan), r"not all in \[0, 1\]"),
    (np.zeros((H, W, 3)), r"shape \(64, 128, 3\)"),
    (np.zeros((0, W)), r"shape \(0, 128\)"),
])
def test_what_is_no_sketch_is_refused_in_words(models, sketch, words):
    with pytest.raises(StudyError, match=words):
        draw_fine(models, sketch, 1)


@pytest.mark.parametrize("seed, variants", [(-1, 1), (2**31, 1), (0, 0), (0, MOST_VARIANTS + 1)])
def test_a_seed_or_a_number_out_of_range_is_refused(models, seed, variants):
    with pytest.raises(StudyError, match=f"seed {seed}, variants {variants}: wanted"):
        draw_fine(models, disc(), seed, variants)


def test_all_tissue_is_answered(models):
    drawing = draw_images(models, draw_fine(models, np.ones((H, W)), 1))
    assert drawing.coarse.all() and drawing.images


def test_a_sketch_of_another_size_is_binarised_and_stretched():
    np.testing.assert_array_equal(as_coarse(np.kron(disc(), np.ones((3, 3))), H, W), disc())
    np.testing.assert_array_equal(as_coarse(disc() * 0.3 + 0.4, H, W), disc())
    assert abs(as_coarse(disc(), 4 * H, 4 * W).mean() - disc().mean()) < 0.002


def test_a_stored_drawing_is_made_again_bit_for_bit_and_a_changed_one_is_found(models):
    drawing = draw_images(models, draw_fine(models, np.kron(disc(), np.ones((2, 2))), 7, 2))
    folder = save(models, drawing, "first")
    assert sorted(path.name for path in folder.iterdir()) == [
        "coarse.png", "drawing.json", "fine_0.png", "fine_1.png", "rgb_0.webp", "rgb_1.webp", "sketch.json",
        "sketch.png"]
    np.testing.assert_array_equal(read_mask(folder / "fine_1.png"), drawing.fine[1])
    np.testing.assert_array_equal(read_image(folder / "rgb_1.webp"), drawing.images[1])
    record = json.loads((folder / "drawing.json").read_text())
    assert record["asked"] == disc().mean() and record["obtained"] == [mask.mean() for mask in drawing.fine]
    assert {"cohort", "profile", "commit", "seed"} <= set(record) and set(record["models"]) == {"noise-gan", "noise-image"}
    assert reproduce(folder) == []
    write_mask(folder / "fine_1.png", 1 - drawing.fine[1])
    (folder / "rgb_0.webp").unlink()
    assert reproduce(folder) == ["fine_1.png", "rgb_0.webp"]


def test_a_model_trained_since_is_told(models):
    folder = save(models, draw_fine(models, disc(), 1), "first")
    store_models(seed=1)
    with pytest.raises(StudyError, match="was made by another noise-gan, which has been trained again since"):
        reproduce(folder)


@pytest.mark.parametrize("left", ["", "{", "[]", "{}"])
def test_a_folder_without_a_drawing_is_told(models, tmp_path, left):
    (tmp_path / "drawing.json").write_text(left)
    with pytest.raises(StudyError, match="holds no drawing that can be reproduced"):
        reproduce(tmp_path)


@pytest.mark.parametrize("name", [
    "../out", "..", ".", "", "a/b", "/tmp/a", "a\\b", ".hidden", "a\n", "a b", "ä", "a" * 81])
def test_a_name_never_leaves_the_folder_of_drawings(models, tmp_path, name):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StudyError, match="is no valid name for a folder in drawings"):
        save(models, draw_fine(models, disc(), 1), name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_taken_name_keeps_what_it_holds(models):
    folder = save(models, draw_fine(models, disc(), 1), "first")
    before = (folder / "drawing.json").read_bytes()
    with pytest.raises(StudyError, match="already exists: take another name"):
        save(models, draw_fine(models, disc(), 2), "first")
    assert (folder / "drawing.json").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["first"]


def test_without_an_image_model_masks_are_answered_stored_and_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    store_models(image=False)
    models = open_models("smoke", "PHANTOM")
    drawing = draw_images(models, draw_fine(models, disc(), 1))
    assert drawing.images == []
    folder = save(models, drawing, "first")
    store_models()  # an image model that comes later does not matter to it
    assert reproduce(folder) == []


def test_without_a_model_the_command_that_trains_one_is_named_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    with pytest.raises(StudyError, match="no trained noise-gan.*\n.*--profile demo --cohort MINE --slides DIR"):
        open_models("demo", "MINE")
    assert not list(tmp_path.iterdir())


def test_models_in_the_box_answer_before_anything_is_trained(tmp_path, monkeypatch):
    """Masks keep to the outline, images to their masks, two seeds differ, and a model that is trained later replaces them."""
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    models = open_models("demo", "PHANTOM")
    assert (models.height, models.width) == (256, 512)
    outline = np.zeros((256, 512), np.uint8)
    outline[40:200, 60:400] = 1
    drawing = draw_fine(models, outline, 1, variants=2)
    assert [iou(coarse_mask(mask), outline) > 0.85 for mask in drawing.fine] == [True, True]
    assert np.mean(drawing.fine[0] != drawing.fine[1]) > 0.01
    painted = draw_images(models, drawing)
    for mask, image in zip(painted.fine, painted.images, strict=True):
        np.testing.assert_array_equal(tissue_mask(image, 204), mask)
    assert reproduce(save(models, painted, "first")) == []
    write_model(with_textures(NoiseGAN(FINE)), data_folder("demo", "PHANTOM") / "models" / "noise-gan",
                {"method": "NoiseGAN", "settings": vars(FINE), "training": {"steps": 0}})
    assert not in_the_box("demo", "PHANTOM")


def test_masks_are_held_to_the_outline_if_asked_and_the_record_says_so(models):
    outline = coarse_mask(disc())
    free, kept = (draw_fine(chosen(models, Choice(hold)), outline, 1, 2) for hold in (False, True))
    assert max(iou(coarse_mask(mask), outline) for mask in free.fine) < 0.99
    assert min(iou(coarse_mask(mask), outline) for mask in kept.fine) >= 0.998
    folder = save(chosen(models, Choice(True)), draw_images(models, kept), "held")
    assert json.loads((folder / "drawing.json").read_text())["hold"] is True and reproduce(folder) == []


def test_a_damaged_model_is_told(models):
    folder = data_folder("smoke", "PHANTOM") / "models" / "noise-gan"
    (folder / "generator.safetensors").write_bytes(b"x")
    with pytest.raises(StudyError, match="noise-gan cannot be read"):
        open_models("smoke", "PHANTOM")
    shutil.rmtree(folder)
    with pytest.raises(StudyError, match="no trained noise-gan"):
        open_models("smoke", "PHANTOM")


def test_one_starts_from_the_best_example_of_each_kind_in_turn(tmp_path):
    from ppcore.drawing.page import _typical

    for name in "abcd":
        write_mask(tmp_path / "coarse" / f"{name}.png", np.ones((4, 8), np.uint8))
    assert [path.stem for path in _typical(tmp_path / "coarse")] == list("abcd")  # before notebook 03
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "index.csv").write_text(
        "patch,cluster,distance,rank\na,1,2,2\nb,1,1,1\nc,2,3,2\nd,2,1,1\n")
    assert [path.stem for path in _typical(tmp_path / "coarse")] == ["b", "d", "a", "c"]
