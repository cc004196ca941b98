"""Do the paper's figures show what is stored, say where nothing is, and keep real tissue in?"""

import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ppcore.figures import paper as paper_figures
from ppcore.figures import summary
from ppcore.figures.style import save
from ppcore.masks.make import write_mask
from ppcore.metrics.cells import NO_REAL, NO_SAMPLE, TOO_FEW
from ppcore.metrics.paper import TABLE_2, cyclegan_factor, table_2_beside
from ppcore.study.files import write_text
from ppcore.study.runs import REPOSITORY


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def tidy(rows: list[tuple], protocol: str = "A") -> pd.DataFrame:
    """Tidy metrics from (method, metric, value, low, high)."""
    table = pd.DataFrame(rows, columns=["method", "metric", "value", "low", "high"]).astype(str)
    return table.assign(cohort="X", protocol=protocol, n=40, seed=1, device="cpu", commit="abc")


METRICS = tidy([("real-train", "mmd2", 0.01, -0.02, 0.1), ("COPY", "mmd2", 0.8, 0.7, 0.9), ("pix2pix", "mmd2", 0.2, 0.15, 0.3),
                ("CycleGAN", "mmd2", 0.5, 0.4, 0.6), ("DEPAS", "mmd2", 1.4, 1.2, 1.6), ("COPY", "control_iou", 1, 1, 1),
                ("pix2pix", "control_iou", 0.9, 0.85, 0.95), ("CycleGAN", "control_iou", 0.6, 0.5, 0.7),
                ("COPY", "control_boundary_f1", 1, 1, 1), ("pix2pix", "control_boundary_f1", 0.8, 0.7, 0.9),
                ("CycleGAN", "control_boundary_f1", 0.5, 0.4, 0.6)])
CELLS = pd.DataFrame([(space, cell, method, 9, n, value, "no weights") for space, cell in (("grid", "A1"), ("kmeans", "1"))
                      for method, n, value in (("pix2pix", 8, "0.25"), ("DEPAS", 0, NO_SAMPLE), ("COPY", 3, TOO_FEW))]
                     + [("grid", "C3", "pix2pix", 0, 2, NO_REAL, NO_REAL)],
                     columns=["space", "cell", "method", "n_real", "n", "mmd2", "fid"])


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_a_cell_without_a_sample_is_hatched_and_says_so():
    figure = paper_figures.cell_maps(CELLS, ["COPY", "pix2pix", "DEPAS"])
    by_title = {axis.get_title(): axis for axis in figure.axes}
    assert texts(by_title["DEPAS (our reading)"]) == ["no\nsample"] and texts(by_title["COPY"]) == ["n = 3"]
    assert texts(by_title["PriorPath (pix2pix)"]) == ["0.25\nn = 8", ""]
    hatches = {title: [patch.get_hatch() for patch in axis.patches] for title, axis in by_title.items()}
    assert hatches["DEPAS (our reading)"] == ["////"] and hatches["PriorPath (pix2pix)"][0] is None
    matrix = paper_figures.cell_matrix(CELLS, ["COPY", "pix2pix", "DEPAS"]).axes[0]
    assert texts(matrix) == ["0.25\nn = 8", "no sample", "n = 3"] and matrix.get_xticklabels()[0].get_text() == "1\n9 real"


def test_a_cell_lies_where_it_does_in_the_plane():
    """A1 is the upper left cell of the map, C3 the lower right."""
    axis = paper_figures.cell_maps(CELLS, ["pix2pix"]).axes[0]
    assert [patch.get_xy() for patch in axis.patches] == [(0, 2), (2, 0)]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["C", "B", "A"]


def test_every_method_stands_in_the_plane_once_with_its_interval():
    figure = summary.plane(METRICS)
    upper, lower = figure.axes[0], figure.axes[2]
    labels = upper.get_legend_handles_labels()[1]
    assert labels == ["COPY", "PriorPath (pix2pix)", "CycleGAN"]
    assert [label.get_text() for label in lower.get_yticklabels()] == ["DEPAS", "real-train"]
    at = {bar.get_label(): bar for bar in upper.containers}
    (x_bar, y_bar) = at["PriorPath (pix2pix)"].lines[2]
    assert np.allclose(x_bar.get_segments()[0][:, 0], [0.15, 0.3]) and np.allclose(y_bar.get_segments()[0][:, 1], [0.85, 0.95])
    assert upper.get_xlim()[1] > 1.6 and upper.get_xlim()[0] < -0.02  # what lies below fits on the same scale


def test_missing_intervals_and_metrics_are_tolerated():
    bare = METRICS.assign(low="", high="")
    summary.plane(bare)
    assert len(summary.coverage_bars(bare, CELLS).axes) == 1  # cells reached, and nothing that is not stored
    more = pd.concat([METRICS, tidy([("pix2pix", "coverage", 0.7, 0.6, 0.8), ("nearest-train", "coverage", 0.9, 0.8, 1.0),
                                     ("nearest-train", "mmd2", 0.05, 0.0, 0.1)])])
    axes = summary.coverage_bars(more, CELLS).axes
    assert [axis.get_title() for axis in axes] == ["coverage", "K-means cells\nreached, of 1"]
    assert "nearest-train" in [label.get_text() for label in axes[0].get_yticklabels()]


def test_the_mean_over_cells_says_of_how_many():
    figure = paper_figures.cell_averages({"X": (METRICS[METRICS["method"].isin(("COPY", "pix2pix", "DEPAS"))], CELLS, {})})
    for axis in figure.axes:  # of the grid and of the K-means cells
        at = {label.get_text(): place for label, place in zip(axis.get_yticklabels(), axis.get_yticks())}
        said = {text.get_position()[1]: text.get_text() for text in axis.texts}
        assert [said[at[name]] for name in ("COPY", "PriorPath (pix2pix)", "DEPAS (our reading)")] == ["0/1", "1/1", "0/1"]


def test_png_and_pdf_have_the_same_bytes_twice(tmp_path):
    for name in ("a", "b"):
        paper_figures.store(summary.plane(METRICS), tmp_path, name)
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert b"CreationDate" not in (tmp_path / "a.pdf").read_bytes()
    save(summary.plane(METRICS), tmp_path / "c.png")
    assert not (tmp_path / "c.pdf").exists()


@pytest.fixture
def cohorts(tmp_path, monkeypatch) -> Path:
    """Masks of a real and of an embedded cohort: what is real is all tissue, what was made all air."""
    monkeypatch.setenv("PRIORPATH_HOME", str(tmp_path))
    tissue, air = np.ones((8, 16), np.uint8), np.zeros((8, 16), np.uint8)
    for cohort in ("MINE", "PHANTOM"):
        data = tmp_path / "data" / "smoke" / cohort
        write_text(data / "patches" / "index.csv", "patch,file,subject,split,tissue_fraction\np,f,s,test,.5\nq,f,s,test,.6\n")
        for name in ("p", "q"):
            write_mask(data / "coarse" / f"{name}.png", tissue)
            write_mask(data / "patches" / "fine" / f"{name}.png", tissue)
            for method in ("pix2pix", "pix2pix-sketches", "noise-GAN-sketches"):
                write_mask(data / "generated" / method / f"{name}_0.png", air)
                write_text(data / "generated" / method / "index.csv", "patch\n")
        for method in ("DCGAN", "DEPAS"):
            for i in range(4):
                write_mask(data / "generated" / method / f"noise_{i:05d}_0.png", air)
    return tmp_path


def test_what_may_be_kept_shows_nothing_real(cohorts):
    rows, columns, labels = paper_figures.mask_rows("smoke", "MINE", generated_only=True)
    assert not np.any(rows) and len(columns) == len(rows[0]) == 4 and labels == ["MINE", "", "PHANTOM", ""]
    rows, columns, labels = paper_figures.mask_rows("smoke", "MINE")
    assert [mask.mean() for mask in rows[0]] == [1, 0, 1, 0] and labels == ["MINE", "", "PHANTOM", ""]
    _, _, labels = paper_figures.mask_rows("smoke", "PHANTOM")  # whose figures are kept: no other cohort's masks in them
    assert labels[0] == "PHANTOM" and "MINE" not in labels


def test_fewer_masks_from_noise_than_rows_are_shown_again(cohorts):
    for path in cohorts.glob("data/smoke/PHANTOM/generated/*/noise_0000[1-3]_0.png"):
        path.unlink()
    rows, _, labels = paper_figures.mask_rows("smoke", "PHANTOM")
    assert [mask.mean() for row in rows for mask in row] == [1, 0, 1, 0] * 4 and len(labels) == 4


@pytest.mark.parametrize("name", ["metrics.csv", "run.json", "figure1d.png", "figure3a.pdf", "figure3b_kmeans.png", "plane.png",
                                  "plane_sketches.pdf", "coverage.png", "figure2_generated.png", "summary_generated.pdf",
                                  "figure2.png", "figure4.pdf", "summary.png", "pipeline.png", "which_is_real.png", "01_patches.png", "04_samples.png"])
def test_git_ignores_what_may_not_be_kept(name):
    if not (REPOSITORY / ".git").exists():
        pytest.skip("outside git")
    for profile in ("demo", "paper"):
        done = subprocess.run(["git", "-C", str(REPOSITORY), "check-ignore", "--quiet", "--no-index",
                               f"figures/{profile}/MINE/{name}"], check=False)
        assert (done.returncode == 1) == paper_figures.may_be_kept("MINE", name)
    assert paper_figures.may_be_kept("PHANTOM", name)


def test_the_papers_table_has_its_known_oddities():
    """PriorPath is not best on NSCLC in KS and KL, and DCGAN beats DEPAS in both on all cohorts (our reading of Table 2)."""
    table = TABLE_2.set_index(["dataset", "method"])
    assert len(table) == 12
    for name in ("ks", "kl"):
        wide = table[name].unstack()
        assert (wide["DCGAN"] < wide["DEPAS"]).all()
        assert wide.idxmin(axis=1).to_dict() == {"PRAD": "PriorPath", "SKCM": "PriorPath", "LUSC": "PriorPath", "NSCLC": "DCGAN"}
    assert (table["fid"].unstack().idxmin(axis=1) == "PriorPath").all()


def test_ours_stands_below_the_papers_and_a_missing_number_is_a_word():
    metrics = tidy([("pix2pix", "ks", 0.1, "", ""), ("pix2pix", "kl_paper100", 0.7, "", ""), ("pix2pix", "fid", "no weights", "", ""),
                    ("DCGAN", "ks", 0.2, "", ""), ("pix2pix", "mmd2", 0.2, "", ""), ("CycleGAN", "mmd2", 0.5, "", ""),
                    ("CycleGAN", "fid", "no weights", "", ""), ("pix2pix", "w1_mean", 0.5, "", "")])
    other = tidy([("pix2pix", "ks", 0.9, "", "")], protocol="B simulated")
    beside = table_2_beside(pd.concat([metrics, other]), "X").set_index(["dataset", "method"])
    assert beside.loc[("X here", "PriorPath (pix2pix)")].tolist() == ["0.100", "0.700", "no weights"]
    assert beside.loc[("X here", "DEPAS")].tolist() == ["not run"] * 3 and len(beside) == 15
    factor = cyclegan_factor(metrics, "ihc").set_index("distance")
    assert factor["factor"].to_dict() == {"FID": "no weights", "kd": "not run", "MMD²": "2.500", "W1 (sd)": "not run"}
    assert factor["paper"].to_dict() == {"FID": "1.378", "kd": "", "MMD²": "", "W1 (sd)": ""}
    negative = cyclegan_factor(tidy([("pix2pix", "mmd2", -0.01, "", ""), ("CycleGAN", "mmd2", 0.5, "", "")]), "he")
    assert negative.set_index("distance").loc["MMD²", "factor"] == ""  # about 0 means alike: no ratio of it
