"""Does the noise image model paint what its label map and its colour map say?"""

import math

import numpy as np
import pytest
import torch

from ppcore.drawing.canvas import fill_image
from ppcore.masks.make import tissue_mask, write_mask
from ppcore.masks.patches import image_to_tensor, to_image, to_tensor, write_image
from ppcore.methods.colours import ImageCrops, axes_of, colour_channels, colour_map, colours_shown
from ppcore.methods.noise_image import NoiseImage, NoiseImageSettings, told_apart
from ppcore.networks.painter import obey
from ppcore.training.loop import train
from ppcore.training.model_card import load_model

H, W, AIR = 64, 128, 204
PINK, VIOLET, WHITE = (230, 150, 190), (110, 70, 150), (245, 243, 246)


def model(**changes) -> NoiseImage:
    return NoiseImage(NoiseImageSettings(**dict(height=H, width=W, lenders=3, widths=(4, 4, 4, 4), ndf=4) | changes))


def patch(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A mask, and an image of it: white air, tissue pink on the left and violet on the right, darker downwards."""
    rng = np.random.default_rng(number)
    mask = (rng.random((H // 16, W // 16)) < 0.7).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    tissue = np.where(np.arange(W)[None, :, None] < W // 2, PINK, VIOLET) * (1 - np.arange(H)[:, None, None] / (3 * H))
    return mask, np.where(mask[..., None] > 0, tissue, WHITE).astype(np.uint8)


@pytest.fixture
def crops(tmp_path):
    torch.set_num_threads(1)
    for number in range(4):
        mask, rgb = patch(number)
        write_mask(tmp_path / "fine" / f"p{number}.png", mask)
        write_image(tmp_path / "rgb" / f"p{number}.webp", rgb)
    return ImageCrops([f"p{number}" for number in range(4)], tmp_path / "fine", tmp_path / "rgb", 32)


@pytest.mark.parametrize("air", [150, 204, 235])
def test_the_threshold_finds_the_mask_again_in_whatever_was_painted(air):
    rng = np.random.default_rng(air)
    mask = rng.integers(0, 2, (64, 64), np.uint8)
    hue = rng.uniform(-0.1, 0.1, (64, 64, 3))
    rgb = torch.from_numpy(np.clip(rng.uniform(-1, 1, (64, 64, 1)) + hue, -1, 1)).float().permute(2, 0, 1)[None]
    bent = obey(rgb, torch.from_numpy(mask > 0)[None, None], air)
    np.testing.assert_array_equal(tissue_mask(to_image(bent[0].clamp(-1, 1)), air), mask)
    assert not np.array_equal(tissue_mask(to_image(rgb[0]), air), mask)


def test_what_lies_well_on_its_side_of_the_threshold_keeps_its_colour():
    rgb = torch.tensor([[-0.2, -0.4, 0.0], [0.95, 0.94, 0.96]]).T.reshape(1, 3, 1, 2)
    bent = obey(rgb, torch.tensor([[[[True, False]]]]), AIR)
    assert (bent - rgb).abs().max() < 2 / 255


def test_tissue_that_is_too_pale_is_bent_along_its_own_hue_not_to_gray():
    """Gray levels 245, 250, 254 of a pale blue stain, threshold 235: gray plates are what gives an image away."""
    pale = (torch.tensor([245.0, 250.0, 254.0]) / 127.5 - 1).reshape(1, 3, 1, 1)
    red, green, blue = ((obey(pale, torch.ones(1, 1, 1, 1, dtype=torch.bool), 235).flatten() + 1) * 127.5).tolist()
    assert 255 - red == pytest.approx(2 * (255 - green), rel=0.05) and blue > 250 and 225 < green < 240


def test_a_colour_map_tells_the_density_of_each_class_by_hand():
    mask = np.zeros((H, W), np.uint8)
    mask[:, W // 2:] = 1
    rgb = np.where(mask[..., None] > 0, PINK, WHITE).astype(np.uint8)
    found = colour_map(to_tensor(mask)[None], image_to_tensor(rgb)[None])[0]
    assert found.shape == (colour_channels(2), H // 8, W // 8)
    for channel in range(3):
        wanted = -math.log((PINK[channel] + 1) / 256)
        torch.testing.assert_close(found[channel], torch.full((H // 8, W // 8), wanted), rtol=0, atol=1e-4)
    assert found[3].max() < 0.02
    assert (colours_shown(found, 1) == PINK).all()


def test_a_colour_map_is_local_measures_spread_and_does_not_know_a_class_that_is_not_there():
    rng = np.random.default_rng(0)
    rgb = np.where(np.arange(256)[None, :, None] < 128, 200, 100) + rng.integers(-20, 21, (64, 256, 1)) * np.ones(3, int)
    found = colour_map(to_tensor(np.ones((64, 256), np.uint8), 3)[None], image_to_tensor(rgb.astype(np.uint8))[None])[0]
    assert found[0, :, 2].mean() < 0.3 < 0.9 < found[0, :, -3].mean()
    assert found[3, :, -3].mean() == pytest.approx(np.log(np.arange(81, 122) / 256).std(), rel=0.2)
    assert found[4:].isnan().all() and not found[:4].isnan().any()


def test_however_a_crop_is_turned_its_mask_image_and_map_belong_together(crops):
    ways = set()
    for number in range(40):
        torch.manual_seed(number)
        item = crops[number % 4]
        rgb = to_image(item["image"])
        np.testing.assert_array_equal(tissue_mask(rgb, AIR), item["mask"][0].numpy() > 0)
        assert item["colours"].shape == (4, 4, 4)
        # what the map says of red in tissue is what the crop's own map says, up to its scale
        own = colour_map(item["mask"][None], item["image"][None])[0, 0]
        lent = item["colours"][0]
        for axis in (0, 1):
            slopes = [one.mean(1 - axis)[-1] - one.mean(1 - axis)[0] for one in (own, lent)]
            if abs(slopes[0]) > 0.15:
                assert slopes[0] * slopes[1] > 0
                ways.add((axis, bool(slopes[0] > 0)))
    assert len(ways) >= 3


def test_colour_maps_are_standardised_over_the_patches(crops):
    torch.testing.assert_close(crops.maps.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(crops.maps.std((0, 2, 3))[:3], torch.ones(3), rtol=0.01, atol=0)
    assert len(crops) == 4 * (H * W // 32**2)


def test_axes_of_colours_are_those_that_they_were_drawn_from():
    long, short = torch.tensor([1.0, 1.0, 0.0]) / math.sqrt(2), torch.tensor([0.0, 0.0, 1.0])
    places = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0)) @ torch.stack([0.4 * long, 0.1 * short])
    mean, axes = axes_of(torch.tanh(places + 0.2) / 0.95)
    torch.testing.assert_close(mean, torch.full((3,), 0.2), rtol=0, atol=0.01)
    torch.testing.assert_close(axes[:, 2], 0.4 * long, rtol=0, atol=0.01)
    torch.testing.assert_close(axes[:, 1], 0.1 * short, rtol=0, atol=0.01)


def test_the_discriminator_sees_a_narrow_axis_magnified_by_the_root_of_its_narrowness():
    axes = torch.diag(torch.tensor([0.4, 0.1, 0.025]))
    shown = told_apart(torch.ones(1, 3, 1, 1), axes)
    torch.testing.assert_close(shown.flatten(), torch.tensor([1.0, 2.0, 4.0]))


def test_losses_of_a_step_by_hand():
    """With all weights 0 each of the four judgements costs log 2, and tissue has the mean colour, here gray 127.5."""
    method = model(learning_rate=0.0, lambda_far=0.0)
    for network in method.networks.values():
        for weight in network.parameters():
            weight.data.zero_()
    image = torch.full((1, 3, 32, 32), 0.5)
    losses = method.step({"mask": torch.ones(1, 1, 32, 32), "image": image, "colours": torch.zeros(1, 4, 4, 4)})
    assert losses["D"].item() == pytest.approx(4 * math.log(2)) == losses["G_gan"].item()
    assert losses["G_means"].item() == pytest.approx(0.5, abs=0.01)


def test_a_trained_model_comes_back_with_its_stains_and_draws_by_seed(crops, tmp_path):
    method = model()
    method.remember(crops, 1)
    train(method, crops, tmp_path / "m", epochs=1, decay_epochs=0, batch_size=4, seed=1, data_fingerprint="x")
    loaded = load_model(NoiseImage, tmp_path / "m", "cpu", "float32")
    mask, _ = patch(7)
    m = to_tensor(mask)[None]
    first, again, other = (made.generate(m, [seed])[0] for made, seed in ((method, 5), (loaded, 5), (loaded, 6)))
    assert torch.equal(first, again) and not torch.equal(again, other)
    assert loaded.networks["generator"].textures.maps.any() and not torch.equal(loaded.networks["generator"].axes, torch.eye(3))
    np.testing.assert_array_equal(tissue_mask(to_image(again), AIR), mask)


def test_in_bfloat16_it_paints_nearly_the_same(crops):
    method, mask = model(), patch(7)[0]
    method.remember(crops, 1)
    exact = method.generate(to_tensor(mask)[None], [5])
    method.networks["generator"].to(torch.bfloat16)
    rough = method.generate(to_tensor(mask)[None], [5])
    assert not torch.equal(rough, exact) and (rough - exact).abs().mean() < 0.02


def test_without_an_ingredient_its_draw_changes_nothing(crops):
    mask = to_tensor(patch(7)[0])[None]
    for changes, same in ((dict(noise=False, colours=False), True), (dict(noise=False), False), (dict(colours=False), False)):
        method = model(**changes)
        method.remember(crops, 1)
        draws = [method.generate(mask, [seed]) for seed in range(6)]
        assert all(torch.equal(draws[0], other) for other in draws) == same


def test_label_maps_of_own_making_need_no_threshold_and_several_classes_have_channels_of_their_own():
    m = to_tensor(np.random.default_rng(0).integers(0, 4, (H, W), np.uint8), 4)[None]
    method = model(classes=4, air=None)
    assert method.generate(m, [1]).shape == (1, 3, H, W)
    assert method.networks["generator"].textures.maps.shape == (3, 12, H // 8, W // 8)


def test_a_canvas_has_its_air_painted_too_and_does_not_depend_on_where_windows_lie(crops):
    """Windows without tissue are painted like all others, so that no window of pure white stands beside gray ones."""
    method = model()
    method.remember(crops, 1)
    mask = np.zeros((2 * H, 3 * W), np.uint8)
    mask[:40, :60] = 1
    image = fill_image(method, mask, (H, W), seed=3)
    np.testing.assert_array_equal(tissue_mask(image, AIR), mask)
    assert (image[-H // 2:, -W // 2:] < 255).any()
