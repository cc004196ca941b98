"""How is an image stored as a slide: a tiled pyramid that OpenSlide and QuPath open, with its um per px?"""

from pathlib import Path

import cv2
import numpy as np
import tifffile

from ppcore.study.files import atomic

TILE, LEVEL_FACTOR, JPEG_QUALITY = 256, 4, 90
CODINGS = {  # name in the description, arguments for tifffile
    "jpeg": (f"JPEG/RGB Q={JPEG_QUALITY}", {"compression": "jpeg", "compressionargs": {"level": JPEG_QUALITY}}),
    "lossless": ("Deflate/RGB", {"compression": "adobe_deflate"}),
}


def write_pyramid(path: str | Path, rgb: np.ndarray, mpp: float, program: str, coding: str = "jpeg",
                  averaged: bool = True) -> None:
    """Store an image (H, W, 3) uint8 as a pyramid that OpenSlide takes for Aperio's, atomically.

    mpp: um per px. program: that made it, for its description. coding: one of CODINGS; "lossless" keeps every pixel.
    averaged: a px of the next level is the mean of those it covers; False: one of them, as colours of classes have no
    mean. Each level has a quarter of the sides of the one before. The same arguments give the same bytes.
    """
    name, how = CODINGS[coding]
    height, width = rgb.shape[:2]
    about = (f"Aperio Image Library ({program})\n{width}x{height} ({TILE}x{TILE}) {name}"
             f"|AppMag = {10 / mpp:g}|MPP = {mpp:g}")
    level = rgb
    with atomic(path) as partial, tifffile.TiffWriter(partial) as tiff:
        while True:
            tiff.write(level, tile=(TILE, TILE), photometric="rgb", description=about, metadata=None, software="",
                       **how)
            if max(level.shape) <= 2 * TILE:
                break
            size = tuple(max(1, side // LEVEL_FACTOR) for side in level.shape[1::-1])
            level = cv2.resize(level, size, interpolation=cv2.INTER_AREA if averaged else cv2.INTER_NEAREST)
