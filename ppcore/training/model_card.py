"""What does a finished run leave? The generators' weights and a card that says where they come from."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ppcore.files import atomic, write_text
from ppcore.training.checkpoint import network_tensors
from ppcore.training.method import Method


def write_model(method: Method, folder: Path, card: dict[str, Any]) -> None:
    """Write `generator.safetensors` and then `model.json`, both whole: where the card is, the weights are."""
    with atomic(folder / "generator.safetensors") as temporary:
        save_file(network_tensors({name: method.networks[name] for name in method.generators}), temporary)
    parameters = {name: sum(weight.numel() for weight in network.parameters())
                  for name, network in method.networks.items()}
    card = card | {"parameters": parameters, "torch": torch.__version__}
    write_text(folder / "model.json", json.dumps(card, indent=1) + "\n")


def read_model(folder: str | Path, method: str) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Read a finished run of `method`: its card, and for each generator its weights by name.

    Raises `FileNotFoundError` when no run was finished there, and `ValueError` when another method's was.
    """
    path = Path(folder) / "model.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: no training was finished in this folder; "
                                f"train {method} first")
    card = json.loads(path.read_text())
    if card["method"] != method:
        raise ValueError(f"{folder} holds a {card['method']}, wanted a {method}: "
                         "give the folder of that method's run")
    weights: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(path.with_name("generator.safetensors")).items():
        network, name = key.split("/")
        weights.setdefault(network, {})[name] = tensor
    return card, weights
