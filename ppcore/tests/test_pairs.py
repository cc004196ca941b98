"""Is a generated set the same whatever interrupted it, and does it cover the kinds that it was asked for?"""

import json
from dataclasses import replace

import numpy as np
import openslide
import pandas as pd
import pytest
from PIL import Image

from ppcore.drawing import pairs as generate
from ppcore.drawing.answer import draw_fine, draw_images
from ppcore.drawing.models import open_models
from ppcore.drawing.export import export_geojson, export_slides, slide_mpp
from ppcore.drawing.pairs import EXPORTS, Outline, from_kinds, from_sketches, generate_pairs
from ppcore.drawing.stored import reproduce, save
from ppcore.masks.geojson import write_geojson
from ppcore.masks.label_files import read_label_file
from ppcore.masks.labels import MASK, Label, load_classes, palette, write_classes, write_labels
from ppcore.masks.make import read_mask, write_mask
from ppcore.masks.patches import read_image, write_image
from ppcore.masks.sketches import read_sketch
from ppcore.methods.noise_gan import NoiseGAN
from ppcore.methods.noise_image import NoiseImage
from ppcore.run import main
from ppcore.study.errors import StudyError, StudyWarning
from ppcore.study.files import hash_file
from ppcore.study.runs import data_folder
from ppcore.tests.test_answer import FINE, IMAGE, H, W, disc, store_models, with_textures
from ppcore.training.model_card import write_model


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    store_models()
    return open_models("smoke", "PHANTOM", threads=1)


def files_of(folder) -> dict[str, str]:
    return {str(path.relative_to(folder)): hash_file(path) for path in folder.rglob("*") if path.is_file()}


def test_an_interrupted_set_goes_on_and_ends_with_the_same_bytes(models, tmp_path, monkeypatch):
    outlines = [Outline("a", disc()), Outline("b", disc()[:, ::-1]), Outline("c", 1 - disc())]
    index = generate_pairs(models, outlines, tmp_path / "straight", seed=3, variants=2)
    assert index["pair"].tolist() == ["a_0", "a_1", "b_0", "b_1", "c_0", "c_1"]
    made, draw = [], generate.draw_fine

    def stopped(models, mask, seed, variants):
        made.append(seed)
        if len(made) == 3:
            raise KeyboardInterrupt
        return draw(models, mask, seed, variants)

    monkeypatch.setattr(generate, "draw_fine", stopped)
    with pytest.raises(KeyboardInterrupt):
        generate_pairs(models, outlines, tmp_path / "broken", seed=3, variants=2)
    assert not (tmp_path / "broken" / "index.csv").exists()
    generate_pairs(models, outlines, tmp_path / "broken", seed=3, variants=2)
    assert len(made) == 4  # the third outline alone was made again
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "straight")
    alone = generate_pairs(models, outlines[2:], tmp_path / "alone", seed=3, variants=2)
    assert alone["fine_hash"].tolist() == index["fine_hash"].tolist()[4:]
    with pytest.raises(StudyError, match="other models, or of another seed, number of variants, commit or"):
        generate_pairs(models, outlines, tmp_path / "straight", seed=4, variants=2)
    generate_pairs(models, outlines[:1], tmp_path / "straight", seed=4, anew=True)
    assert len(list((tmp_path / "straight").rglob("*.png"))) == 2  # a coarse and a fine mask, nothing of the old set


def test_an_outline_that_has_changed_is_made_again_and_a_stopped_set_has_no_index(models, tmp_path, monkeypatch):
    generate_pairs(models, [Outline("a", disc()), Outline("b", disc())], tmp_path / "set", seed=1)
    first, before = tmp_path / "set" / "coarse" / "a_0.png", files_of(tmp_path / "set")
    rows = generate.growing_rows(models, [Outline("a", 1 - disc()), Outline("b", disc())], tmp_path / "set", 1)
    next(rows)
    rows.close()
    assert np.array_equal(read_mask(first), 1 - disc()) and not (tmp_path / "set" / "index.csv").exists()
    assert {name for name, found in files_of(tmp_path / "set").items() if before[name] != found} == {
        "coarse/a_0.png", "fine/a_0.png", "rgb/a_0.webp"}


def test_an_outline_without_tissue_is_left_out_and_said_so(models, tmp_path):
    with pytest.warns(StudyWarning, match="empty is left out: The drawing is empty"):
        index = generate_pairs(models, [Outline("empty", disc() * 0), Outline("a", disc())], tmp_path / "set", seed=1)
    assert index["outline"].tolist() == ["a"]
    with pytest.warns(StudyWarning), pytest.raises(StudyError, match="none of the 1 outlines has tissue"):
        generate_pairs(models, [Outline("empty", disc() * 0)], tmp_path / "none", seed=1)


def test_kinds_have_equal_shares_and_are_varied_when_all_masks_are_used(models):
    """One mask of kind 1 and three of kind 2."""
    folder = data_folder("smoke", "PHANTOM")
    with pytest.raises(StudyError, match="run notebook 03 first"):
        from_kinds(models, 4, seed=1)
    for directory in ("clusters", "patches"):
        (folder / directory).mkdir()
    (folder / "clusters" / "index.csv").write_text("patch,cluster,distance,rank\na,1,1,1\nb,2,3,3\nc,2,1,1\nd,2,2,2\n")
    (folder / "patches" / "index.csv").write_text("patch,file,subject\n" + "".join(f"{n},f,s\n" for n in "abcd"))
    for number, name in enumerate("abcd"):
        write_mask(folder / "coarse" / f"{name}.png", np.roll(disc(), 10 * number, axis=1))
    outlines = from_kinds(models, 6, seed=1)
    assert [outline.name for outline in outlines] == ["a", "c", "a_varied1", "d", "a_varied2", "b"]
    assert [outline.kind for outline in outlines] == [1, 2, 1, 2, 1, 2]
    assert np.array_equal(outlines[3].mask, read_mask(folder / "coarse" / "d.png"))
    assert not np.array_equal(outlines[2].mask, outlines[4].mask)


def test_saved_sketches_become_pairs(models, tmp_path):
    write_mask(tmp_path / "drawings" / "mine" / "sketch.png", disc())
    index = generate_pairs(models, from_sketches(models, tmp_path / "drawings"), tmp_path / "set", seed=1, variants=3)
    assert index["outline"].tolist() == ["mine"] * 3 and index["asked"].tolist() == pytest.approx([disc().mean()] * 3)
    assert index["fine_hash"].nunique() == 3 and len(list((tmp_path / "set" / "rgb").iterdir())) == 3
    assert np.array_equal(read_mask(tmp_path / "set" / "coarse" / "mine_0.png"), disc()) and disc().shape == (H, W)
    assert pd.read_csv(tmp_path / "set" / "index.csv").shape == (3, 10)
    with pytest.raises(StudyError, match="holds no usable drawing.*made_with.json is not a Labelme file.*index.csv"):
        from_sketches(models, tmp_path / "set")


CLASSES = (*MASK, Label("nuclei", "#3f2a82", 3, 5))


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """The models of a cohort of three classes, of no training."""
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    store_label_models()
    return open_models("smoke", "PHANTOM", threads=1)


def store_label_models() -> None:
    """Models of three classes, of no training, and one coarse map."""
    folder = data_folder("smoke", "PHANTOM")
    write_classes(folder / "patches", CLASSES)
    write_labels(folder / "coarse" / "patch-0.png", nuclei(), CLASSES)
    fine = with_textures(NoiseGAN(replace(FINE, classes=3, dense=((3, 5),))))
    for name, method in (("noise-gan", fine), ("noise-image", with_textures(NoiseImage(replace(IMAGE, classes=3))))):
        card = {"method": type(method).__name__, "settings": vars(method.settings), "training": {"steps": 0}}
        write_model(method, folder / "models" / name, card)


def nuclei() -> np.ndarray:
    """A disc of tissue, nuclei dense in its left half."""
    found = disc()
    found[:, :50] *= 2
    return found


def test_label_maps_are_varied_too_when_all_are_used(labelled):
    folder = data_folder("smoke", "PHANTOM")
    (folder / "clusters").mkdir()
    (folder / "clusters" / "index.csv").write_text("patch,cluster,distance,rank\npatch-0,1,1,1\n")
    (folder / "patches" / "index.csv").write_text("patch,file,subject\npatch-0,f,s\n")
    first, second, third = from_kinds(labelled, 3, seed=1)
    assert np.array_equal(first.mask, nuclei()) and second.name == "patch-0_varied1"
    assert set(np.unique(second.mask)) == {0, 1, 2} and not np.array_equal(second.mask, third.mask)


def test_label_maps_are_asked_for_and_stored_with_their_classes(labelled, tmp_path):
    """A drawing with the cohort's palette asks for nuclei, stretched or not; a black and white one warns that it does not."""
    drawn = tmp_path / "drawn"
    write_labels(drawn / "a.png", nuclei(), CLASSES)
    write_labels(drawn / "large.png", np.kron(nuclei(), np.ones((3, 3), np.uint8)), CLASSES)
    write_mask(drawn / "plain.png", disc())
    with pytest.warns(StudyWarning, match="1 of the 3 drawings .* nowhere for dense nuclei: plain"):
        outlines = {one.name: one for one in from_sketches(labelled, drawn, "light")}
    for name in ("a", "large"):
        np.testing.assert_array_equal(outlines[name].mask, nuclei())
    index = generate_pairs(labelled, list(outlines.values()), tmp_path / "set", seed=1)
    assert load_classes(tmp_path / "set") == CLASSES and len(index) == 3
    np.testing.assert_array_equal(read_mask(tmp_path / "set" / "coarse" / "a_0.png"), nuclei())
    assert index["asked"][0] == disc().mean() and index["fine_hash"][0] != index["fine_hash"][2]
    with Image.open(tmp_path / "set" / "fine" / "a_0.png") as fine:
        assert fine.getpalette()[:9] == palette(CLASSES).ravel().tolist() and np.asarray(fine).max() == 2
    canvas = [Outline("wide", np.tile(nuclei(), (2, 2)))]
    generate_pairs(labelled, canvas, tmp_path / "canvas", seed=1)
    assert read_mask(tmp_path / "canvas" / "fine" / "wide_0.png").shape == (2 * H, 2 * W)


def test_a_drawing_of_classes_is_reproduced(labelled):
    drawing = draw_images(labelled, draw_fine(labelled, nuclei(), seed=1))
    assert drawing.fine[0].max() == 2 and drawing.images[0].shape == (H, W, 3)
    folder = save(labelled, drawing, "mine")
    assert reproduce(folder) == []
    [again] = from_sketches(labelled, folder.parent)
    for found in (again.mask, read_sketch(folder / "sketch.geojson", H, W, classes=CLASSES)[0]):
        np.testing.assert_array_equal(found, nuclei())


def test_outlines_and_colours_ask_for_classes_on_the_command_line_too(labelled, tmp_path):
    drawn = tmp_path / "drawn"
    write_geojson(drawn / "a.geojson", nuclei(), CLASSES)
    Image.fromarray(palette(CLASSES)[nuclei()]).save(drawn / "b.png")
    wanted = {"label": "nuclei", "shape_type": "rectangle", "points": [[20, 10], [60, 40]]}
    (drawn / "c.json").write_text(json.dumps({"shapes": [wanted], "imageHeight": H, "imageWidth": W}))
    command = ["generate", "--profile", "smoke", "--sketches", str(drawn), "--to", str(tmp_path / "set")]
    assert main(command) == 0
    for name in "ab":
        np.testing.assert_array_equal(read_mask(tmp_path / "set" / "coarse" / f"{name}_0.png"), nuclei())
    assert (read_mask(tmp_path / "set" / "coarse" / "c_0.png")[10:40, 20:60] == 2).all()
    (drawn / "a.geojson").write_text((drawn / "a.geojson").read_text().replace("nuclei", "Necrosis"))
    with pytest.warns(StudyWarning, match="a.geojson has regions that are of no class of the cohort: 1 of Necrosis"):
        assert [one.name for one in from_sketches(labelled, drawn)] == ["b", "c"]


def test_models_of_other_classes_than_the_patches_are_refused(labelled):
    write_classes(data_folder("smoke", "PHANTOM") / "patches", (*CLASSES, Label("brown", "#8a5a2b", 3, 5)))
    with pytest.raises(StudyError, match="knows 3 classes, the patches of PHANTOM have 4: train again"):
        open_models("smoke", "PHANTOM")


def from_geojson(path, shape: tuple[int, int], classes=MASK) -> np.ndarray:
    return read_label_file(path, *shape, classes).window((0, 0), shape, (1, 1))


def test_geojson_lies_beside_each_mask_and_goes_with_it(models, tmp_path):
    write_mask(tmp_path / "drawings" / "mine.png", disc())
    command = ["generate", "--profile", "smoke", "--sketches", str(tmp_path / "drawings"), "--tone", "light",
               "--to", str(tmp_path / "set"), "--variants", "2"]
    assert main(command) == 0 and not list((tmp_path / "set").rglob("*.geojson"))
    before = files_of(tmp_path / "set")
    assert main([*command, "--geojson"]) == 0
    for name in ("mine_0", "mine_1"):
        fine = tmp_path / "set" / "fine" / f"{name}.png"
        assert np.array_equal(from_geojson(fine.with_suffix(".geojson"), (H, W)), read_mask(fine))
    assert {name: found for name, found in files_of(tmp_path / "set").items() if "geojson" not in name} == before
    write_mask(tmp_path / "drawings" / "mine.png", 1 - disc())
    assert main(command) == 0 and not list((tmp_path / "set").rglob("*.geojson"))  # other masks


def test_a_pair_of_1024_px_is_a_slide_that_openslide_opens_with_its_um_per_px(models, tmp_path):
    """Three classes; every pixel of the image and of the labels' colours, and the regions over them."""
    rng, classes = np.random.default_rng(0), (*MASK, Label("nuclei", "#3f2a82", 3, 5))
    image = rng.integers(0, 256, (1024, 1024, 3), np.uint8)
    labels = np.kron(rng.integers(0, 3, (69, 69), np.uint8), np.ones((15, 15), np.uint8))[:1024, :1024]
    write_classes(data_folder("smoke", "PHANTOM") / "patches", classes)
    write_image(tmp_path / "set" / "rgb" / "a_0.webp", image)
    write_labels(tmp_path / "set" / "fine" / "a_0.png", labels, classes)
    export_slides(models, tmp_path / "set", ["a_0"], 0.7)
    export_geojson(models, tmp_path / "set", ["a_0"])
    colours = np.array([(255, 255, 255), (0, 0, 0), (63, 42, 130)], np.uint8)
    for name, wanted in (("a_0.tif", image), ("a_0_labels.tif", colours[labels])):
        with openslide.OpenSlide(tmp_path / "set" / "slides" / name) as slide:
            assert float(slide.properties["openslide.mpp-x"]) == float(slide.properties["openslide.mpp-y"]) == 0.7
            assert slide.level_dimensions == ((1024, 1024), (256, 256))
            assert np.array_equal(np.array(slide.read_region((0, 0), 0, (1024, 1024)))[..., :3], wanted)
            small = np.array(slide.read_region((0, 0), 1, (256, 256)))[..., :3]
        if name == "a_0.tif":
            assert np.abs(small - image.reshape(256, 4, 256, 4, 3).mean(axis=(1, 3))).max() <= 0.51
        else:
            assert len(np.unique(small.reshape(-1, 3), axis=0)) == 3  # no colour in between
    assert np.array_equal(from_geojson(tmp_path / "set" / "slides" / "a_0.geojson", (1024, 1024), classes), labels)
    exports = {name for name in files_of(tmp_path / "set") if name.startswith(("fine/a_0.g", "slides/"))}
    assert exports == {export.format("a_0") for export in EXPORTS}


def test_a_canvas_becomes_a_slide_and_without_an_image_model_its_labels_alone(models, tmp_path, capsys):
    write_mask(tmp_path / "drawings" / "mine.png", disc())
    command = ["generate", "--profile", "smoke", "--sketches", str(tmp_path / "drawings"), "--to", str(tmp_path / "set"),
               "--canvas", "90x150", "--slide"]
    patches = data_folder("smoke", "PHANTOM") / "patches"
    patches.mkdir()
    (patches / "index.csv").write_text("patch,mpp\na,\n")
    assert main(command) == 2 and "state no um per px, which a slide needs: give it as --mpp" in capsys.readouterr().err
    assert main([*command, "--mpp", "nan"]) == 2 and not (tmp_path / "set").exists()
    (patches / "index.csv").write_text("patch,mpp\na,0.5\nb,0.5\n")
    assert main(command) == 0 and slide_mpp(models) == 0.5
    fine = read_mask(tmp_path / "set" / "fine" / "mine_0.png")
    with openslide.OpenSlide(tmp_path / "set" / "slides" / "mine_0_labels.tif") as slide:
        shown = np.array(slide.read_region((0, 0), 0, (150, 90)))[..., 0]
        assert slide.properties["openslide.mpp-x"] == "0.5" and np.array_equal(shown, 255 * (1 - fine))
    store_models(image=False)
    for path in (data_folder("smoke", "PHANTOM") / "models" / "noise-image").iterdir():
        path.unlink()
    with pytest.warns(StudyWarning, match="no trained image model: slides of the labels are stored, none of images"):
        assert main([*command, "--to", str(tmp_path / "bare")]) == 0
    assert {path.name for path in (tmp_path / "bare" / "slides").iterdir()} == {"mine_0_labels.tif", "mine_0.geojson"}


def test_a_canvas_of_two_levels_has_its_um_per_px_and_its_labels_lie_over_it_pixel_by_pixel(labelled, tmp_path):
    """`generate --canvas --slide --mpp` of three classes, through OpenSlide."""
    height, width = 90, 602
    write_labels(tmp_path / "drawn" / "a.png", np.tile(nuclei(), (1, 5)), CLASSES)
    assert main(["generate", "--profile", "smoke", "--sketches", str(tmp_path / "drawn"), "--to", str(tmp_path / "set"),
                 "--canvas", f"{height}x{width}", "--slide", "--mpp", "0.25"]) == 0
    fine, rgb = read_mask(tmp_path / "set" / "fine" / "a_0.png"), read_image(tmp_path / "set" / "rgb" / "a_0.webp")
    assert fine.shape == rgb.shape[:2] == (height, width) and set(np.unique(fine)) == {0, 1, 2}
    for name, wanted in (("a_0.tif", rgb), ("a_0_labels.tif", palette(CLASSES)[fine])):
        with openslide.OpenSlide(tmp_path / "set" / "slides" / name) as slide:
            assert slide.level_dimensions == ((width, height), (150, 22))
            assert [float(slide.properties[f"openslide.{key}"]) for key in ("mpp-x", "mpp-y", "objective-power")] == [
                0.25, 0.25, 40]
            assert np.array_equal(np.array(slide.read_region((0, 0), 0, (width, height)))[..., :3], wanted)
    found = from_geojson(tmp_path / "set" / "slides" / "a_0.geojson", (height, width), CLASSES)
    np.testing.assert_array_equal(found, fine)
