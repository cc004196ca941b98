"""Do label maps come back as they were stored, is a wrong table of classes named, and is C of two classes C of a mask?"""

import numpy as np
import pytest
from PIL import Image

from ppcore.masks.labels import MASK, Label, kernels, load_classes, palette, read_classes, shares, write_classes, write_labels
from ppcore.masks.make import coarse_mask, read_mask
from ppcore.study.errors import StudyError
from ppcore.tests.test_masks import noise_mask

CLASSES = (*MASK, Label("nuclei", "#3f2a82", 3, 5), Label("positive", "#a6611a", 7, 5))


def test_a_label_map_is_stored_with_its_colours_and_a_mask_as_ever(tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, (40, 60), np.uint8)
    write_labels(tmp_path / "labels.png", labels, CLASSES)
    np.testing.assert_array_equal(read_mask(tmp_path / "labels.png"), labels)
    with Image.open(tmp_path / "labels.png") as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette(CLASSES)[labels])
    mask = np.minimum(labels, 1)
    write_labels(tmp_path / "mask.png", mask)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "1"
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask)
    assert shares(np.array([[0, 2], [2, 2]], np.uint8), 4).tolist() == [0.25, 0, 0.75, 0]


def test_classes_come_back_and_a_mask_has_no_table(tmp_path):
    write_classes(tmp_path, CLASSES)
    assert load_classes(tmp_path) == CLASSES and kernels(CLASSES) == ((3, 5), (7, 5))
    write_classes(tmp_path, MASK)
    assert load_classes(tmp_path) == MASK and not list(tmp_path.iterdir())


@pytest.mark.parametrize("table, words", [
    ("value,name\n0,a\n1,b\n", "has no column colour"),
    ("value,name,colour\n0,a,#ffffff\n2,b,#000000\n", "has the values 0, 2: wanted 0, 1, 2"),
    ("value,name,colour\n0,a,#ffffff\n", "has the values 0: wanted"),
    ("value,name,colour\n0,a,#ffffff\n1,a,#000000\n", "line 3: found the name 'a'; wanted one that no other"),
    ("value,name,colour\n0,a,#ffffff\n1,b,red\n", "line 3: found the colour 'red'; wanted one like"),
    ("value,name,colour,close_size,open_size\n0,a,#ffffff,,\n1,b,#000000,,\n2,c,#ff0000,3.5,5\n", "line 4: found the kernels 3.5"),
])
def test_a_wrong_table_is_refused_with_its_line(table, words, tmp_path):
    (tmp_path / "classes.csv").write_text(table)
    with pytest.raises(StudyError, match=words):
        read_classes(tmp_path / "classes.csv")


def test_kernels_that_a_table_leaves_out_are_given(tmp_path):
    (tmp_path / "classes.csv").write_text("value,name,colour\n0,other,#FFFFFF\n1,tissue,#f2c6d6\n2,NA,#3f2a82\n")
    assert read_classes(tmp_path / "classes.csv", 7, 9)[2] == Label("NA", "#3f2a82", 7, 9)


def test_c_of_a_mask_is_the_same_with_further_classes_that_it_lacks():
    for seed in range(5):
        mask = noise_mask(seed)
        np.testing.assert_array_equal(coarse_mask(mask, dense=((9, 13), (3, 5))), coarse_mask(mask))


def test_c_shows_where_a_class_is_dense_inside_of_the_tissue():
    """Nuclei of 3 px every 6 px are one dense area, a single one is none; a later class lies over an earlier one."""
    labels = np.zeros((80, 100), np.uint8)
    labels[15:65, 15:85] = 1
    for row in range(20, 50, 6):
        labels[row:row + 3, 20:50:6] = labels[row:row + 3, 21:51:6] = labels[row:row + 3, 22:52:6] = 2
    labels[58:61, 70:73] = 2
    wanted = np.zeros_like(labels)
    wanted[15:65, 15:85] = 1
    wanted[20:47, 20:47] = 2
    np.testing.assert_array_equal(coarse_mask(labels, dense=((5, 7), (1, 3))), wanted)
    labels[20:47, 20:47] = 2 + np.indices((27, 27)).sum(axis=0) % 2  # a chessboard: both are dense everywhere
    assert (coarse_mask(labels, dense=((5, 7), (5, 7)))[22:45, 22:45] == 3).all()
    alone = np.zeros_like(labels)
    alone[30:33, 30:33] = 2  # tissue that C takes away takes its class along
    assert not coarse_mask(alone, dense=((1, 1),)).any()
