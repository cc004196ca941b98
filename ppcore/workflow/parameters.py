"""Which settings does a command line give? They are checked for each of its cohorts before anything starts."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import yaml

from ppcore.masks.sketches import DRAWINGS
from ppcore.slides.cohorts import EMBEDDED, TABLE_1, TCGA, slides_folder
from ppcore.slides.folder import LABELS, list_sources
from ppcore.study.errors import StudyError
from ppcore.workflow.settings import PATHS, load_settings


def study_settings(options: Namespace) -> dict[str, dict[str, Any]]:
    """Cohort -> its checked settings. Raises `StudyError` for anything that is certain to fail later."""
    overrides = _parse_parameters(options.parameters)
    cohorts = list(dict.fromkeys(options.cohort))
    if options.slides and len(cohorts) > 1:
        raise StudyError(f"--slides gives the images of one cohort, but --cohort names {len(cohorts)}: "
                         "run one at a time")
    if options.slides:
        overrides["slides"] = _full(options.slides)
    if overrides.get("sketches") and not Path(overrides["sketches"]).is_dir():
        raise StudyError(f"-p sketches={overrides['sketches']}: no such folder; wanted one with drawings "
                         f"({', '.join(DRAWINGS)})")
    return {cohort: _cohort_settings(cohort, options, overrides) for cohort in cohorts}


def _parse_parameters(pairs: list[str]) -> dict[str, Any]:
    """Name -> value of each NAME=VALUE, read as YAML; what is not YAML stays text. Paths become full ones."""
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise StudyError(f"-p {pair}: wanted NAME=VALUE, as in -p coarse_close=12")
        try:
            values[name] = _full(value) if name in PATHS else yaml.safe_load(value) if value else ""
        except yaml.YAMLError:
            values[name] = value
    for name, instead in (("profile", "--profile"), ("cohort", "--cohort")):
        if name in values:
            raise StudyError(f"-p {name}=...: use {instead} {values[name]}")
    return values


def _full(path: str) -> str:
    """A path as seen from the folder in which it was typed, since notebooks run in another one."""
    return str(Path(path).expanduser().resolve()) if path else ""


def _cohort_settings(cohort: str, options: Namespace, overrides: dict[str, Any]) -> dict[str, Any]:
    """The settings of one cohort, with its stain; in the profile `paper` also with the patch numbers of Table 1."""
    stains = {name: column["stain"] for name, column in TABLE_1.items()} | EMBEDDED
    stain = overrides.get("stain", options.stain)
    if cohort in EMBEDDED and stain not in (None, EMBEDDED[cohort]):
        raise StudyError(f"cohort {cohort} is drawn with the stain {EMBEDDED[cohort]!r}, not {stain!r}: "
                         "leave --stain out")
    values = {"cohort": cohort, **overrides, "stain": stain or stains.get(cohort, "he")}
    if options.profile == "paper" and cohort in TABLE_1 and not {"test_fraction", "test_patches"} & set(overrides):
        values = {f"{side}_patches": TABLE_1[cohort][side] for side in ("train", "test")} | values
    settings = load_settings(options.profile, values)
    folder = slides_folder(options.profile, cohort, settings.slides)
    if settings.labels == "own" and (cohort in EMBEDDED or not (folder / LABELS).is_dir()):
        raise StudyError(f"labels=own: cohort {cohort} has no folder {folder / LABELS}: put the labels of its images there "
                         "(data/README.md), or take labels=stain")
    if cohort not in EMBEDDED and (cohort not in TCGA or settings.slides):
        list_sources(folder, settings.labels == "own")
        if stain is None and cohort not in stains:
            raise StudyError(f"cohort {cohort}: which stain? Add --stain he (air above gray 204) or "
                             "--stain ihc (235)")
    return settings.model_dump()
