"""Do the rulers of images see a lattice, a copy, a tint of air, a missing class and a model without variety?"""

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ppcore.figures.models import which_is_real
from ppcore.masks.labels import MASK
from ppcore.masks.made import generate_set
from ppcore.masks.make import coarse_mask, tissue_mask
from ppcore.masks.stain import classes_of, label
from ppcore.metrics.image import draws_apart
from ppcore.metrics.image_rows import (image_air_row, image_dice_rows, image_diversity_rows, image_repetition_rows,
                                       image_window_rows)
from ppcore.metrics.repetition import image_repetition
from ppcore.metrics.sets import ImageSet, MaskSet, drawn_often, image_files, image_samples
from ppcore.metrics.table import IMAGE_METHODS, image_metrics, image_table
from ppcore.metrics.windows import draw_image_windows, window_distances
from ppcore.tests.test_stain import CELLS, learnt, paint

H, W = 192, 256
FEW = {"resamples": 20, "seed": 1}
WHO = np.array(["a", "a", "b", "b", "c", "c"])
WHOLE = np.ones((H, W), np.uint8)


def stroma(seed: int, grain: float = 2.0) -> np.ndarray:
    """An image of tissue without air: noise of a grain of `grain` px, on pink."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(H, W)), (0, 0), grain)
    return np.clip(np.array([190, 120, 160]) + 15 * (noise / noise.std())[..., None], 0, 200).astype(np.uint8)


def wallpaper(seed: int) -> np.ndarray:
    return np.tile(stroma(seed)[:32, :32], (H // 32, W // 32, 1))


def snow(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (H, W, 1), dtype=np.uint8).repeat(3, axis=2)


def of_images(images: list[np.ndarray], masks=None, classes=MASK) -> ImageSet:
    return ImageSet(images, MaskSet(masks or [WHOLE] * len(images), WHO[:len(images)], classes))


def values(rows: list[dict]) -> dict[str, float]:
    return {row["metric"]: float(row["value"]) for row in rows}


def test_a_tiled_crop_repeats_and_neither_tissue_nor_white_noise_does():
    found = {make: values(image_repetition_rows(of_images([make(seed) for seed in range(6)]), coarse_mask))
             for make in (stroma, wallpaper, snow)}
    assert found[wallpaper]["image_repetition"] > 0.9 and found[wallpaper]["image_grid"] > 0.9
    assert found[stroma]["image_repetition"] < 0.3 and found[snow]["image_repetition"] < 0.1
    assert found[stroma]["image_grid"] < 0.6 * found[stroma]["image_repetition"]


def test_a_lattice_common_to_all_images_shows_in_the_grid_below_the_texture_of_each():
    ripple = 8 * np.sin(2 * np.pi * np.arange(W) / 16)[None, :, None]
    plain, rippled = ([(stroma(seed) + add).clip(0, 255).astype(np.uint8) for seed in range(6)] for add in (0, ripple))
    one, other = (values(image_repetition_rows(of_images(images), coarse_mask)) for images in (plain, rippled))
    assert other["image_grid"] > 2 * one["image_grid"]


def test_an_image_without_texture_or_without_uniform_tissue_is_not_counted():
    flat = np.full((H, W, 3), 150, np.uint8)
    assert image_repetition([flat, stroma(0)], [WHOLE, np.zeros_like(WHOLE)])["n"] == 0
    assert image_repetition([flat, stroma(0)], [WHOLE, 3 * WHOLE])["n"] == 1  # of label maps all classes are tissue


def halves(shift=(0, 0, 0)) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Tissue above, air below, whose colour is shifted; and their masks."""
    images = [np.concatenate([stroma(seed)[:96], np.full((96, W, 3), 230 + seed) + np.array(shift)]).astype(np.uint8)
              for seed in range(6)]
    return images, [np.repeat([1, 0], 96)[:, None].repeat(W, axis=1).astype(np.uint8)] * 6


def test_the_colour_of_air_differs_by_what_it_was_shifted_and_by_nothing_in_tissue():
    real = of_images(*halves())
    assert image_air_row(real, real, **FEW)["value"] == "0"
    row = image_air_row(real, of_images(*halves((6, -3, 0))), **FEW)
    assert row["value"] == "3" and row["n"] == 6 and float(row["low"]) <= 3 <= float(row["high"])
    darker = [np.concatenate([image[:96] // 2, image[96:]]) for image in real.images]
    assert image_air_row(real, of_images(darker, real.masks.masks), **FEW)["value"] == "0"
    none = image_air_row(real, of_images([stroma(0)] * 6), **FEW)
    assert none["value"] == "nan" and none["low"] == ""


def test_a_copied_window_is_found_however_it_is_turned_and_a_recoloured_one_is_not():
    train = [stroma(seed, 4) for seed in range(3)]
    copies = [np.rot90(train[0]), train[1][:, ::-1], train[2].swapaxes(0, 1)]
    tinted = [np.clip(image.astype(int) + (0, 40, 0), 0, 255).astype(np.uint8) for image in copies]
    others = [stroma(seed + 9, 4) for seed in range(3)]
    draw = lambda images, count: draw_image_windows(images, WHO[::2], count, 1, 204)
    known = draw(train, 10_000)
    assert known.cells.shape == (3 * 17 * 25, 3 * 256) and 0 <= known.cells.min() <= known.cells.max() <= 1
    found, shifted, new = (window_distances(draw(images, 60), known) for images in (copies, tinted, others))
    assert found.max() < 1e-3 and new.min() > 0.01 and shifted.min() > 0.05
    rows = values(image_window_rows(known, draw(others, 60), draw(copies, 60), **FEW))
    assert rows["image_nearest_train_ratio_windows"] < 0.05 and rows["image_copying_ct_windows"] < -8
    fresh = values(image_window_rows(known, draw(others, 60), draw([stroma(seed + 20, 4) for seed in range(3)], 60), **FEW))
    assert fresh["image_nearest_train_ratio_windows"] == pytest.approx(1, abs=0.1)


def test_windows_of_air_are_not_drawn():
    images, _ = halves()
    windows = draw_image_windows(images, WHO, 10_000, 0, 204)
    gray = windows.cells.reshape(-1, 3, 256).mean(2) @ (0.299, 0.587, 0.114)
    assert 0 < len(windows.cells) < 6 * 17 * 25 and gray.max() <= 204 / 255
    assert draw_image_windows([np.full((H, W, 3), 240, np.uint8)], WHO[:1], 5, 0, 204).cells.shape == (0, 768)


def test_diversity_is_the_sd_of_the_draws_in_gray_levels(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.integers(90, 160, (64, 64, 3))
    draws = np.stack([np.clip(base + rng.normal(0, 8, base.shape), 0, 255) for _ in range(8)]).astype(np.uint8)
    assert draws_apart(draws) == pytest.approx(8 * 0.903, rel=0.03)  # the mean of a chi over 7 degrees, times 8 / sqrt(8)
    assert draws_apart(np.stack([draws[0]] * 4)) == 0 and draws_apart(np.stack([draws[0] * 0, draws[0] * 0 + 10])) == 5
    with pytest.raises(ValueError, match="two or more of one mask"):
        draws_apart(draws[:1])
    names = pd.Index(["a", "b", "c"])
    for folder, several in (("noise", ["a", "c"]), ("one", [])):
        generate_set(lambda name, seeds: list(draws[:len(seeds)]), names, tmp_path / folder, 1, 4, several)
    for folder, n in (("noise", 2), ("one", 0)):
        several, count = drawn_often(tmp_path / folder, names)
        rows = image_diversity_rows(image_samples(tmp_path / folder, several, count), np.array(["s", "t"][:n]), **FEW)
        assert [row["n"] for row in rows] == [n] * bool(n)
    assert np.array_equal(image_files(tmp_path / "noise", ["c"], "_3")[0], draws[3])


def test_the_labeller_finds_the_nuclei_of_a_map_in_its_image_and_misses_those_that_are_not_there():
    slides = [paint(0.4 * CELLS, strength=strength, seed=i) for i, strength in enumerate((0.8, 1.0, 1.2, 1.0))]
    cut, classes = learnt(slides), classes_of("he", 1.0)
    maps = [label(rgb, tissue_mask(rgb, 204), cut, str(i), 1.0) for i, rgb in enumerate(slides)]
    dice = lambda images: values(image_dice_rows(of_images(images, maps, classes), cut, 1.0, 204, **FEW))["nuclei: image_dice"]
    assert dice(slides) > 0.97
    assert dice([paint(0.4 * CELLS, strength=0.6, seed=9) for _ in slides]) > 0.9  # made paler than any subject
    assert dice([paint(0.0 * CELLS, seed=9) for _ in slides]) < 0.2
    assert dice([np.roll(rgb, 10, axis=1) for rgb in slides]) < 0.4  # as many nuclei, elsewhere
    assert image_dice_rows(of_images(slides, [np.minimum(each, 1) for each in maps]), cut, 1.0, 204, **FEW) == []
    assert dice([np.full_like(slides[0], 245)] * 4) == 0  # no tissue at all


def test_the_table_of_images_has_a_column_for_each_class_with_a_dice():
    rows = pd.DataFrame([{"metric": metric, "value": value, "low": "", "high": "", "n": 3, "method": method} for method, metric, value in (
        ("nearest-train", "ks", "0.9"), ("nearest-train", "image_mmd2", "0.1"), ("fine-to-image", "image_air", "1.5"),
        ("fine-to-image", "image_diversity", "4"), ("fine-to-image", "nuclei: image_dice", "0.8"), ("fine-to-image", "nuclei: ks", "0.7"))])
    table = image_table(rows).set_index("method")
    assert list(table.index)[:2] == ["real-train", "nearest-train"] and len(table) == len(IMAGE_METHODS)
    assert table.loc["fine-to-image", ["air colour", "diversity", "Dice of nuclei"]].tolist() == ["1.5", "4", "0.8"]
    assert table.loc["nearest-train", ["MMD²", "diversity", "Dice of nuclei"]].tolist() == ["0.1", "", ""]
    assert "IoU to fine mask, tissue" in table and not [name for name in image_table(rows[:4]) if name.startswith("Dice")]
    assert image_metrics(classes_of("ihc", 1.0))[-2:] == ("nuclei: image_dice", "positive: image_dice")


def test_the_key_below_the_pairs_is_right_and_another_seed_gives_another_order():
    real, made = ([np.full((8, 16, 3), level + i, np.uint8) for i in range(10)] for level in (100, 200))
    keys = set()
    for seed in range(4):
        figure = which_is_real(real, made, seed)
        key = figure.get_supxlabel().removeprefix("real: ").split(", ")
        pairs = [[int(axis.images[0].get_array()[0, 0, 0]) for axis in figure.axes[at:at + 2]] for at in range(0, 16, 2)]
        assert len(key) == 8 and all(sorted(pair)[1] - sorted(pair)[0] == 100 for pair in pairs)
        for number, (said, pair) in enumerate(zip(key, pairs), start=1):
            assert said == f"{number} {('left', 'right')[pair[1] < 200]}"
        keys.add(tuple(key))
        plt.close("all")
    assert len(keys) > 1 and which_is_real(real, made, 3).get_supxlabel() == figure.get_supxlabel()
    with pytest.raises(ValueError, match="10 real and 9 made"):
        which_is_real(real, made[:9], 0)
