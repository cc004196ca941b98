"""Do notebooks 15 and 16 leave out one ingredient at a time, and measure what they say?"""

from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch

from ppcore.experiments.image_ingredients import image_ingredients, images_measured
from ppcore.experiments.ingredients import ALL, CHANGES, ingredients, measured, seconds_per_step
from ppcore.masks.labels import MASK, Label, kernels
from ppcore.masks.make import coarse_mask, tissue_mask
from ppcore.masks.stain import classes_of, label
from ppcore.methods.noise_gan import NoiseGANSettings
from ppcore.methods.noise_image import NoiseImageSettings
from ppcore.metrics.sets import ImageSet, MaskSet
from ppcore.tests.test_rulers import tissue, wallpaper
from ppcore.tests.test_stain import CELLS, learnt, paint


def test_every_training_but_the_first_lacks_one_ingredient():
    own = NoiseGANSettings()
    found = {name: {key for key, value in asdict(settings).items() if value != asdict(own)[key]}
             for name, settings in ingredients(own).items()}
    assert found.pop(ALL) == set()
    assert [len(changed) for changed in found.values()] == [1] * len(CHANGES)
    assert set.union(*found.values()) == {"noise", "texture", "lambda_coarse", "moments"}


def test_real_masks_measure_as_real_and_wallpaper_does_not():
    who, groups = np.arange(6) % 3, {}
    real = MaskSet([tissue(seed) for seed in range(6)], who)
    for name, make in (("others", lambda seed: tissue(seed + 20)), ("wallpaper", wallpaper)):
        made = MaskSet([make(seed) for seed in range(6)], who)
        outlines = [coarse_mask(mask) for mask in made.masks]
        several = [np.stack([make(seed), make(seed + 40)]) for seed in range(3)]
        groups[name] = measured(real, outlines, made, several, real.masks[:3], coarse_mask)
    assert groups["others"]["iou"] == 1 == groups["wallpaper"]["iou"]
    assert groups["others"]["diversity"] == pytest.approx(1, abs=0.1)  # draws as far from each other as from the truth
    for measure in ("kd", "mmd2", "repetition"):
        assert groups["wallpaper"][measure] > groups["others"][measure] + 0.1
    assert groups["others"]["coverage"] > groups["wallpaper"]["coverage"]


def test_label_maps_measure_as_their_tissue_and_differ_by_their_classes():
    """Nuclei in the right place, or in another: the IoU and repetition of tissue are the same, all else is not."""
    classes, who = (*MASK, Label("nuclei", "#3f2a82", 3, 5)), np.arange(6) % 3
    labels = [tissue(seed) + (tissue(seed + 90) & tissue(seed)) for seed in range(6)]
    coarsen = partial(coarse_mask, dense=kernels(classes))
    found = {}
    for name, masks in (("as they are", labels), ("masks", [np.minimum(mask, 1) for mask in labels])):
        real, made = MaskSet(labels, who, classes), MaskSet(masks, who, classes)
        several = [np.stack([mask, np.minimum(mask, 1)]) for mask in masks[:3]]
        found[name] = measured(real, [coarsen(mask) for mask in labels], made, several, labels[:3], coarsen)
    assert [group["iou"] for group in found.values()] == [1, 1]
    assert found["as they are"]["repetition"] == found["masks"]["repetition"]
    assert found["masks"]["diversity"] == 0 < found["as they are"]["diversity"]
    for measure in ("kd", "mmd2"):
        assert found["masks"][measure] > found["as they are"][measure] + 0.1


def test_a_step_is_timed_without_its_warm_up():
    class Slow:
        calls = 0

        def step(self, batch):
            self.calls += 1
            torch.rand(500, 500) @ torch.rand(500, 500)
            assert batch["x"].shape == (3, 2)

    method = Slow()
    assert seconds_per_step(method, [{"x": torch.ones(2)}] * 4, 3, 5) > 0 and method.calls == 7


def test_every_training_of_the_image_model_but_the_first_is_given_less():
    own = NoiseImageSettings(classes=3)
    trainings = image_ingredients(own)
    found = {name: (maps, {key for key, value in asdict(settings).items() if value != asdict(own)[key]})
             for name, (maps, settings) in trainings.items()}
    assert found == {ALL: ("fine", set()), "from tissue and air": ("tissue", {"classes"}),
                     "from the outline": ("coarse", {"air"}), "without noise": ("fine", {"noise"}),
                     "without colour map": ("fine", {"colours"})}
    assert "from tissue and air" not in image_ingredients(replace(own, classes=2))  # it is given no more anyway


def test_real_images_measure_as_real_and_nuclei_in_other_places_are_not_those_asked_for():
    slides = [paint(0.4 * CELLS, strength=strength, seed=i) for i, strength in enumerate((0.8, 1.0, 1.2, 1.0))]
    cut = learnt(slides)
    maps = [label(rgb, tissue_mask(rgb, 204), cut, str(i), 1.0) for i, rgb in enumerate(slides)]
    masks = MaskSet(maps, np.arange(4), classes_of("he", 1.0))
    outlines = [coarse_mask(np.minimum(each, 1)) for each in maps]
    real = ImageSet(slides, masks)
    kinds = {"again": [paint(0.4 * CELLS, seed=i + 9) for i in range(4)], "green": [rgb[..., [1, 0, 2]] for rgb in slides],
             "moved": [np.roll(rgb, 10, axis=1) for rgb in slides]}
    found = {name: images_measured(real, outlines, ImageSet(images, masks), [np.stack([slides[0], slides[0] + 1])], cut)
             for name, images in kinds.items()}
    assert found["again"]["diversity"] == 0.5
    assert found["green"]["kd"] > found["again"]["kd"] + 0.05 and found["green"]["mmd2"] > found["again"]["mmd2"] + 0.1
    assert found["again"]["nuclei: image_dice"] > 0.9 > 0.4 > found["moved"]["nuclei: image_dice"]
    assert set(images_measured(real, outlines, real)) == {"kd", "mmd2", "repetition", "diversity"}  # without a labeller
