"""Do all methods carry K classes, with the same weights and masks for two as ever?"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ppcore.experiments.gpu.bench import NARROW
from ppcore.masks.labels import MASK, Label, write_labels
from ppcore.masks.make import coarse_mask
from ppcore.masks.patches import to_mask, to_tensor
from ppcore.masks.specks import without_specks
from ppcore.methods.classes import channels, cross_entropy, hard, layers, soft
from ppcore.methods.colours import colour_channels
from ppcore.methods.losses import straight_through
from ppcore.methods.sampling import draw
from ppcore.methods.table import ROWS, class_of
from ppcore.methods.texture import map_channels

H, W = 64, 128
DENSE = ((3, 5), (2, 4))  # of classes 2 and 3
CLASSES = (Label("air", "#ffffff"), Label("tissue", "#f2c6d6"), Label("nuclei", "#3f2a82", *DENSE[0]),
           Label("brown", "#8a5a2b", *DENSE[1]))
NAMES = {row.kind: row.name for row in reversed(ROWS) if row.model}.values()  # one row of each class
NOISE = ("DCGAN", "DEPAS")  # nothing is given to them


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def labels(classes: int, seed: int = 0, shape: tuple[int, int] = (H, W)) -> np.ndarray:
    """Blobs of tissue with patches of each further class, and single px of any class."""
    rng = np.random.default_rng(seed)
    large = rng.integers(0, classes, (shape[0] // 16, shape[1] // 16), np.uint8)
    found = np.kron(large, np.ones((16, 16), np.uint8))
    return np.where(rng.random(shape) < 0.15, rng.integers(0, classes, shape, np.uint8), found).astype(np.uint8)


def make(name: str, classes: int):
    kind = class_of(name)
    given = {"height": H, "width": W, "ndf": 4, "lenders": 2, "classes": classes, "dense": DENSE[:classes - 2]}
    given |= NARROW[name] | ({"scales": 1} if name == "fine-to-image" else {})
    return kind(kind.Settings(**{key: value for key, value in given.items() if key in kind.Settings.__annotations__}))


def batch_of(classes: int, count: int = 2) -> dict[str, torch.Tensor]:
    fine = [labels(classes, seed) for seed in range(count)]
    coarse = [coarse_mask(one, dense=DENSE[:classes - 2]) for one in fine]
    x, y = (torch.stack([to_tensor(one, classes) for one in group]) for group in (coarse, fine))
    image = torch.rand(count, 3, H, W, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return {"coarse": x, "fine": y, "mask": y, "image": image,
            "colours": torch.randn(count, colour_channels(classes), H // 8, W // 8, generator=torch.Generator().manual_seed(2)),
            "texture": torch.randn(count, map_channels(classes), H // 8, W // 8, generator=torch.Generator().manual_seed(1))}


def weights_of(method) -> dict[str, torch.Tensor]:
    return {f"{net}.{key}": value.detach() for net, network in method.networks.items()
            for key, value in network.named_parameters() if not key.endswith("bias")}


@pytest.mark.parametrize("name", NAMES)
def test_a_step_with_four_classes_moves_every_weight(name):
    """Two steps: the diffusion's last layer starts at 0, so that nothing before it moves in the first.

    Biases are left out: a norm, or a comparison of two logits, cancels some.
    """
    method = make(name, 4)
    before = {key: value.clone() for key, value in weights_of(method).items()}
    torch.manual_seed(0)
    for _ in range(2):
        losses = method.step(batch_of(4))
    assert all(loss.isfinite() for loss in losses.values())
    assert not [key for key, value in weights_of(method).items() if torch.equal(before[key], value)]


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_is_a_label_map_or_an_image_by_method_not_by_channels(name, classes, tmp_path):
    method, given = make(name, classes), coarse_mask(labels(classes), dense=DENSE[:classes - 2])
    write_labels(tmp_path / "p.png", given, CLASSES[:classes] if classes > 2 else MASK)
    made = draw(method, None if name in NOISE else tmp_path, "p", [1, 1])
    assert np.array_equal(*made)
    if class_of(name).makes == "image":
        assert made[0].shape == (H, W, 3)
    else:
        assert made[0].shape == (H, W) and made[0].dtype == np.uint8 and made[0].max() < classes


def test_what_is_drawn_of_a_cohort_whose_objects_are_large_has_no_small_ones(tmp_path):
    large = tuple(replace(label, least_object=40, least_hole=40) if value > 1 else label
                  for value, label in enumerate(CLASSES))
    write_labels(tmp_path / "p.png", coarse_mask(labels(4), dense=DENSE), CLASSES)
    raw, clean = (draw(make("noise-GAN", 4), tmp_path, "p", [1], classes=given)[0] for given in (MASK, large))
    assert not np.array_equal(raw, clean) and np.array_equal(without_specks(raw, large), clean)


def test_every_row_of_the_table_makes_what_its_class_says():
    for row in ROWS:
        if row.model:
            assert class_of(row.name).makes == row.makes


def test_a_map_of_another_number_of_classes_is_refused(tmp_path):
    write_labels(tmp_path / "p.png", labels(3), CLASSES[:3])
    with pytest.raises(ValueError, match="holds the value 2: wanted 2 classes, 0 to 1"):
        draw(make("pix2pix", 2), tmp_path, "p", [1])


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_a_map_survives_its_network_form_and_its_layers_are_tissue_and_the_further_classes(classes):
    found = labels(classes)
    form = to_tensor(found, classes)
    assert form.shape == (channels(classes), H, W) and set(form.unique().tolist()) == {-1, 1}
    np.testing.assert_array_equal(to_mask(form), found)
    wanted = [found > 0, *(found == value for value in range(2, classes))]
    np.testing.assert_array_equal(torch.cat(layers(form[None]), 1)[0].numpy(), wanted)


def test_two_classes_are_a_softmax_whose_air_has_the_logit_0():
    """Sigmoid and one channel, or softmax and K: the same probabilities, classes and cross-entropy."""
    one = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    two = torch.cat([torch.zeros_like(one), one], 1)
    torch.testing.assert_close(soft(two), torch.cat([-soft(one), soft(one)], 1))
    assert torch.equal(hard(two)[:, 1:], hard(one)) and torch.equal(hard(two)[:, :1], -hard(one))
    y = hard(torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(cross_entropy(two, torch.cat([-y, y], 1)), cross_entropy(one, y))


def test_straight_through_shows_one_class_and_passes_the_gradient():
    scores = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    shown, weight = straight_through(scores), torch.randn(2, 4, 8, 8)
    assert torch.equal((shown > 0).sum(1), torch.ones(2, 8, 8, dtype=torch.int64))
    assert torch.equal(shown.argmax(1), scores.argmax(1)) and set(shown.unique().tolist()) == {-1, 1}
    (shown * weight).sum().backward()
    torch.testing.assert_close(scores.grad, weight)
