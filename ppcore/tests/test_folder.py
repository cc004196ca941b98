"""Is every entry of a cohort's folder read, or listed with a reason, and is every file given to the right patient?"""

import os
import unicodedata

import numpy as np
import pytest

from ppcore.slides.cohorts import fingerprint
from ppcore.slides.cut import LONGEST_NAME, cut_patches, unique_names
from ppcore.slides.folder import list_folder, list_sources, say_others
from ppcore.slides.split import join_duplicates, split_patches
from ppcore.study import hashes
from ppcore.study.errors import StudyError, StudyWarning
from ppcore.study.runs import home
from ppcore.tests.test_slides import GRID, picture, write_field, write_slide


def folder_of(place, *names: str):
    """A folder of fields, each of its own picture."""
    place.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        write_field(place / name, picture(64, 128, seed))
    return place


def subjects(place) -> dict[str, str]:
    return {source.name: source.subject for source in list_sources(place)}


def write_vms(place, name: str) -> None:
    """A slide as Hamamatsu's VMS scanners store it: a text that names its JPEGs."""
    for part in ("", "_map", "_macro"):
        write_field(place / f"{name}{part}.jpg", picture(64, 128))
    (place / f"{name}.vms").write_text(f"[Virtual Microscope Specimen]\r\nNoLayers=1\r\nImageFile={name}.jpg\r\n"
                                       f"MapFile={name}_map.jpg\r\nOptimisationFile=\r\nMacroImage={name}_macro.jpg\r\n")


def test_every_entry_is_an_image_or_has_a_reason(tmp_path):
    """A download of one sub-folder a file, with what else lies about."""
    place = folder_of(tmp_path / "in", "x/a.png", "y/z/b.jpg")
    write_vms(place, "c")
    (place / "d.mrxs").write_text("x")
    (place / "d").mkdir()
    (place / "d" / "Data0001.dat").write_text("x")
    write_field(place / "d" / "label.png", picture(64, 128))
    (place / "gone.svs").symlink_to(place / "nowhere.svs")
    (place / "loop").symlink_to(place)
    (place / ".DS_Store").write_text("x")
    (place / "notes.xml").write_text("<x/>")
    (place / "manifest.csv").write_text("file_id\n")
    (place / "set.ndpis").write_text("x")
    sources, others = list_folder(place)
    assert [source.name for source in sources] == ["c.vms", "d.mrxs", "x/a.png", "y/z/b.jpg"]
    assert others == {".DS_Store": "hidden", "c.jpg": "a part of c.vms", "c_macro.jpg": "a part of c.vms",
                      "c_map.jpg": "a part of c.vms", "d/Data0001.dat": "a part of d.mrxs", "d/label.png": "a part of d.mrxs",
                      "gone.svs": "a link to nothing", "manifest.csv": "of the study itself", "notes.xml": "no slide or field (.xml)",
                      "set.ndpis": "a list of .ndpi files, which are read themselves"}
    with pytest.warns(StudyWarning, match="^not used are gone.svs: a link to nothing; notes.xml: no slide"):
        say_others(others)
    assert set(fingerprint(place)) == {"c.vms", "d.mrxs", "x/a.png", "y/z/b.jpg", "c.jpg", "c_macro.jpg", "c_map.jpg",
                                       "d/Data0001.dat", "d/label.png"}


def test_what_the_study_stores_in_the_folder_is_no_slide(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORPATH_HOME", str(folder_of(tmp_path, "a.png")))
    (home() / "data").mkdir()
    write_field(home() / "data" / "patch.png", picture(64, 128))
    assert subjects(tmp_path) == {"a.png": "a"}


def test_files_of_one_stem_are_one_subject_in_a_folder_and_several_in_several(tmp_path):
    assert subjects(folder_of(tmp_path, "a.png", "a.jpg", "b/s.png", "c/s.png")) == {
        "a.png": "a", "a.jpg": "a", "b/s.png": "b/s", "c/s.png": "c/s"}


@pytest.mark.parametrize("text, coding", [
    ("file,subject\na.png,P0\nb.png,P0 \nMüller.png,P1\u00a0\n", "utf-8"),
    ("\ufefffile;subject;note\r\n\r\na.png;P0;\"x;y\"\r\nb.png;\u200bP0;\r\nMüller.png; P1 ;\r\n", "utf-8"),
    ("sep=;\r\nfile;subject\r\na.png;P0\r\nb.png;P0\r\nMüller.png;P1\r\n", "utf-8"),
    ("File\tSubject\r\na.png\tP0\r\nb.png\tP0\r\nMüller.png\tP1\r\n", "utf-16"),
    ("file,subject\na.png,P 0\nb.png,P\u00a0 0\nMüller.png,P1\n", "utf-8"),
    ("note, SUBJECT ,file\n,P0,a.png\n,P0,b.png\n,P1,Mu\u0308ller.png\n,,\n", "utf-8"),
    ("file,subject\r\na.png,P0\r\nb.png,P0\r\nMüller.png,P1\r\n", "cp1252"),
])
@pytest.mark.parametrize("name", ["subjects.csv", "Subjects.CSV"])
@pytest.mark.filterwarnings("ignore:.*Windows-1252")
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path, text, coding, name):
    """Blanks of every kind, a mark at the start, composed and decomposed letters, separators, codings."""
    folder_of(tmp_path, "a.png", "b.png", unicodedata.normalize("NFD", "Müller.png"))
    (tmp_path / name).write_bytes(text.encode(coding))
    found = subjects(tmp_path)
    assert list(found) == ["Müller.png", "a.png", "b.png"]
    assert found["a.png"] == found["b.png"] and found["a.png"] in ("P0", "P 0") and found["Müller.png"] == "P1"


@pytest.mark.parametrize("raw, words", [
    (b"", "is empty"),
    (b"# ward 3, checked\nfile,subject\na.png,P0\n", "line 1: found '# ward 3, checked'; wanted a heading"),
    (b"file,subject\na.png,P0\nb.png,P1, moved, twice\n", "line 3: found 4 columns, the heading has 2"),
    (b"file,subject\n\n\na.png,P0\nb.png,\n", "line 5 has no subject"),
    (b"file,subject\n,P0\n", "line 2 has no file"),
    (b"\n\nfile,subject\na.png,\n", "line 4 has no subject"),
    (b"file,subject\na.png,P0\nb.png,P1\na.png,P1\n", "line 4: a.png is listed a second time"),
    (b"file,subject\na.png,P0\nb.png,M\xfcller\n", "line 3: found text that is not UTF-8"),
    (b"file,subject\na.png,\"P0\nb.png,P1\n", "line 3: unexpected end of data"),
])
def test_a_table_that_would_have_to_be_guessed_is_refused_with_its_line(tmp_path, raw, words):
    folder_of(tmp_path, "a.png", "b.png")
    (tmp_path / "subjects.csv").write_bytes(raw)
    with pytest.raises(StudyError) as refused:
        list_sources(tmp_path)
    assert words in str(refused.value) and "subjects.csv" in str(refused.value)


def test_subjects_and_files_may_be_called_like_nothing(tmp_path):
    names = ["NA.png", "null.png", "None.png", "nan.png", "1e5.png", "007.png"]
    assert subjects(folder_of(tmp_path, *names)) == {name: name[:-4] for name in names}
    (tmp_path / "subjects.csv").write_text("file,subject\n" + "".join(f"{name},NA\n" for name in names))
    assert set(subjects(tmp_path).values()) == {"NA"}


def test_a_table_names_files_of_sub_folders_by_their_path_or_by_a_name_that_is_theirs_alone(tmp_path):
    folder_of(tmp_path, "x/a.png", "y/a.png", "y/b.png")
    (tmp_path / "subjects.csv").write_text("file,subject\nx/a.png,P0\ny\\a.png,P1\nb.png,P2\n")
    assert subjects(tmp_path) == {"x/a.png": "P0", "y/a.png": "P1", "y/b.png": "P2"}
    (tmp_path / "subjects.csv").write_text("file,subject\na.png,P0\nb.png,P2\n")
    with pytest.raises(StudyError, match="no subject for 2 of 3 files .x/a.png, y/a.png."):
        list_sources(tmp_path)


def test_subjects_that_differ_in_case_alone_are_said(tmp_path):
    folder_of(tmp_path, "a.png", "b.png")
    (tmp_path / "subjects.csv").write_text("file,subject\na.png,P0\nb.png,p0\n")
    with pytest.warns(StudyWarning, match="P0 and p0 differ only in case"):
        list_sources(tmp_path)


def test_names_of_patches_are_unique_and_fit_a_file_system():
    files = ["a.png", "a.jpg", "a.png.png", "A.tif", "x/b.png", "y/b.png", "c.png", f"{'标' * 78}.png", f"{'标' * 78}2.png"]
    names = unique_names(files)
    assert len({name.casefold() for name in names}) == len(files) and names[6] == "c"
    assert max(len(name.encode()) for name in names) <= LONGEST_NAME and all("/" not in name for name in names)
    assert unique_names(["a.svs", "b.svs"]) == ["a", "b"]


def test_long_and_colliding_names_are_cut(tmp_path):
    place = folder_of(tmp_path / "in", "a.png", "a.jpg", "a.png.png", f"{'标' * 78}.png")
    index, table = cut_patches(list_sources(place), tmp_path / "out", **GRID)
    assert len(index) == index["patch"].nunique() == 4 and (table["skipped"] == "").all()


def test_copies_are_kept_on_one_side_and_said(tmp_path):
    place = folder_of(tmp_path / "in", *(f"{i}.png" for i in range(6)))
    for name in ("0 (1).png", "z.png"):
        (place / name).write_bytes((place / "0.png").read_bytes())
    index, _ = cut_patches(list_sources(place), tmp_path / "out", **GRID)
    with pytest.warns(StudyWarning, match=r"3 files .* \(0 \(1\).png, 0.png, z.png\)"):
        joined = join_duplicates(index)
    assert joined.groupby("file")["subject"].first().to_dict() == {
        "0 (1).png": "0", "0.png": "0", "z.png": "0", **{f"{i}.png": str(i) for i in range(1, 6)}}
    for seed in range(20):
        split = split_patches(joined, 0.3, seed)
        sides = split.groupby("split")["rgb_hash"].agg(set)
        assert not sides["train"] & sides["test"]


def test_copies_join_over_a_third(tmp_path):
    """a and b share one patch, b and c another: all three are one subject; d is none of them."""
    tiles = [picture(64, 128, seed) for seed in range(5)]
    for name, shown in (("a", (0, 1)), ("b", (1, 2)), ("c", (2, 3)), ("d", (4,))):
        write_field(tmp_path / f"{name}.png", np.concatenate([tiles[i] for i in shown], axis=1))
    index, _ = cut_patches(list_sources(tmp_path), tmp_path / "out", **GRID)
    with pytest.warns(StudyWarning):
        assert join_duplicates(index).groupby("file")["subject"].first().tolist() == ["a", "a", "a", "d"]


def test_content_decides_what_has_changed_and_is_read_once(tmp_path, monkeypatch):
    """A byte in the middle of a large file, its size and time as before."""
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path / "home"))
    (place := tmp_path / "in").mkdir()
    write_slide(place / "s.tif", picture(1024, 1024))
    before, status = fingerprint(place), (place / "s.tif").stat()
    with monkeypatch.context() as fault:
        fault.setattr(hashes, "_hash", lambda *_: pytest.fail("read twice"))
        assert fingerprint(place) == before
    with open(place / "s.tif", "r+b") as file:
        file.seek(status.st_size // 3)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(place / "s.tif", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(place) != before
