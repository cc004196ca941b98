"""Is a pixel as large as its file says, is that believed only where it can be, and are pixels what they seem?"""

import math

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from ppcore.masks.sketches import read_sketch
from ppcore.slides import read
from ppcore.slides.cut import cut_patches
from ppcore.slides.folder import list_sources
from ppcore.slides.read import open_slide
from ppcore.slides.scale import SlideError
from ppcore.tests.test_slides import GRID, picture, write_pyramid, write_slide

RGB = picture(256, 512)
OME = ('<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels {}Type="uint8" SizeX="512" SizeY="256" '
       'SizeC="3" SizeZ="1" SizeT="1" DimensionOrder="XYCZT"/></Image></OME>')
UNITS = {"inch": (25400, 2), "cm": (10000, 3)}


def write_tiff(path, rgb=RGB, mpp=(0.5, 0.5), unit="cm", tiled=True, **more) -> None:
    """A plain TIFF whose tags state um per px along x and y; None: none."""
    if mpp:
        more |= {"resolution": tuple(UNITS[unit][0] / size for size in mpp), "resolutionunit": UNITS[unit][1]}
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(64, 64) if tiled else None, metadata=None, **more)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("tiled", [True, False], ids=["tiles", "strips"])
def test_tags_in_inch_and_centimetre_are_believed_in_tiles_and_strips(tmp_path, unit, tiled):
    write_tiff(tmp_path / "s.tif", unit=unit, tiled=tiled)
    slide = open_slide(tmp_path / "s.tif", 1.0)
    assert slide.mpp == pytest.approx(1.0) and slide.size == (256, 128) and slide.remark == ""
    assert np.array_equal(slide.read(0, 0, 256, 128), RGB.reshape(128, 2, 256, 2, 3).mean((1, 3)))  # blocks of one colour
    assert slide.thumbnail(64).shape == (32, 64, 3)


@pytest.mark.parametrize("mpp", [1.0, 1.3, 1.7])
def test_strips_and_tiles_give_the_same_patches(tmp_path, mpp):
    made = []
    for tiled in (True, False):
        (folder := tmp_path / str(tiled)).mkdir()
        write_tiff(folder / "s.tif", tiled=tiled)
        made.append(cut_patches(list_sources(folder), tmp_path / "out" / str(tiled), **{**GRID, "mpp": mpp})[0])
    assert len(made[0]) and made[0].equals(made[1])


@pytest.mark.parametrize("tiled", [True, False], ids=["tiles", "strips"])
def test_both_axes_are_resampled(tmp_path, tiled):
    """x .5, y 1 um: squares of 8 um are 16 x 8 px in the file, and 8 x 8 px at 1 um."""
    square = picture(128, 256)
    write_tiff(tmp_path / "s.tif", square.repeat(2, 1), mpp=(0.5, 1.0), tiled=tiled)
    slide = open_slide(tmp_path / "s.tif", 1.0)
    assert slide.scale == (2.0, 1.0) and slide.size == (256, 128)
    assert np.array_equal(slide.read(128, 64, 128, 64), square[64:, 128:])
    assert np.array_equal(slide.thumbnail(256), square)
    index, _ = cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID)
    assert index[["x", "y"]].to_numpy().tolist() == [[0, 0], [256, 0], [0, 64], [256, 64]]
    with pytest.raises(SlideError, match="has 1 um/px, coarser than the wanted 0.5: run with -p mpp=1 or more"):
        open_slide(tmp_path / "s.tif", 0.5)


def test_axes_of_a_field_that_is_stored_turned_are_exchanged_with_it(tmp_path):
    """Stored x, .5 um, is upright y."""
    write_tiff(tmp_path / "s.tif", mpp=(0.5, 1.0), tiled=False, extratags=[(274, "H", 1, 6, True)])
    slide = open_slide(tmp_path / "s.tif", 1.0)
    assert slide.scale == (1.0, 2.0) and slide.size == (256, 256)


def test_the_level_is_fine_enough_for_both_axes(tmp_path):
    """At 2 um, x is averaged by 4 and y by 2: a level that is 4 times coarser would lose half of y."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 512, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "s.tif") as tiff:
        for number, level in enumerate((noise, noise[::4, ::4])):
            tiff.write(level, photometric="rgb", tile=(64, 64), metadata=None, subfiletype=number,
                       resolution=(20000, 10000), resolutionunit=3)
    slide = open_slide(tmp_path / "s.tif", 2.0)
    assert slide.openslide.level_count == 2 and slide.scale == (4.0, 2.0)
    means = noise.reshape(128, 2, 128, 4, 3).mean((1, 3))
    assert np.abs(slide.read(0, 0, 128, 128) - means).max() <= 1


@pytest.mark.parametrize("stated, mpp", [
    ('PhysicalSizeX="0.5" PhysicalSizeY="0.5" ', 0.5),
    ('PhysicalSizeX="500" PhysicalSizeXUnit="nm" PhysicalSizeY="0.0005" PhysicalSizeYUnit="mm" ', 0.5),
    ('PhysicalSizeX="0.5" PhysicalSizeXUnit="µm" ', 0.5),
])
def test_ome_xml_comes_before_the_tags(tmp_path, stated, mpp):
    for tiled in (True, False):
        write_tiff(tmp_path / "s.ome.tif", mpp=(5, 5), tiled=tiled, description=OME.format(stated).encode())
        assert open_slide(tmp_path / "s.ome.tif", 1.0).scale == pytest.approx((2.0, 2.0))


def test_imagej_gives_its_unit_in_words(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", RGB, imagej=True, photometric="rgb", resolution=(2, 2), metadata={"unit": "\\u00B5m"})
    assert open_slide(tmp_path / "s.tif", 1.0).scale == (2.0, 2.0)


def test_a_number_that_no_microscope_gives_is_refused_with_it_and_a_printers_is_said(tmp_path):
    write_tiff(tmp_path / "fine.tif", mpp=(0.025, 0.025))
    with pytest.raises(SlideError, match="0.025 x 0.025 um per px, wanted 0.05 to 20"):
        open_slide(tmp_path / "fine.tif", 1.0)
    write_tiff(tmp_path / "mixed.tif", mpp=(0.5, 300))
    with pytest.raises(SlideError, match="0.5 x 300 um"):
        open_slide(tmp_path / "mixed.tif", 1.0)
    write_tiff(tmp_path / "printed.tif", mpp=(25400 / 72,) * 2, unit="inch")
    slide = open_slide(tmp_path / "printed.tif", 1.0)
    assert slide.remark == "states 352.8 um per pixel, which is meant for printing: it is read as it is"
    assert math.isnan(slide.mpp) and slide.size == (512, 256)


def test_a_png_or_jpeg_is_not_believed_and_that_is_said(tmp_path):
    for name in ("s.png", "s.jpg"):
        Image.fromarray(RGB).save(tmp_path / name, dpi=(50800, 50800))
        assert open_slide(tmp_path / name, 1.0).remark == "states no um per pixel: it is read as it is"


def test_a_vendors_statement_comes_before_the_tags(tmp_path):
    write_slide(tmp_path / "s.svs", RGB, mpp=0.5)
    assert open_slide(tmp_path / "s.svs", 1.0).scale == (2.0, 2.0)


@pytest.mark.parametrize("words, pixels, more", [
    ("16 bits", RGB.astype(np.uint16) * 200, {"photometric": "rgb"}),
    ("16 bits", RGB.astype(np.uint16) * 16, {"photometric": "rgb"}),
    ("gray in 3 pages", np.moveaxis(RGB, 2, 0), {"photometric": "minisblack"}),
    ("gray", RGB[..., 0], {"photometric": "minisblack"}),
    ("CMYK", np.dstack([RGB, RGB[..., :1]]), {"photometric": "separated"}),
    ("orientation 6", RGB, {"photometric": "rgb", "extratags": [(274, "H", 1, 6, True)]}),
])
def test_tiles_that_are_no_upright_8_bit_rgb_are_refused(tmp_path, words, pixels, more):
    tifffile.imwrite(tmp_path / "s.tif", pixels, tile=(64, 64), metadata=None, **more)
    with pytest.raises(SlideError, match=words):
        open_slide(tmp_path / "s.tif", 1.0)


@pytest.mark.parametrize("name", ["s.jpg", "s.png", "s.tif"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_turned_field_is_read_upright_as_a_sketch_is(tmp_path, name, orientation):
    rgb, how = np.full((64, 128, 3), 250, np.uint8), {3: 2, 6: 1}[orientation]
    rgb[:32, :32] = (200, 60, 120)
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(rgb, how)))
    stored.save(tmp_path / name, exif=exif, **({"quality": 100, "subsampling": 0} if name == "s.jpg" else {}))
    field = open_slide(tmp_path / name, 1.0)
    assert np.abs(field.read(0, 0, 128, 64).astype(int) - rgb).max() < 4 and "upright" in field.remark
    if name != "s.tif":
        sketch, _ = read_sketch(tmp_path / name, 64, 128)
        assert sketch[:30, :30].all() and not sketch[34:].any()


def test_what_is_converted_or_left_out_is_said(tmp_path):
    opaque = Image.fromarray(RGB).convert("RGBA")
    opaque.save(tmp_path / "opaque.png")
    field = open_slide(tmp_path / "opaque.png", 1.0)
    assert "alpha channel" in field.remark and np.array_equal(field.read(0, 0, 512, 256), RGB)
    for name, kind in (("lab.png", "LAB"), ("srgb.png", "sRGB")):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()
        Image.fromarray(RGB).save(tmp_path / name, icc_profile=profile)
    Image.fromarray(RGB).save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert "(damaged) is not applied" in open_slide(tmp_path / "broken.png", 1.0).remark
    assert "is not applied" in open_slide(tmp_path / "lab.png", 1.0).remark
    assert "is not applied" not in open_slide(tmp_path / "srgb.png", 1.0).remark
    for tiled in (None, (64, 64)):
        with tifffile.TiffWriter(tmp_path / "z.tif") as tiff:
            for _ in range(3):
                tiff.write(RGB, photometric="rgb", tile=tiled, metadata=None)
        assert "has 3 pages" in open_slide(tmp_path / "z.tif", 1.0).remark


def test_levels_of_a_pyramid_are_no_pages(tmp_path):
    write_pyramid(tmp_path / "s.svs", [RGB, RGB[::4, ::4]])
    assert open_slide(tmp_path / "s.svs", 0.5).remark == ""


def test_a_field_beyond_pillows_limit_is_read_and_one_beyond_ours_refused_with_its_size(tmp_path, monkeypatch):
    Image.new("RGB", (18000, 10000), (200, 120, 160)).save(tmp_path / "large.png", compress_level=1)  # 180 million px
    assert open_slide(tmp_path / "large.png", 1.0).size == (18000, 10000)
    monkeypatch.setattr(read, "LARGEST_FIELD", 10**8)
    with pytest.raises(SlideError, match="18000 x 10000 px, wanted at most 100 million px.*tiled pyramid"):
        open_slide(tmp_path / "large.png", 1.0)


def test_a_slide_whose_other_files_are_missing_says_which(tmp_path):
    (tmp_path / "s.mrxs").write_bytes(b"\xff\xd8")
    with pytest.raises(SlideError, match="the folder s/ with its Slidedat.ini must lie beside it"):
        open_slide(tmp_path / "s.mrxs", 1.0)
    (tmp_path / "t.vms").write_text("[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\n"
                                    "ImageFile=t.jpg\nMapFile=t_map.jpg\nMacroImage=t_macro.jpg\n")
    with pytest.raises(SlideError, match="t.jpg, t_map.jpg, t_macro.jpg, which must lie beside it"):
        open_slide(tmp_path / "t.vms", 1.0)


def test_a_bad_tile_in_a_level_that_no_patch_needs_skips_that_slide_alone(tmp_path):
    """Patches come from level 0, the search for glass from level 2; the picture of the whole slide needs level 1."""
    for name in ("bad", "good"):
        write_pyramid(tmp_path / f"{name}.tif", [picture(2048 >> level, 4096 >> level) for level in range(3)], compression="jpeg")
    with tifffile.TiffFile(tmp_path / "bad.tif") as tiff:
        start = tiff.pages[1].dataoffsets[3]
    with open(tmp_path / "bad.tif", "r+b") as file:
        file.seek(start)
        file.write(b"\0" * 200)
    with pytest.warns(match="bad.tif was skipped: damaged"):
        index, table = cut_patches(list_sources(tmp_path), tmp_path / "out", **{**GRID, "mpp": 0.5})
    assert set(index["file"]) == {"good.tif"} and not list((tmp_path / "out").rglob("bad*"))
    assert table.set_index("file")["width"].to_dict() == {"bad.tif": 4096, "good.tif": 4096}


def test_an_error_that_nobody_foresaw_skips_that_slide_alone(tmp_path, monkeypatch):
    for name in ("bad", "good"):
        write_tiff(tmp_path / f"{name}.tif")
    tile = read.WholeSlide.read
    monkeypatch.setattr(read.WholeSlide, "read", lambda slide, *box: 1 / 0 if "bad" in str(slide.openslide) else tile(slide, *box))
    with pytest.warns(match="bad.tif was skipped: cannot be read .ZeroDivisionError"):
        index, _ = cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID)
    assert set(index["file"]) == {"good.tif"}
