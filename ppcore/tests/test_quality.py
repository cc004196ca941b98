"""The quality report: painted stains and ramps in, hand-counted shares out; and real images of both stains."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ppcore.figures.cohort import fraction_histogram, stain_scatter, threshold_panels
from ppcore.masks.make import tissue_mask, write_mask
from ppcore.masks.patches import write_image
from ppcore.metrics.paper import table_1, table_1_beside
from ppcore.metrics.quality import LEAST_SHARE, NAMED, split_ks, stain_check, stain_shares, threshold_sensitivity
from ppcore.study.errors import StudyError, StudyWarning
from ppcore.study.runs import REPOSITORY

HISTOLOGY = REPOSITORY.parent / "shared" / "histology"
HAEMATOXYLIN, EOSIN, DAB = (.65, .70, .29), (.07, .99, .11), (.27, .57, .78)  # Ruifrok and Johnston 2001
EOSIN_ON_SCREEN = (.216, .801, .558)  # Macenko et al. 2009
GREEN_INK = (.66, .30, .69)  # a marker on the glass


def paint(vector, amount: float = 0.5, shape=(32, 64)) -> np.ndarray:
    """White light that passed `amount` of a stain, (H, W, 3) uint8."""
    return np.broadcast_to(np.rint(255 * 10 ** (-amount * np.array(vector))).astype(np.uint8), (*shape, 3)).copy()


def patch_set(folder, patches: dict[str, tuple[str, np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Store patches, name -> (file, rgb, fine), and return their index."""
    for part in ("rgb", "fine"):
        (folder / part).mkdir()
    for name, (_, rgb, fine) in patches.items():
        write_image(folder / "rgb" / f"{name}.webp", rgb)
        write_mask(folder / "fine" / f"{name}.png", fine)
    return pd.DataFrame({"patch": list(patches), "file": [file for file, _, _ in patches.values()]})


def whole(rgb: np.ndarray) -> np.ndarray:
    return np.ones(rgb.shape[:2], np.uint8)


@pytest.mark.parametrize("amount", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("vector, wanted", [(EOSIN, (1, 0)), (EOSIN_ON_SCREEN, (1, 0)), (DAB, (0, 1)),
                                            (HAEMATOXYLIN, (0, 0)), ((.58, .58, .58), (0, 0)), (GREEN_INK, (0, 0))])
def test_a_pure_stain_is_its_colour_and_no_other_at_any_strength(vector, wanted, amount):
    rgb = paint(vector, amount)
    assert stain_shares(rgb, whole(rgb)) == wanted


def test_no_mixture_of_haematoxylin_and_dab_is_pink():
    for share in np.linspace(0, 1, 41):
        rgb = paint(share * np.array(HAEMATOXYLIN) + (1 - share) * np.array(DAB))
        assert stain_shares(rgb, whole(rgb))[0] == 0, share


def test_shares_are_of_the_tissue_alone_and_pale_pixels_have_no_colour():
    rgb = np.concatenate([paint(EOSIN), paint(DAB), paint(HAEMATOXYLIN), paint(EOSIN, 0.15)])  # 32 rows each
    fine = np.ones((128, 64), np.uint8)
    assert stain_shares(rgb, fine) == (0.25, 0.25)
    fine[:16] = 0  # half of the eosin is none of the tissue any more: 16, 32 of 112 rows
    assert stain_shares(rgb, fine) == pytest.approx((16 / 112, 32 / 112))
    assert stain_shares(rgb, np.zeros_like(fine)) == (0, 0)


def test_a_files_shares_weigh_its_patches_by_their_tissue(tmp_path):
    sparse = np.zeros((32, 64), np.uint8)
    sparse[:8] = 1
    index = patch_set(tmp_path, {"a": ("s.svs", paint(EOSIN), whole(paint(EOSIN))),
                                 "b": ("s.svs", paint(HAEMATOXYLIN), sparse),
                                 "c": ("t.svs", paint(EOSIN), sparse)})
    table = stain_check(tmp_path, index, "he", ["a", "b", "c"])
    assert table["file"].tolist() == ["s.svs", "t.svs"] and table["patches"].tolist() == [2, 1]
    assert table["pink"].tolist() == pytest.approx([0.8, 1]) and table["looks"].tolist() == ["he", "he"]
    assert stain_check(tmp_path, index, "he", ["a"])["pink"].tolist() == [1]


@pytest.fixture
def mixed(tmp_path):
    """One file of each kind: eosin; DAB; haematoxylin; more DAB than eosin, and less."""
    kinds = {"eosin": (1, 0), "dab": (0, 1), "bare": (0, 0), "brownish": (8, 24), "pinkish": (24, 8)}
    patches = {}
    for name, (pink, brown) in kinds.items():
        columns = [paint(EOSIN)] * pink + [paint(DAB)] * brown or [paint(HAEMATOXYLIN)]
        rgb = np.concatenate([column[:, :2] for column in columns], axis=1)
        patches[name] = (f"{name}.svs", rgb, whole(rgb))
    return tmp_path, patch_set(tmp_path, patches)


@pytest.mark.parametrize("stain, doubtful", [("he", {"dab", "bare", "brownish"}), ("ihc", {"eosin", "pinkish"})])
def test_files_of_the_other_stain_are_named_in_a_warning_and_no_others(mixed, stain, doubtful):
    folder, index = mixed
    with pytest.warns(StudyWarning) as caught:
        table = stain_check(folder, index, stain, index["patch"].tolist())
    assert set(table.loc[table["doubtful"], "file"]) == {f"{name}.svs" for name in doubtful}
    message = str(caught[0].message)
    assert len(caught) == 1 and f"stain {stain} is stated, but of 5 files" in message and "--stain he|ihc" in message
    assert {name for name in index["patch"] if f"{name}.svs" in message} == doubtful
    looks = dict(zip(table["file"].str.removesuffix(".svs"), table["looks"]))
    assert looks == {"eosin": "he", "dab": "ihc", "bare": "neither", "brownish": "ihc", "pinkish": "he"}


def test_the_right_stain_is_not_warned_of_and_ihc_without_brown_is_no_fault(mixed):
    folder, index = mixed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not stain_check(folder, index, "he", ["eosin", "pinkish"])["doubtful"].any()
        assert not stain_check(folder, index, "ihc", ["dab", "bare", "brownish"])["doubtful"].any()


def test_a_trace_of_a_colour_is_no_verdict(tmp_path):
    patches = {}
    for name, rows in {"under": 1, "over": 3}.items():  # of 100 rows, limit 2
        rgb = np.concatenate([paint(EOSIN, shape=(rows, 64)), paint(HAEMATOXYLIN, shape=(100 - rows, 64))])
        patches[name] = (name, rgb, whole(rgb))
    index = patch_set(tmp_path, patches)
    with pytest.warns(StudyWarning, match="1 look like H&E: over"):
        table = stain_check(tmp_path, index, "ihc", ["under", "over"])
    assert 0.01 < LEAST_SHARE < 0.03 and table["looks"].tolist() == ["he", "neither"]  # over, under


def test_a_whole_cohort_of_the_other_stain_is_named_in_part(tmp_path):
    rgb = paint(DAB)
    index = patch_set(tmp_path, {f"p{i}": (f"slide-{i}.svs", rgb, whole(rgb)) for i in range(NAMED + 3)})
    with pytest.warns(StudyWarning, match="8 look like IHC: slide-0.svs .* and 3 more") as caught:
        stain_check(tmp_path, index, "he", index["patch"].tolist())
    assert f"slide-{NAMED}.svs" not in str(caught[0].message)


def test_an_unknown_stain_or_patch_is_refused(mixed):
    folder, index = mixed
    with pytest.raises(StudyError, match="'h&e': wanted he or ihc"):
        stain_check(folder, index, "h&e", ["eosin"])
    with pytest.raises(StudyError, match="2 patches are not in the index, the first is x1"):
        stain_check(folder, index, "he", ["eosin", "x1", "x2"])


def test_a_gray_ramp_gives_the_fractions_and_overlaps_of_its_closed_form(tmp_path):
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (8, 256, 3)).copy()  # tissue: T + 1 of 256
    patch_set(tmp_path, {"ramp": ("f", ramp, tissue_mask(ramp, 204))})
    row = threshold_sensitivity(tmp_path, ["ramp"], 204).iloc[0]
    assert row[["lower", "threshold", "upper"]].tolist() == [194, 204, 214]
    assert row["fraction_lower"] == 195 / 256 and row["fraction"] == 205 / 256 and row["fraction_upper"] == 215 / 256
    assert row["iou_lower"] == pytest.approx(195 / 205) and row["iou_upper"] == pytest.approx(205 / 215)
    row = threshold_sensitivity(tmp_path, ["ramp"], 250, step=10).iloc[0]
    assert (row["lower"], row["upper"], row["fraction_upper"]) == (240, 254, 255 / 256)
    assert threshold_sensitivity(tmp_path, ["ramp"], 5)["lower"].tolist() == [1]


def test_a_patch_without_gray_near_the_threshold_does_not_depend_on_it(tmp_path):
    rgb = np.full((32, 64, 3), 240, np.uint8)
    rgb[:20] = 100
    patch_set(tmp_path, {"a": ("f", rgb, whole(rgb)), "b": ("f", np.full_like(rgb, 255), whole(rgb))})
    table = threshold_sensitivity(tmp_path, ["b", "a"], 204)
    assert table["patch"].tolist() == ["b", "a"] and table["fraction"].tolist() == [0, 20 / 32]
    assert (table[["iou_lower", "iou_upper"]] == 1).all(axis=None)  # two empty masks agree


@pytest.mark.parametrize("cohort, stain, every", [("BONE", "he", 4), ("WHOLEMOUNT", "he", 12), ("KI67", "ihc", 3)])
@pytest.mark.parametrize("threshold", [204, 235])  # a stated stain that is wrong brings the other's threshold
def test_real_images_show_their_stain(cohort, stain, every, threshold):
    files = sorted((HISTOLOGY / cohort).glob("*.jpg"))[::every]
    if not files:
        pytest.skip(f"no images in {HISTOLOGY / cohort}")
    for path in files:
        rgb = np.asarray(Image.open(path).convert("RGB"))[:1024, :1024]
        pink, brown = stain_shares(rgb, tissue_mask(rgb, threshold))
        if stain == "he":
            assert pink > 5 * LEAST_SHARE and brown < pink / 5, path.name
        else:
            assert pink < LEAST_SHARE / 5, path.name


def an_index(train: list[float], test: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"split": ["train"] * len(train) + ["test"] * len(test) + ["gap"], "mpp": 2.0,
                         "tissue_fraction": [*train, *test, 0.5], "file": "s", "subject": "s"})


def test_the_histogram_says_how_far_train_and_test_differ():
    # after .3 all of train but no quarter of test has come: the gap is 1 - 1/4
    index = an_index([.1, .2, .3], [.25, .6, .7, .8])
    assert split_ks(index) == pytest.approx(0.75)
    figure = fraction_histogram(index, split_ks(index))
    assert figure.axes[0].get_title() == "KS between train and test: 0.750"
    index = an_index([.1, .2, .3], [.6])  # a single patch has no distribution
    assert np.isnan(split_ks(index)) and fraction_histogram(index, split_ks(index)).axes[0].get_title() == ""
    plt.close("all")


def test_the_figures_show_every_row(mixed):
    folder, index = mixed
    left, right = threshold_panels(threshold_sensitivity(folder, ["eosin", "dab"], 204)).axes
    assert [len(line.get_xdata()) for line in left.lines] == [2, 2, 2] and len(right.lines) == 2
    with pytest.warns(StudyWarning):
        table = stain_check(folder, index, "he", ["eosin", "bare", "brownish"])
    figure = stain_scatter(table, LEAST_SHARE)
    dots = {tuple(dot) for line in figure.axes[0].lines for dot in line.get_xydata()}
    assert dots == set(zip(table["brown"], table["pink"]))
    assert [text.get_text() for text in figure.axes[0].texts if "stated" in text.get_text()] == [
        "like H&E: pink exceeds brown\n(the stated stain)"]
    plt.close("all")


def test_table_1_stands_beside_the_papers():
    index = an_index([.1, .2], [.3])
    table = table_1_beside(index, 256, 512, "ihc", "MINE")
    assert table["MINE"].tolist() == table_1(index, 256, 512, "ihc")["value"].tolist() == [
        "1", "1", "2", "1", "256 x 512", "2.00", "IHC"]
    assert table["paper's SKCM"].tolist() == ["50", "50", "5,759", "1,000", "512 x 1024", "not stated", "H&E"]
    assert table["paper's NSCLC"].tolist() == ["55", "4", "4,000", "1,500", "512 x 1024", "not stated", "IHC"]
    assert table.loc["# of train patches"].tolist() == ["2", "5,983", "5,759", "5,559", "4,000"]
    assert table.columns.tolist() == ["MINE", "paper's PRAD", "paper's SKCM", "paper's LUSC", "paper's NSCLC"]
