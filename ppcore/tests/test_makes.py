"""Is a patch the tissue at its place on level 0, whatever the scanner's file is made of?"""

import cv2
import numpy as np
import openslide
import pytest

from ppcore.masks.patches import read_image
from ppcore.slides.cut import cut_patches
from ppcore.slides.folder import list_sources
from ppcore.slides.phantom import Phantom, draw_slide
from ppcore.slides.read import open_slide
from ppcore.tests.test_slides import write_pyramid, write_slide

GRID = dict(height=64, width=128, air_threshold=204, max_air=0.85, stain="he")
MAKES = {  # how it is written, and how far a gray level may be off on average
    "jpeg": (dict(levels=3, compression="jpeg", compressionargs={"level": 90}), 3.0),
    "deflate": (dict(levels=3, compression="deflate"), 0.5),
    "jpeg2000": (dict(levels=3, compression=33005, compressionargs={"level": 0}), 0.5),
    "one level": (dict(levels=1, compression="deflate"), 0.5),
    "no mpp": (dict(levels=3, compression="deflate", mpp=None), 0.5),
}


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """A phantom slide with sides that no factor of 2 divides: 1351 x 1023 px."""
    return draw_slide(Phantom(width_um=676, height_um=512), 1)[:1023, :1351]


@pytest.mark.filterwarnings("ignore:.*states no um per pixel")
@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("mpp, factor", [(0.5, 1), (1.0, 2), (2.0, 4)])
def test_five_makes_give_the_same_patches(tmp_path, drawn, make, mpp, factor):
    how, off = MAKES[make]
    write_slide(tmp_path / "slide.svs", drawn, **how)
    index, table = cut_patches(list_sources(tmp_path), tmp_path / "set", mpp=mpp, **GRID)
    assert table["places"].iloc[0] == (1023 // factor // 64) * (1351 // factor // 128)
    with openslide.OpenSlide(tmp_path / "slide.svs") as slide:
        for line in index.itertuples():
            box = np.asarray(slide.read_region((line.x, line.y), 0, (128 * factor, 64 * factor)))[..., :3]
            direct = box.reshape(64, factor, 128, factor, 3).mean(axis=(1, 3))
            assert np.abs(read_image(tmp_path / "set" / "rgb" / f"{line.patch}.webp") - direct).mean() < off
    assert len(index) and (index["mpp"] == mpp).all()


@pytest.mark.parametrize("over", [(3, 3), (1, 2), (0, 3)])
@pytest.mark.parametrize("filled", [False, True])
def test_level_sizes_that_are_cut_off_or_filled_up_shift_no_patch(tmp_path, over, filled):
    """The far corner of a slide of noise in blocks of 4 x 4 px: OpenSlide takes whole px of level 0, so that it may be half
    a one off, an eighth of a block; the ratio of the level's sizes would be half a block off and more."""
    height, width = 1200 + over[0], 1600 + over[1]
    noise = np.random.default_rng(0).integers(0, 255, (301, 401, 3), np.uint8).repeat(4, 0).repeat(4, 1)[:height, :width]
    whole = noise[:height // 4 * 4, :width // 4 * 4]
    if filled:  # with the last px repeated
        whole = cv2.copyMakeBorder(noise, 0, -height % 4, 0, -width % 4, cv2.BORDER_REPLICATE)
    write_pyramid(tmp_path / "s.svs", [noise, cv2.resize(whole, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)])
    slide = open_slide(tmp_path / "s.svs", 2.0)
    x, y = slide.size[0] - 128, slide.size[1] - 64
    wanted = noise[4 * y:4 * y + 256, 4 * x:4 * x + 512].reshape(64, 4, 128, 4, 3).mean(axis=(1, 3))
    assert np.abs(slide.read(x, y, 128, 64) - wanted).mean() < 15  # of 85 between any two blocks
