"""What do the networks share? A fast instance norm, the initial weights, a size check."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm (Ulyanov et al. 2016, arXiv 1607.08022), the same function as `nn.InstanceNorm2d`.

    For one image it equals batch norm with batch statistics, and that kernel is faster: it keeps the
    channels_last layout and accepts bfloat16 images with float32 weights.
    """

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W), each channel of each image scaled to mean 0 and variance 1.

        Raise `ValueError` if H x W is 1 x 1, which has no variance.
        """
        if image.shape[-2:] == (1, 1):
            raise ValueError(f"instance norm of {tuple(image.shape)}: a channel of one pixel has no variance, "
                             "wanted 2 pixels or more; use larger images or fewer levels")
        images = [functional.batch_norm(one, None, None, self.weight, self.bias, training=True, eps=self.eps)
                  for one in image.split(1)]
        return images[0] if len(images) == 1 else torch.cat(images)


@torch.no_grad()
def init_weights(module: nn.Module, seed: int) -> None:
    """Draw all weights anew, in place (section 2.8; Isola 2017, appendix 6.2; reading R19).

    Convolutions N(0, .02), norm scales N(1, .02), biases 0; .02 is the standard deviation. Running statistics are
    reset. Weights are drawn on the CPU in the order of `module.modules()`, so that a seed gives the same weights on
    every device. A layer with a method `draw_weights(generator)` uses that. Raise `TypeError` for any other layer
    with weights.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if hasattr(layer, "draw_weights"):
            layer.draw_weights(generator)
        elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            _draw(layer, 0.0, generator)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            _draw(layer, 1.0, generator)
        elif isinstance(layer, nn.InstanceNorm2d):
            if layer.affine:
                _draw(layer, 1.0, generator)
        elif any(True for _ in layer.parameters(recurse=False)):
            raise TypeError(f"a {type(layer).__name__} has weights but no rule to draw them: add one")


def _draw(layer: nn.Module, mean: float, generator: torch.Generator) -> None:
    layer.weight.copy_(mean + 0.02 * torch.randn(layer.weight.shape, generator=generator))
    if layer.bias is not None:
        layer.bias.zero_()


def check_size(image: Tensor, factor: int, network: str) -> None:
    """Raise `ValueError` unless H and W of `image` (B, C, H, W) are multiples of `factor`; name the nearest ones."""
    height, width = image.shape[-2:]
    if height % factor or width % factor or not height or not width:
        fits = [max(1, round(size / factor)) * factor for size in (height, width)]
        raise ValueError(f"image of {height} x {width} px: {network} needs multiples of {factor}, the nearest is "
                         f"{fits[0]} x {fits[1]}; resize the image or use fewer levels")
