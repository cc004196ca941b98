"""What do two images have in common for a network trained on photographs? VGG19's features, at five depths.

Simonyan and Zisserman 2014 (arXiv 1409.1556), the convolutions only: 12.9 M parameters up to the last depth used.
The weights are torchvision's ImageNet weights, in a file that the user provides: nothing is downloaded.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

DEPTHS = (2, 7, 12, 21, 30)  # ends of relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 among torchvision's layers


class VGG19(nn.Module):
    """Frozen features; Wang 2018 matches those of a synthetic image to those of the real one."""

    def __init__(self, weights: str | Path) -> None:
        """Raise `FileNotFoundError` without the file, `ValueError` if it does not hold VGG19's weights."""
        import torchvision  # here: it takes as long as torch and is needed only with the weights

        super().__init__()
        if not Path(weights).is_file():
            raise FileNotFoundError(f"{weights}: no such file; wanted torchvision's VGG19 weights (its file "
                                    "vgg19-dcbb9e9d.pth), or an empty vgg_weights to do without")
        with torch.device("meta"):
            layers = torchvision.models.vgg19().features[:DEPTHS[-1]]
        try:
            tensors = torch.load(weights, weights_only=True, map_location="cpu")
            wanted = {name: tensors[f"features.{name}"] for name in layers.state_dict()}
            layers.load_state_dict(wanted, assign=True)
        except Exception as error:  # unpickling fails in many ways
            raise ValueError(f"{weights} does not hold the weights of torchvision's VGG19 ({error}): wanted its file "
                             "vgg19-dcbb9e9d.pth") from error
        self.parts = nn.ModuleList(layers[start:end] for start, end in zip((0, *DEPTHS), DEPTHS))
        for layer in self.modules():
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # the features are kept
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) in [-1, 1] to the features at the five depths, the first at full size.

        As in Wang's code, images are not normalised by ImageNet's mean and standard deviation.
        """
        features = []
        for part in self.parts:
            image = part(image)
            features.append(image)
        return features
