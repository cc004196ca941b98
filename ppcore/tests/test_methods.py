"""Does a step of each method follow its equations?"""

import math
import sys
from itertools import chain

import pytest
import torch
from torch import Tensor, nn

from ppcore.methods import pix2pixhd
from ppcore.methods.cyclegan import CycleGAN, CycleGANSettings
from ppcore.methods.dcgan import DCGAN, DCGANSettings
from ppcore.methods.depas import Depas, DepasSettings
from ppcore.methods.image_pool import ImagePool
from ppcore.methods.losses import feature_matching, gan_loss, lsgan_loss, paper28_loss
from ppcore.methods.pix2pix import Pix2Pix, Pix2PixSettings, pair
from ppcore.methods.pix2pixhd import Pix2PixHD, Pix2PixHDSettings
from ppcore.networks.noise import draw_noise

LN2 = pytest.approx(math.log(2))


class FakeVGG(nn.Module):
    """Features at five depths: the image times 1 to 5."""

    def __init__(self, weights: str) -> None:
        super().__init__()

    def forward(self, image: Tensor) -> list[Tensor]:
        return [image * depth for depth in range(1, 6)]


@pytest.fixture(autouse=True)
def one_thread_and_no_photographs(monkeypatch):
    monkeypatch.setattr(pix2pixhd, "VGG19", FakeVGG)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pix2pix(**changes) -> Pix2Pix:
    return Pix2Pix(Pix2PixSettings(**dict(ngf=4, ndf=4, levels=3, learning_rate=0.0) | changes))


def cyclegan(**changes) -> CycleGAN:
    return CycleGAN(CycleGANSettings(**dict(ngf=4, ndf=4, blocks=1, learning_rate=0.0) | changes))


def hd(**changes) -> Pix2PixHD:
    return Pix2PixHD(Pix2PixHDSettings(**dict(ngf=4, ndf=4, downs=1, blocks=1, learning_rate=0.0) | changes))


def dcgan(**changes) -> DCGAN:
    return DCGAN(DCGANSettings(**dict(height=32, width=64, latent=8, ngf=4, ndf=4, learning_rate=0.0) | changes))


def depas(**changes) -> Depas:
    sizes = dict(height=64, width=64, latent=8, ngf=4, ndf=4, scales=2, learning_rate=0.0)
    return Depas(DepasSettings(**sizes | changes))


def batch_of(method, count: int = 2) -> dict[str, Tensor]:
    """Half-planes, coarse, and the same with stripes, fine, as mask and image too; of 32 x 64, 64 x 64 for two scales."""
    coarse = -torch.ones(count, 1, 32 if isinstance(method, (Pix2Pix, CycleGAN, DCGAN)) else 64, 64)
    for index, mask in enumerate(coarse):
        mask[..., : 16 + 8 * index] = 1
    fine = coarse.clone()
    fine[..., ::4, :] = -1
    return {"coarse": coarse, "fine": fine, "mask": fine, "image": torch.cat((fine, coarse, -fine), dim=1)}


@torch.no_grad()
def silence(*modules: nn.Module) -> None:
    """Weights of 0: the output is 0."""
    for weight in chain.from_iterable(module.parameters() for module in modules):
        weight.zero_()


# --- values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "wanted"), [
    (pix2pix, {"D": LN2, "G_gan": LN2, "G_l1": 1}),
    (lambda: pix2pix(recipe="paper28"), {"D": LN2, "G_gan": LN2, "G_l1": 1}),
    (cyclegan, {"D": 1, "G_gan": 2, "G_cycle": 2, "G_identity": 2}),
    (lambda: cyclegan(identity=0.0), {"D": 1, "G_gan": 2, "G_cycle": 2, "G_identity": 0}),
    (lambda: cyclegan(recipe="paper28"),
     {"D": pytest.approx(2 * math.log(2)), "G_gan": pytest.approx(2 * math.log(2)), "G_cycle": 2, "G_identity": 0}),
    (hd, {"D": 1, "G_gan": 2, "G_features": 0}),
    (lambda: hd(vgg_weights="file"),
     {"D": 1, "G_gan": 2, "G_features": 0, "G_vgg": 1 / 32 + 2 / 16 + 3 / 8 + 4 / 4 + 5}),
    (dcgan, {"D": pytest.approx(2 * math.log(2)), "G_gan": LN2}),
    (depas, {"D": pytest.approx(2 * math.log(2)), "G_gan": LN2}),
])
def test_losses_of_a_step_by_hand(make, wanted):
    """Networks that say 0: an L1 to masks of -1 and 1 is 1, a cross-entropy ln 2, a square to "real" 1.

    CycleGAN and pix2pixHD sum over two discriminators, or scales, and D's loss is halved but in DCGAN and DEPAS.
    """
    method = make()
    silence(*method.networks.values())
    losses = {name: loss.item() for name, loss in method.step(batch_of(method)).items()}
    assert losses == wanted


# --- gradients ----------------------------------------------------------------------------------------------


def hard(mask: Tensor) -> Tensor:
    return torch.where(mask > 0, 1.0, -1.0) + mask - mask.detach()


def pix2pix_by_hand(m: Pix2Pix, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    G, D = m.networks["generator"], m.networks["discriminator"]
    soft = G(x, draw_noise(G.noise(*x.shape[-2:]), len(x)))
    shown = hard(soft) if m.settings.straight_through else soft
    real, fake = D(pair(x, y), hidden=True), D(pair(x, shown), hidden=True)
    if m.settings.recipe == "reference":
        loss_G = gan_loss(fake[-1], True) + 100 * (soft - y).abs().mean()
    else:
        loss_G = paper28_loss(fake, real, fake)
    return {"discriminator": 0.5 * gan_loss(real[-1], True) + 0.5 * gan_loss(fake[-1], False), "generator": loss_G}


def cyclegan_by_hand(m: CycleGAN, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    G, F, D_X, D_Y = (m.networks[name] for name in ("G", "F", "D_X", "D_Y"))
    fine, coarse = G(x), F(y)
    x_again, y_again = F(fine), G(coarse)
    show = hard if m.settings.straight_through else nn.Identity()
    cycle = (x_again - x).abs().mean() + (y_again - y).abs().mean()
    if m.settings.recipe == "reference":
        against = lsgan_loss
        identity = (F(x) - x).abs().mean() + (G(y) - y).abs().mean()
        loss_G = ((D_Y(show(fine))[0] - 1) ** 2).mean() + ((D_X(show(coarse))[0] - 1) ** 2).mean()
        loss_G = loss_G + 10 * cycle + 5 * identity
    else:
        against = gan_loss
        loss_G = cycle + sum(
            paper28_loss(D(show(made)), D(real, hidden=True), D(show(again), hidden=True))
            for D, made, real, again in ((D_Y, fine, y, y_again), (D_X, coarse, x, x_again)))
    return {"G": loss_G, "F": loss_G,
            "D_Y": 0.5 * (against(D_Y(y)[0], True) + against(D_Y(show(fine))[0], False)),
            "D_X": 0.5 * (against(D_X(x)[0], True) + against(D_X(show(coarse))[0], False))}


def hd_by_hand(m: Pix2PixHD, mask: Tensor, image: Tensor) -> dict[str, Tensor]:
    G, D = m.networks["generator"], m.networks["discriminator"]
    made = G(mask)
    real, fake = D(pair(mask, image), hidden=True), D(pair(mask, made), hidden=True)
    loss_D = sum(lsgan_loss(r[-1], True) + lsgan_loss(f[-1], False) for r, f in zip(real, fake)) / 2
    loss_G = (sum(lsgan_loss(f[-1], True) for f in fake)
              + 10 * sum(feature_matching(f[:-1], r[:-1]) for f, r in zip(fake, real)) / 2)
    if m.settings.vgg_weights:
        loss_G = loss_G + 10 * (1 / 32 + 2 / 16 + 3 / 8 + 4 / 4 + 5) * (made - image).abs().mean()
    return {"discriminator": loss_D, "generator": loss_G}


def noise_by_hand(m: DCGAN | Depas, y: Tensor) -> dict[str, Tensor]:
    D = m.networks["discriminator"]
    G = m.networks["generator"]
    mask = G(draw_noise(G.noise(), len(y)))

    def mean_of(image: Tensor, real: bool) -> Tensor:
        if isinstance(m, DCGAN) and m.settings.recipe == "masks":
            image = image + 0.5 * torch.randn_like(image)
        logits = [D(image)] if isinstance(m, DCGAN) else [scale[0] for scale in D(image)]
        return sum(gan_loss(each, real) for each in logits) / len(logits)

    return {"discriminator": mean_of(y, True) + mean_of(mask, False), "generator": mean_of(mask, True)}


@pytest.mark.parametrize(("make", "changes", "by_hand", "names"), [
    (pix2pix, {}, pix2pix_by_hand, ("coarse", "fine")),
    (pix2pix, {"straight_through": True}, pix2pix_by_hand, ("coarse", "fine")),
    (pix2pix, {"recipe": "paper28"}, pix2pix_by_hand, ("coarse", "fine")),
    (cyclegan, {}, cyclegan_by_hand, ("coarse", "fine")),
    (cyclegan, {"straight_through": True}, cyclegan_by_hand, ("coarse", "fine")),
    (cyclegan, {"recipe": "paper28"}, cyclegan_by_hand, ("coarse", "fine")),
    (hd, {}, hd_by_hand, ("mask", "image")),
    (hd, {"vgg_weights": "file", "enhancer": True}, hd_by_hand, ("mask", "image")),
    (dcgan, {}, noise_by_hand, ("fine",)),
    (dcgan, {"recipe": "radford"}, noise_by_hand, ("fine",)),
    (depas, {}, noise_by_hand, ("fine",)),
])
def test_gradients_of_a_step_are_those_of_the_equations(make, changes, by_hand, names):
    """D's gradient is of D's loss alone: G's update adds nothing to it."""
    stepped, method = make(**changes), make(**changes)
    for each in (stepped, method):
        each.initialise(3)
    batch = batch_of(method)
    torch.manual_seed(0)
    stepped.step(batch)
    torch.manual_seed(0)
    losses = by_hand(method, *(batch[name] for name in names))
    assert {name for name in method.networks if not name.startswith("pool")} == set(losses)
    for name, loss in losses.items():
        weights = list(method.networks[name].parameters())
        wanted = torch.autograd.grad(loss, weights, retain_graph=True)
        assert sum(gradient.abs().sum() for gradient in wanted) > 0
        for found, gradient in zip(stepped.networks[name].parameters(), wanted, strict=True):
            assert (found.grad - gradient).abs().max() < 1e-4 * (1 + gradient.abs().max())


@pytest.mark.parametrize(("make", "order"), [
    (pix2pix, [{"discriminator"}, {"generator"}]), (cyclegan, [{"G", "F"}, {"D_X", "D_Y"}]),
    (hd, [{"generator"}, {"discriminator"}]), (dcgan, [{"discriminator"}, {"generator"}]),
    (depas, [{"discriminator"}, {"generator"}]),
])
def test_each_update_moves_its_own_networks_alone(make, order, monkeypatch):
    method, moved = make(learning_rate=1e-3), []
    module = sys.modules[type(method).__module__]
    update = module.update

    def weights() -> dict[str, Tensor]:
        return {name: nn.utils.parameters_to_vector(network.parameters()).detach()
                for name, network in method.networks.items() if name[:4] != "pool"}

    def watched(optimizer, loss):
        before = weights()
        update(optimizer, loss)
        moved.append({name for name, after in weights().items() if not torch.equal(before[name], after)})

    monkeypatch.setattr(module, "update", watched)
    method.step(batch_of(method))
    assert moved == order


def watch(network: nn.Module) -> list[Tensor]:
    """The network's inputs from now on."""
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    return seen


@pytest.mark.parametrize("recipe", ["reference", "paper28"])
def test_each_discriminator_of_a_cyclegan_judges_its_own_domain(recipe):
    """Equation (6) corrected: D_X sees x, F(y) and F(G(x)), and never the D_X(G(y)) that is printed."""
    method = cyclegan(recipe=recipe)
    batch = batch_of(method)
    x, y = batch["coarse"], batch["fine"]
    G, F = method.networks["G"], method.networks["F"]
    with torch.no_grad():
        allowed = {"D_X": [x, F(y), F(G(x))], "D_Y": [y, G(x), G(F(y))]}
        assert (G(y) - F(y)).abs().max() > 0.01
    for name, images in allowed.items():
        seen = watch(method.networks[name])
        method.step(batch)
        places = [[torch.allclose(image, one, atol=1e-6) for one in images].index(True) for image in seen]
        assert sorted(places) == ([0, 1, 1] if recipe == "reference" else [0, 0, 1, 1, 2])


@pytest.mark.parametrize("make", [pix2pix, cyclegan])
@pytest.mark.parametrize("recipe", ["reference", "paper28"])
def test_straight_through_shows_binary_masks_alone(make, recipe):
    for straight in (True, False):
        method = make(recipe=recipe, straight_through=straight)
        seen = [image for name, network in method.networks.items() if name[0] in "dD"
                for image in [watch(network)]]
        method.step(batch_of(method))
        values = torch.cat([image.flatten() for images in seen for image in images])
        assert (values.abs() == 1).all() == straight


# --- learning -----------------------------------------------------------------------------------------------


def steps(method, batch: dict[str, Tensor], count: int) -> list[dict[str, float]]:
    torch.manual_seed(0)
    return [{name: loss.item() for name, loss in method.step(batch).items()} for _ in range(count)]


def test_pix2pix_learns_by_the_literal_recipe_too():
    """Without an L1 term: the two feature matchings do it. (The reference recipe: in test_training.)"""
    method = pix2pix(recipe="paper28", learning_rate=2e-3, ngf=8, ndf=8)
    log = steps(method, batch_of(method), 60)
    assert log[-1]["G_l1"] < 0.4 < 0.9 < log[0]["G_l1"]


@pytest.mark.parametrize("recipe", ["reference", "paper28"])
def test_cyclegan_learns_to_go_there_and_back(recipe):
    method = cyclegan(recipe=recipe, learning_rate=2e-3, ngf=8, ndf=8)
    log = steps(method, batch_of(method, 1), 50)
    assert log[-1]["G_cycle"] < 0.2 < 1.5 < log[0]["G_cycle"]


@pytest.mark.parametrize("vgg_weights", ["", "file"])
def test_pix2pixhd_learns_an_image_by_heart(vgg_weights):
    method = hd(vgg_weights=vgg_weights, learning_rate=2e-3, ngf=8, ndf=8)
    batch = batch_of(method)
    log = steps(method, batch, 40)
    assert log[-1]["G_features"] < 0.1 < 1 < log[0]["G_features"]
    assert (method.generate(batch["mask"], seeds=[0, 0]) - batch["image"]).abs().mean() < 0.1


@pytest.mark.parametrize(("make", "changes"), [
    (dcgan, dict(learning_rate=2e-3, ngf=8, ndf=8)),
    (dcgan, dict(learning_rate=2e-3, ngf=8, ndf=8, recipe="radford")),
    (depas, dict(learning_rate=4e-3, ngf=16, anneal_steps=100)),
])
def test_noise_becomes_the_one_mask_there_is(make, changes):
    method = make(**changes)
    batch = {name: images[-1:].repeat(4, 1, 1, 1) for name, images in batch_of(method, 4).items()}
    before = method.generate(None, seeds=[1, 2]) > 0
    steps(method, batch, 240)
    fine = batch["fine"][:2] > 0
    assert ((method.generate(None, seeds=[1, 2]) > 0) == fine).float().mean() > 0.95
    assert (before == fine).float().mean() < 0.7


# --- the pool -----------------------------------------------------------------------------------------------


def numbered(start: int, count: int) -> Tensor:
    return torch.arange(start, start + count, dtype=torch.float32)[:, None, None, None]


def test_a_pool_gives_back_what_came_until_it_is_full_and_then_half_old_ones():
    pool, old = ImagePool(10), 0
    assert torch.equal(pool(numbered(0, 10)), numbered(0, 10))
    given = list(range(10))
    for start in range(10, 2010, 4):
        images, before = numbered(start, 4), torch.get_rng_state()
        answers = pool(images)
        assert torch.equal(torch.get_rng_state(), before)
        assert answers.shape == images.shape and len(pool.images) == 10
        old += (answers != images).sum().item()
        given += answers.flatten().tolist()
    assert old / 2000 == pytest.approx(0.5, abs=0.04)
    twice = [number for number in given if number >= 10]
    assert len(twice) == len(set(twice))  # an image is given once: it is kept or shown, and leaves the pool as it is shown


def test_a_pool_comes_back_from_its_state_and_lets_no_gradient_through():
    pool, copy = ImagePool(3), ImagePool(3)
    assert not pool(numbered(0, 2).requires_grad_()).requires_grad
    copy.load_state_dict(pool.state_dict())
    for start in range(2, 40, 2):
        assert torch.equal(pool(numbered(start, 2)), copy(numbered(start, 2)))
    copy.load_state_dict(ImagePool(3).state_dict())
    assert copy.images == [] and copy.shown == 0
    assert torch.equal(copy(numbered(0, 3)), numbered(0, 3))
