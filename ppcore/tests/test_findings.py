"""Is nothing called better that the intervals do not tell apart, and is every run's record right?"""

import json

import pandas as pd
import pytest

from ppcore.figures import summary
from ppcore.metrics.cells import cell_means
from ppcore.metrics.findings import methods_of, overview, read_run, reading, scores, stored_runs, told_apart
from ppcore.study.errors import StudyError
from ppcore.study.runs import Run
from ppcore.tests.test_paper_figures import CELLS, METRICS, tidy
from ppcore.workflow.record import run_record


@pytest.mark.parametrize("low, high, outcome", [(0.31, 0.4, "better"), (0.1, 0.14, "worse"), (0.29, 0.4, "alike"),
                                                (0.0, 1.0, "alike"), ("", "", "unknown")])
def test_two_methods_are_told_apart_only_where_their_intervals_do_not_overlap(low, high, outcome):
    """PriorPath's interval is [0.15, 0.3]; the other's point value is never what decides."""
    other = tidy([("DCGAN", "mmd2", 0.35, low, high), ("DCGAN", "control_iou", 0.5, 0.2, 0.8)])
    table = scores(pd.concat([METRICS, other]))
    assert told_apart(table, "mmd2", "DCGAN") == outcome
    assert told_apart(table, "control_iou", "DCGAN") == "better"  # higher is better there: .85 to .95 against .2 to .8
    assert told_apart(table, "control_iou", "pix2pix", one="DCGAN") == "worse"
    assert told_apart(table, "ks", "DCGAN") == "unknown"


def test_the_sentences_follow_from_the_numbers():
    shapes, tissue, iou, boundary, *rest = reading(METRICS, CELLS)
    assert shapes == ("Shapes (MMD²): PriorPath (pix2pix) 0.2 [0.15, 0.3] is better than COPY (0.8), CycleGAN (0.5) "
                      "and DEPAS (our reading) (1.4). Real masks of other subjects: 0.01 [-0.02, 0.1].")
    assert iou.endswith("is better than CycleGAN (0.6). COPY is the outline itself.")
    assert boundary.startswith("Control (boundary F1)")
    assert "PriorPath (pix2pix) 0, COPY 0, DEPAS (our reading) 1" in rest[-1]
    near = METRICS.copy()
    near.loc[(near["method"] == "COPY") & (near["metric"] == "mmd2"), "low"] = "0.25"
    near.loc[(near["method"] == "CycleGAN") & (near["metric"] == "mmd2"), "high"] = "0.75"
    sentences = reading(near)
    assert "and DEPAS (our reading) (1.4); indistinguishable from COPY (0.8)." in sentences[0]
    assert "CycleGAN is indistinguishable from COPY in shapes: no better than returning the outline." in sentences
    unknown = reading(METRICS.assign(low="", high=""))
    assert "is not compared (no intervals) with COPY (0.8)" in unknown[0] and "better" not in " ".join(unknown)
    fid = pd.concat([METRICS, tidy([("pix2pix", "fid", "no weights", "", ""), ("COPY", "fid", "no weights", "", "")])])
    assert reading(fid)[-1] == "FID: not computed; the Inception weights were not available."


def test_cells_that_are_all_too_thin_give_no_sentence_and_no_error():
    thin = CELLS.assign(n_real=2, mmd2="too few")
    means = cell_means(thin)
    assert (means["of"] == 0).all() and means["mean"].isna().all()
    assert reading(METRICS, thin) == reading(METRICS) and "Regions" not in " ".join(reading(METRICS))
    assert overview({"X": (METRICS, thin, {})}).loc[("X", "MMD², mean over K-means cells"), "pix2pix"] == "none of 0"
    summary.coverage_bars(METRICS, thin)


def test_sketches_are_never_read_as_outlines_of_test_patches():
    mixed = pd.concat([METRICS, tidy([("pix2pix", "mmd2", 9, 8, 10), ("sketcher", "mmd2", 9, 8, 10)], protocol="B simulated")])
    assert reading(mixed) == reading(METRICS) and "sketcher" not in methods_of(mixed)


def test_a_table_of_another_version_is_named_and_left_out(tmp_path):
    for cohort, table in (("X", METRICS), ("OLD", METRICS.drop(columns="protocol"))):
        (tmp_path / cohort).mkdir()
        table.to_csv(tmp_path / cohort / "metrics.csv", index=False)
    with pytest.warns(match="has no protocol: another version"):
        runs = stored_runs(tmp_path)
    assert list(runs) == ["X"] and overview(runs).loc[("X", "MMD²"), "pix2pix"] == "0.2 [0.15, 0.3]"
    with pytest.raises(StudyError, match="another version"):
        read_run(tmp_path / "OLD")


def test_the_record_names_what_differs_from_the_profile_and_no_folder(tmp_path):
    run = Run("demo", "X", tmp_path, tmp_path, "cpu", "abc")
    assert run_record(run, METRICS)["changed"] is None  # nothing was executed: nothing is known
    given = {"profile": "demo", "cohort": "X", "slides": "/home/me/slides", "stain": "ihc", "air_threshold": 235, "pix2pix_epochs": 99,
             "sketches": "/home/me/mine", "mpp": 1.0}
    (tmp_path / "notebooks").mkdir()
    for name, papermill in (("04_coarse_to_fine", {"parameters": given, "duration": 61.26}), ("09_figures", {"duration": None}),
                            ("13_training_speed", {"parameters": {"benchmark_ngf": 4}, "duration": 5})):
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"metadata": {"papermill": papermill}}))
    record = run_record(run, METRICS)
    assert record["changed"] == {"pix2pix_epochs": 99, "sketches": "mine"} and record["seconds"] == {"04": 61.3}
    assert "/home" not in json.dumps(record) and record["commit"] == "abc" and record["seed"] == 1
