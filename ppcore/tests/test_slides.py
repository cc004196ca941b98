"""Cohorts, slides and patches: real files in, and faults that a folder of slides really has."""

import errno
import os

import cv2
import numpy as np
import openslide
import pandas as pd
import pytest
import tifffile
from PIL import Image

from ppcore.masks.make import read_mask, tissue_mask
from ppcore.masks.patches import check_set, load_index, store_index
from ppcore.slides.cohorts import fingerprint
from ppcore.slides.cut import cut_patches
from ppcore.slides.folder import Source, list_sources
from ppcore.slides.read import open_slide
from ppcore.slides.scale import SlideError
from ppcore.study.errors import StudyError, StudyWarning
from ppcore.study.runs import REPOSITORY

GRID = {"height": 64, "width": 128, "mpp": 1.0, "air_threshold": 204, "max_air": 0.85, "stain": "he"}


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blocks of 8 x 8 px in random colours, green the darkest as in stained tissue: area averaging by 2 or 4 keeps them
    exact."""
    colours = np.random.default_rng(seed).integers(60, 200, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    colours = np.sort(colours, axis=2)[..., [1, 0, 2]]
    return colours.repeat(8, 0).repeat(8, 1)[:height, :width]


def write_slide(path, rgb, mpp: float | None = 0.5, levels: int = 1, power: int | None = 20, **how) -> None:
    """A pyramid with levels of a quarter, the rest cut off."""
    sizes = [tuple(side // 4**level for side in rgb.shape[1::-1]) for level in range(levels)]
    whole = [rgb[:height * 4**level, :width * 4**level] for level, (width, height) in enumerate(sizes)]
    write_pyramid(path, [rgb, *(cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part, size in
                                zip(whole[1:], sizes[1:]))], mpp, power, **how)


def write_pyramid(path, levels: list, mpp: float | None = 0.5, power: int | None = 20, **how) -> None:
    """A tiled TIFF as Aperio's scanners write it; `how`: the compression, else none."""
    text = "Aperio Image Library v12\n" + f"|MPP = {mpp}" * (mpp is not None) + f"|AppMag = {power}" * (power is not None)
    with tifffile.TiffWriter(path) as tiff:
        for number, level in enumerate(levels):
            tiff.write(level, tile=(64, 64), photometric="rgb", description=text, metadata=None,
                       subfiletype=min(number, 1), **how)


def write_field(path, rgb) -> None:
    Image.fromarray(rgb).save(path)


def test_a_slide_read_at_half_its_resolution_is_its_area_average(tmp_path):
    rgb = picture(512, 768)
    write_slide(tmp_path / "s.tif", rgb, levels=2)
    assert openslide.OpenSlide.detect_format(tmp_path / "s.tif") == "aperio"
    slide = open_slide(tmp_path / "s.tif", 1.0)
    assert slide.size == (384, 256) and slide.mpp == 1.0
    wanted = rgb[128:256, 64:320].reshape(64, 2, 128, 2, 3).mean((1, 3))
    assert np.array_equal(slide.read(32, 64, 128, 64), wanted)


def test_a_slide_at_its_own_resolution_is_read_untouched(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    write_slide(tmp_path / "s.tif", rgb, mpp=0.499)
    assert np.array_equal(open_slide(tmp_path / "s.tif", 0.5).read(64, 32, 128, 64), rgb[32:96, 64:192])


def test_a_slide_coarser_than_wanted_is_refused_with_its_resolution(tmp_path):
    write_slide(tmp_path / "s.tif", picture(256, 256), mpp=2.0)
    with pytest.raises(SlideError, match="2 um/px, coarser than the wanted 1.*-p mpp=2"):
        open_slide(tmp_path / "s.tif", 1.0)


def test_a_slide_without_resolution_goes_by_its_objective_or_is_read_as_it_is_and_it_is_said_once(tmp_path):
    for name, mpp, power in (("a", None, 20), ("b", 352.8, 20), ("c", None, None)):  # b: 72 dpi, a printer's
        write_slide(tmp_path / f"{name}.tif", picture(256, 256), mpp=mpp, power=power)
    with pytest.warns(StudyWarning) as warned:
        index, _ = cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID)
    assert [str(warning.message) for warning in warned] == [
        "a.tif, b.tif: states no um per pixel, but an objective of 20x: taken as 0.5 um/px",
        "c.tif: states no um per pixel: it is read as it is"]
    assert index.groupby("file").size().to_dict() == {"a.tif": 2, "b.tif": 2, "c.tif": 8}
    assert index["mpp"].isna().tolist() == [False] * 4 + [True] * 8


def bad_files(folder) -> dict[str, str]:
    """Write one file for each fault; name -> what the message must say."""
    rgb = picture(128, 256)
    clear = Image.fromarray(rgb).convert("RGBA")
    clear.putpixel((3, 3), (0, 0, 0, 0))
    clear.save(folder / "alpha.png")
    Image.fromarray(rgb).convert("L").save(folder / "gray.png")
    Image.fromarray(rgb).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(rgb[..., 0].astype(np.uint16) * 200).save(folder / "deep.png")
    tifffile.imwrite(folder / "deep_rgb.tif", rgb.astype(np.uint16) * 200, photometric="rgb")
    cv2.imwrite(str(folder / "deep_rgb.png"), rgb.astype(np.uint16) * 200)
    write_field(folder / "small.png", picture(63, 256))
    write_field(folder / "cut.jpg", rgb)
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:2000])
    write_slide(folder / "cut.svs", picture(1024, 1024))
    (folder / "cut.svs").write_bytes((folder / "cut.svs").read_bytes()[:400_000])
    (folder / "text.svs").write_text("not a slide")
    return {"alpha.png": "transparent areas", "gray.png": "gray image", "cmyk.jpg": "CMYK", "deep.png": "16-bit",
            "deep_rgb.tif": "16-bit",
            "deep_rgb.png": "16-bit", "small.png": "256 x 63 px is smaller than one patch",
            "cut.jpg": "cannot be read", "cut.svs": "damaged|cannot open", "text.svs": "not a slide"}


def test_every_bad_file_is_skipped_listed_and_explained_and_the_good_one_is_cut(tmp_path):
    faults = bad_files(tmp_path)
    write_field(tmp_path / "good.png", picture(128, 256))
    with pytest.warns(StudyWarning, match="was skipped"):
        index, table = cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID)
    reasons = table.set_index("file")["skipped"]
    for name, words in faults.items():
        assert pd.Series([reasons[name]]).str.contains(words).item(), (name, reasons[name])
    assert reasons["good.png"] == "" and set(index["file"]) == {"good.png"} and len(index) == 4
    stored = {path.stem for path in (tmp_path / "out" / "rgb").iterdir()}
    assert stored == set(index["patch"])  # nothing of a damaged slide is left


def test_strict_stops_at_a_bad_file_and_names_it(tmp_path):
    write_field(tmp_path / "good.png", picture(128, 256))
    Image.fromarray(picture(128, 256)).convert("L").save(tmp_path / "gray.png")
    with pytest.raises(StudyError, match="gray.png: found a gray image"):
        cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID, strict=True)
    assert not (tmp_path / "out" / "index.csv").exists()


def test_patches_and_masks_come_back_from_the_disk_as_they_were(tmp_path):
    rgb = picture(200, 300)
    rgb[:64, :128] = 255  # one patch of glass
    write_field(tmp_path / "a.png", rgb)
    index, table = cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID)
    assert table[["places", "kept", "air"]].iloc[0].tolist() == [6, 5, 1]
    for line in index.itertuples():
        tile = rgb[line.y:line.y + 64, line.x:line.x + 128]
        with Image.open(tmp_path / "out" / "rgb" / f"{line.patch}.webp") as stored:
            assert np.array_equal(np.asarray(stored), tile)
        fine = read_mask(tmp_path / "out" / "fine" / f"{line.patch}.png")
        assert np.array_equal(fine, tissue_mask(tile, 204)) and line.tissue_fraction == fine.mean()


def test_all_air_is_an_error_that_names_threshold_and_stain(tmp_path):
    write_field(tmp_path / "glass.png", np.full((128, 256, 3), 250, np.uint8))
    with pytest.raises(StudyError, match="all 4 places of 1 files.*85%.*threshold 204.*stain"):
        cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID)


def test_a_full_disk_leaves_no_index_and_no_half_file(tmp_path, monkeypatch):
    write_field(tmp_path / "a.png", picture(128, 256))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full.*PRIORPATH_HOME.*webp"):
        cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_subjects_csv_must_name_every_file(tmp_path):
    for name in ("a.png", "b.png"):
        write_field(tmp_path / name, picture(64, 128))
    (tmp_path / "subjects.csv").write_text("file,subject\na.png,p1\n")
    with pytest.raises(StudyError, match=r"no subject for 1 of 2 files \(b.png\)"):
        list_sources(tmp_path)
    (tmp_path / "subjects.csv").write_text("file,subject\na.png,p1\nb.png,p1\ngone.png,p2\n")
    with pytest.warns(StudyWarning, match="1 files that are not there"):
        assert list_sources(tmp_path) == [Source(tmp_path / "a.png", "p1", "a.png"),
                                          Source(tmp_path / "b.png", "p1", "b.png")]


def test_an_empty_folder_says_what_was_wanted(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(StudyError, match="no image .1 other entries.*\\.svs"):
        list_sources(tmp_path)


def test_the_fingerprint_sees_a_changed_byte_and_not_a_changed_time(tmp_path):
    write_field(tmp_path / "a.png", picture(64, 128))
    before = fingerprint(tmp_path)
    os.utime(tmp_path / "a.png", (1, 1))
    assert fingerprint(tmp_path) == before
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    assert fingerprint(tmp_path) != before


def test_an_index_is_read_back_with_its_names_as_text(tmp_path):
    write_field(tmp_path / "007.png", picture(64, 128))
    index, table = cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID)
    store_index(index.assign(split="train"), table, tmp_path / "out")
    assert load_index(tmp_path / "out")["subject"].tolist() == ["007"]
    with pytest.raises(StudyError, match="run notebook 01 first"):
        load_index(tmp_path / "elsewhere")


def test_a_damaged_a_missing_and_a_foreign_file_of_a_set_are_named(tmp_path):
    write_field(tmp_path / "a.png", picture(128, 256))
    index, table = cut_patches(list_sources(tmp_path), tmp_path / "set", **GRID)
    store_index(index.assign(split="train"), table, tmp_path / "set")
    assert check_set(tmp_path / "set") == 4
    damaged = tmp_path / "set" / "rgb" / "a_r000_c001.webp"
    data = bytearray(damaged.read_bytes())
    data[-5] ^= 1  # one bit: it may well open still
    damaged.write_bytes(data)
    (tmp_path / "set" / "fine" / "a_r001_c000.png").unlink()
    (tmp_path / "set" / "rgb" / "old.webp").touch()
    with pytest.raises(StudyError, match="rgb/a_r000_c001.webp is damaged, rgb/old.webp is not listed, "
                                         "fine/a_r001_c000.png is missing"):
        check_set(tmp_path / "set")


def test_a_set_opens_as_its_page_says(tmp_path, monkeypatch):
    """The lines of data/README.md, as they stand there."""
    page = (REPOSITORY / "data" / "README.md").read_text()
    lines = page.split("```python\n")[1].split("```")[0]
    rgb = picture(128, 256)
    write_field(tmp_path / "a.png", rgb)
    folder = tmp_path / "data" / "demo" / "PHANTOM" / "patches"
    index, table = cut_patches(list_sources(tmp_path), folder, **GRID)
    store_index(index.assign(split="train"), table, folder)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(lines, names)  # noqa: S102
    assert np.array_equal(names["rgb"], rgb[:64, :128])
    assert np.array_equal(names["fine"], tissue_mask(rgb[:64, :128], 204))
    assert names["batch"]["fine"].shape == (4, 1, 64, 128) and names["batch"]["rgb"].shape == (4, 3, 64, 128)
