"""What does a finished run leave? The generators' weights and a card that says where they come from."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ppcore.study.files import atomic, write_text
from ppcore.training.checkpoint import load_networks, network_tensors
from ppcore.training.method import Method
from ppcore.training.precision import layout_on, precision_on


def write_model(method: Method, folder: Path, card: dict[str, Any]) -> None:
    """Write `generator.safetensors` and then `model.json`, both atomically: if the card exists, so do the weights."""
    with atomic(folder / "generator.safetensors") as temporary:
        save_file(network_tensors({name: method.networks[name] for name in method.generators}), temporary)
    parameters = {name: sum(weight.numel() for weight in network.parameters())
                  for name, network in method.networks.items()}
    card = card | {"parameters": parameters, "torch": torch.__version__}
    write_text(folder / "model.json", json.dumps(card, indent=1) + "\n")


def load_model(kind: type[Method], folder: str | Path, device: str = "cpu", precision: str = "auto") -> Method:
    """Load a finished run of the method `kind`, to generate with.

    It is on `device`, in the precision of `precision_on`. Its other networks are not stored: do not train it further.
    Raises `FileNotFoundError` if no run was finished there, and `ValueError` if it was another method's or the
    weights do not fit.
    """
    path, wanted = Path(folder) / "model.json", kind.__name__
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: no training was finished in this folder; "
                                f"train {wanted} first")
    card = json.loads(path.read_text())
    if card["method"] != wanted:
        raise ValueError(f"{folder} holds a {card['method']}, wanted a {wanted}: "
                         "give the folder of that method's run")
    method = kind(kind.Settings(**card["settings"]))
    generators = {name: method.networks[name] for name in kind.generators}
    weights = path.with_name("generator.safetensors")
    load_networks(weights, generators, load_file(weights))
    dtype = precision_on(device, precision)
    layout = layout_on(method, torch.device(device), dtype)
    for network in generators.values():
        network.to(device=device, dtype=dtype, memory_format=layout)
    return method
