"""Does a texture map say how tissue is textured, and is it lent to the right outline?"""

import numpy as np
import pytest
import torch

from ppcore.masks.labels import write_labels
from ppcore.masks.make import coarse_mask, write_mask
from ppcore.masks.patches import to_mask, to_tensor
from ppcore.methods.texture import (TexturedCrops, TextureLibrary, beyond, fitted, flipped, map_channels, room,
                                    shares_asked, texture_map, thumbnail)
from ppcore.tests.test_classes import CLASSES, DENSE, labels

H, W = 128, 256


def pair(fine: np.ndarray, outline: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    outline = np.ones_like(fine) if outline is None else outline
    return tuple(torch.from_numpy(part * 2.0 - 1)[None, None].float() for part in (outline, fine))


def stripes(angle: float, period: float = 8.0) -> np.ndarray:
    """Gaps drawn out at right angles to a direction, in degrees from the x axis."""
    y, x = np.mgrid[:H, :W]
    phase = (x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))) / period
    return (phase % 1 < 0.7).astype(np.uint8)


@pytest.mark.parametrize("share", [0.04, 0.25])
def test_the_first_channel_is_the_root_of_the_share_of_gaps(share):
    fine = (np.random.default_rng(0).random((H, W)) >= share).astype(np.uint8)
    assert texture_map(*pair(fine))[0, 0].mean().item() == pytest.approx(share**0.5, rel=0.03)


@pytest.mark.parametrize("angle, cosine, sine", [(0, 1, 0), (90, -1, 0), (45, 0, 1), (135, 0, -1)])
def test_the_last_channels_are_twice_the_direction_of_the_gaps(angle, cosine, sine):
    inner = texture_map(*pair(stripes(angle)))[0, 2:, 4:-4, 4:-4].mean((1, 2))
    np.testing.assert_allclose(inner, [cosine, sine], atol=0.15)


def test_rims_tell_many_small_gaps_from_few_large_ones():
    small, large = (np.kron(np.random.default_rng(0).random((H // s, W // s)) >= 0.2, np.ones((s, s))).astype(np.uint8)
                    for s in (1, 8))
    few, many = (texture_map(*pair(fine))[0, :2].mean((1, 2)) for fine in (large, small))
    assert few[0] == pytest.approx(many[0].item(), rel=0.1) and many[1] > 1.5 * few[1]


@pytest.mark.parametrize("down, across", [(True, False), (False, True), (True, True)])
def test_the_map_of_a_flipped_patch_is_the_flipped_map(down, across):
    fine = stripes(30) & (np.random.default_rng(0).random((H, W)) >= 0.1)
    x, y = pair(fine.astype(np.uint8))
    axes = [axis for axis, flip in ((-2, down), (-1, across)) if flip]
    wanted = texture_map(x, y.flip(axes))[..., 2:-2, 2:-2]
    torch.testing.assert_close(flipped(texture_map(x, y), down, across)[..., 2:-2, 2:-2], wanted, atol=0.1, rtol=0)


def test_further_classes_have_their_share_and_their_rims():
    """Nuclei of a few large pieces and of many small ones, of the same share; tissue has no gaps."""
    maps = []
    for side in (8, 1):
        small = np.random.default_rng(0).random((H // side, W // side)) < 0.2
        fine = 1 + np.kron(small, np.ones((side, side))).astype(np.uint8)
        x, y = (to_tensor(part, 3)[None] for part in (np.ones_like(fine), fine))
        maps.append(texture_map(x, y)[0].mean((1, 2)))
        assert maps[-1][4].item() == pytest.approx((fine == 2).mean() ** 0.5, rel=0.05)
        assert maps[-1][:4].abs().max() == 0
    assert maps[1][5] > 1.5 * maps[0][5]


def test_what_the_outline_says_of_a_class_is_not_in_the_map_and_what_it_leaves_open_is():
    """Nuclei are dense in the left half, as the outline asks, and in one of two patches there are more of them."""
    maps, asked, rooms = [], [], []
    for dense in (0.2, 0.4):
        share = np.where(np.arange(W) < W // 2, dense, 0.05)
        fine = 1 + (np.random.default_rng(1).random((H, W)) < share).astype(np.uint8)
        x, y = (to_tensor(part, 3)[None] for part in (np.where(np.arange(W) < W // 2, 2, 1)[None].repeat(H, 0), fine))
        maps.append(texture_map(x, y)), asked.append(shares_asked(x)), rooms.append(room(x))
    maps, asked, rooms = torch.cat(maps), torch.cat(asked), torch.cat(rooms)
    assert asked[0, 0, :, 2].mean() > 0.9 and asked[0, 0, :, -3].mean() < 0.05
    left, right = slice(2, 10), slice(-10, -2)
    assert maps[:, 4, :, left].mean() > maps[:, 4, :, right].mean() + 0.2
    found = beyond(maps, asked, rooms)
    assert abs(found[:, 4, :, left].mean() - found[:, 4, :, right].mean()) < 0.02
    torch.testing.assert_close(found[1, 4:, :, left] - found[0, 4:, :, left], maps[1, 4:, :, left] - maps[0, 4:, :, left])
    assert torch.equal(found[:, :4], maps[:, :4])  # of a mask nothing is taken away
    assert torch.equal(beyond(maps[:, :4], asked[:, :0], rooms), maps[:, :4])


def test_the_map_of_a_mask_is_the_first_part_of_that_of_a_label_map():
    """Gaps, rims and direction know nothing of further classes."""
    found = labels(4, shape=(H, W))
    x, y = (to_tensor(part, 4)[None] for part in (coarse_mask(found, dense=DENSE), found))
    tissue = [to_tensor(np.minimum(part, 1))[None] for part in (coarse_mask(found, dense=DENSE), found)]
    assert texture_map(x, y).shape == (1, map_channels(4), H // 8, W // 8) == (1, 8, 16, 32)
    assert torch.equal(texture_map(x, y)[:, :4], texture_map(*tissue))
    assert torch.equal(room(x), room(tissue[0])) and torch.equal(thumbnail(x)[:, :2], thumbnail(tissue[0]))
    mirrored = flipped(texture_map(x, y), False, True)
    assert torch.equal(mirrored[:, 4:], texture_map(x, y)[:, 4:].flip(-1))  # only the direction changes its sign
    assert torch.equal(mirrored[:, 3], -texture_map(x, y)[:, 3].flip(-1))


def test_crops_and_library_of_label_maps(tmp_path):
    for number in range(3):
        write_labels(tmp_path / f"p{number}.png", labels(4, number, (H, W)), CLASSES)
    data = TexturedCrops(["p0", "p1", "p2"], tmp_path, 64, 5, 10, dense=DENSE)
    for number in range(6):
        torch.manual_seed(number)
        item = data[number]
        wanted = coarse_mask(to_mask(item["fine"]), dense=DENSE)
        np.testing.assert_array_equal(to_mask(item["coarse"]), wanted)
        assert item["fine"].shape == (4, 64, 64) and item["texture"].shape == (8, 8, 8)
    library = TextureLibrary(3, H, W, classes=4)
    library.fill(data, seed=1)
    x = to_tensor(coarse_mask(labels(4, 1, (H, W)), dense=DENSE), 4)[None]
    assert library.borrow(x, 1).shape == (1, 8, H // 8, W // 8) and library.thumbnails.shape == (3, 4, 4, 8)
    assert (library.thumbnails.float() - thumbnail(x).float()).abs().flatten(1).sum(1).min() == 0  # its own is among them


def test_there_is_room_only_near_tissue():
    outline = np.zeros((H, W), np.uint8)
    outline[:, :W // 2] = 1
    _, x = pair(outline)
    inside, outside = room(x)[0, 0, :, :4], room(x)[0, 0, :, -4:]
    assert inside.min() > 0.99 and outside.max() < 1e-6
    lent = fitted(torch.ones(1, 4, 8, 8), x)
    assert lent.shape == (1, 4, H // 8, W // 8) and lent[..., :4].min() > 0.99 and lent[..., -4:].max() < 1e-6


@pytest.fixture
def crops(tmp_path):
    """Four patches: tissue on the left, on the right, above and below, each with gaps of its own share."""
    names = []
    for number, (rows, columns) in enumerate([(slice(None), slice(0, W // 2)), (slice(None), slice(W // 2, None)),
                                              (slice(0, H // 2), slice(None)), (slice(H // 2, None), slice(None))]):
        fine = np.zeros((H, W), np.uint8)
        fine[rows, columns] = 1
        fine &= np.random.default_rng(number).random((H, W)) >= 0.05 * (1 + number)
        names.append(f"p{number}")
        write_mask(tmp_path / f"p{number}.png", fine)
    return TexturedCrops(names, tmp_path, 64, 5, 10)


def test_an_item_is_a_crop_with_its_own_coarse_mask_and_map(crops):
    for number in range(12):
        torch.manual_seed(number)
        item = crops[number]
        fine = (item["fine"][0].numpy() > 0).astype(np.uint8)
        np.testing.assert_array_equal(coarse_mask(fine), item["coarse"][0].numpy() > 0)
        assert item["texture"].shape == (4, 8, 8)
    assert len(crops) == 4 * (H * W // 64**2)


def test_a_flipped_crop_has_the_map_of_the_flipped_crop(tmp_path):
    """Gaps at 30 degrees: whatever way a crop was turned, its map's direction is that of its own gaps."""
    fine = stripes(30, 16.0)
    for name in ("a", "b"):
        write_mask(tmp_path / f"{name}.png", fine)
    data, ways = TexturedCrops(["a", "b"], tmp_path, 64, 5, 10), set()
    for number in range(24):
        torch.manual_seed(number)
        item = data[0]
        found = texture_map(torch.ones_like(item["fine"])[None], item["fine"][None])[0, 2:, 2:-2, 2:-2].mean((1, 2))
        lent = item["texture"][2:, 2:-2, 2:-2].mean((1, 2))
        clear = found.abs() > 0.3
        assert torch.equal(found.sign()[clear], lent.sign()[clear])
        ways.add(tuple(found.sign().tolist()))
    assert len(ways) == 4


def test_maps_are_standardised_and_no_direction_stays_none(crops):
    assert crops.maps[:, :2].mean().abs() < 1e-5
    torch.testing.assert_close(crops.maps.std((0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)


def test_a_similar_outline_gets_the_map_of_its_like_in_the_fitting_flip(crops):
    library = TextureLibrary(4, H, W)
    library.fill(crops, seed=1)
    outline = np.zeros((H, W), np.uint8)
    outline[:, :W // 2] = 1
    _, x = pair(outline)
    lent = {tuple(library.borrow(x, seed).flatten().tolist()) for seed in range(40)}
    assert len(lent) == 4  # each of the four, one of them flipped, as all are among the eight most similar
    alone = TextureLibrary(1, H, W)
    alone.maps.copy_(library.maps[1:2])  # tissue on the right
    alone.thumbnails.copy_(library.thumbnails[1:2])
    torch.testing.assert_close(alone.borrow(x, 0), flipped(library.maps[1:2].float() / 16, False, True))
    torch.testing.assert_close(alone.borrow(x.flip(-1), 0), library.maps[1:2].float() / 16)


def test_a_library_smaller_than_the_data_keeps_a_sample_and_a_larger_one_repeats(crops):
    for count in (2, 9):
        library = TextureLibrary(count, H, W)
        library.fill(crops, seed=1)
        stored = {tuple(one.flatten().tolist()) for one in library.thumbnails}
        assert len(stored) == min(count, 4)
        assert stored <= {tuple(one.flatten().tolist()) for one in crops.thumbnails}
    assert thumbnail(torch.ones(1, 1, H, W)).min() == 255
