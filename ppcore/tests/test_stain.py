"""Are nuclei found in a picture whose nuclei are known, whatever the strength of its stain, and is agreement counted right?"""

import cv2
import numpy as np
import pandas as pd
import pytest

from ppcore.masks.labels import load_classes
from ppcore.masks.make import read_mask, write_mask
from ppcore.masks.patches import write_image
from ppcore.masks.stain import NUCLEI, POSITIVE, Cut, classes_of, label_set
from ppcore.metrics.agreement import compare_classes, object_agreement, pixel_agreement
from ppcore.study.errors import StudyWarning
from ppcore.study.files import hash_file

HAEMATOXYLIN, EOSIN, DAB = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78)  # Ruifrok and Johnston 2001


def picture(seed: int, strength: float = 1.0, brown: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB of a field of 1 um per px by the law of Beer and Lambert, its tissue, and its labels: 25 nuclei, the first
    `brown` of which took DAB instead; a strip of glass on the right."""
    rng, shape = np.random.default_rng(seed), (128, 128)
    labels = np.ones(shape, np.uint8)
    for number, (row, column) in enumerate((row, column) for row in range(12, 120, 24) for column in range(12, 120, 24)):
        centre = (int(column + rng.integers(-3, 4)), int(row + rng.integers(-3, 4)))
        cv2.ellipse(labels, centre, (5, 4), rng.uniform(0, 180), 0, 360, POSITIVE if number < brown else NUCLEI, -1)
    labels[:, 118:] = 0
    noise = 0.04 * cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 1)
    amounts = {HAEMATOXYLIN: 0.1 + 0.7 * (labels == NUCLEI), EOSIN: 0.35 * (not brown), DAB: 0.9 * (labels == POSITIVE)}
    density = sum((amount * strength + noise)[..., None] * np.array(colour) for colour, amount in amounts.items())
    density *= (labels > 0)[..., None]
    return np.rint(255 * 10**-np.maximum(density, 0)).astype(np.uint8), (labels > 0).astype(np.uint8), labels


def labelled(folder, pictures: list, stain: str, mpp: float = 1.0) -> tuple[list[np.ndarray], Cut]:
    """The label maps that `label_set` makes of pictures, each of a subject of its own; the last is the test."""
    names = [f"patch-{number}" for number in range(len(pictures))]
    for name, (rgb, fine, _) in zip(names, pictures):
        write_image(folder / "rgb" / f"{name}.webp", rgb)
        write_mask(folder / "fine" / f"{name}.png", fine)
    index = pd.DataFrame({"patch": names, "file": names, "subject": names, "mpp": mpp, "fine_hash": "",
                          "split": ["train"] * (len(names) - 1) + ["test"]})
    index, cut = label_set(index, folder, stain, 1.0, seed=1)
    assert index["fine_hash"].tolist() == [hash_file(folder / "fine" / f"{name}.png") for name in names]
    return [read_mask(folder / "fine" / f"{name}.png") for name in names], cut


def test_nuclei_are_found_in_pale_and_dark_slides_and_air_stays_air(tmp_path):
    pictures = [picture(seed, strength) for seed, strength in enumerate((1.0, 0.7, 1.4, 0.6))]
    maps, _ = labelled(tmp_path, pictures, "he")
    for found, (_, fine, wanted) in zip(maps, pictures):
        np.testing.assert_array_equal(found > 0, fine)
        nuclei, known = ((labels == NUCLEI).astype(np.uint8) for labels in (found, wanted))
        assert pixel_agreement(nuclei, known)["dice"] > 0.85
        counted = object_agreement(nuclei, known)
        assert counted["matched"] >= 24 and counted["found"] <= 26
    assert load_classes(tmp_path) == classes_of("he", 1.0)


def test_brown_nuclei_are_positive_and_no_others_are(tmp_path):
    pictures = [picture(seed, 1.0, brown) for seed, brown in enumerate((8, 8, 5))]
    maps, _ = labelled(tmp_path, pictures, "ihc")
    for found, (_, _, wanted) in zip(maps, pictures):
        for value in (NUCLEI, POSITIVE):
            assert pixel_agreement(*((labels == value).astype(np.uint8) for labels in (found, wanted)))["dice"] > 0.8


def test_labels_do_not_depend_on_the_test_and_are_the_same_twice(tmp_path):
    pictures = [picture(seed) for seed in range(3)]
    first, cut = labelled(tmp_path / "a", pictures, "he")
    again, _ = labelled(tmp_path / "b", pictures, "he")
    other, cut_of_other = labelled(tmp_path / "c", [*pictures[:2], picture(9, 1.5)], "he")
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:2], other[:2])
    assert cut.nuclei == cut_of_other.nuclei


def test_a_file_without_scale_and_one_too_coarse_are_told(tmp_path):
    with pytest.warns(StudyWarning, match="2 files state no um per px: .* a px counts as mpp=1 um"):
        labelled(tmp_path / "a", [picture(0), picture(1)], "he", np.nan)
    with pytest.warns(StudyWarning, match="at 8 um per px single nuclei cannot be seen"):
        labelled(tmp_path / "b", [picture(0), picture(1)], "he", 8.0)


def test_kernels_are_given_in_um():
    assert [(one.close_size, one.open_size) for one in classes_of("ihc", 0.5)[2:]] == [(40, 50), (80, 50)]


def test_agreement_of_hand_drawn_masks():
    wanted, found = np.zeros((10, 20), np.uint8), np.zeros((10, 20), np.uint8)
    wanted[1:5, 1:5] = wanted[1:5, 8:12] = wanted[7:9, 1:3] = 1  # 16, 16 and 4 px
    found[1:5, 1:4] = found[1:5, 10:14] = 1  # IoU 12 / 16 and 8 / 24
    assert pixel_agreement(found, wanted) == pytest.approx({"dice": 2 * 20 / 64, "precision": 20 / 28, "recall": 20 / 36})
    assert object_agreement(found, wanted) == {"matched": 1, "found": 2, "wanted": 3}
    assert object_agreement(found, wanted, 0.75)["matched"] == 0  # must exceed it
    empty = np.zeros_like(found)
    assert set(pixel_agreement(empty, empty).values()) == {1.0} and pixel_agreement(empty, wanted)["dice"] == 0
    with pytest.raises(ValueError, match="wanted 0.5 or more"):
        object_agreement(found, wanted, 0.4)
    table = compare_classes([(wanted * 2, found * 2)], classes_of("he", 1.0)).loc["nuclei"]
    assert table[["share", "objects", "objects_other"]].tolist() == [36 / 200, 3, 2]
    assert table["iou"] == pytest.approx(20 / 44)
