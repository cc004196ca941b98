"""Do README.md and figures/README.md say what the stored tables say, and do the pages' links lead anywhere?"""

import io
import json
import re
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from ppcore.experiments.utility import summarise
from ppcore.experiments.variants import OWN
from ppcore.study.errors import StudyError
from ppcore.study.runs import REPOSITORY
from ppcore.tests.test_paper_figures import METRICS, tidy
from ppcore.tests.test_utility import scores_of
from ppcore.workflow import readme
from ppcore.workflow.readme import END, MARK, SLIDES_SPEED, SPEED, insert, named_runs, parts
from ppcore.workflow.results import across, markdown, measures, results
from ppcore.workflow.usefulness import useful, usefulness

PAGES = ("README.md", "data/README.md", "figures/README.md", "notebooks/README.md")
LINK = re.compile(r'\]\(([^)\s]+)\)|<img src="([^"]+)"')


@pytest.fixture
def stored(tmp_path) -> Path:
    """figures/ with one run in it."""
    folder = tmp_path / "demo" / "X"
    folder.mkdir(parents=True)
    METRICS.to_csv(folder / "metrics.csv", index=False)
    return tmp_path


def committed(folder: Path) -> Path | None:
    """figures/ as the last commit has it; None outside git."""
    command = ["git", "-C", str(REPOSITORY), "archive", "HEAD", "figures"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        return None
    tarfile.open(fileobj=io.BytesIO(done.stdout)).extractall(folder, filter="data")
    return folder / "figures"


def test_both_pages_show_the_stored_results(tmp_path):
    """As they lie in figures/ or, where a run here has written its own since, as they were committed. To write them
    again changes nothing."""
    pages = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "figures/README.md")}
    runs = named_runs(pages["README.md"])
    places = [parts(runs, place) for place in (REPOSITORY / "figures", committed(tmp_path)) if place]
    for name, page in pages.items():
        for versions in zip(*(place[name] for place in places), strict=True):
            assert any(insert(page, *part) == page for part in versions), \
                f"{name}, {versions[0][0]}: python -m ppcore.workflow.readme writes it"


def test_a_run_is_shown_with_what_was_changed_and_a_table_of_every_method(stored):
    folder = stored / "demo" / "X"
    assert "| PriorPath (pix2pix) | 40 | 0.2 [0.15, 0.3] | 0.9 [0.85, 0.95] | 0.8 [0.7, 0.9] |" in markdown(folder)
    record = {"changed": {"mpp": 0.5}, "machine": "a machine", "seconds": {"04": 9000, "08": 0}}
    (folder / "run.json").write_text(json.dumps(record))
    text = markdown(folder)
    assert "`mpp=0.5`; a machine; 2.5 h in notebooks 04 to 08; seed 1, commit abc." in text and "plane.png" not in text
    (folder / "plane.png").touch()
    assert "(demo/X/plane.png)" in markdown(folder)  # as seen from figures/README.md
    assert measures([folder, folder]).count("### X\n") == 2


def test_what_seeds_do_is_told_where_notebook_12_was_run(stored):
    folder = stored / "demo" / "X"
    assert "Seeds" not in markdown(folder) and "Chance" not in results([folder])
    pd.DataFrame({"variant": OWN, "metric": ["mmd2", "mmd2"], "value": [0.2, 0.3]}).to_csv(folder / "variants.csv")
    assert "- Seeds (MMD²): 2 trainings" in markdown(folder) and "DEPAS (our reading) (1.4)" in markdown(folder)
    # One more would lie in 0.25 +- 1.1 (t of one degree of freedom, sd 0.07, sqrt 1.5): DEPAS at 1.4 lies beyond.
    assert "of the 3 comparisons of shapes there that came out better or worse, 2 could change" in results([folder])


def test_several_runs_stand_side_by_side(stored):
    shutil.copytree(stored / "demo" / "X", stored / "demo" / "Y")
    METRICS.replace({"method": {"DEPAS": "DCGAN"}}).to_csv(stored / "demo" / "Y" / "metrics.csv", index=False)
    text = results([stored / "demo" / "Y", stored / "demo" / "X"])
    assert "| MMD² to real test masks | Y | X |" in text and "| DEPAS (our reading) |  | 1.4 [" in text
    assert "| PriorPath (pix2pix) | 0.2 [0.15, 0.3] | 0.2 [0.15, 0.3] |" in text
    assert "of the 2 cohorts with intervals, PriorPath is better than COPY on 2, CycleGAN on 2, DCGAN on 1, " in text


def test_a_run_of_label_maps_stands_in_the_table_of_images_alone(stored):
    shutil.copytree(stored / "demo" / "X", stored / "demo" / "Y")
    images = tidy([("noise-image", "image_kd", 0.08, 0.06, 0.1)])
    pd.concat([METRICS, images]).to_csv(stored / "demo" / "X" / "metrics.csv", index=False)
    nuclei = tidy([("pix2pix", "nuclei: count", 20, 10, 30)])
    pd.concat([METRICS, images, nuclei]).to_csv(stored / "demo" / "Y" / "metrics.csv", index=False)
    text = results([stored / "demo" / name for name in "XY"])
    assert "| MMD² to real test masks | X |\n" in text and "| kd to real test images | X | Y |\n" in text
    assert "of the one cohort with intervals, PriorPath is better than COPY on 1" in text


def test_trainings_of_one_method_are_averaged_and_their_spread_is_told(stored):
    found = [tidy([("noise-GAN", "mmd2", one, one, one), ("noise-image", "image_kd", two, two, two)]).assign(seed=seed)
             for seed, one, two in ((1, 0.1, 0.4), (2, 0.3, 0.5))]
    pd.concat([METRICS, *found]).to_csv(stored / "demo" / "X" / "metrics.csv", index=False)
    text = results([stored / "demo" / "X"])
    assert "| noise image (ours) | 0.45 [0.4, 0.5] |" in text
    assert ("- **Seeds**, 2 trainings of each, of which the tables show the mean: MMD², noise GAN (ours): X 0.1 to 0.3; "
            "kd of images, noise image (ours): X 0.4 to 0.5.") in text


def test_the_sentences_over_several_runs_follow_from_the_numbers():
    """Y: PriorPath is worse than DEPAS in shapes, not told apart from CycleGAN. Z: nothing has an interval."""
    other = METRICS.copy()
    shape = other["metric"] == "mmd2"
    other.loc[(other["method"] == "DEPAS") & shape, ["value", "low", "high"]] = "0.1", "0.05", "0.14"
    other.loc[(other["method"] == "CycleGAN") & shape, "low"] = "0.25"
    more = [("pix2pix", "fid", "71.2", "", ""), ("pix2pix", "coverage", 0.5, 0.4, 0.6),
            ("real-train", "coverage", 0.9, 0.8, 1), ("nearest-train", "control_iou", 0.7, 0.6, 0.8)]
    other = pd.concat([other, tidy(more)])
    shapes, tissue, control, variety = across({"X": METRICS, "Y": other, "Z": METRICS.assign(low="", high="")}, {})
    assert shapes == ("**Shapes** (MMD²): of the 2 cohorts with intervals, PriorPath is better than COPY on 2, "
                      "CycleGAN on 1, DEPAS (our reading) on 1; worse than DEPAS (our reading) on 1.")
    assert tissue == "**Amount of tissue** (KS): no cohort has intervals, so nothing is compared. FID is 71.2 on Y."
    assert control.endswith("with an IoU of 0.9; the real masks of nearest-train, with 0.7.")
    assert variety.endswith("covers 0.5 of the real test masks; real masks of other subjects cover 0.9.")
    shapes, tissue, *_ = across({"X": other.replace({"method": {"COPY": "x", "DEPAS": "y"}})}, {})
    assert "of the one cohort" in shapes and "FID is" in tissue
    assert "weights were not available" in across({"X": METRICS}, {})[1]


def test_results_go_between_their_marks_and_nothing_else_changes():
    page = f"above\n{MARK.format('results', 'demo/Y')}\nstale\n{END}\nbelow\n"
    once = insert(page, "results", "demo/X", "new")
    assert once.startswith("above\n") and once.endswith(f"{END}\nbelow\n") and "stale" not in once and "\nnew\n" in once
    assert named_runs(once) == ["demo/X"] and insert(once, "results", "demo/X", "new") == once
    two = f"{MARK.format('speed', 'a')}\n{END}\n{MARK.format('speed on slides', 'b')}\n{END}\n"
    assert insert(two, "speed on slides", "b", "new").startswith(f"{MARK.format('speed', 'a')}\n{END}\n<!-- speed on")
    with pytest.raises(StudyError, match="no place for results"):
        named_runs("no marks")


def test_usefulness_is_told_with_its_verdict_for_the_tests_and_arms_that_were_run(tmp_path):
    table = summarise(scores_of({1: {"a": 0.05, "b": 0.04}, 2: {"a": 0.05, "c": 0.06}}), 20, 1)
    (tmp_path / "MINE").mkdir()
    table.to_csv(tmp_path / "MINE" / "utility.csv", index=False)
    said = useful(usefulness([tmp_path / "MINE", tmp_path / "OTHER"]))
    assert len(said) == 1 and said[0].endswith("from no change): MINE, same look, +0.050 (HELPS at n = 4).")
    assert useful({}) == []


def test_an_error_changes_neither_page(stored, monkeypatch, capsys):
    (stored / "figures").mkdir()
    (stored / "demo").rename(stored / "figures" / "demo")
    marks = {"README.md": ["results"], "figures/README.md": ["measures", "usefulness", "speed", "speed on slides"]}
    for page, kinds in marks.items():
        (stored / page).write_text("".join(f"{MARK.format(kind, 'demo/Z')}\n{END}\n" for kind in kinds))
    for name in (SPEED, SLIDES_SPEED):
        shutil.copy(REPOSITORY / "figures" / name, stored / "figures" / name)
    monkeypatch.setattr(readme, "REPOSITORY", stored)
    before = {page: (stored / page).read_text() for page in marks}
    assert readme.main([]) == 2 and "run the cohort first" in capsys.readouterr().err  # demo/Z is not there
    assert {page: (stored / page).read_text() for page in marks} == before
    assert readme.main(["demo/X"]) == 0 and "show demo/X" in capsys.readouterr().out
    once = {page: (stored / page).read_text() for page in marks}
    assert "### X" in once["figures/README.md"] and "| X |" in once["README.md"]
    assert readme.main([]) == 0 and {page: (stored / page).read_text() for page in marks} == once


def test_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@cache
def repository_files() -> set[Path]:
    """What git tracks or would track; outside git, all files."""
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    names = done.stdout.split("\0")[:-1] if not done.returncode else REPOSITORY.rglob("*")
    return {path for path in (REPOSITORY / name for name in names) if path.is_file()}


def anchors(page: str) -> set[str]:
    """What a link into a page may end in: ids, and headings as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page, re.M)
    return set(re.findall(r'<a id="([^"]+)">', page)) | {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(text: str, page: Path) -> list[str]:
    """Relative links and images of a page that lead to no file of the repository, or to no heading or id of it."""
    broken = []
    for link in (first or second for first, second in LINK.findall(text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        there = target == page or target in repository_files()
        content = text if target == page else target.read_text(encoding="utf-8") if anchor and there else ""
        if not there or anchor and anchor not in anchors(content):
            broken.append(link)
    return broken


@pytest.mark.parametrize("name", PAGES)
def test_every_link_and_image_of_a_page_leads_to_a_file(name):
    page = REPOSITORY / name
    text = page.read_text(encoding="utf-8")
    assert len(LINK.findall(text)) > 3 and broken_links(text, page) == []


def test_a_broken_link_is_found():
    text = ('# One: two\n[a](data/README.md) [b](data/NONE.md) <img src="none.png"> [c](#one-two) [d](#two) '
            "[e](https://example.org)")
    assert broken_links(text, REPOSITORY / "page.md")[:2] == ["data/NONE.md", "none.png"]
    assert broken_links(text, REPOSITORY / "README.md")[-1] == "#two"
    assert "#one-two" not in broken_links(text, REPOSITORY / "README.md")
    assert broken_links("[r](notebooks/README.md#r99) [s](notebooks/README.md#r1)", REPOSITORY / "README.md") == [
        "notebooks/README.md#r99"]
