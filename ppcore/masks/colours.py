"""Which class has each pixel of a coloured drawing? That of its palette, or the nearest colour in classes.csv."""

import numpy as np
from PIL import Image

from ppcore.masks.labels import MASK, Classes, palette

GRAY = 24  # largest difference of a pixel's R, G and B in a drawing without colour, which shows tissue alone
FAR = 48  # distance in RGB, each 0 to 255, from which on a pixel has none of the colours
LEAST = 0.001  # share of such pixels that is said: fewer are edges between two colours
NAMED = 3  # of their colours


def stored_classes(image: Image.Image, classes: Classes) -> np.ndarray | None:
    """The label map (H, W) uint8 of a picture with the palette of `classes`, as `labels.write_labels` stores it; None
    for any other, and for MASK, whose pictures have no palette."""
    wanted = palette(classes).ravel().tolist()
    if classes == MASK or image.mode != "P" or image.getpalette()[:len(wanted)] != wanted:
        return None
    labels = np.array(image, np.uint8)
    return labels if labels.max() < len(classes) else None


def is_coloured(image: Image.Image) -> bool:
    """Does a picture show more than shades of gray?"""
    if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;"):
        return False
    rgb = np.asarray(image.convert("RGBA"))
    rgb = rgb[rgb[..., 3] > 127][:, :3]
    return bool((np.ptp(rgb, axis=1) > GRAY).mean() > LEAST) if len(rgb) else False


def nearest_classes(image: Image.Image, classes: Classes) -> tuple[np.ndarray, str]:
    """The label map (H, W) uint8 of a coloured picture, and a remark. What is transparent is air.

    Every pixel has the class of the nearest colour (Euclidean, RGB). The remark names the colours that are FAR from
    all, most frequent first, with their numbers of pixels: drawn with another colour, or blended at an edge.
    """
    rgba = np.asarray(image.convert("RGBA"))
    labels = np.zeros(rgba.shape[:2], np.uint8)
    nearest = np.full(labels.shape, np.inf, np.float32)
    for value, label in enumerate(classes):
        distance = sum((rgba[..., band].astype(np.float32) - own) ** 2 for band, own in enumerate(label.rgb))
        closer = distance < nearest
        labels[closer], nearest[closer] = value, distance[closer]
    drawn = rgba[..., 3] > 127
    labels[~drawn] = 0
    far = rgba[..., :3][drawn & (nearest > FAR**2)]
    remark = "in the colours of the classes"
    if len(far) > LEAST * labels.size:
        colours, counts = np.unique(far, axis=0, return_counts=True)
        most = np.argsort(-counts, kind="stable")[:NAMED]
        named = ", ".join("#{:02x}{:02x}{:02x} {:,} px".format(*colours[i], counts[i]) for i in most)
        more = f" and {len(colours) - NAMED} more" if len(colours) > NAMED else ""
        remark += f"; {len(far):,} px have none of them and took the nearest: {named}{more}"
    return labels, remark
