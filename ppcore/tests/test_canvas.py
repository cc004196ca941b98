"""Is a canvas larger than a patch filled everywhere, from one noise, in bounded memory, and would a seam be found?"""

import os
import re
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ppcore.drawing.answer import draw_canvas
from ppcore.drawing.models import Choice, chosen, open_models
from ppcore.drawing.canvas import (bent, bands, draw_window, fill_image, fill_mask, mirrored, noise_at, noise_field, ramp,
                                   starts, texture_of)
from ppcore.drawing.seams import change_across, compare_seams, disagreement, seam_ratio, window_edges
from ppcore.masks.make import read_mask, write_mask
from ppcore.masks.patches import read_image, to_mask, to_tensor
from ppcore.methods.sampling import generate
from ppcore.methods.texture import TextureLibrary
from ppcore.networks.noise import Noise
from ppcore.networks.unet import UNet
from ppcore.run import main
from ppcore.study.errors import StudyError
from ppcore.study.seeds import mixed
from ppcore.tests.test_answer import H, W, disc, store_models
from ppcore.tests.test_pairs import files_of

WINDOW = (32, 64)
SIZES = [(1, 1), (7, 200), (32, 64), (33, 65), (97, 131), (128, 192)]


class Drawer:
    """A method with a generator of its own."""

    generators = ("G",)
    settings = SimpleNamespace(classes=2)

    makes = "mask"

    def __init__(self, *layers: nn.Module) -> None:
        self.networks = {"G": nn.Sequential(*layers, scale(1.0))}

    def generate(self, masks, seeds):
        return generate(self.networks["G"], masks, seeds)


def scale(factor: float, channels: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(1, channels, 1, bias=False)
    nn.init.constant_(layer.weight, factor)
    return layer


def blobs(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 2, (-(-height // 16), -(-width // 16)), np.uint8)
    return np.kron(coarse, np.ones((16, 16), np.uint8))[:height, :width]


def unet(levels: int = 5) -> Drawer:
    torch.manual_seed(3)
    drawer = Drawer()
    drawer.networks["G"] = UNet(1, 1, 8, levels)
    return drawer


class Textured(Drawer):
    """A method that shows the texture map it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.networks["G"].textures = TextureLibrary(4, *WINDOW)
        maps = self.networks["G"].textures.maps
        maps.copy_(torch.randint(-100, 100, maps.shape, generator=torch.Generator().manual_seed(0)))

    def generate(self, masks, seeds):
        return nn.functional.interpolate(seeds[0][-1][:, :1], WINDOW) / 8


@pytest.mark.parametrize("overlap", [0, 16])
def test_windows_get_their_part_of_one_texture_map(overlap):
    """Blended or side by side, the canvas shows the map of the whole canvas, which differs from place to place."""
    method, mask = Textured(), np.ones((70, 150), np.uint8)
    shown = torch.cat([band for _, band in bands(method, mask, WINDOW, 1, overlap)], 1)[0]
    whole = texture_of(method, mask, WINDOW, 1)
    wanted = nn.functional.interpolate(whole[None, :1], scale_factor=8)[0, 0, :70, :150] / 8
    torch.testing.assert_close(shown, wanted)
    assert whole[0, :4, :8].ne(whole[0, 4:8, 8:16]).any() and texture_of(unet(), mask, WINDOW, 1) is None


def test_a_straight_edge_is_bent_by_about_what_is_asked_for_and_nothing_else_appears():
    edge = torch.zeros(1, 120, 200)
    edge[:, :, 100:] = 1
    moved = bent(edge, 24, 1)
    where = moved[0].sum(1)  # columns right of the edge, of 200
    assert 2 < where.std() < 8 and abs(where.mean() - 100) < 4
    assert moved.min() >= 0 and moved.max() <= 1 and torch.equal(moved, bent(edge, 24, 1))
    assert not torch.equal(moved, bent(edge, 24, 2))
    torch.testing.assert_close(bent(edge[:, :60], 24, 1)[:, :24], moved[:, :24])  # it depends on the place alone


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("overlap", [0, 5, 16])
def test_a_generator_that_repeats_its_input_gives_the_canvas_back_whatever_its_size(shape, overlap):
    mask = np.random.default_rng(1).integers(0, 2, shape, np.uint8)
    mask[0, 0] = 1
    np.testing.assert_array_equal(fill_mask(Drawer(), mask, WINDOW, 1, overlap), mask)
    colours = Drawer()
    colours.networks["G"] = scale(1.0, channels=3)
    np.testing.assert_array_equal(fill_image(colours, mask, WINDOW, overlap), mask[..., None] * np.full(3, 255))


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("overlap", [0, 5, 16])
def test_weights_sum_to_1_everywhere_so_that_an_even_output_stays_even(shape, overlap):
    half = Drawer(scale(0.3))
    for top, band in bands(half, np.ones(shape, np.uint8), WINDOW, 1, overlap):
        assert band.shape[2] == shape[1]
        torch.testing.assert_close(band, torch.full_like(band, 0.3), rtol=0, atol=1e-6)
    assert top + band.shape[1] == shape[0]


def test_weights_rise_through_the_overlap_alone():
    weights = ramp(10, 4, rises=True, falls=False)
    torch.testing.assert_close(weights[:4] + weights[:4].flip(0), torch.ones(4))
    assert (weights[:4].diff() > 0).all() and weights[0] < 0.05 and (weights[4:] == 1).all()
    torch.testing.assert_close(ramp(10, 4, rises=False, falls=True)[6:], 1 - weights[:4])
    assert (ramp(10, 4, rises=False, falls=False) == 1).all()


def test_a_window_beyond_the_edge_sees_the_canvas_mirrored_again_and_again():
    assert mirrored(1, 7, 3).tolist() == [1, 2, 2, 1, 0, 0, 1]
    assert list(starts(100, 32, 16)) == [0, 16, 32, 48, 64, 80] and list(starts(5, 32, 16)) == [0]


def test_a_window_sees_its_crop_of_one_field_of_fair_coins():
    whole = noise_field("coin", 7, 0, 3, 0, 0, 50, 70)
    assert set(np.unique(whole)) == {0, 1} and abs(whole.mean() - 0.5) < 0.02
    for top, left, height, width in ((0, 0, 4, 4), (8, 16, 8, 8), (13, 5, 30, 61), (49, 69, 1, 1)):
        np.testing.assert_array_equal(noise_field("coin", 7, 0, 3, top, left, height, width),
                                      whole[:, top:top + height, left:left + width])
    flat = [field.flatten() for field in (*whole, noise_field("coin", 8, 0, 1, 0, 0, 50, 70), noise_field("coin", 7, 1, 1, 0, 0, 50, 70),
                                          whole[0, ::-1], np.roll(whole[0], 8, 0), np.roll(whole[0], 8, 1))]
    assert abs(np.corrcoef(flat) - np.eye(len(flat))).max() < 0.08  # channels, seeds, layers and blocks, each its own


def test_overlapping_windows_see_the_same_noise():
    """A generator that shows its noise: were it another in two windows, their mean would be neither 0 nor 2."""
    shows, mask = Drawer(), np.ones((90, 150), np.uint8)
    shows.networks["G"] = Shows()

    def filled(tied):
        return torch.cat([band for _, band in bands(shows, mask, WINDOW, 5, 16, tied)], 1).numpy()

    np.testing.assert_allclose(filled(True), 2 * noise_field("coin", 5, 0, 1, 0, 0, 90, 150), atol=1e-6)
    assert ((filled(False) > 0.1) & (filled(False) < 1.9)).mean() > 0.2
    assert disagreement(shows, mask, WINDOW, 5, 16, tied=True) == 0
    assert disagreement(shows, mask, WINDOW, 5, 16, tied=False) == pytest.approx(0.5, abs=0.02)


def test_a_canvas_of_one_window_is_the_answer_for_a_patch_with_the_noise_of_its_place():
    drawer, mask = unet(levels=7), blobs(128, 256)
    z = [torch.from_numpy(noise_field("coin", 9, number, 64, 0, 0, size, 2 * size)).float()[None]
         for number, size in enumerate((2, 4, 8))]
    wanted = drawer.generate(to_tensor(mask)[None], [z])[0]
    assert not torch.equal(wanted, drawer.generate(to_tensor(mask)[None], [0])[0])
    torch.testing.assert_close(draw_window(drawer, mask, (128, 256), 0, 0, 9), wanted, rtol=0, atol=0)
    np.testing.assert_array_equal(fill_mask(drawer, mask, (128, 256), 9), to_mask(wanted))


class Shows(nn.Module):
    """A generator that puts out twice its noise and whose one weight counts for nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def noise(self, height, width):
        return [Noise("coin", (1, height, width))]

    def forward(self, image, z):
        return 2 * z[0]


def test_a_vector_of_noise_is_the_same_in_every_window_and_a_map_of_normals_its_own_field():
    wanted = [Noise("normal", (5,)), Noise("normal", (2, 8, 16))]
    here, there = noise_at(wanted, WINDOW, 0, 0, 3), noise_at(wanted, WINDOW, 0, 32, 3)
    assert torch.equal(here[0], there[0]) and torch.equal(here[1][..., 8:], there[1][..., :8])
    assert here[1].shape == (1, 2, 8, 16) and abs(here[1].std() - 1) < 0.15


def test_torchs_random_state_is_left_as_it_was():
    drawer, mask, state = unet(), blobs(*WINDOW), torch.get_rng_state()
    fill_mask(drawer, mask, WINDOW, 1), fill_mask(drawer, mask, WINDOW, 1, tied=False)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_same_seed_gives_the_same_canvas_and_another_seed_another():
    drawer, mask = unet(), blobs(50, 130)
    first, untied = fill_mask(drawer, mask, WINDOW, 1), fill_mask(drawer, mask, WINDOW, 1, tied=False)
    torch.manual_seed(99)
    np.testing.assert_array_equal(fill_mask(drawer, mask, WINDOW, 1), first)
    np.testing.assert_array_equal(fill_mask(drawer, mask, WINDOW, 1, tied=False), untied)
    assert not np.array_equal(fill_mask(drawer, mask, WINDOW, 2), first)


def test_the_upper_left_of_a_larger_canvas_is_the_same_but_for_the_last_windows():
    drawer, mask = unet(), blobs(128, 256)
    small, large = fill_mask(drawer, mask[:64, :160], WINDOW, 1), fill_mask(drawer, mask, WINDOW, 1)
    np.testing.assert_array_equal(small[:48, :112], large[:48, :112])


def test_a_window_without_tissue_is_air_or_white_and_one_without_air_is_asked():
    asked = []
    drawer = Drawer()
    drawer.networks["G"].register_forward_hook(lambda network, given, output: asked.append(given) or 0 * output + 0.5)
    assert not fill_mask(drawer, np.zeros((70, 70), np.uint8), WINDOW, 1).any() and not asked
    assert (fill_image(drawer, np.zeros((70, 70), np.uint8), WINDOW) == 255).all() and not asked
    assert fill_mask(drawer, np.ones((70, 70), np.uint8), WINDOW, 1).all() and len(asked) == 8


def test_memory_does_not_grow_with_the_height_of_the_canvas():
    """8 MiB of mask come out; as float32 before the threshold they would take 32."""
    used, drawer = [], Drawer()
    drawer.networks["G"].register_forward_hook(lambda *_: used.append(resident()))
    mask = np.ones((8192, 1024), np.uint8)
    made = fill_mask(drawer, mask, (256, 512), 1)
    assert made.all() and len(used) == 63 * 3
    assert max(used) - used[9] < made.nbytes + 16e6  # after three bands; what the allocator keeps besides


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_every_window_counts_in_the_progress_bar(capsys):
    drawer = Drawer()
    drawer.networks["G"].register_forward_hook(lambda *_: time.sleep(0.12))  # more than the bar waits to be drawn again
    fill_mask(drawer, np.ones((32, 128), np.uint8), WINDOW, 1)
    shown = capsys.readouterr().err
    assert "filling the canvas" in shown and "2/3" in shown


@pytest.mark.parametrize("mask, overlap, words", [
    (np.ones((64, 64, 3), np.uint8), 16, "wanted \\(H, W\\) uint8"),
    (np.ones((64, 64)), 16, "float64"),
    (np.full((64, 64), 255, np.uint8), 16, "255"),
    (np.zeros((0, 64), np.uint8), 16, "\\(0, 64\\)"),
    (np.ones((64, 64), np.uint8), 17, "32 px that overlap by 17 px: wanted 0 to 16 px"),
    (np.ones((64, 64), np.uint8), -1, "overlap by -1 px"),
    (np.ones((64, 64), np.uint8), 10, "a window at \\(22, 0\\) lies between cells of the noise, of 16 px"),
])
def test_what_cannot_be_filled_is_refused_in_words(mask, overlap, words):
    with pytest.raises(ValueError, match=words):
        fill_mask(unet(), mask, WINDOW, 1, overlap)


def texture(height: int, width: int, period: int = 0) -> np.ndarray:
    field = np.random.default_rng(2).random((height, width)) < 0.3
    if period:  # more edges at every `period`-th row
        field[::period] ^= np.random.default_rng(3).random((-(-height // period), width)) < 0.5
    return field.astype(np.uint8)


def test_a_known_seam_is_found_with_its_strength():
    """Stripes 8 px wide, moved by half a stripe below each seam, and blank around it: by hand 1/2 against 0."""
    stripes = np.tile(np.repeat([0, 1], 8), (512, 16)).astype(np.uint8)
    for seam in range(64, 512, 64):
        stripes[seam:] = np.roll(stripes[seam:], 4, axis=1)
    found = seam_ratio(stripes, range(64, 512, 64), [])
    assert found.jump == 0.5 and found.ratio == np.inf and found.p < 0.01 and found.count == 7
    assert seam_ratio(stripes[:160], (64, 128), [], reach=64, period=32).ratio == np.inf  # not beside one another
    mask = texture(512, 512)
    mask[:, 128::128] = 1 - mask[:, 127:-1:128]  # every pair across differs
    found = seam_ratio(mask, [], range(128, 512, 128))
    assert found.jump == 1 and found.ratio == pytest.approx(1 / 0.42, rel=0.02)  # 2 x .3 x .7 elsewhere
    assert found.p < 0.01 and found.ratio > found.high
    smooth = texture(512, 512)
    smooth[128::128] = smooth[127:-1:128]  # a line without any edge is one, too
    found = seam_ratio(smooth, range(128, 512, 128), [])
    assert found.ratio == 0 and found.p < 0.01 and found.ratio < found.low


def test_without_a_seam_none_is_found_more_often_than_chance():
    rng = np.random.default_rng(0)
    found = np.array([seam_ratio((rng.random((96, 32)) < 0.4).astype(np.uint8), (24, 48, 72), [8, 24], reach=6,
                                 permutations=199, seed=trial).p for trial in range(200)])
    assert np.mean(found <= 0.05) < 0.08 and 0.12 < np.mean(found <= 0.2) < 0.26
    even = seam_ratio(np.ones((96, 32), np.uint8), [48], [])
    assert even.ratio == even.low == even.high == even.p == 1


def test_a_texture_of_some_period_is_no_seam_among_lines_of_its_phase():
    mask, lines = texture(1024, 256, period=32), range(128, 1024, 128)
    assert seam_ratio(mask, lines, []).p < 0.01
    assert seam_ratio(mask, lines, [], reach=64, period=32).p > 0.05


def test_lines_are_counted_where_windows_start_and_end():
    assert window_edges((100, 150), WINDOW, 0) == ([32, 64, 96], [64, 128])
    assert window_edges((100, 150), WINDOW, 16) == ([16, 32, 48, 64, 80, 96], [48, 64, 96, 112])
    np.testing.assert_allclose(change_across(np.array([[0, 1], [1, 1], [1, 0]]), 0)[1:], [0.5, 0.5])
    np.testing.assert_allclose(change_across(np.array([[0, 1], [1, 1], [1, 0]], np.uint8), 1)[1:], [2 / 3])
    with pytest.raises(ValueError, match=r"no seam inside \(32, 32\) px has a line beside it within 16 px"):
        seam_ratio(np.ones((32, 32), np.uint8), [0, 32], [40])


def test_blending_removes_the_seams_of_a_generator_whose_windows_differ():
    """A generator that adds to each window another amount, as statistics of a window do."""
    class Shifts(nn.Module):
        def forward(self, image):
            rows = torch.linspace(-1, 1, image.shape[-2])[:, None]  # ends high, starts low
            return image * 0.2 + rows

    table, masks = compare_seams(Drawer(Shifts()), texture(256, 256), WINDOW, 1, period=8)
    output = table.query("field == 'output' and lines == 'rows'").set_index("canvas")
    assert output.loc["tiles", "p"] < 0.01 and output.loc["tiles", "ratio"] > 3
    assert output.loc["blended", "ratio"] == pytest.approx(1, abs=0.1)
    assert (table.query("field == 'outline'")["p"] > 0.01).all()
    assert list(masks) == ["tiles", "blended"] and len(table) == 2 * 3 * 2


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # threads of models too small for two
    store_models()
    return tmp_path


def test_a_canvas_becomes_a_mask_and_its_image_by_the_trained_models(home):
    models, sketch = open_models("smoke", "PHANTOM", threads=1), blobs(90, 151)
    drawing = draw_canvas(models, sketch, 1)
    assert drawing.coarse.shape == drawing.fine[0].shape == (90, 151) and drawing.images[0].shape == (90, 151, 3)
    np.testing.assert_array_equal(drawing.images[0], fill_image(models.image, drawing.fine[0], (H, W), seed=mixed(1, 1)[0]))
    np.testing.assert_array_equal(draw_canvas(models, sketch, 1, 1).fine, draw_canvas(models, sketch, 1, 1).fine)
    assert not np.array_equal(draw_canvas(models, sketch, 1, 1).fine, drawing.fine)
    again = draw_canvas(chosen(models, Choice(one_mask=True)), sketch, 1, 1)
    np.testing.assert_array_equal(again.fine, drawing.fine)
    assert not np.array_equal(again.images, drawing.images)
    with pytest.raises(StudyError, match="The drawing is empty"):
        draw_canvas(models, 0 * sketch, 1)
    with pytest.raises(StudyError, match="variants 9"):
        draw_canvas(models, sketch, 1, 8)


def test_the_command_fills_drawings_at_the_size_asked_and_goes_on_where_it_stopped(home):
    write_mask(home / "sketches" / "mine.png", disc())
    command = ["generate", "--profile", "smoke", "--sketches", str(home / "sketches"), "--to", str(home / "set"),
               "--canvas", "90x150", "--variants", "2"]
    assert main(command) == 0
    index = pd.read_csv(home / "set" / "index.csv")
    assert index["pair"].tolist() == ["mine_0", "mine_1"] and index["fine_hash"].nunique() == 2
    assert read_mask(home / "set" / "coarse" / "mine_1.png").shape == (90, 150)
    assert read_mask(home / "set" / "fine" / "mine_1.png").shape == (90, 150)
    assert read_image(home / "set" / "rgb" / "mine_1.webp").shape == (90, 150, 3)
    before, kept = files_of(home / "set"), (home / "set" / "fine" / "mine_0.png").stat().st_mtime_ns
    for name in ("index.csv", "rgb/mine_1.webp"):
        (home / "set" / name).unlink()
    assert main(command) == 0
    assert files_of(home / "set") == before and (home / "set" / "fine" / "mine_0.png").stat().st_mtime_ns == kept
    assert main([*command, "--canvas", "90x151"]) == 2  # would mix two sizes
    assert main([*command, "--tone", "dark", "--to", str(home / "inverse")]) == 0  # the disc is light
    inverse = read_mask(home / "inverse" / "coarse" / "mine_0.png")
    assert (inverse != read_mask(home / "set" / "coarse" / "mine_0.png")).mean() > 0.99  # but for ties


@pytest.mark.parametrize("canvas", ["4096", "0x64", "64x64x64", "-1x64", "9000x9000", "100x20000", "64 x 64"])
def test_a_canvas_that_cannot_be_is_told(canvas, home, capsys):
    arguments = ["generate", "--profile", "smoke", "--to", str(home / "set"), f"--canvas={canvas}"]
    assert main([*arguments, "--sketches", str(home)]) == 2
    assert re.search(r"--canvas .*: wanted HEIGHTxWIDTH, as in 4096x4096", capsys.readouterr().err)
    assert main(["generate", "--to", str(home / "set"), "--canvas", "64x64"]) == 2
    assert "with --sketches DIR" in capsys.readouterr().err and not (home / "set").exists()
