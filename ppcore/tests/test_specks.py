"""What is too small to be an object or a hole goes, and only that?"""

from dataclasses import replace

import numpy as np

from ppcore.masks.labels import MASK, Label, load_classes, write_classes
from ppcore.masks.specks import learn_sizes, without_small, without_specks

NUCLEI = Label("nuclei", "#3f2a82", 7, 9)
CLASSES = (*MASK, replace(NUCLEI, least_object=4, least_hole=4), Label("gland", "#d55e00", 7, 9))


def tissue() -> np.ndarray:
    """(40, 60), with a nucleus of 6 x 6 px."""
    labels = np.ones((40, 60), np.uint8)
    labels[10:16, 10:16] = 2
    return labels


def test_a_speck_becomes_what_is_around_it_and_a_small_hole_is_filled():
    labels = tissue()
    expected = labels.copy()
    labels[12, 11:14] = 1  # a hole of 3 px
    labels[13, 14] = 0  # and of air; the two touch only at a corner
    labels[30, 30:33] = 2  # a speck of 3 px in tissue,
    labels[30:40, 40:50], expected[30:40, 40:50] = 3, 3
    labels[34, 44] = 2  # and of one in a gland
    assert np.array_equal(without_specks(labels, CLASSES), expected)


def test_what_is_large_enough_stays():
    labels = tissue()
    labels[12:14, 12:14] = 0  # a hole of 4 px
    labels[30, 30:34] = 2  # an object of 4 px
    labels[20, 20], labels[21, 21], labels[22, 22], labels[23, 23] = 2, 2, 2, 2  # one object, as corners join
    labels[30:36, 40:46] = 3
    labels[32, 42] = 1  # glands may have holes of any size,
    labels[38, 50] = 3  # and be of any
    assert np.array_equal(without_specks(labels, CLASSES), labels)


def test_the_frame_cuts_objects_and_holes_which_may_be_large_outside():
    labels = tissue()
    labels[0, 5] = 2
    labels[:8, 50:] = 2
    labels[0, 55] = 1
    assert np.array_equal(without_specks(labels, CLASSES), labels)


def test_a_mask_and_a_map_of_classes_without_sizes_stay_the_same():
    mask = np.random.default_rng(1).integers(0, 2, (40, 60)).astype(np.uint8)
    assert without_specks(mask, MASK) is mask
    labels = np.random.default_rng(1).integers(0, 3, (40, 60)).astype(np.uint8)
    assert np.array_equal(without_specks(labels, (*MASK, NUCLEI)), labels)


def test_sizes_are_those_of_the_training_maps_and_survive_their_file(tmp_path):
    """Squares of 9 px, one in 200 of a single px; and a class of few objects."""
    labels = np.ones((200, 200), np.uint8)
    for row in range(10, 190, 12):
        for column in range(10, 190, 12):
            labels[row:row + 3, column:column + 3] = 2
    labels[5, 5] = 2
    labels[0, ::2] = 2  # cut by the frame
    labels[150:156, 150:156] = 3
    found = learn_sizes([labels], (*MASK, NUCLEI, Label("gland", "#d55e00", 7, 9)))
    assert [(label.least_object, label.least_hole) for label in found] == [(0, 0), (0, 0), (9, 9), (0, 0)]
    write_classes(tmp_path, found)
    assert load_classes(tmp_path) == found


def test_a_class_that_has_small_holes_keeps_them():
    """Rings with a hole of one px each."""
    labels = np.ones((200, 200), np.uint8)
    for row in range(10, 190, 12):
        for column in range(10, 190, 12):
            labels[row:row + 4, column:column + 4] = 2
            labels[row + 1, column + 1] = 1
    found = learn_sizes([labels], (*MASK, NUCLEI))[2]
    assert (found.least_object, found.least_hole) == (15, 0)
    assert np.array_equal(without_specks(labels, (*MASK, found)), labels)


def test_components_below_a_size_go_wherever_they_lie():
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = mask[1, 1] = mask[4:6, 4:6] = True
    assert without_small(mask, 3, 8).sum() == 4 and without_small(mask, 2, 8).sum() == 6 and without_small(mask, 2, 4).sum() == 4
