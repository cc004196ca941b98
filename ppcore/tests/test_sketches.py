"""Reading what people draw: shapes of known area in any file they may send, and files that are no drawings."""

import base64
import io
import json
import math
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from ppcore.masks import sketches as reader
from ppcore.masks.labelme import LARGEST_BYTES, MOST_POINTS, read_labelme, write_labelme
from ppcore.masks.labels import Label, write_labels
from ppcore.masks.labels import palette as palette_of
from ppcore.masks.make import write_mask
from ppcore.masks.sketches import list_drawings, load_sketches, read_sketch, resize_mask
from ppcore.metrics.control import iou
from ppcore.study.errors import StudyError, StudyWarning
from ppcore.study.runs import REPOSITORY

SHAPE = (120, 200)
TISSUE = np.zeros(SHAPE, np.uint8)
TISSUE[20:80, 30:150] = 1
TISSUE[40:60, 60:90] = 0  # a hole
GRAY = np.where(TISSUE, np.uint8(20), np.uint8(240))


def rgba(tone: int, ground: int) -> Image.Image:
    """Tissue painted in one tone on a transparent background that hides another."""
    return Image.fromarray(np.dstack([np.where(TISSUE, tone, ground).astype(np.uint8)] * 3 + [TISSUE * np.uint8(255)]))


def palette() -> Image.Image:
    image = Image.fromarray(TISSUE * np.uint8(7), mode="P")
    image.putpalette([255, 255, 200] * 7 + [90, 0, 120])
    return image


DRAWINGS = {
    "gray": Image.fromarray(GRAY), "rgb": Image.fromarray(np.dstack([GRAY, GRAY // 2 + 100, GRAY])),
    "one bit": Image.fromarray(TISSUE == 0), "palette": palette(), "opaque": Image.fromarray(GRAY).convert("RGBA"),
    "16 bits": Image.fromarray(np.where(TISSUE, 300, 60000).astype(np.uint16)),
    "gray with alpha": rgba(0, 0).convert("LA"), "light": Image.fromarray(255 - GRAY),
    "black on clear black": rgba(0, 0), "white on clear white": rgba(255, 255), "white on clear black": rgba(255, 0),
    "label map": Image.fromarray(TISSUE), "16-bit labels": Image.fromarray(TISSUE.astype(np.uint16)),
}


@pytest.mark.parametrize("kind", DRAWINGS)
def test_every_kind_of_png_gives_the_tissue_that_was_drawn(kind, tmp_path):
    DRAWINGS[kind].save(tmp_path / "a.png")
    mask, remark = read_sketch(tmp_path / "a.png", *SHAPE)
    assert mask.dtype == np.uint8 and np.array_equal(mask, TISSUE)
    assert remark.startswith("light on dark" if kind.split()[0] in ("light", "white") else
                             "a mask of two values" if "label" in kind else "dark on light")
    assert ("transparent" in remark) == ("clear" in kind or "alpha" in kind) and "resized" not in remark


FILES = {"lzw.tif": {"compression": "tiff_lzw"}, "fax.tiff": {"compression": "group4"},
         "jpeg.tif": {"compression": "jpeg"}, "plain.TIF": {}, "a.bmp": {}, "a.webp": {"lossless": True}, "a.jpg": {"quality": 95}}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_tissue_that_was_drawn(name, tmp_path):
    image = Image.fromarray(GRAY > 127) if name == "fax.tiff" else Image.fromarray(GRAY)
    image.save(tmp_path / name, **FILES[name])
    [(_, mask, remark)] = load_sketches(tmp_path, *SHAPE)
    assert iou(mask, TISSUE) > (0.98 if "j" in name else 0.9999) and remark == "dark on light"


@pytest.mark.parametrize("values", [GRAY.astype(np.uint16) * 257, (GRAY / 255).astype(np.float32),
                                    GRAY.astype(np.float32) * 257, TISSUE.astype(np.float32)],
                         ids=["16 bits", "share", "16 bits as float", "labels"])
def test_a_tiff_of_measured_values_is_read_as_gray(values, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.array_equal(read_sketch(tmp_path / "a.tif", *SHAPE)[0], TISSUE)
    if values.dtype == np.float32:
        Image.fromarray(np.where(TISSUE, np.float32("nan"), values)).save(tmp_path / "a.tif")
        with pytest.raises(StudyError, match="a.tif holds values that are no numbers"):
            read_sketch(tmp_path / "a.tif", *SHAPE)


def test_a_stack_is_no_drawing_but_a_pyramid_is(tmp_path):
    full, small = Image.fromarray(GRAY), Image.fromarray(GRAY[::-2, ::2])
    full.save(tmp_path / "a.tif", save_all=True, append_images=[small])
    assert np.array_equal(read_sketch(tmp_path / "a.tif", *SHAPE)[0], TISSUE)
    full.save(tmp_path / "a.tif", save_all=True, append_images=[full, small])
    with pytest.raises(StudyError, match="a.tif holds 3 pages: wanted one"):
        read_sketch(tmp_path / "a.tif", *SHAPE)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation, upright", [(6, np.rot90(TISSUE, -1)), (3, np.rot90(TISSUE, 2)), (1, TISSUE)])
def test_a_picture_is_read_as_it_is_shown(suffix, orientation, upright, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.dstack([GRAY] * 3)).save(tmp_path / f"a{suffix}", exif=exif, quality=95)
    assert iou(read_sketch(tmp_path / f"a{suffix}", *upright.shape)[0], np.ascontiguousarray(upright)) > 0.98


def test_a_photograph_of_paper_held_upright_is_turned_and_its_noise_is_no_ink(tmp_path):
    noisy = np.clip(GRAY[..., None] + np.random.default_rng(1).normal(0, 12, (*SHAPE, 3)), 0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be shown turned by a quarter
    Image.fromarray(noisy).save(tmp_path / "a.JPG", quality=60, exif=exif)
    mask, _ = read_sketch(tmp_path / "a.JPG", SHAPE[1], SHAPE[0])
    assert iou(mask, np.ascontiguousarray(np.rot90(TISSUE, -1))) > 0.98


def test_a_frame_of_both_tones_is_a_guess_that_the_caller_can_overrule(tmp_path):
    half = np.zeros(SHAPE, np.uint8)
    half[:, :190] = 1
    for gray, right in ((255 - 255 * half, "dark"), (255 * half, "light")):
        Image.fromarray(gray).save(tmp_path / "a.png")
        mask, remark = read_sketch(tmp_path / "a.png", *SHAPE)
        assert "a guess" in remark and np.array_equal(mask, gray == 0)
        mask, remark = read_sketch(tmp_path / "a.png", *SHAPE, tissue=right)
        assert "guess" not in remark and np.array_equal(mask, half)


def test_a_drawing_of_another_size_is_averaged_and_says_so(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    mask, remark = read_sketch(tmp_path / "a.png", 60, 100)
    assert np.array_equal(mask, TISSUE[::2, ::2]) and remark.endswith("resized from 120 x 200 px")
    mask, remark = read_sketch(tmp_path / "a.png", 240, 200)
    assert np.array_equal(mask, np.repeat(TISSUE, 2, axis=0)) and "not kept: 2.00 times higher" in remark
    thirds = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 0], [0, 0, 0]], np.uint8)
    assert resize_mask(thirds, 2, 1).tolist() == [[0], [1]]  # 3 of 9, 5 of 9


@pytest.mark.parametrize("gray", [255, 0, 128])
def test_an_empty_page_is_refused_unless_it_is_wanted(gray, tmp_path):
    page = np.full(SHAPE, gray, np.uint8)
    page[::3] ^= 3  # the noise of a camera
    page[::5] ^= 1
    Image.fromarray(page).save(tmp_path / "a.png")
    with pytest.raises(StudyError, match="a.png is all air at 30 x 50 px.*draw"):
        read_sketch(tmp_path / "a.png", 30, 50)
    assert not read_sketch(tmp_path / "a.png", 30, 50, allow_plain=True)[0].any()
    if gray == 0:
        assert read_sketch(tmp_path / "a.png", 30, 50, tissue="dark", allow_plain=True)[0].all()
        with pytest.raises(StudyError, match="all tissue.*some air"):
            read_sketch(tmp_path / "a.png", 30, 50, tissue="dark")


def labelme(path, shapes: list[dict], height: int = SHAPE[0], width: int = SHAPE[1], **other):
    shapes = [{"label": "tissue", "group_id": None, "shape_type": "polygon", "flags": {}} | shape for shape in shapes]
    path.write_text(json.dumps({"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "p.png",
                                "imageData": None, "imageHeight": height, "imageWidth": width} | other))
    return path


def test_labelme_shapes_have_the_areas_of_geometry(tmp_path):
    def area(*shapes, size=SHAPE):
        return read_labelme(labelme(tmp_path / "a.json", list(shapes)), *size)[0].sum(dtype=int)

    rectangle = {"shape_type": "rectangle", "points": [[150, 80], [30, 20]]}  # from any corner
    circle = {"shape_type": "circle", "points": [[100, 60], [130, 100]]}  # centre and rim: a radius of 50
    square = {"shape_type": "oriented_rectangle", "points": [[50, 10], [90, 50], [50, 90], [10, 50]]}
    triangle = {"points": [[10, 10], [110, 10], [10, 90]]}
    star = {"points": [[100, 10], [135, 110], [40, 45], [160, 45], [65, 110]]}  # crosses itself: an even-odd hole
    assert area(rectangle) == 120 * 60
    assert area(circle) == pytest.approx(math.pi * 50**2, rel=0.01)
    assert area(square) == pytest.approx(2 * 40**2, rel=0.02)
    assert area(triangle) == pytest.approx(100 * 80 / 2, rel=0.02)
    assert area(rectangle, size=(240, 100)) == 120 * 60
    assert area(circle, size=(480, 400)) == pytest.approx(math.pi * 50**2 * 8, rel=0.002)
    star_mask = read_labelme(labelme(tmp_path / "a.json", [star]), *SHAPE)[0]
    assert star_mask[25, 100] == 1 and star_mask[60, 100] == 0


def test_a_shape_named_hole_cuts_out_of_what_stands_before_it_alone(tmp_path):
    outer, hole, island = ({"shape_type": "rectangle", "points": [[edge, edge], [110 - edge, 110 - edge]]}
                           for edge in (10, 30, 50))
    path = labelme(tmp_path / "a.json", [outer, hole | {"label": "Hole"}, island | {"label": "stroma"}])
    mask, remark = read_sketch(path, *SHAPE)
    assert mask.sum(dtype=int) == 90**2 - 50**2 + 10**2 and mask[55, 55] == 1
    assert remark == "outlines: rectangle 3; 1 of them cut out"
    path = labelme(path, [outer, island, hole | {"label": "air"}])
    assert read_sketch(path, *SHAPE)[0].sum(dtype=int) == 90**2 - 50**2


def test_labelme_of_another_size_is_scaled_and_says_so(tmp_path):
    path = labelme(tmp_path / "a.json", [{"points": [[0, 0], [500, 0], [500, 1000], [0, 1000]]}], 1000, 1000)
    mask, remark = read_labelme(path, *SHAPE)
    assert mask[:, :100].all() and not mask[:, 100:].any()
    assert "resized from 1000 x 1000 px, aspect ratio not kept: 1.67 times wider" in remark


def test_a_labelme_bitmap_lies_in_its_box(tmp_path):
    stored = io.BytesIO()
    Image.fromarray(TISSUE[20:80, 30:150] > 0).save(stored, "PNG")
    encoded = base64.b64encode(stored.getvalue()).decode()
    bitmap = {"shape_type": "mask", "points": [[30, 20], [149, 79]], "mask": encoded}
    assert np.array_equal(read_labelme(labelme(tmp_path / "a.json", [bitmap]), *SHAPE)[0], TISSUE)
    assert np.array_equal(read_labelme(tmp_path / "a.json", 60, 100)[0], TISSUE[1::2, 1::2])
    with pytest.raises(StudyError, match="shape 1 of 1 is a mask of 60 x 120 px in a box of 60 x 121"):
        read_labelme(labelme(tmp_path / "a.json", [bitmap | {"points": [[30, 20], [150, 79]]}]), *SHAPE)


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "latin-1"])
def test_the_coding_of_a_labelme_file_is_recognised_or_named(coding, tmp_path):
    path = labelme(tmp_path / "a.json", [{"points": [[0, 0], [100, 0], [100, 120], [0, 120]], "label": "?"}])
    text = path.read_text().replace("?", "é" if coding == "latin-1" else "组织")
    path.write_bytes(text.encode(coding))
    if coding.startswith("utf"):
        assert read_labelme(path, *SHAPE)[0].sum(dtype=int) == 100 * 120
    else:
        at = text.encode(coding).index("é".encode(coding) if coding == "latin-1" else "组".encode(coding)) + 1
        with pytest.raises(StudyError, match=f"a.json is not JSON in UTF-8, its byte {at} is 0x.*save.*as UTF-8"):
            read_labelme(path, *SHAPE)


def test_what_is_written_for_labelme_comes_back_pixel_by_pixel(tmp_path):
    field = cv2.GaussianBlur(np.random.default_rng(3).random(SHAPE).astype(np.float32), (0, 0), 1.2)
    mask = (field > np.median(field)).astype(np.uint8)  # islands in holes in islands, single px, the frame
    for tolerance in (0, 0.24):
        write_labelme(tmp_path / "a.json", mask, tolerance)
        assert np.array_equal(read_labelme(tmp_path / "a.json", *SHAPE)[0], mask)
    smooth = (cv2.GaussianBlur(field, (0, 0), 6) > np.median(field)).astype(np.uint8)
    write_labelme(tmp_path / "a.json", smooth)
    assert iou(read_labelme(tmp_path / "a.json", *SHAPE)[0], smooth) > 0.99
    content = json.loads((tmp_path / "a.json").read_text())
    write_labelme(tmp_path / "exact.json", smooth, tolerance=0)
    exact = json.loads((tmp_path / "exact.json").read_text())
    points = [sum(len(shape["points"]) for shape in each["shapes"]) for each in (content, exact)]
    assert points[0] < 0.6 * points[1]  # to be dragged by hand
    with Image.open(io.BytesIO(base64.b64decode(content["imageData"]))) as image:  # Labelme wants an image
        assert image.size == (content["imageWidth"], content["imageHeight"]) == SHAPE[::-1]
    write_labelme(tmp_path / "a.json", np.zeros(SHAPE, np.uint8))
    assert not read_labelme(tmp_path / "a.json", *SHAPE)[0].any()


LINE = [[1, 1], [9, 9]]
BAD = {
    "an empty file": ("a.png", b"", "a.png cannot be read"), "a text": ("a.jpg", b"no picture", "cannot be read"),
    "no JSON": ("a.json", b"{", "a.json is not JSON"), "bytes": ("a.json", b"\x89PNG", "is not JSON"),
    "a list": ("a.json", b"[1]", "not a Labelme file"), "other JSON": ("a.json", b'{"shapes": 3}', "no list of shapes"),
    "a deep JSON": ("a.json", b"[" * 10**6, "nested too deeply"),
    "a long JSON": ("a.json", b" " * (LARGEST_BYTES + 1), "MiB; wanted at most"),
}
BAD_SHAPES = {
    "a line": ({"shape_type": "line", "points": LINE}, "shape 2 of 2 is a 'line', which encloses nothing: wanted pol"),
    "no type": ({"shape_type": ["polygon"]}, "encloses nothing"), "two points": ({"points": LINE}, "3 or more pairs"),
    "no points": ({"points": None}, "no points for a polygon"), "text": ({"points": [["a", "b"]] * 3}, "no points"),
    "not a number": ({"points": [[1, 1], [9, 9], [math.nan, 4]]}, "far outside its image of 120 x 200 px"),
    "far away": ({"points": [[1, 1], [9, 9], [1e9, 4]]}, "far outside"),
    "no label": ({"label": None}, "the label None"),
    "no bitmap": ({"shape_type": "mask", "points": LINE}, "bitmap cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_drawing_is_refused_by_name(name, tmp_path):
    file, content, said = BAD[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(StudyError, match=said):
        read_sketch(tmp_path / file, *SHAPE)


@pytest.mark.parametrize("name", BAD_SHAPES)
def test_what_is_no_shape_is_refused_with_its_number(name, tmp_path):
    good, (bad, said) = {"points": [[1, 1], [9, 9], [1, 9]]}, BAD_SHAPES[name]
    with pytest.raises(StudyError, match=said):
        read_sketch(labelme(tmp_path / "a.json", [good, {"points": good["points"]} | bad]), *SHAPE)


def test_sizes_of_labelme_are_checked(tmp_path):
    for size in (None, 0, "120", True, 10**9):
        with pytest.raises(StudyError, match="imageHeight and imageWidth are"):
            read_labelme(labelme(tmp_path / "a.json", [], height=size), *SHAPE)
    with pytest.raises(StudyError, match="points; wanted at most"):
        read_labelme(labelme(tmp_path / "a.json", [{"points": [[1, 1]] * (MOST_POINTS + 1)}]), *SHAPE)
    with pytest.raises(StudyError, match="10,001 shapes; wanted at most 10,000"):
        read_labelme(labelme(tmp_path / "a.json", [{"points": []}] * 10_001), *SHAPE)


def test_a_labelme_file_that_would_fill_the_memory_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda text: pytest.fail("parsed"))
    (tmp_path / "a.json").write_text("[" + "{}," * 1_000_000 + "{}]")
    with pytest.raises(StudyError, match="holds 2,000,002 values; wanted at most 1,200,000"):
        read_labelme(tmp_path / "a.json", *SHAPE)


def test_bitmaps_of_labelme_are_added_up_before_they_are_decoded(tmp_path):
    stored = io.BytesIO()
    Image.new("1", (6000, 5000)).save(stored, "PNG")
    bitmap = {"shape_type": "mask", "points": [[0, 0], [5999, 4999]],
              "mask": base64.b64encode(stored.getvalue()).decode()}
    with pytest.raises(StudyError, match="shape 2 of 2 brings its bitmaps to 60 million px; wanted at most 50"):
        read_labelme(labelme(tmp_path / "a.json", [bitmap] * 2, 5000, 6000), *SHAPE)


def test_a_picture_cut_short_is_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(StudyError, match="a.png cannot be read"):
        read_sketch(tmp_path / "a.png", *SHAPE)


@pytest.mark.parametrize("side", [7100, 10_000, 20_000])  # below Pillow's own warning, between, above its error
def test_a_huge_picture_is_refused_by_its_header_alone(side, tmp_path, monkeypatch, recwarn):
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    parts = (13).to_bytes(4, "big"), header, zlib.crc32(header).to_bytes(4, "big"), bytes(4), b"IDAT"
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(StudyError, match="at most 50 million.*save it smaller"):
        read_sketch(tmp_path / "a.png", *SHAPE)
    assert not recwarn.list


def test_a_folder_gives_what_is_good_and_names_what_is_not(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "b.png")
    Image.fromarray(255 - GRAY).save(tmp_path / "a.jpg", quality=95)
    write_labelme(tmp_path / "c.json", TISSUE, tolerance=0)
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "c.png")  # what was drawn on: not a second drawing
    (tmp_path / "notes.txt").write_text("no drawing")
    (tmp_path / ".d.png").write_text("hidden")
    with pytest.warns(StudyWarning, match="not read in .*notes.txt$"):
        sketches = load_sketches(tmp_path, *SHAPE)
    assert [name for name, _, _ in sketches] == ["a", "b", "c"]
    assert all(iou(mask, TISSUE) > 0.98 for _, mask, _ in sketches)
    (tmp_path / "d.png").write_text("broken")
    Image.fromarray(GRAY).save(tmp_path / "b.jpg")
    with pytest.warns(StudyWarning, match="2 of the 6 drawings.*b.png has the same name as.*d.png cannot be"):
        assert len(load_sketches(tmp_path, *SHAPE)) == 3
    with pytest.raises(StudyError, match="not a folder"):
        load_sketches(tmp_path / "none", *SHAPE)


def test_what_the_page_saved_is_a_drawing_of_its_folders_name(tmp_path):
    write_mask(tmp_path / "gland" / "sketch.png", 1 - TISSUE)  # tissue all along the frame: no guess would read it
    write_mask(tmp_path / "gland" / "coarse.png", TISSUE)
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    (name, mask, _), (other, saved, _) = load_sketches(tmp_path, *SHAPE)
    assert (name, other) == ("a", "gland") and np.array_equal(mask, TISSUE) and np.array_equal(saved, 1 - TISSUE)


def test_whatever_else_a_folder_holds_is_listed_once_with_its_reason(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    for number in range(500):
        (tmp_path / f"{number:03}.annotations").write_text("<Annotations/>")
    (tmp_path / "asap.XML").write_text("<ASAP/>")
    (tmp_path / "my\nnotes").write_text("no drawing")
    (tmp_path / "older.png").mkdir()  # a folder, whatever its name says
    Image.fromarray(GRAY).save(tmp_path / "older.png" / "b.png")
    (tmp_path / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    (tmp_path / ".DS_Store").write_text("hidden")
    with pytest.warns(StudyWarning) as said:
        assert [name for name, _, _ in load_sketches(tmp_path, *SHAPE)] == ["a"]
    lines = [str(warning.message) for warning in said]
    assert len(lines) == 4 and not any("DS_Store" in line or "\n" in line for line in lines)
    for words in (("another program", "000.annotations, 001.annotations, 002.annotations and 498 more"),
                  ("folders without", "older.png"), ("links to files that are not there", "gone.tif"),
                  ("do not end in .json .geojson .png", "my notes")):
        assert [all(word in line for word in words) for line in lines].count(True) == 1, words
    (tmp_path / "a.png").unlink()
    with pytest.raises(StudyError, match="holds no usable drawing.*another program.*gone.tif"):
        load_sketches(tmp_path, *SHAPE)


def test_the_workflow_watches_exactly_what_is_read(tmp_path, monkeypatch):
    for name in ("a.png", "b.TIF", "c.json", "d.gif", ".e.png", "f.geojson", "notes.txt"):
        (tmp_path / name).write_text("x")
    for name in ("gland", ".gland", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ("coarse.png" if name == "other" else "sketch.png")).write_text("x")
    read = []
    monkeypatch.setattr(reader, "read_sketch", lambda path, *how, **more: read.append(path) or (TISSUE, ""))
    with pytest.warns(StudyWarning):
        load_sketches(tmp_path, *SHAPE)
    assert sorted(read) == sorted(list_drawings(tmp_path)[0])
    assert [str(path.relative_to(tmp_path)) for path in sorted(read)] == ["a.png", "b.TIF", "c.json", "f.geojson",
                                                                      "gland/sketch.png"]
    assert "list_drawings(folder)" in (REPOSITORY / "notebooks" / "Snakefile").read_text()


CLASSES = (Label("air", "#ffffff"), Label("tissue", "#f2c6d6"), Label("nuclei", "#3f2a82", 7, 9), Label("Gland", "#d55e00", 7, 9))
LABELS = TISSUE.copy()
LABELS[30:60, 40:60], LABELS[26:46, 100:140] = 2, 3


def coloured() -> np.ndarray:
    return palette_of(CLASSES)[LABELS]


def test_a_coloured_drawing_has_the_classes_of_its_colours(tmp_path):
    Image.fromarray(coloured()).save(tmp_path / "a.png")
    write_labels(tmp_path / "b.png", LABELS, CLASSES)  # as the study stores them
    hidden = np.where(LABELS[..., None] > 0, coloured(), palette_of(CLASSES)[2])  # below what is transparent
    Image.fromarray(np.dstack([hidden, (LABELS > 0) * np.uint8(255)])).save(tmp_path / "c.png")
    for name in "abc":
        labels, remark = read_sketch(tmp_path / f"{name}.png", *SHAPE, classes=CLASSES)
        assert np.array_equal(labels, LABELS) and remark == "in the colours of the classes"
    assert np.array_equal(read_sketch(tmp_path / "a.png", 60, 100, classes=CLASSES)[0], LABELS[::2, ::2])
    [(_, labels, _), *_] = load_sketches(tmp_path, *SHAPE, classes=CLASSES)
    assert np.array_equal(labels, LABELS)


@pytest.mark.parametrize("colours", [("#ffffff", "#d55e00"), ("#ffffff", "#d55e00", "#d55e00"),
                                     ("#000000", "#555555", "#aaaaaa")], ids=["two", "twins", "grays"])
def test_a_stored_map_is_read_by_its_palette_whatever_its_colours(colours, tmp_path):
    """Two classes with names, of which the outer one is light; two of one colour; grays."""
    classes = tuple(Label(f"class {value}", colour) for value, colour in enumerate(colours))
    labels = np.minimum(LABELS, len(classes) - 1)
    write_labels(tmp_path / "mine" / "sketch.png", labels, classes)
    [(_, found, remark)] = load_sketches(tmp_path, *SHAPE, classes=classes)
    assert np.array_equal(found, labels) and remark == "in the colours of the classes"


def test_a_jpeg_and_a_pen_of_nearly_the_colour_are_read_and_foreign_colours_named_with_their_px(tmp_path):
    noisy = np.clip(coloured() + np.random.default_rng(1).normal(0, 8, (*SHAPE, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "a.jpg", quality=92)
    labels, _ = read_sketch(tmp_path / "a.jpg", *SHAPE, classes=CLASSES)
    assert (labels == LABELS).mean() > 0.99
    foreign = coloured()
    foreign[90:100, 0:50], foreign[90:100, 50:70] = (0, 255, 0), (0, 0, 255)
    Image.fromarray(foreign).save(tmp_path / "a.png")
    labels, remark = read_sketch(tmp_path / "a.png", *SHAPE, classes=CLASSES)
    assert np.array_equal(labels[:90], LABELS[:90])
    assert remark.endswith("; 700 px have none of them and took the nearest: #00ff00 500 px, #0000ff 200 px")


def test_a_gray_drawing_still_says_tissue_and_air(tmp_path):
    for number, image in enumerate((DRAWINGS["gray"], DRAWINGS["one bit"], DRAWINGS["16 bits"], DRAWINGS["opaque"])):
        image.save(tmp_path / f"{number}.png")
        mask, remark = read_sketch(tmp_path / f"{number}.png", *SHAPE, classes=CLASSES)
        assert np.array_equal(mask, TISSUE) and remark == "dark on light"


def test_outlines_have_the_classes_that_their_labels_name(tmp_path):
    def rectangle(label, *points):
        return {"shape_type": "rectangle", "label": label, "points": points}

    path = labelme(tmp_path / "a.json", [rectangle("tumour", (30, 20), (150, 80)), rectangle("hole", (60, 40), (90, 60)),
                                         rectangle(" Nuclei", (40, 30), (60, 60)), rectangle("gland", (100, 26), (140, 46))])
    labels, remark = read_sketch(path, *SHAPE, classes=CLASSES)
    assert np.array_equal(labels, LABELS)
    assert remark == "outlines: rectangle 4; 1 of them gland; 1 of them nuclei; 1 of them cut out"
    mask, remark = read_sketch(path, *SHAPE)
    assert np.array_equal(mask, LABELS > 0) and remark == "outlines: rectangle 4; 1 of them cut out"
