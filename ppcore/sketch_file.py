"""Stand-in for `read_sketch` of ppcore/sketches.py: once that is there, ppcore/draw.py imports it instead."""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ppcore.settings import StudyError


def read_sketch(path: str | Path, height: int, width: int) -> tuple[np.ndarray, str]:
    """Read a drawing (an image, dark = tissue, or a Labelme file): mask (height, width) in {0, 1}, and a remark.

    Raises `StudyError` for a file that cannot be read.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            scale = np.array([width / content["imageWidth"], height / content["imageHeight"]])
            outlines = [np.round(np.array(shape["points"]) * scale).astype(np.int32) for shape in content["shapes"]]
            return cv2.fillPoly(np.zeros((height, width), np.uint8), outlines, 1), f"outlines: {len(outlines)}"
        with Image.open(path) as image:
            gray = np.asarray(image.convert("L").resize((width, height), Image.Resampling.BOX))
            return (gray < 128).astype(np.uint8), "dark on light"
    except Exception as error:  # a broken file raises many kinds
        raise StudyError(f"{path.name} cannot be read ({error}): wanted an image or a Labelme .json") from error
