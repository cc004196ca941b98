"""Is the phantom a cohort: true slide files, reproducible, coloured as stains are, rich at every scale?"""
import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import openslide
import pytest
import tifffile

from ppcore.slides import phantom as module
from ppcore.slides.phantom import Phantom, beer_lambert, draw_slide, subject_of, write_cohort
from ppcore.slides.tissue import KINDS

SMALL = Phantom(slides=1, width_um=512, height_um=384)


def mask_at_1_um(image: np.ndarray, threshold: int) -> np.ndarray:
    """Tissue mask (H, W) in {0, 1} of a slide drawn at 0.5 um/px, as the study makes it (reading R3)."""
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return (cv2.cvtColor(half, cv2.COLOR_RGB2GRAY) <= threshold).astype(np.uint8)


def granulometry(mask: np.ndarray) -> np.ndarray:
    """Share (6,) of the area that openings by discs of radius 1, 2, 4, ..., 32 px remove, one by one."""
    left = [int(mask.sum())]
    for radius in (1, 2, 4, 8, 16, 32):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        left.append(int(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc).sum()))
    return -np.diff(left) / left[0]


def test_openslide_reads_pyramid_with_its_scale(tmp_path):
    path, = write_cohort(Phantom(slides=1, width_um=768, height_um=512), tmp_path)
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert float(slide.properties["openslide.mpp-x"]) == float(slide.properties["openslide.mpp-y"]) == 0.5
        assert slide.properties["openslide.objective-power"] == "20"
        assert slide.level_dimensions == ((1536, 1024), (384, 256))
        assert slide.properties["openslide.level[1].tile-width"] == "256"
        assert "tiff.DateTime" not in slide.properties  # a time stamp would change equal bytes
        stored = np.array(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"), float)
    drawn = draw_slide(Phantom(width_um=768, height_um=512), 1)
    assert np.abs(stored - drawn).mean() < 5  # JPEG keeps the picture, right way up and in its colours
    assert np.abs(stored[::-1] - drawn).mean() > 20


def test_same_seed_same_bytes_and_another_seed_another_slide(tmp_path):
    first, = write_cohort(SMALL, tmp_path / "a")
    again, = write_cohort(SMALL, tmp_path / "b")
    assert first.read_bytes() == again.read_bytes()
    one, two = draw_slide(SMALL, 1), draw_slide(replace(SMALL, seed=2), 1)
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] < 0.5


def test_slide_does_not_depend_on_how_many_there_are():
    np.testing.assert_array_equal(draw_slide(SMALL, 2), draw_slide(replace(SMALL, slides=9), 2))


def test_slides_differ_even_of_one_subject():
    assert subject_of(3) == subject_of(4)
    assert np.corrcoef(draw_slide(SMALL, 3).ravel(), draw_slide(SMALL, 4).ravel())[0, 1] < 0.5


def test_another_resolution_shows_the_same_tissue():
    for number in (1, 5):  # glands and stroma; a sheet of nuclei
        halved = cv2.resize(draw_slide(SMALL, number), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        coarse = draw_slide(replace(SMALL, mpp=1.0), number)
        assert halved.shape == coarse.shape
        assert np.corrcoef(halved.ravel(), coarse.ravel())[0, 1] > 0.98


def test_pure_haematoxylin_has_the_colour_of_its_published_vector():
    # 240 * 10^-.650 = 53.73, 240 * 10^-.704 = 47.45, 240 * 10^-.286 = 124.22
    one = np.ones((1, 1), np.float32)
    assert beer_lambert({"haematoxylin": one}, 240.0).tolist() == [[[54, 47, 124]]]
    # Densities add: half the haematoxylin and half the DAB pass the geometric mean of what each passes alone.
    both = beer_lambert({"haematoxylin": one / 2, "dab": one / 2}, 240.0)[0, 0]
    np.testing.assert_array_equal(both, np.rint(240 * 10 ** -((np.array(module.STAINS["haematoxylin"])
                                                               + np.array(module.STAINS["dab"])) / 2)))


@pytest.mark.parametrize("stain, threshold", [("he", 204), ("ihc", 235)])
def test_masks_have_structure_at_every_scale(stain, threshold):
    shares = []
    for number in (1, 2, 3, 5):  # one slide of each kind
        mask = mask_at_1_um(draw_slide(replace(SMALL, stain=stain), number), threshold)
        assert 0.2 < mask.mean() < 0.98
        shares.append([granulometry(mask), granulometry(1 - mask)])
    tissue, air = np.mean(shares, axis=0)
    assert (tissue > 0.008).all() and (air > 0.03).all(), (tissue, air)


@pytest.mark.parametrize("size", [4, 16])
def test_granulometry_finds_blobs_wanting(size):
    noise = np.random.default_rng(0).standard_normal((384, 512))
    blobs = (cv2.GaussianBlur(noise, (0, 0), size) > 0).astype(np.uint8)
    assert granulometry(blobs).min() < 0.008 and granulometry(1 - blobs).min() < 0.03


def test_subjects_own_one_or_two_slides_and_neighbours_differ_in_kind(tmp_path):
    owners = [subject_of(number) for number in range(1, 13)]
    assert owners == [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9] and len(KINDS) == 4
    write_cohort(Phantom(slides=4, width_um=256, height_um=256, mpp=1.0), tmp_path)
    rows = list(csv.DictReader((tmp_path / "subjects.csv").open()))
    assert [row["file"] for row in rows] == [f"phantom-0{n}.tif" for n in (1, 2, 3, 4)]
    assert rows[2]["subject"] == rows[3]["subject"] != rows[1]["subject"]


def test_interrupted_write_leaves_no_slide_and_is_made_good(tmp_path, monkeypatch):
    tiny = Phantom(slides=2, width_um=256, height_um=256, mpp=1.0)

    class Broken(tifffile.TiffWriter):
        def write(self, *args, **kwargs):
            super().write(*args, **kwargs)
            raise OSError("no space left on device")

    with monkeypatch.context() as fault:
        fault.setattr(tifffile, "TiffWriter", Broken)
        with pytest.raises(OSError, match="no space"):
            write_cohort(tiny, tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "phantom-09.tif").touch()  # as a larger cohort leaves it
    write_cohort(tiny, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "phantom-01.tif", "phantom-02.tif", "phantom.json", "subjects.csv"]


def test_whole_cohort_is_left_alone_and_another_takes_its_place(tmp_path):
    tiny = Phantom(slides=2, width_um=256, height_um=256, mpp=1.0)
    before = [path.stat().st_mtime_ns for path in write_cohort(tiny, tmp_path)]
    assert [path.stat().st_mtime_ns for path in write_cohort(tiny, tmp_path)] == before
    path, = write_cohort(replace(tiny, slides=1), tmp_path)
    assert path.stat().st_mtime_ns != before[0]
    assert list(tmp_path.glob("*.tif")) == [path]
    assert json.loads((tmp_path / "phantom.json").read_text())["slides"] == 1


def test_unknown_stain_is_named():
    with pytest.raises(ValueError, match="'pas'.*he.*ihc"):
        Phantom(stain="pas")
