"""What can be made from a few labelled patches and from nothing else? The chain of notebook 11.

A chain has a folder of its own, which holds copies of its patches. Its generators, and what they borrow when they draw,
come from that folder alone, so nothing of another patch can reach them.

    <chain>/patches/rgb/, fine/, classes.csv, index.csv    the patches, as of a cohort
    <chain>/models/noise-gan/, noise-image/                 generators trained on them
    <chain>/synthetic/rgb/, fine/, index.csv                pairs that these made: pair, outline
    <chain>/pasted/rgb/, fine/, index.csv                   the patches with one another's objects: pair, outline
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from ppcore.masks.labels import Classes, kernels, load_classes, write_classes, write_labels
from ppcore.masks.make import coarse_mask, read_mask
from ppcore.masks.patches import load_index, read_image, to_image, to_mask, to_tensor, write_image
from ppcore.masks.simulate import augment
from ppcore.masks.specks import learn_sizes, without_specks
from ppcore.methods.colours import ImageCrops
from ppcore.methods.noise_gan import NoiseGAN, NoiseGANSettings
from ppcore.methods.noise_image import NoiseImage, NoiseImageSettings
from ppcore.methods.texture import TexturedCrops
from ppcore.metrics.windows import ASKED, KNOWN, draw_image_windows, draw_windows, window_distances
from ppcore.study.files import hash_file, read_table, write_text
from ppcore.study.seeds import mix, rng_of
from ppcore.training.loop import train
from ppcore.training.model_card import load_model

Pair = tuple[Path, Path]  # image, label map
FORGET = 8.0  # the running mean of a training forgets its first weights by exp(-FORGET)
PASTED = 0.5  # share of a patch's objects that are pasted into another one
SOFT = 1.0  # px, sd of the rim of a pasted object


def copy_patches(index: pd.DataFrame, source: Path, folder: Path) -> None:
    """Copy the patches of the rows `index` from a patch set into a new one. An older copy is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    for part, suffix in (("rgb", ".webp"), ("fine", ".png")):
        (folder / part).mkdir(parents=True)
        for patch in index["patch"]:
            shutil.copy(source / part / f"{patch}{suffix}", folder / part)
    maps = (read_mask(folder / "fine" / f"{patch}.png") for patch in index["patch"])
    write_classes(folder, learn_sizes(maps, load_classes(source)))
    write_text(folder / "index.csv", index.to_csv(index=False))


class Repeated(Dataset):
    """`count` items of a data set, which begins anew after its last."""

    def __init__(self, data: Dataset, count: int) -> None:
        self.data, self.count = data, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return self.data[i % len(self.data)]


def train_generators(chain: Path, gan: NoiseGANSettings, image: NoiseImageSettings, *, steps: int, crop: int,
                     batch_size: int, seed: int, device: str, precision: str,
                     workers: int) -> tuple[NoiseGAN, NoiseImage]:
    """Train both generators on the patches of a chain for `steps` steps each, or resume; return them as stored.

    gan, image: the study's settings; the number of classes and of lenders follows from the patches. Half of the steps
    have the full learning rate, in the other half it falls to 0, as in the study.
    """
    folder, names = chain / "patches", load_index(chain / "patches")["patch"].tolist()
    classes = load_classes(folder)
    own = {"lenders": len(names), "classes": len(classes)}
    gan = replace(gan, dense=kernels(classes), **own)
    data = {"noise-gan": TexturedCrops(names, folder / "fine", crop, gan.open_size, gan.close_size, dense=gan.dense),
            "noise-image": ImageCrops(names, folder / "fine", folder / "rgb", crop, len(classes))}
    made = []
    for (name, crops), kind, given in zip(data.items(), (NoiseGAN, NoiseImage), (gan, replace(image, **own))):
        method = kind(given)
        method.remember(crops, seed)
        train(method, Repeated(crops, max(1, steps // 2) * batch_size), chain / "models" / name, epochs=1,
              decay_epochs=1, seed=seed, data_fingerprint=hash_file(folder / "index.csv"), batch_size=batch_size,
              ema=1 - min(1.0, FORGET / steps), device=device, precision=precision, workers=workers)
        made.append(load_model(kind, chain / "models" / name, device, precision))
    return tuple(made)


def draw_pairs(chain: Path, gan: NoiseGAN, image: NoiseImage, count: int, seed: int) -> pd.DataFrame:
    """Make `count` pairs from variations (reading R13) of the outlines of the chain's patches; returns their index."""
    classes, patches = load_classes(chain / "patches"), load_index(chain / "patches")["patch"].tolist()
    outlines = dict(zip(patches, read_outlines(chain, gan.settings)[1]))

    def pair(patch: str, own: int) -> tuple[np.ndarray, np.ndarray]:
        asked = to_tensor(augment(outlines[patch], own), len(classes))[None]
        labels = without_specks(to_mask(gan.generate(asked, [own])[0]), classes)
        return labels, to_image(image.generate(to_tensor(labels, len(classes))[None], [mix(own, "image")])[0])

    return _store(chain / "synthetic", pair, patches, count, seed, classes)


def pairs_of(chain: Path, part: str) -> list[Pair]:
    """The pairs of one part of a chain: "patches", "synthetic" or "pasted"."""
    names = load_index(chain / part)["patch"] if part == "patches" else read_pairs(chain / part)["pair"]
    return [(chain / part / "rgb" / f"{name}.webp", chain / part / "fine" / f"{name}.png") for name in names]


def read_outlines(chain: Path, given: NoiseGANSettings) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The label maps of a chain's patches, and their outlines by C as `given`: lists of (H, W) uint8."""
    labels = [read_mask(path) for _, path in pairs_of(chain, "patches")]
    return labels, [coarse_mask(one, open_size=given.open_size, close_size=given.close_size, dense=given.dense)
                    for one in labels]


def paste_objects(chain: Path, count: int, seed: int) -> pd.DataFrame:
    """The rival that needs no training: patches with objects of other patches pasted in; returns the index of `count`.

    An object is a component of `foreground`, neighbours diagonal too. A flip of another patch of the chain is laid over
    a patch (itself, if it has but one), and half of its objects, drawn at random, are kept there, with a soft rim; none
    that would touch an object that is there (Ghiasi et al. 2021, arXiv 2012.07177, without their change of scale).
    """
    folder = chain / "patches"
    classes, patches = load_classes(folder), load_index(folder)["patch"].tolist()
    read = {patch: (read_mask(folder / "fine" / f"{patch}.png"), read_image(folder / "rgb" / f"{patch}.webp"))
            for patch in patches}

    def pair(patch: str, own: int) -> tuple[np.ndarray, np.ndarray]:
        rng = rng_of(own)
        others = [other for other in patches if other != patch] or patches
        flip = tuple(slice(None, None, int(rng.choice((1, -1)))) for _ in range(2))
        (labels, rgb), (given, colours) = read[patch], (part[flip] for part in read[others[rng.integers(len(others))]])
        taken = choose_objects(foreground(given, classes), foreground(labels, classes), rng)
        soft = cv2.GaussianBlur(taken.astype(np.float32), (0, 0), SOFT)[..., None]
        return np.where(taken, given, labels), (rgb + soft * (colours.astype(np.float32) - rgb)).round().astype(np.uint8)

    return _store(chain / "pasted", pair, patches, count, seed, classes)


def choose_objects(given: np.ndarray, there: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """About PASTED of the objects of a mask `given` that touch nothing of `there`, drawn at random: (H, W) bool."""
    count, number = cv2.connectedComponents(given)
    touching = np.unique(number[cv2.dilate(there, np.ones((3, 3), np.uint8)) > 0])
    chosen = rng.random(count) < PASTED
    chosen[touching] = False
    chosen[0] = False
    return chosen[number]


def foreground(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """What is to be found in a label map (H, W): its further classes, as nuclei; of two classes the second. (H, W) uint8
    in {0, 1}."""
    return (labels >= min(2, len(classes) - 1)).astype(np.uint8)


def copied(chain: Path, made: str, held_out: pd.DataFrame, source: Path, air_threshold: int,
           seed: int) -> dict[str, float]:
    """How often a window of the pairs `made` is nearer to the chain's patches than a held-out real one usually is.

    Of `masks` and of `images`: the share of made windows of 64 px whose distance to the nearest window of the chain's
    patches is below the median of real windows of `held_out` patches, rows of the index of the set `source`. About .5:
    no nearer than other patients' tissue is; 1: copies. nan where there is no window to compare.
    """
    classes, shares = load_classes(source), {}
    sets = {"known": (chain / "patches", load_index(chain / "patches")["patch"]),
            "real": (source, held_out["patch"]), "made": (chain / made, read_pairs(chain / made)["pair"])}
    for part in ("masks", "images"):
        windows = {}
        for name, (folder, names) in sets.items():
            count, owners = KNOWN if name == "known" else ASKED, np.zeros(len(names))
            if part == "masks":
                masks = [read_mask(folder / "fine" / f"{patch}.png") for patch in names]
                windows[name] = draw_windows(masks, owners, count, seed, len(classes))
            else:
                images = [read_image(folder / "rgb" / f"{patch}.webp") for patch in names]
                windows[name] = draw_image_windows(images, owners, count, seed, air_threshold)
        if min(len(one.cells) for one in windows.values()):
            usual = np.median(window_distances(windows["real"], windows["known"]))
            shares[part] = float(np.mean(window_distances(windows["made"], windows["known"]) < usual))
        else:
            shares[part] = float("nan")
    return shares


def read_pairs(folder: Path) -> pd.DataFrame:
    """The index of pairs."""
    return read_table(folder / "index.csv")


def _store(folder: Path, pair: Callable[[str, int], tuple[np.ndarray, np.ndarray]], patches: list[str], count: int,
           seed: int, classes: Classes) -> pd.DataFrame:
    """Store `count` pairs anew, `pair(patch, seed)` of each patch in turn; the index comes last."""
    shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for number in tqdm(range(count), desc=f"{folder.parent.name}: {folder.name}", unit="pair"):
        name, patch = f"pair-{number:04d}", patches[number % len(patches)]
        fine, rgb = folder / "fine" / f"{name}.png", folder / "rgb" / f"{name}.webp"
        labels, colours = pair(patch, mix(seed, folder.name, number) >> 1)
        write_labels(fine, labels, classes)
        write_image(rgb, colours)
        rows.append((name, patch, hash_file(fine), hash_file(rgb)))
    index = pd.DataFrame(rows, columns=["pair", "outline", "fine_hash", "rgb_hash"])
    write_text(folder / "index.csv", index.to_csv(index=False))
    return index
