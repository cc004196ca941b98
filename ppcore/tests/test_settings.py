"""Settings, profiles, and the files that must say the same thing."""

import json
import re
import tomllib

import pytest
import yaml

from ppcore.study.errors import StudyError
from ppcore.study.runs import REPOSITORY
from ppcore.workflow.cells import parameters_cell
from ppcore.workflow.notebooks import NOTEBOOKS, declared_parameters
from ppcore.workflow.settings import PROFILE_NAMES, Settings, load_settings


@pytest.mark.parametrize("overrides, words", [
    ({"coarse_clsoe": 3}, "'coarse_clsoe' is not known: did you mean 'coarse_close'"),
    ({"xyzzy": 3}, "'xyzzy' is not known: ./run_all.sh parameters lists them"),
    ({"pix2pix_ngf": "abc"}, "pix2pix_ngf='abc': input should be a valid integer"),
    ({"pix2pix_ngf": True}, "pix2pix_ngf=True: input should be a valid integer"),
    ({"mpp": 900}, "mpp=900: input should be less than or equal to 20"),
    ({"lambda_l1": float("nan")}, "lambda_l1=nan"),
    ({"patch_height": 100}, "patch_height=100 is not a multiple of .* = 256"),
    ({"pix2pix_epochs": 0, "pix2pix_decay_epochs": 0}, "nothing would be trained"),
    ({"hd_epochs": 0, "hd_decay_epochs": 0}, "hd_epochs=0 and hd_decay_epochs=0: nothing would be trained"),
    ({"crop_size": 512}, "patch_height=256 does not fit notebooks 06 and 07.*crop_size=512 px: wanted a multiple of 16"),
    ({"crop": 16}, "patch_height=256 in windows of 1/16 does not fit pix2pixHD with hd_downs=4.* at least 32"),
    ({"processes": 2}, "batch_size=1 for processes=2: wanted a multiple"),
    ({"recipe": "paper"}, "recipe='paper': input should be 'reference' or 'paper28'"),
    ({"cohort": "../x"}, "cohort='../x'"),
    ({"epochs": 3}, "'epochs' is called 'pix2pix_epochs' now"),
    ({"levels": 3, "ngf": 4}, "'levels' is called 'pix2pix_levels' now.*\n.*'ngf' is called 'pix2pix_ngf' now"),
])
def test_a_wrong_parameter_is_named_with_what_was_found_and_wanted(overrides, words):
    with pytest.raises(StudyError, match=words):
        load_settings("demo", overrides)


def test_all_wrong_parameters_are_named_at_once():
    with pytest.raises(StudyError) as error:
        load_settings("demo", {"pix2pix_ngf": 0, "pix2pix_levels": 99})
    assert "pix2pix_ngf=0" in str(error.value) and "pix2pix_levels=99" in str(error.value)


def test_the_air_threshold_follows_the_stain_unless_given():
    assert load_settings("paper", {}).air_threshold == 204
    assert load_settings("paper", {"stain": "ihc"}).air_threshold == 235
    assert load_settings("paper", {"stain": "ihc", "air_threshold": 220}).air_threshold == 220


def test_the_paper_profile_is_the_papers_numbers():
    paper = load_settings("paper", {})
    assert (paper.patch_height, paper.patch_width, paper.max_air) == (512, 1024, 0.85)  # section 2.1
    assert (paper.coarse_open, paper.coarse_close) == (5, 10)  # section 2.3
    assert (paper.pix2pix_epochs, paper.pix2pix_decay_epochs, paper.batch_size, paper.learning_rate) == (50, 50, 1, 2e-4)  # 2.8
    assert (paper.pix2pix_ngf, paper.pix2pix_levels, paper.lambda_l1, paper.mpp) == (64, 8, 100, 2.0)
    for model in ("cyclegan", "dcgan", "depas", "hd"):
        assert getattr(paper, f"{model}_epochs") == getattr(paper, f"{model}_decay_epochs") == 50
    assert (paper.cyclegan_blocks, paper.lambda_cycle, paper.identity) == (9, 10, 0.5)  # R16
    assert (paper.hd_ngf, paper.hd_downs, paper.hd_blocks, paper.lambda_features, paper.crop) == (64, 4, 9, 10, 1)  # R18


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_a_notebooks_parameters_are_the_demos(notebook):
    """Opened by hand, a notebook shows the demo; papermill finds every parameter among the settings."""
    demo = load_settings("demo", {}).model_dump()
    declared = declared_parameters(notebook)
    assert declared == {name: demo[name] for name in declared}
    cells = json.loads(notebook.read_text())["cells"]
    source = next("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    assert source == parameters_cell(list(declared)), "python -m ppcore.workflow.cells writes them anew"


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_a_profile_repeats_no_default(profile):
    text = (REPOSITORY / "notebooks" / "profiles" / f"{profile}.yaml").read_text()
    for name, value in (yaml.safe_load(text) or {}).items():
        assert value != Settings.model_fields[name].default, f"{name} is the default anyway"


def test_lock_pyproject_and_conda_environment_name_the_same_packages():
    lock = (REPOSITORY / "requirements.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, flags=re.M))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = {re.match(r"[A-Za-z0-9-]+", line)[0].lower() for line in project["dependencies"]}
    assert wanted <= locked, f"not in the lock: {wanted - locked}"
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    assert environment["dependencies"] == ["python=3.11", "pip", {"pip": ["-r requirements.lock"]}]


def test_every_locked_package_has_a_hash_and_no_file_names_an_index():
    lock = (REPOSITORY / "requirements.lock").read_text()
    packages = re.split(r"\n(?=[a-z0-9-]+==)", lock)[1:]
    assert packages and all("--hash=sha256:" in package for package in packages)
    for name in ("requirements.lock", "environment.yml", "pyproject.toml", "run_all.sh"):
        assert not re.search(r"index-url[ =]+http|://", (REPOSITORY / name).read_text()), name


def settings_of(*arguments: str, cohort: str, slides: str) -> dict:
    from ppcore.run import _parser
    from ppcore.workflow.parameters import study_settings

    return study_settings(_parser().parse_args(["--cohort", cohort, "--slides", slides, *arguments]))[cohort]


def test_the_papers_cohorts_bring_their_stain_and_their_counts(tmp_path):
    (tmp_path / "a.png").touch()
    nscl = settings_of("--profile", "paper", cohort="NSCLC", slides=str(tmp_path))
    assert (nscl["stain"], nscl["air_threshold"], nscl["train_patches"], nscl["test_patches"]) == ("ihc", 235, 4000, 1500)
    prad = settings_of("--profile", "paper", "-p", "train_patches=0", cohort="PRAD", slides=str(tmp_path))
    assert (prad["stain"], prad["train_patches"], prad["test_patches"]) == ("he", 0, 1000)
    share = settings_of("--profile", "paper", "-p", "test_fraction=0.3", cohort="PRAD", slides=str(tmp_path))
    assert (share["test_fraction"], share["train_patches"], share["test_patches"]) == (0.3, 0, 0)
    demo = settings_of("--profile", "demo", cohort="NSCLC", slides=str(tmp_path))
    assert (demo["train_patches"], demo["test_patches"]) == (0, 0)
