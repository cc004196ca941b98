"""Does the overview lose no patch, does a sample cover the slide, and are black and ink not taken for tissue?"""

from functools import cache

import cv2
import numpy as np
import openslide
import pytest

from ppcore.masks.make import tissue_mask
from ppcore.masks.patches import read_image
from ppcore.slides import read as slides
from ppcore.slides.cut import cut_patches
from ppcore.slides.folder import list_sources
from ppcore.slides.grid import ink_share, places_of, spread, surely_glass, why_dropped
from ppcore.slides.phantom import GLASS, Phantom, draw_slide
from ppcore.slides.read import WholeSlide, open_slide
from ppcore.study.runs import REPOSITORY
from ppcore.tests.test_slides import write_slide
from ppcore.workflow.settings import AIR_THRESHOLD

GRID = dict(height=64, width=128, mpp=1.0, air_threshold=204, max_air=0.85, stain="he")
HISTOLOGY = REPOSITORY.parent / "shared" / "histology"
CMU = HISTOLOGY / "slides" / "CMU-1-Small-Region.svs"
# Ink on glass, RGB: bounds to which public filters of pen marks on TCGA's slides were tuned (CODAIT, deep-histopath)
BLUE, DARK_BLUE, GREEN, TEAL = (60, 120, 190), (30, 65, 130), (45, 115, 100), (70, 110, 110)
BLACK, GRAY, VIVID_GREEN = (60, 60, 65), (80, 80, 85), (20, 160, 90)  # ours


def sparse_slide(share: float) -> np.ndarray:
    """8 x 4 places of 64 x 128 px of uneven, noisy glass, its left half brighter; every third place has single pixels
    of tissue, as light as tissue may be, in that share of it, and the last place is black."""
    draws = np.random.default_rng(0)
    gray = draws.normal(241, 2, (512, 512)) + 2 * (np.arange(512) < 256)
    for number, (row, column) in enumerate(places_of((512, 512), 64, 128)):
        if number % 3 == 0:
            place = gray[row * 64:(row + 1) * 64, column * 128:(column + 1) * 128]
            place[draws.random(place.shape) < share] = 204
    gray[448:, 384:] = 0
    return np.repeat(gray.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("share", [0.16, 0.3])
def test_glass_is_not_read_and_no_patch_is_lost_by_it(tmp_path, monkeypatch, share):
    """The hardest case: tissue of single light pixels, just as many as a patch needs, on uneven glass."""
    write_slide(tmp_path / "s.tif", sparse_slide(share), levels=3, mpp=1.0)
    reads, read = [], WholeSlide.read
    monkeypatch.setattr(WholeSlide, "read", lambda self, *box: reads.append(box) or read(self, *box))
    sources = list_sources(tmp_path)
    index, table = cut_patches(sources, tmp_path / "looked", **GRID)
    assert len(reads) == 12 and table[["places", "kept", "glass", "black"]].iloc[0].tolist() == [32, 11, 20, 1]
    monkeypatch.setattr(WholeSlide, "overview", lambda self: None)
    everything, table = cut_patches(sources, tmp_path / "all", **GRID)
    assert index["patch"].tolist() == everything["patch"].tolist() and table["air"].iloc[0] == 20
    assert index["fine_hash"].tolist() == everything["fine_hash"].tolist()


def test_a_slide_without_glass_has_none():
    assert surely_glass(np.full((8, 8, 3), 150, np.uint8), (64, 64), 16, 16, 204, 0.85) == set()


def test_a_sample_lies_all_over_the_slide_whatever_the_seed():
    """20 of 400 places: one of them is never far; along rows they would be one column. All places come, each once."""
    places = places_of((20, 20), 1, 1)
    chosen = [spread(places, 20, seed) for seed in range(5)]
    for order in chosen:
        assert sorted(order) == places
        distances = [min(max(abs(r - row), abs(c - column)) for row, column in order[:20]) for r, c in places]
        assert max(distances) <= 6 and np.mean(distances) < 2.5
    assert chosen[0] != chosen[1] and spread(places, 20, 1) == chosen[1]
    assert spread(places, 0, 1) == spread(places, 400, 1) == places


def test_a_wanted_number_is_kept_and_the_rest_said_to_be_unused(tmp_path):
    write_slide(tmp_path / "s.tif", sparse_slide(0.3), levels=1, mpp=1.0)
    sources = list_sources(tmp_path)
    index, table = cut_patches(sources, tmp_path / "some", **GRID, wanted=5, seed=3)
    again, _ = cut_patches(sources, tmp_path / "again", **GRID, wanted=5, seed=3)
    assert len(index) == table["kept"].iloc[0] == 5 and table["unused"].iloc[0] > 0
    assert index.equals(again) and index["patch"].is_monotonic_increasing
    assert table[["kept", "air", "black", "ink", "glass", "unused"]].iloc[0].sum() == 32


def test_a_black_border_is_no_tissue_and_a_dark_nucleus_is():
    rgb, fine = np.full((10, 10, 3), (210, 150, 190), np.uint8), np.ones((10, 10), np.uint8)
    rgb[:, :2] = (45, 20, 70)  # haematoxylin, as dark as it comes
    assert why_dropped(rgb, fine, 0.85, "he") == ""
    rgb[:, 2:5] = 12
    assert why_dropped(rgb, fine, 0.85, "he") == "black"
    assert why_dropped(rgb, fine * 0, 0.85, "he") == "air"


def with_stroke(rgb: np.ndarray, ink: tuple[int, int, int], seed: int) -> np.ndarray:
    """A patch (H, W, 3) uint8, half of it under a pen's stroke: a filter over what lies below (Beer and Lambert), of
    uneven density, with streaks along it, out of focus."""
    draws, (height, width) = np.random.default_rng(seed), rgb.shape[:2]
    turn = draws.uniform(0, np.pi)
    row, column = np.mgrid[:height, :width] / height
    across = np.cos(turn) * column + np.sin(turn) * row
    low, high = np.quantile(across, np.array([0, 0.5]) + draws.uniform(0, 0.5))
    cloud = cv2.resize(draws.normal(1, 0.2, (4, 8)), (width, height), interpolation=cv2.INTER_CUBIC)
    streaks = np.interp(across, np.linspace(-2, 3, 500), draws.normal(0, 0.2, 500))
    density = (cloud + streaks).clip(0.2) * (across > low) * (across < high)
    density = cv2.GaussianBlur(density, (0, 0), height / 128)
    return (rgb * (np.array(ink) / 255) ** density[..., None]).round().astype(np.uint8)


@cache
def phantom_patches(stain: str) -> list[np.ndarray]:
    """Patches of 256 x 512 px at 1 um per px that are not air, from two drawn slides."""
    slides = [draw_slide(Phantom(stain=stain, mpp=1.0), number) for number in (2, 4)]
    patches = [slide[row * 256:(row + 1) * 256, column * 512:(column + 1) * 512] for slide in slides
               for row, column in places_of(slide.shape[1::-1], 256, 512)]
    return [rgb for rgb in patches if tissue_mask(rgb, AIR_THRESHOLD[stain]).mean() > 0.15]


@pytest.mark.parametrize("stain, ink", [("he", BLUE), ("he", DARK_BLUE), ("he", GREEN), ("he", TEAL), ("he", BLACK),
                                        ("he", GRAY), ("ihc", VIVID_GREEN), ("ihc", BLACK), ("ihc", GRAY)])
def test_a_pens_stroke_over_half_of_a_patch_is_ink_on_glass_and_on_tissue(stain, ink):
    glass = np.full((256, 512, 3), GLASS[stain], np.uint8)
    for seed, rgb in enumerate([glass, glass, *phantom_patches(stain)[::4]]):
        marked = with_stroke(rgb, ink, seed)
        assert why_dropped(marked, tissue_mask(marked, AIR_THRESHOLD[stain]), 0.85, stain) == "ink", seed
        assert ink_share(rgb, stain) < 0.01


@pytest.mark.parametrize("stain", ["he", "ihc"])
def test_drawn_tissue_is_no_ink(stain):
    patches = phantom_patches(stain)
    assert len(patches) > 20 and max(ink_share(rgb, stain) for rgb in patches) < 0.05


def test_a_cut_tells_ink_by_the_stain_and_counts_it(tmp_path):
    """Blue: a pen's in H&E; in IHC it may be haematoxylin. The stroke is all over the second place."""
    rgb = np.full((64, 256, 3), (210, 150, 190), np.uint8)
    rgb[:, 128:] = BLUE
    write_slide(tmp_path / "s.tif", rgb, mpp=1.0)
    sources = list_sources(tmp_path)
    for stain, kept, ink in (("he", 1, 1), ("ihc", 2, 0)):
        index, table = cut_patches(sources, tmp_path / stain, **{**GRID, "stain": stain})
        assert table[["places", "kept", "ink"]].iloc[0].tolist() == [2, kept, ink] and len(index) == kept


@pytest.mark.parametrize("cohort, stain, step", [("BONE", "he", 2), ("KI67", "ihc", 1), ("WHOLEMOUNT", "he", 6)])
def test_no_real_patch_is_ink(cohort, stain, step):
    """At the size it has, and shrunk by 2; patches of 256 x 512 px."""
    fields = sorted((HISTOLOGY / cohort).glob("*.jpg"))[::step]
    if not fields:
        pytest.skip(f"{cohort} is not here")
    for field in fields:
        whole = read_image(field)
        for rgb in (whole, cv2.resize(whole, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)):
            for row, column in places_of(rgb.shape[1::-1], 256, 512):
                patch = rgb[row * 256:(row + 1) * 256, column * 512:(column + 1) * 512]
                assert ink_share(patch, stain) <= 0.2, (field.name, row, column)


def test_a_whole_level_is_read_in_strips_as_in_one_piece(tmp_path, monkeypatch):
    rgb = np.random.default_rng(0).integers(0, 255, (1024, 768, 3), np.uint8)
    write_slide(tmp_path / "s.tif", rgb, mpp=1.0)
    monkeypatch.setattr(slides, "OVERVIEW_PX", 1024 * 768 // 4)
    slide = open_slide(tmp_path / "s.tif", 1.0)
    assert slide.overview() is None  # to look would be to read it all
    half = rgb.reshape(512, 2, 384, 2, 3).mean(axis=(1, 3))
    assert np.abs(slide._whole_level(0) - half).max() <= 1
    assert slide.thumbnail(100).shape == (100, 75, 3)


def shares(out: int, given: int) -> np.ndarray:
    """Weights (out, given) of an area average: how much of each given pixel an output pixel covers."""
    edges = np.arange(out + 1)[:, None] * given / out
    covered = (np.minimum(edges[1:], np.arange(1, given + 1)) - np.maximum(edges[:-1], np.arange(given))).clip(0)
    return covered * out / given


@pytest.mark.skipif(not CMU.exists(), reason=f"{CMU.name} is not here")
@pytest.mark.parametrize("mpp", [0.499, 1.0, 2.0])
def test_a_scanners_slide_is_what_openslide_reads(mpp):
    """A direct read of level 0, each pixel then the mean over its share of it."""
    slide, direct = open_slide(CMU, mpp), openslide.OpenSlide(CMU)
    scale = mpp / 0.499
    for row, column in places_of(slide.size, 64, 128)[::7]:
        x, y = column * 128, row * 64
        box = round(128 * scale), round(64 * scale)
        region = np.asarray(direct.read_region((round(x * scale), round(y * scale)), 0, box).convert("RGB"))
        wanted = np.einsum("ij,jlc,kl->ikc", shares(64, box[1]), region, shares(128, box[0]), optimize=True)
        assert np.abs(slide.read(x, y, 128, 64) - wanted).max() <= 0.51  # rounding
