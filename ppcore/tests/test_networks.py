"""Are the networks those of the papers?"""

from itertools import pairwise

import pytest
import torch
import torchvision
from torch import nn

from ppcore.networks.dcgan import Discriminator, Generator, draw_for_masks
from ppcore.networks.depas import DepasGenerator, DiscreteAdaptiveBlock
from ppcore.networks.layers import InstanceNorm, init_weights
from ppcore.networks.noise import Noise, draw_noise
from ppcore.networks.patchgan import MultiScale, PatchGAN
from ppcore.networks.resnet import LocalEnhancer, ResNet
from ppcore.networks.unet import UNet
from ppcore.networks.vgg import DEPTHS, VGG19


def conv(width_in: int, width_out: int, side: int, bias: bool = True) -> int:
    """Weights of a convolution side x side."""
    return width_in * width_out * side**2 + bias * width_out


def block(width: int) -> int:
    """Weights of a residual block."""
    return 2 * conv(width, width, 3)


COARSE = 182_443_267 - conv(64, 3, 7)  # of a local enhancer: its global generator without the image
ENHANCER = conv(3, 32, 7) + conv(32, 64, 3) + 3 * block(64) + conv(64, 32, 3) + conv(32, 3, 7)
WIDTHS = (512, 512, 512, 512, 256, 128, 64)  # of DCGAN for 512 x 1024, from 4 x 8 outwards
# Noise of 100 to 4 x 8, six 4 x 4 to the next width, one to the mask; a scale and a shift a channel.
DCGAN = (100 * 512 * 32 + sum(conv(*pair, 4, bias=False) for pair in pairwise(WIDTHS)) + 2 * sum(WIDTHS)
         + conv(64, 1, 4))
JUDGE = (conv(1, 64, 4) + sum(conv(*pair, 4, bias=False) for pair in pairwise(WIDTHS)) + 2 * sum(WIDTHS[:-1])
         + 512 * 32 + 1)


@pytest.mark.parametrize(("network", "arguments", "count"), [
    (UNet, dict(in_channels=3, out_channels=3), 54_413_955),  # 54.414 M in the reference code of pix2pix
    (UNet, dict(), 54_413_955 - 2 * 64 * 16 - 2 * (128 * 16 + 1)),
    (PatchGAN, dict(in_channels=6), 2_768_705),  # 2.769 M there
    (PatchGAN, dict(), 2_768_705 - 4 * 64 * 16),
    (PatchGAN, dict(in_channels=3, affine=False), 2_764_737),  # 2.765 M in the reference code of CycleGAN
    (MultiScale, dict(in_channels=4), 2 * (2_764_737 + 64 * 16)),
    (ResNet, dict(in_channels=3, out_channels=3), 11_378_179),  # 11.378 M there
    (ResNet, dict(in_channels=3, out_channels=3, downs=4), 182_443_267),  # 182.44 M in pix2pixHD's
    (LocalEnhancer, dict(in_channels=3), COARSE + ENHANCER),
    (Generator, dict(height=512, width=1024), DCGAN),
    (Discriminator, dict(height=512, width=1024), JUDGE),
    (Discriminator, dict(height=512, width=1024, batch_norm=False), JUDGE - sum(WIDTHS[:-1])),  # a bias for two
    (DepasGenerator, dict(height=512, width=1024), DCGAN + sum(WIDTHS) + 2),  # noise scales, slope and threshold
])
def test_parameter_count_is_the_papers(network, arguments, count):
    with torch.device("meta"):
        assert sum(weight.numel() for weight in network(**arguments).parameters()) == count


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_exactly_its_patch(layers, field):
    """By the gradient of one logit; without instance norm, because its statistics see the whole image."""
    D = PatchGAN(in_channels=1, ndf=2, layers=layers)
    init_weights(D, seed=0)
    replace(D, nn.InstanceNorm2d, lambda norm: nn.Identity())
    image = torch.randn(1, 1, 160, 160, requires_grad=True)
    logits = D(image)[-1]
    side = logits.shape[-1]
    logits[0, 0, side // 2, side // 2].backward()
    rows, columns = torch.nonzero(image.grad[0, 0], as_tuple=True)
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (field, field)


@pytest.mark.parametrize(("network", "shape", "message"), [
    (lambda: UNet(ngf=1, levels=4), (1, 40, 100), "40 x 100 px.* multiples of 16, the nearest is 32 x 96"),
    (lambda: UNet(ngf=1, levels=4), (1, 3, 16), "the nearest is 16 x 16"),
    (lambda: ResNet(ngf=1, blocks=0), (1, 50, 102), "50 x 102 px: a ResNet of 2 downs.* multiples of 4, .* 48 x 104"),
    (lambda: ResNet(ngf=1, blocks=0), (1, 4, 64), "4 x 64 px: .* needs 8 px or more"),
    (lambda: ResNet(ngf=1, downs=0, blocks=0), (1, 3, 64), "3 x 64 px: .* needs 4 px or more"),
    (lambda: LocalEnhancer(ngf=1, downs=2, global_blocks=0), (1, 68, 64), "multiples of 8, the nearest is 64 x 64"),
    (lambda: LocalEnhancer(ngf=1, downs=2, global_blocks=0), (1, 8, 64), "4 x 32 px: a ResNet .* needs 8 px"),
    (lambda: Discriminator(32, 64, ndf=1), (1, 64, 64), "64 x 64 px: this discriminator was made for 32 x 64"),
    (lambda: PatchGAN(1, ndf=1), (1, 23, 64), "23 x 64 px.* needs 24 px or more"),
    (lambda: MultiScale(1, ndf=1), (1, 46, 64), "23 x 32 px.* needs 24 px or more"),
])
def test_wrong_size_is_refused_by_found_and_wanted(network, shape, message):
    made, given = network(), [torch.zeros(1, *shape)]
    with pytest.raises(ValueError, match=message):
        made(*given, *([[]] if isinstance(made, UNet) else []))


@pytest.mark.parametrize(("kind", "size", "message"), [
    (Generator, (500, 1000), "500 x 1000 px: 6 doublings need multiples of 64, the nearest is 512 x 1024"),
    (Discriminator, (500, 1000), "the nearest is 512 x 1024"),
    (Generator, (7, 8), "7 x 8 px: .* the nearest is 8 x 8"),
])
def test_dcgan_is_not_made_for_a_size_it_cannot_halve(kind, size, message):
    with pytest.raises(ValueError, match=message):
        kind(*size)


@pytest.mark.parametrize(("network", "smallest"), [
    (lambda: PatchGAN(1, ndf=1), (24, 24)), (lambda: MultiScale(1, ndf=1), (47, 47)),
    (lambda: ResNet(ngf=1, blocks=1), (8, 8)), (lambda: ResNet(ngf=1, downs=0, blocks=1), (4, 4)),
    (lambda: LocalEnhancer(ngf=1, downs=1, global_blocks=1), (8, 8)), (lambda: Discriminator(8, 8, ndf=1), (8, 8)),
])
def test_the_smallest_size_is_taken(network, smallest):
    network = network().eval()
    outputs = network(torch.randn(1, 1, *smallest))
    while isinstance(outputs, list):
        outputs = outputs[-1]
    assert outputs.isfinite().all() and outputs.numel()


def test_a_unet_of_one_level_is_refused():
    with pytest.raises(ValueError, match="levels=1"):
        UNet(levels=1)


@pytest.mark.parametrize("size", [(8, 8), (24, 40), (32, 64), (56, 7 * 8)])
def test_dcgan_makes_the_size_it_was_made_for(size):
    mask = Generator(*size, latent=3, ngf=1).eval()([torch.randn(2, 3)])
    assert mask.shape == (2, 1, *size)
    assert Discriminator(*size, ndf=1)(mask).shape == (2, 1, 1, 1)


@pytest.mark.parametrize("levels", [2, 4, 6])
def test_unet_keeps_the_size_down_to_a_bottleneck_of_one_pixel(levels):
    G = UNet(ngf=2, levels=levels)
    for size in ((2**levels, 2**levels), (2**levels, 2 * 2**levels)):
        image = draw(G, torch.randn(2, 1, *size), seed=1)
        assert image.shape == (2, 1, *size)
        assert image.abs().max() < 1


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_instance_norm_is_torchs_in_value_and_gradient(batch, affine):
    generator = torch.Generator().manual_seed(0)
    norms = [kind(4, affine=affine) for kind in (InstanceNorm, nn.InstanceNorm2d)]
    image, weight = (3 + torch.randn(batch, 4, 6, 8, generator=generator) for _ in range(2))
    seen = []
    for norm in norms:
        given = image.clone().requires_grad_()
        output = norm(given)
        (output * weight).sum().backward()
        seen.append([output.detach(), given.grad, *(parameter.grad for parameter in norm.parameters())])
    assert len(seen[0]) == 2 + 2 * affine
    for ours, theirs in zip(*seen, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="a channel of one pixel"):
        norms[0](torch.zeros(batch, 4, 1, 1))


def test_instance_norm_is_batch_norm_at_batch_one():
    G = UNet(ngf=4, levels=4)
    init_weights(G, seed=0)
    image = torch.randn(1, 1, 32, 64)
    ours = draw(G, image, seed=1)
    replace(G, nn.InstanceNorm2d, as_batch_norm)
    assert (draw(G, image, seed=1) - ours).abs().max() < 1e-5


def test_a_mask_does_not_depend_on_its_neighbours_in_the_batch():
    """With batch norm it does, which is why `InstanceNorm2d` replaces it."""
    G = UNet(ngf=4, levels=4)
    init_weights(G, seed=0)
    images = torch.stack([torch.randn(1, 32, 64), 5 + torch.randn(1, 32, 64)])
    z = draw_noise(G.noise(32, 64), 2)
    assert (G(images, z)[:1] - G(images[:1], [z[0][:1]])).abs().max() < 1e-5
    replace(G, nn.InstanceNorm2d, as_batch_norm)
    assert (G(images, z)[:1] - G(images[:1], [z[0][:1]])).abs().max() > 0.01


def test_coins_are_fair_normals_normal_and_a_seed_gives_both_again():
    def parts(seed):
        return draw_noise([Noise("coin", (8, 64, 64)), Noise("normal", (20_000,))], 2,
                          generator=torch.Generator().manual_seed(seed))

    coins, normals = parts(1)
    assert coins.shape == (2, 8, 64, 64) and normals.shape == (2, 20_000)
    assert set(coins.unique().tolist()) == {0.0, 1.0} and coins.mean().item() == pytest.approx(0.5, abs=0.01)
    assert normals.mean().item() == pytest.approx(0, abs=0.02) and normals.std().item() == pytest.approx(1, abs=0.02)
    assert all(map(torch.equal, parts(1), (coins, normals))) and not torch.equal(parts(2)[0], coins)


def test_a_coin_drops_a_value_or_doubles_it():
    """With a block that outputs ones: dropout of .5, whose mean is the input's."""
    G, image = UNet(ngf=4, levels=4), torch.randn(1, 1, 32, 64)
    G.up[0] = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(32, 16, 1))  # as wide as what it stands for
    nn.init.zeros_(G.up[0][1].weight), nn.init.ones_(G.up[0][1].bias)
    seen, z = [], draw_noise(G.noise(32, 64), 1)
    G.up[1].register_forward_pre_hook(lambda module, given: seen.append(given[0][:, -16:].clone()))
    G(image, z)
    assert z[0].shape == (1, 16, 4, 8) and torch.equal(seen[0], 2 * z[0])


def test_noise_stays_on_after_eval():
    G = UNet(ngf=4, levels=4).eval()
    init_weights(G, seed=0)
    image = torch.randn(1, 1, 32, 64)
    assert torch.equal(draw(G, image, seed=1), draw(G, image, seed=1))
    assert not torch.equal(draw(G, image, seed=1), draw(G, image, seed=2))


def test_residual_blocks_and_ends_have_no_border():
    """A constant image stays constant to the last pixel: reflection pads it by itself, zeros would not."""
    G = ResNet(ngf=4, downs=0, blocks=2)
    init_weights(G, seed=0)
    G.image[1].bias.data.fill_(0.3)
    image = torch.full((1, 1, 16, 16), 0.5)
    assert G(image).std() < 1e-6
    replace(G, nn.ReflectionPad2d, lambda pad: nn.ZeroPad2d(pad.padding))
    assert G(image).std() > 1e-4


def test_a_local_enhancer_adds_coarse_features_to_fine_ones():
    """Without what the global generator says, the image is another; it sees the mean over 3 x 3."""
    G, seen = LocalEnhancer(ngf=2, downs=1, global_blocks=1), []
    init_weights(G, seed=0)
    image = torch.zeros(1, 1, 16, 16)
    image[..., 4, 4] = 9
    G.coarse.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    whole = G(image)
    assert seen[0].shape == (1, 1, 8, 8)
    assert seen[0][0, 0, 2, 2] == 1 and seen[0].sum() == 1
    G.coarse.image = nn.Threshold(float("inf"), 0.0)
    assert (G(image) - whole).abs().max() > 1e-3


def test_dcgan_after_training_makes_a_mask_of_its_noise_alone():
    G = Generator(32, 32, latent=5, ngf=4)
    init_weights(G, seed=0)
    z = torch.randn(3, 5)
    assert (G([z])[:1] - G([z[:2]])[:1]).abs().max() > 1e-3  # in training it feels the others
    G.eval()
    assert (G([z])[:1] - G([z[:1]])).abs().max() < 1e-6


def roughness(mask: torch.Tensor) -> float:
    """Mean difference of neighbours over the spread: about 1 for a lattice, 0 for a flat area."""
    return ((mask[..., 1:] - mask[..., :-1]).abs().mean() / mask.std()).item()


def test_dcgan_drawn_for_masks_starts_with_blobs_and_a_discriminator_that_answers():
    G, D = Generator(64, 128, latent=8, ngf=8), Discriminator(64, 128, ndf=8, batch_norm=False)
    z = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    found = {}
    for name in ("N(0, .02)", "for masks"):
        init_weights(nn.ModuleList((G, D)), seed=0)
        if name == "for masks":
            draw_for_masks(G, D, seed=0)
        found[name] = roughness(G([z])), D(torch.sign(G([z]))).std().item()
    assert found["for masks"][0] < 0.15 < 0.5 < found["N(0, .02)"][0]
    assert found["for masks"][1] > 0.1 > 1e-3 > found["N(0, .02)"][1]


def depas(seed: int) -> DepasGenerator:
    """A DEPAS after training."""
    G = DepasGenerator(32, 64, latent=5, ngf=8)
    init_weights(G, seed)
    return G.eval()


def test_depas_draws_noise_in_every_layer_after_training_too():
    G, z = depas(seed=0), torch.ones(1, 5)
    assert torch.equal(draw(G, z, seed=1), draw(G, z, seed=1))
    assert not torch.equal(draw(G, z, seed=1), draw(G, z, seed=2))
    assert not torch.equal(draw(G, z, seed=1), draw(G, -z, seed=1))
    maps = [layer for layer in G.modules() if hasattr(layer, "scale")]
    assert len(maps) == 1 + len(G.up) == 3
    for layer in maps:
        layer.scale.data.zero_()
    assert torch.equal(draw(G, z, seed=1), draw(G, z, seed=2))


def test_depas_after_training_is_exactly_the_sign_of_what_it_trains():
    G, z = depas(seed=0), torch.ones(1, 5)
    G.block.threshold.data.fill_(1e-4)
    hard = draw(G, z, seed=1)
    G.block.train()
    soft = draw(G, z, seed=1)
    assert set(hard.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(hard > 0, soft > 0)
    assert soft.abs().max() < 0.9


def test_the_discrete_adaptive_block_by_hand():
    block = DiscreteAdaptiveBlock()
    block.log_slope.data.fill_(0.7)
    block.threshold.data.fill_(0.25)
    block.sharpness.fill_(3)
    x = torch.linspace(-1, 1, 9).reshape(1, 1, 3, 3)
    wanted = 2 * torch.sigmoid(3 * torch.tensor(0.7).exp() * (x - 0.25)) - 1
    assert (block(x) - wanted).abs().max() < 1e-6
    assert block.eval()(x).flatten().tolist() == [-1, -1, -1, -1, -1, -1, 1, 1, 1]  # the threshold itself is air


def test_the_discrete_adaptive_block_of_several_classes_by_hand():
    """A softmax of the maps above their thresholds; with a map of 0 for air it is the block of one map."""
    block, one = DiscreteAdaptiveBlock(3), DiscreteAdaptiveBlock()
    for each in (block, one):
        each.log_slope.data.fill_(0.7)
        each.sharpness.fill_(3)
    block.threshold.data[:, 0, 0] = torch.tensor([0.0, 0.25, 9.0])  # the third class never wins
    one.threshold.data.fill_(0.25)
    x = torch.linspace(-1, 1, 9).reshape(1, 1, 3, 3)
    maps = torch.cat([torch.zeros_like(x), x, x], 1)
    assert ((block(maps) + 1).sum(1) - 2).abs().max() < 1e-6 and (block(maps)[:, 1:2] - one(x)).abs().max() < 1e-5
    hard = block.eval()(maps)
    assert torch.equal(hard[:, 1:2], one.eval()(x)) and torch.equal(hard[:, :1], -hard[:, 1:2])


def test_sharpness_reaches_its_end_and_stays():
    block, seen = DiscreteAdaptiveBlock(), []
    for _ in range(12):
        block.sharpen(10.0, steps=7)
        seen.append(block.sharpness.item())
    assert seen[:7] == pytest.approx([10 ** (step / 7) for step in range(1, 8)])
    assert seen[7:] == [10.0] * 5


@pytest.fixture(scope="module")
def vgg_weights(tmp_path_factory):
    """Random weights in a file like torchvision's, of the convolutions only."""
    with torch.device("meta"):
        wanted = torchvision.models.vgg19().features.state_dict()
    generator = torch.Generator().manual_seed(0)
    tensors = {f"features.{name}": 0.02 * torch.randn(value.shape, generator=generator)
               for name, value in wanted.items()}
    path = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    torch.save(tensors, path)
    return path


@torch.no_grad()
def test_vgg_gives_torchvisions_features_and_stays_frozen(vgg_weights):
    vgg, image = VGG19(vgg_weights), torch.randn(1, 3, 32, 48)
    features = vgg(image)
    assert [layer.shape[1:] for layer in features] == [
        (64, 32, 48), (128, 16, 24), (256, 8, 12), (512, 4, 6), (512, 2, 3)]
    with torch.device("meta"):
        layers = torchvision.models.vgg19().features
    tensors = torch.load(vgg_weights)
    layers.load_state_dict({name.removeprefix("features."): value for name, value in tensors.items()}, assign=True)
    for end, found in zip(DEPTHS, features, strict=True):
        assert isinstance(layers[end - 1], nn.ReLU)
        assert torch.equal(layers[:end](image), found)
    assert not any(weight.requires_grad for weight in vgg.parameters())
    assert not vgg.training


def test_wrong_vgg_weights_are_refused(vgg_weights, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pth: no such file; wanted torchvision's VGG19 weights"):
        VGG19(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "less.pth")
    torch.save({name: value[:1] for name, value in torch.load(vgg_weights).items()}, tmp_path / "other.pth")
    for name in ("text.pth", "less.pth", "other.pth"):
        with pytest.raises(ValueError, match=f"{name} does not hold the weights of torchvision's VGG19"):
            VGG19(tmp_path / name)


@pytest.mark.parametrize(("levels", "noisy"), [(8, 3), (7, 3), (6, 2), (5, 1), (4, 1), (2, 1)])
def test_noise_is_in_the_inner_blocks(levels, noisy):
    with torch.device("meta"):
        wanted = UNet(levels=levels).noise(2**levels, 2 * 2**levels)
    assert [part.shape[1:] for part in wanted] == [(2**size, 2 * 2**size) for size in range(1, noisy + 1)]
    assert {part.kind for part in wanted} == {"coin"}


def test_weights_come_from_the_seed_alone():
    weights = []
    for seed in (1, 1, 2):
        torch.randn(3)  # moves the global generator, which must not matter
        G = UNet(ngf=16, levels=5)
        init_weights(G, seed)
        weights.append(torch.cat([weight.flatten() for weight in G.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_weights_are_normal_with_deviation_two_hundredths():
    D = PatchGAN(ndf=64)
    init_weights(D, seed=0)
    for layer in D.modules():
        if isinstance(layer, (nn.Conv2d, nn.InstanceNorm2d)) and layer.weight.numel() > 10_000:
            assert layer.weight.mean().item() == pytest.approx(0, abs=1e-3)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        if isinstance(layer, nn.InstanceNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.3)
        if getattr(layer, "bias", None) is not None:
            assert not layer.bias.any()


def test_a_layer_without_a_rule_is_not_left_as_it_is():
    with pytest.raises(TypeError, match="a Linear has weights"):
        init_weights(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), seed=0)


def draw(G: nn.Module, given: torch.Tensor, seed: int) -> torch.Tensor:
    """What G makes of an image, or of a latent vector, with the noise of a seed."""
    generator = torch.Generator().manual_seed(seed)
    if given.ndim == 2:
        return G([given, *draw_noise(G.noise(), len(given), generator=generator)[1:]])
    return G(given, draw_noise(G.noise(*given.shape[-2:]), len(given), generator=generator))


def as_batch_norm(norm: nn.InstanceNorm2d) -> nn.BatchNorm2d:
    batch_norm = nn.BatchNorm2d(norm.num_features).train()
    batch_norm.load_state_dict(norm.state_dict(), strict=False)
    return batch_norm


def replace(module: nn.Module, kind: type, make) -> None:
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            replace(child, kind, make)
