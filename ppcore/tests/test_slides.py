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

from ppcore.cohorts import Source, fingerprint, list_sources
from ppcore.masks import read_mask, tissue_mask
from ppcore.patches import cut_patches, load_index, split_patches, store_index
from ppcore.settings import StudyError, StudyWarning
from ppcore.slides import SlideError, open_slide

GRID = {"height": 64, "width": 128, "mpp": 1.0, "air_threshold": 204, "max_air": 0.85}


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blocks of 8 x 8 px in random colours, green the darkest as in stained tissue: area averaging by 2 or 4 keeps them
    exact."""
    colours = np.random.default_rng(seed).integers(60, 200, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    colours = np.sort(colours, axis=2)[..., [1, 0, 2]]
    return colours.repeat(8, 0).repeat(8, 1)[:height, :width]


def write_slide(path, rgb, mpp: float | None = 0.5, levels: int = 1) -> None:
    """A tiled TIFF as Aperio's scanners write it, without compression."""
    text = "Aperio Image Library v12\n" + ("" if mpp is None else f"|MPP = {mpp}|AppMag = 20")
    with tifffile.TiffWriter(path) as tiff:
        for level in range(levels):
            shrunk = rgb[:: 4**level, :: 4**level]
            tiff.write(shrunk, tile=(64, 64), photometric="rgb", description=text, metadata=None,
                       subfiletype=0 if level == 0 else 1)


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


def test_a_slide_without_resolution_is_read_as_it_is_and_said_so(tmp_path):
    write_slide(tmp_path / "s.tif", picture(256, 256), mpp=None)
    with pytest.warns(StudyWarning, match="states no um per pixel"):
        assert open_slide(tmp_path / "s.tif", 2.0).size == (256, 256)


def bad_files(folder) -> dict[str, str]:
    """Write one file for each fault; name -> what the message must say."""
    rgb = picture(128, 256)
    Image.fromarray(rgb).convert("RGBA").save(folder / "alpha.png")
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
    return {"alpha.png": "alpha channel", "gray.png": "gray image", "cmyk.jpg": "CMYK", "deep.png": "16-bit",
            "deep_rgb.tif": "16-bit",
            "deep_rgb.png": "16-bit", "small.png": "256 x 63 px is smaller than one patch",
            "cut.jpg": "cannot be read", "cut.svs": "damaged|cannot open", "text.svs": "no slide"}


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


def patch_table(counts: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame([{"patch": f"{s}{i}", "file": f"{s}.svs", "subject": s, "row": i // 4}
                         for s, count in counts.items() for i in range(count)])


def test_no_subject_is_on_both_sides_and_the_share_is_close():
    index = patch_table({f"s{i}": 10 + i for i in range(20)})
    split = split_patches(index, 0.25, seed=3)
    sides = split.groupby("split")["subject"].agg(set)
    assert not sides["train"] & sides["test"]
    assert abs((split["split"] == "test").mean() - 0.25) < 0.05
    assert split.equals(split_patches(index, 0.25, seed=3))
    assert not split.equals(split_patches(index, 0.25, seed=4))


def test_a_large_subject_is_not_taken_where_a_small_one_fits():
    index = patch_table({"a": 45, "b": 37, "c": 18})
    for seed in range(10):
        split = split_patches(index, 0.2, seed)
        assert set(split.loc[split["split"] == "test", "subject"]) == {"c"}


def test_two_subjects_give_one_to_each_side_whatever_the_share():
    for share in (0.01, 0.5, 0.99):
        split = split_patches(patch_table({"a": 90, "b": 10}), share, seed=0)
        assert set(split["split"]) == {"train", "test"}


def test_one_subject_with_several_files_is_refused_and_one_slide_is_split_by_region():
    one_slide = patch_table({"a": 40})
    several = one_slide.assign(file=[f"{i % 2}.jpg" for i in range(40)])
    with pytest.raises(StudyError, match="2 files belong to one subject .*-p split=region"):
        split_patches(several, 0.25, seed=0)
    with pytest.warns(StudyWarning, match="not another patient"):
        rows = split_patches(one_slide, 0.2, seed=0).groupby("split")["row"].agg(set)
    assert rows["train"] == {0, 1, 2, 3, 4, 5, 6} and rows["gap"] == {7} and rows["test"] == {8, 9}


def test_subjects_csv_must_name_every_file(tmp_path):
    for name in ("a.png", "b.png"):
        write_field(tmp_path / name, picture(64, 128))
    (tmp_path / "subjects.csv").write_text("file,subject\na.png,p1\n")
    with pytest.raises(StudyError, match=r"no subject for 1 of 2 files \(b.png\)"):
        list_sources(tmp_path)
    (tmp_path / "subjects.csv").write_text("file,subject\na.png,p1\nb.png,p1\ngone.png,p2\n")
    with pytest.warns(StudyWarning, match="1 files that are not there"):
        assert list_sources(tmp_path) == [Source(tmp_path / "a.png", "p1"), Source(tmp_path / "b.png", "p1")]


def test_an_empty_folder_says_what_was_wanted(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(StudyError, match="no image .1 other files.*\\.svs"):
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
