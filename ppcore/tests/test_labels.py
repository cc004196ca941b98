"""Label maps: what classes.csv may say, what a PNG keeps, and which coarse map belongs to a fine one."""

import numpy as np
import pytest
from PIL import Image

from ppcore.figures.style import mask_picture
from ppcore.masks.labels import (MASK, Label, kernels, load_classes, palette, read_classes, shares, write_classes,
                                 write_labels)
from ppcore.masks.make import coarse_mask, coarsen_set, read_mask, write_mask
from ppcore.masks.stain import classes_of
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file
from ppcore.tests.test_masks import noise_mask

HEAD = "value,name,colour,close_size,open_size\n"
GOOD = "0,air,#ffffff,,\n1,tissue,#f2c6d6,,\n2,nuclei,#3f2a82,13,25\n"


@pytest.mark.parametrize("text, words", [
    ("value,name\n0,air\n1,tissue\n", "has no column colour: wanted value,name,colour"),
    (HEAD + "0,air,#ffffff,,\n", "has the values 0: wanted 0, 1, 2"),
    (HEAD + "1,air,#ffffff,,\n2,tissue,#f2c6d6,,\n", "has the values 1, 2: wanted 0, 1, 2"),
    (HEAD + "".join(f"{i},c{i},#0000{i:02d},,\n" for i in range(17)), "at most 16"),
    (HEAD + "0,air,#ffffff,,\n1,air,#f2c6d6,,\n", "line 3: found the name 'air'"),
    (HEAD + "0,air,#ffffff,,\n1,,#f2c6d6,,\n", "line 3: found the name"),
    (HEAD + "0,air,white,,\n1,tissue,#f2c6d6,,\n", "line 2: found the colour 'white'"),
    (HEAD + GOOD.replace("13", "1.5"), "line 4: found the kernels 1.5 and 25"),
    (HEAD + GOOD.replace("25", "900"), "line 4: found the kernels 13 and 900"),
])
def test_a_wrong_table_of_classes_is_refused_by_its_line(text, words, tmp_path):
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(StudyError, match=words):
        read_classes(tmp_path / "classes.csv")


def test_classes_survive_the_disk_and_a_mask_has_no_table(tmp_path):
    assert load_classes(tmp_path) == MASK
    classes = classes_of("ihc", 0.5)
    write_classes(tmp_path, classes)
    assert load_classes(tmp_path) == classes and kernels(classes) == ((40, 50), (80, 50))
    (tmp_path / "classes.csv").write_text(HEAD + GOOD.replace("13,25", ","))
    assert kernels(load_classes(tmp_path)) == ((13, 25),)  # the defaults
    write_classes(tmp_path, MASK)
    assert not (tmp_path / "classes.csv").exists() and load_classes(tmp_path) == MASK


def test_a_label_map_survives_the_disk_in_its_colours_and_a_mask_has_one_bit(tmp_path):
    classes, labels = classes_of("ihc", 1.0), np.random.default_rng(0).integers(0, 4, (30, 50)).astype(np.uint8)
    write_labels(tmp_path / "a.png", labels, classes)
    assert np.array_equal(read_mask(tmp_path / "a.png"), labels)
    shown = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert np.array_equal(shown, palette(classes)[labels]) and np.array_equal(mask_picture(labels, classes), shown)
    write_labels(tmp_path / "b.png", labels % 2), write_mask(tmp_path / "c.png", labels % 2)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert np.allclose(shares(labels, 4) * labels.size, [(labels == value).sum() for value in range(4)])


def test_the_classes_of_the_stain_differ_in_lightness_too():
    """Whoever sees no hue tells them apart, and so does a printer without colours."""
    linear = (palette(classes_of("ihc", 1.0)) / 255) ** 2.2
    lightness = sorted(116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16)
    assert min(np.diff(lightness)) > 15


@pytest.mark.parametrize("sizes", [(5, 10), (3, 7)])
def test_the_coarse_form_of_a_mask_does_not_depend_on_classes_it_lacks(sizes):
    for seed in range(5):
        mask = noise_mask(seed)
        assert np.array_equal(coarse_mask(mask, *sizes, dense=((13, 25), (9, 9))), coarse_mask(mask, *sizes))


def test_tissue_of_a_coarse_map_is_the_coarse_mask_of_its_tissue():
    for seed in range(5):
        labels = noise_mask(seed) * (1 + noise_mask(seed + 10) + noise_mask(seed + 20))
        coarse = coarse_mask(labels, dense=((5, 9), (5, 9)))
        assert np.array_equal(np.minimum(coarse, 1), coarse_mask(np.minimum(labels, 1))) and coarse.max() > 1
        assert np.array_equal(coarse_mask(labels), np.minimum(coarse, 1))  # without kernels tissue alone


def test_the_coarse_form_of_hand_drawn_classes():
    labels = np.zeros((80, 80), np.uint8)
    labels[10:70, 10:70] = 1
    labels[20:40:4, 20:40:4] = 2  # 25 nuclei of one pixel, 3 px apart: one area of 17 x 17
    labels[60, 20] = 2  # a single one is none
    coarse = coarse_mask(labels, dense=((5, 9),))
    wanted = np.zeros_like(labels)
    wanted[10:70, 10:70] = 1
    wanted[20:37, 20:37] = 2
    assert np.array_equal(coarse, wanted)
    assert (coarse_mask(labels, dense=((3, 9),)) < 2).all()  # too far apart for a closing of 3
    labels[30:50, 30:50] = 3
    both = coarse_mask(labels, dense=((5, 9), (5, 9)))
    assert (both[30:50, 30:50] == 3).all() and (both[20:29, 20:29] == 2).all()  # later classes lie above
    labels[10:25] = 0
    assert not coarse_mask(labels, dense=((5, 9), (5, 9)))[10:25].any()  # and none lies in air


def test_a_set_of_label_maps_is_coarsened_with_its_classes(tmp_path):
    classes = (*MASK, Label("nuclei", "#3f2a82", 5, 9))
    labels = noise_mask(0) * (1 + noise_mask(1))
    write_labels(tmp_path / "fine" / "a.png", labels, classes)
    index = coarsen_set(["a"], tmp_path / "fine", tmp_path / "coarse", 5, 10, classes=classes)
    coarse = read_mask(tmp_path / "coarse" / "a.png")
    assert np.array_equal(coarse, coarse_mask(labels, dense=((5, 9),))) and coarse.max() == 2
    assert index["tissue_fraction"].tolist() == [(coarse > 0).mean()]
    assert index["coarse_hash"].tolist() == [hash_file(tmp_path / "coarse" / "a.png")]
    assert Image.open(tmp_path / "coarse" / "a.png").mode == "P"
