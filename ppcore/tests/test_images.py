"""Do the image metrics see what they should, and do patches and generated sets come back as they were made?"""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ppcore.masks.labels import MASK, Label, palette
from ppcore.masks.made import generate_set
from ppcore.masks.make import write_mask
from ppcore.masks.patches import (PatchDataset, check_enough, image_to_tensor, read_image, to_image, to_mask,
                                  write_image)
from ppcore.metrics.image import DESCRIPTORS, describe_image, describe_images
from ppcore.metrics.image_rows import image_control_row, image_rows
from ppcore.metrics.sets import ImageSet, MaskSet
from ppcore.metrics.table import image_table, table_2
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file


def image(seed: int, sigma: float = 1.0, tint: int = 0) -> np.ndarray:
    """Pink noise of a grain of `sigma` px."""
    noise = np.random.default_rng(seed).normal(size=(64, 128, 1)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigma)[..., None]
    colour = np.array([220, 150 + tint, 190])
    return np.clip(colour + 15 * noise / noise.std(), 0, 255).astype(np.uint8)


def test_descriptors_of_a_grey_image_by_hand():
    """Gray 119 of sRGB has L* = 50.0 (CIE 15), no colour and no detail."""
    values = dict(zip(DESCRIPTORS, describe_image(np.full((40, 40, 3), 119, np.uint8))))
    assert values["lightness_mean"] == pytest.approx(0.5, abs=0.005)
    assert all(abs(value) < 1e-3 for name, value in values.items() if name != "lightness_mean")


def test_detail_is_found_at_its_own_scale():
    fine, coarse = (dict(zip(DESCRIPTORS, describe_image(image(0, sigma)))) for sigma in (0.5, 6.0))
    assert fine["detail_1"] > 3 * coarse["detail_1"]
    assert coarse["detail_8"] > 3 * fine["detail_8"]


def test_image_rows_tell_a_tint_and_a_blur_from_more_of_the_same():
    real, same = [image(i) for i in range(20)], [image(i) for i in range(20, 40)]
    tinted, blurred = [image(i, tint=20) for i in range(20)], [cv2.blur(rgb, (3, 3)) for rgb in same]
    mmd2, p = {}, {}
    for name, group in (("same", same), ("tinted", tinted), ("blurred", blurred)):
        both = [ImageSet(images, MaskSet([], np.arange(20) % 5)) for images in (real, group)]
        rows = image_rows(*both, permutations=99, resamples=20, seed=0)
        rows = {row["metric"]: row["value"] for row in rows}
        mmd2[name], p[name] = float(rows["image_mmd2"]), float(rows["image_mmd_p"])
        assert rows["image_fid"] == rows["image_kid"] == "no weights"
    assert abs(mmd2["same"]) < 0.1 and p["same"] > 0.05
    assert min(mmd2["tinted"], mmd2["blurred"]) > 0.5 and max(p["tinted"], p["blurred"]) == 0.01


def test_an_image_keeps_to_its_mask_if_its_tissue_is_there():
    mask = np.zeros((32, 64), np.uint8)
    mask[:, :32] = 1
    kept = np.where(mask[..., None], np.uint8(100), np.uint8(250)).repeat(3, axis=2)
    half = kept.copy()
    half[16:] = 250
    assert image_control_row([mask], [kept], 204)["value"] == "1"
    assert image_control_row([mask, mask], [kept, half], 204)["value"] == "0.75"


def test_the_image_table_has_a_row_for_what_was_not_run():
    rows = [{"metric": "image_mmd2", "value": "0.5", "low": "", "high": "", "n": 3, "method": "fine-to-image"}]
    table = image_table(pd.DataFrame(rows)).set_index("method")
    assert table.loc["fine-to-image", "MMD²"] == "0.5" and table.loc["coarse-to-image", "n"] == "not run"


def test_the_protocols_are_not_mixed_in_a_table():
    rows = [{"metric": "ks", "value": value, "low": "", "high": "", "n": 3, "method": method, "protocol": protocol}
            for method, protocol, value in (("pix2pix", "A", "0.1"), ("pix2pix", "B drawn", "0.9"), ("DCGAN", "A", "0.5"))]
    a, b = (table_2(pd.DataFrame(rows), protocol).set_index("method")["KS"] for protocol in ("A", "B drawn"))
    ours = "PriorPath (pix2pix)"
    assert a[ours] == "0.1" and a["DCGAN"] == "0.5"
    assert b[ours] == "0.9" and list(b.index)[:4] == ["COPY", "nearest-train", ours, "CycleGAN"]


def test_an_image_of_another_form_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 4\) uint8: wanted \(H, W, 3\)"):
        describe_images([np.zeros((4, 4), np.uint8)])


def test_images_survive_disk_and_network_form(tmp_path):
    rgb = image(3)
    rgb[0, 0], rgb[0, 1] = 0, 255
    write_image(tmp_path / "a.webp", rgb)
    back = read_image(tmp_path / "a.webp")
    tensor = image_to_tensor(back)
    assert np.array_equal(to_image(tensor), rgb)
    assert tensor.shape == (3, 64, 128) and tensor.min() == -1 and tensor.max() == 1


def test_a_window_is_the_same_in_mask_and_image_and_reaches_every_corner(tmp_path):
    """The mask is the image's red channel, so that a shift between the two would show."""
    mask = np.random.default_rng(0).integers(0, 2, (8, 12), dtype=np.uint8)
    write_mask(tmp_path / "masks" / "a.png", mask)
    write_image(tmp_path / "rgb" / "a.webp", mask[..., None].repeat(3, axis=2) * np.uint8(255))
    dataset = PatchDataset(["a"], crop=2, mask=tmp_path / "masks", image=tmp_path / "rgb")
    whole = PatchDataset(["a"], mask=tmp_path / "masks")[0]["mask"]
    torch.manual_seed(0)
    seen = torch.zeros_like(whole)
    for _ in range(100):
        item = dataset[0]
        assert item["mask"].shape == (1, 4, 6) and torch.equal(item["mask"][0], item["image"][0])
        places = [(top, left) for top in range(5) for left in range(7)
                  if torch.equal(whole[:, top:top + 4, left:left + 6], item["mask"])]
        top, left = places[0]
        seen[:, top:top + 4, left:left + 6] = 1
    assert seen.all()


def test_a_generated_set_does_not_depend_on_what_else_is_made(tmp_path):
    def draw(name: str, seeds: list[int]) -> list[np.ndarray]:
        return [np.random.default_rng(seed).integers(0, 2, (4, 5), dtype=np.uint8) for seed in seeds]

    one = generate_set(draw, ["a", "b"], tmp_path / "one", seed=1)
    more = generate_set(draw, ["a", "b"], tmp_path / "more", seed=1, samples=3, several=["a"])
    assert one["hash"].tolist() == more.query("sample == 0")["hash"].tolist()
    assert len(set(more["hash"])) == 4  # three of "a" and one of "b", all different
    assert hash_file(tmp_path / "more" / "a_2.png") == more.loc[2, "hash"]
    assert generate_set(draw, ["a"], tmp_path / "other", seed=2)["hash"][0] != one["hash"][0]


def test_label_maps_come_back_from_disk_as_they_were_drawn(tmp_path):
    """As PNGs with the classes' colours, one channel a class in the data set, and of three classes never as an image."""
    classes = (*MASK, Label("nuclei", "#3f2a82", 3, 3))
    found = np.random.default_rng(0).integers(0, 3, (8, 12), dtype=np.uint8)
    index = generate_set(lambda name, seeds: [found], ["a"], tmp_path / "set", seed=1, classes=classes)
    assert index["tissue_fraction"][0] == (found > 0).mean() and index["hash"][0] == hash_file(tmp_path / "set" / "a_0.png")
    with Image.open(tmp_path / "set" / "a_0.png") as picture:
        assert np.array_equal(np.asarray(picture.convert("RGB")), palette(classes)[found])
    write_image(tmp_path / "rgb" / "a_0.webp", image(0)[:8, :12])
    item = PatchDataset(["a_0"], classes=3, mask=tmp_path / "set", image=tmp_path / "rgb")[0]
    assert item["mask"].shape == item["image"].shape == (3, 8, 12)
    assert np.array_equal(to_mask(item["mask"]), found) and np.array_equal(to_image(item["image"]), image(0)[:8, :12])


@pytest.mark.parametrize("train, test", [(2, 3), (3, 2), (0, 9), (1, 1)])
def test_too_few_patches_are_refused_with_what_to_do(train, test):
    def splits(train, test):
        sides = ["train"] * train + ["test"] * test + ["gap"] * 9
        return pd.DataFrame({"split": sides, "fine_hash": range(len(sides))})

    with pytest.raises(StudyError, match=f"{train} training and {test} test .*wanted 3 .*patch_height.*test_fraction"):
        check_enough(splits(train, test))
    check_enough(splits(3, 3))
    with pytest.raises(StudyError, match="1 training and 3 test patches with different masks"):
        check_enough(splits(3, 3).assign(fine_hash=[7, 7, 7, 1, 2, 3, *range(9)]))
