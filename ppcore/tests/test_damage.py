"""A folder of damaged files of every kind: each is read, or listed by name; the set that is made of the rest is whole."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from ppcore.masks.patches import check_set, load_index, store_index
from ppcore.slides.cohorts import fingerprint
from ppcore.slides.cut import cut_patches
from ppcore.slides.folder import list_folder
from ppcore.slides.split import join_duplicates, split_patches
from ppcore.study.errors import StudyError
from ppcore.tests.test_folder import write_vms
from ppcore.tests.test_scale import write_tiff
from ppcore.tests.test_slides import GRID, picture, write_pyramid

RGB = picture(128, 256)
TABLE = 'file,subject,note\na.png,P0,"x, y"\nb.png,P1,\nMüller.png,P2,\n'


def kinds(folder) -> list:
    """One small file of each kind that the study reads."""
    folder.mkdir()
    write_pyramid(folder / "aperio.svs", [RGB, RGB[::4, ::4]])
    write_pyramid(folder / "jpeg.tif", [RGB, RGB[::4, ::4]], compression="jpeg")
    write_tiff(folder / "tiles.tif")
    write_tiff(folder / "strips.tif", tiled=False)
    write_tiff(folder / "packed.tif", tiled=False, compression="lzw")
    tifffile.imwrite(folder / "ome.ome.tif", RGB, ome=True, tile=(64, 64), metadata={"PhysicalSizeX": 0.5}, bigtiff=True)
    Image.fromarray(RGB).save(folder / "field.png")
    Image.fromarray(RGB).save(folder / "field.jpg", exif=bytes.fromhex("45786966000049492a00080000000000"))
    write_vms(folder, "hamamatsu")
    return sorted(folder.iterdir())


def mutated(raw: bytes, draws: np.random.Generator) -> bytes:
    """Cut short, blanked or overwritten somewhere, most often near the start, where a file says what it is."""
    data, place = bytearray(raw), int(len(raw) * draws.random() ** draws.choice([1, 4]))
    match draws.integers(5):
        case 0:
            return bytes(data[:place])
        case 1:
            data[place:place + int(draws.integers(1, 400))] = b""
        case 2:
            data[place:place + 64] = bytes(64)
        case 3:
            data[place:place + 4] = draws.bytes(4)
        case 4:
            for _ in range(20):
                data[int(len(data) * draws.random() ** 3)] = int(draws.integers(256))
    return bytes(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_are_read_or_listed_and_never_spoil_the_set(tmp_path, seed):
    draws = np.random.default_rng(seed)
    place = tmp_path / "in"
    place.mkdir()
    for name in ("good1.png", "good2.png"):
        Image.fromarray(picture(128, 256, len(name) + ord(name[4]))).save(place / name)
    for path in kinds(tmp_path / "kinds"):
        for number in range(8):
            (place / f"{number}{path.name}").write_bytes(mutated(path.read_bytes(), draws))
    assert fingerprint(place)
    sources, others = list_folder(place)
    index, table = cut_patches(sources, tmp_path / "out", **GRID, jobs=2)
    index = split_patches(join_duplicates(index), 0.25, seed)
    store_index(index, table, tmp_path / "out", others)
    stored = pd.read_csv(tmp_path / "out" / "sources.csv", keep_default_na=False)
    assert set(stored["file"]) == {path.name for path in place.iterdir()}
    used = stored[(stored["skipped"] == "")]
    assert {"good1.png", "good2.png"} <= set(used["file"]) and (stored["skipped"] != "").any()
    assert set(load_index(tmp_path / "out")["file"]) <= set(used["file"])
    assert check_set(tmp_path / "out") == used["kept"].sum()
    assert {path.stem for path in (tmp_path / "out" / "thumbnails").iterdir()} == set(used["name"])


def test_damaged_tables_are_read_or_refused_by_name(tmp_path):
    for name in ("a.png", "b.png", "Müller.png"):
        Image.fromarray(RGB).save(tmp_path / name)
    draws, refused = np.random.default_rng(0), 0
    with pytest.warns():
        for _ in range(200):
            coding = str(draws.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
            (tmp_path / "subjects.csv").write_bytes(mutated(TABLE.encode(coding), draws))
            try:
                sources, _ = list_folder(tmp_path)
            except StudyError as error:
                assert str(error).startswith(str(tmp_path / "subjects.csv"))
                refused += 1
            else:
                assert len(sources) == 3 and "\0" not in "".join(source.subject for source in sources)
    assert 100 < refused < 200
