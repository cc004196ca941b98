"""Does nothing of another patch reach a chain, do all arms get the same chance, and are the differences right?"""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from ppcore.experiments import few, windows
from ppcore.experiments.few import choose_objects, copied, copy_patches, draw_pairs, foreground, pairs_of, paste_objects, train_generators
from ppcore.experiments.nuisance import NUISANCES, disturb, disturb_mildly
from ppcore.experiments.utility import (ALL, ARMS, CHANGES, DISTURBED, OTHER, SAME, changed, make_plan, measure,
                                        part_looks, score, summarise, train_arm, verdict)
from ppcore.experiments.windows import Windows
from ppcore.masks.labels import MASK, Label
from ppcore.masks.make import read_mask, write_mask
from ppcore.masks.patches import read_image, write_image
from ppcore.methods.noise_gan import NoiseGANSettings
from ppcore.methods.noise_image import NoiseImageSettings
from ppcore.methods.segmenter import Segmenter, SegmenterSettings
from ppcore.study.files import hash_file

H, W = 64, 96
NUCLEI = (*MASK, Label("nuclei", "#3f2a82", 3, 5))
ON = dict(device="cpu", precision="float32", workers=0)


def toy(seed: int, ground: int = 240, height: int = H, width: int = W) -> tuple[np.ndarray, np.ndarray]:
    """Pink discs on a ground, and their mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(4):
        mask |= (rows - rng.integers(height)) ** 2 + (columns - rng.integers(width)) ** 2 < rng.integers(8, 18) ** 2
    rgb = np.where(mask[..., None], np.array([200, 60, 150]), ground) + rng.normal(0, 6, (height, width, 3))
    return rgb.round().clip(0, 255).astype(np.uint8), mask


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network gains nothing from more
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Toy patches of 6 subjects on a pale ground and 2 on a dark one, 4 of each: index, folder."""
    folder = tmp_path_factory.mktemp("study")
    index = pd.DataFrame([{"patch": f"s{subject}_{number}", "subject": f"s{subject}"}
                          for subject in range(8) for number in range(4)])
    for number, (patch, subject) in enumerate(index.to_numpy()):
        rgb, mask = toy(number, 240 if subject < "s6" else 130)
        write_image(folder / "rgb" / f"{patch}.webp", rgb)
        write_mask(folder / "fine" / f"{patch}.png", mask)
    index.to_csv(folder / "index.csv", index=False)
    return index, folder


def grown(chain, given: pd.DataFrame, folder) -> None:
    """The whole of a chain but its segmenters, of a step each."""
    copy_patches(given, folder, chain / "patches")
    generators = train_generators(chain, NoiseGANSettings(H, W, widths=(4, 4, 4, 4), ndf=4),
                                  NoiseImageSettings(H, W, widths=(4, 4, 4, 4), ndf=4, air=None), steps=2, crop=32,
                                  batch_size=2, seed=1, **ON)
    draw_pairs(chain, *generators, 6, 1)
    paste_objects(chain, 6, 1)


@pytest.fixture(scope="module")
def chain(study, tmp_path_factory):
    index, folder = study
    place = tmp_path_factory.mktemp("utility") / "4-1"
    grown(place, index.iloc[:4], folder)
    return place


def trained(chain, parts, folder, seed: int = 1, steps: int = 2) -> Segmenter:
    return train_arm(chain, folder, [pairs_of(chain, part) for part in parts], steps=steps, width=4, seed=seed, **ON)


def test_a_chain_is_the_same_if_all_other_patches_are_noise(study, chain, tmp_path):
    """The leak test: whatever of another patch reached a generator, what it borrows or an arm would change a file."""
    index, folder = study
    rng = np.random.default_rng(1)
    for number, patch in enumerate(index["patch"]):
        rgb, mask = toy(number) if number < 4 else (rng.integers(0, 256, (H, W, 3), np.uint8), rng.integers(0, 2, (H, W), np.uint8))
        write_image(tmp_path / "spoilt" / "rgb" / f"{patch}.webp", rgb)
        write_mask(tmp_path / "spoilt" / "fine" / f"{patch}.png", mask)
    grown(tmp_path / "4-1", index.iloc[:4], tmp_path / "spoilt")
    made = [path for path in sorted(chain.rglob("*")) if path.suffix in (".webp", ".png", ".safetensors") and "checkpoints" not in path.parts]
    assert len(made) == 2 * (4 + 6 + 6) + 2
    for path in made:
        assert hash_file(path) == hash_file(tmp_path / "4-1" / path.relative_to(chain)), path


def test_outlines_and_what_is_borrowed_come_from_the_chain(chain):
    for part in ("synthetic", "pasted"):
        assert set(few.read_pairs(chain / part)["outline"]) == {f"s0_{number}" for number in range(4)}
    for name in ("noise-gan", "noise-image"):
        card = json.loads((chain / "models" / name / "model.json").read_text())
        assert card["settings"]["lenders"] == 4 and card["training"]["steps"] == 2


def test_looks_are_told_apart_by_the_colour_around_the_foreground(study):
    index, folder = study
    looks = part_looks(index, folder, 1)
    assert looks.to_dict() == {f"s{subject}": OTHER if subject > 5 else SAME for subject in range(8)}
    few_subjects = index[index["subject"].isin(["s0", "s1", "s6"])]
    assert set(part_looks(few_subjects, folder, 1)) == {SAME}


def test_a_plan_keeps_subjects_apart_and_takes_few_of_them(study):
    index, folder = study
    looks, drawn = part_looks(index, folder, 1), set()
    for seed in range(6):
        plan = make_plan(index, looks, seed, 2)
        assert {n: len(rows) for n, rows in plan.few.items()} == {"4": 4, "8": 8, ALL: 16}  # 16 is all there are
        assert [rows["subject"].nunique() for rows in plan.few.values()] == [1, 2, 4]
        assert set(plan.few["4"]["patch"]) < set(plan.few["8"]["patch"]) < set(plan.few[ALL]["patch"])
        tested = {test: set(rows["subject"]) for test, rows in plan.tests.items()}
        assert tested[SAME] == tested[DISTURBED] and len(tested[SAME]) == 2 and tested[OTHER] == {"s6", "s7"}
        assert not set(plan.few[ALL]["subject"]) & (tested[SAME] | tested[OTHER])
        assert (plan.tests[SAME].groupby("subject").size() == 2).all()
        drawn.add(tuple(sorted(tested[SAME])))
    assert len(drawn) > 1


def test_one_look_has_no_second_test_and_one_subject_is_always_left(study):
    index, _ = study
    two = index[index["subject"].isin(["s0", "s1"])]
    plan = make_plan(two, pd.Series(SAME, index=["s0", "s1"]), 1, 0)
    assert list(plan.tests) == [SAME, DISTURBED] and len(plan.few[ALL]) == 4 and len(plan.tests[SAME]) == 4


def test_foreground_is_what_lies_beyond_tissue():
    labels = np.array([[0, 1, 2, 3]], np.uint8)
    assert foreground(labels, (*NUCLEI, Label("positive", "#a6611a", 3, 5))).tolist() == [[0, 0, 1, 1]]
    assert foreground(labels[:, :2], MASK).tolist() == [[0, 1]]


def test_pasted_objects_touch_nothing_and_bring_their_pixels(chain):
    there, given = np.zeros((2, 60, 60), np.uint8)
    there[10:20, 10:20] = 1
    given[18:24, 18:24] = given[20:24, 40:44] = given[40:50, 40:50] = 1  # the first touches
    seen = [choose_objects(given, there, np.random.default_rng(seed)) for seed in range(12)]
    assert not any((one & (cv2.dilate(there, np.ones((3, 3))) > 0)).any() for one in seen)
    assert {tuple(one[[21, 45], [41, 45]]) for one in seen} == {(a, b) for a in (False, True) for b in (False, True)}
    for rgb, fine in pairs_of(chain, "pasted"):
        mask, red = read_mask(fine) > 0, read_image(rgb)[..., 1]
        inside = cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert red[inside].max() < 110 and red[cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) == 0].min() > 190


def test_equal_seeds_give_equal_segmenters_and_others_do_not(chain):
    for number, seed in enumerate((1, 1, 2)):
        trained(chain, ARMS["both"], f"again{number}", seed)
    first, again, other = (hash_file(chain / "segmenters" / f"again{number}" / "generator.safetensors") for number in range(3))
    assert first == again != other


def test_it_learns_a_task_that_can_be_learnt(study, chain):
    index, folder = study
    model = trained(chain, ARMS["real"], "learns", steps=40)
    for patch in index["patch"].iloc[20:24]:
        found = measure(model.predict(read_image(folder / "rgb" / f"{patch}.webp")), read_mask(folder / "fine" / f"{patch}.png"))
        assert found["dice"] > 0.95


def test_both_sees_half_real_windows_and_the_same_places(chain, monkeypatch):
    """Windows of constant images tell where they come from."""
    def constant(rgb, fine, classes):
        return np.full((H, W, 3), 255 * (rgb.parents[1].name == "synthetic"), np.uint8), np.tri(H, W, dtype=np.uint8)

    monkeypatch.setattr(windows, "read_pair", constant)
    monkeypatch.setattr(windows, "disturb_mildly", lambda rgb, rng: rgb)
    both, real = (Windows([pairs_of(chain, part) for part in ARMS[arm]], MASK, 40) for arm in ("both", "real"))
    synthetic, same = [], 0
    for number in range(40):
        items = []
        for one in (both, real):
            torch.manual_seed(number)
            items.append(one[number])
        synthetic.append(bool(items[0]["image"].max() > 0))
        same += torch.equal(items[0]["fine"], items[1]["fine"])
    assert sum(synthetic) == 20 and same == 40


def test_a_window_of_image_and_mask_stay_on_one_another(chain, monkeypatch):
    """However a window is turned, flipped and scaled; and it is."""
    monkeypatch.setattr(windows, "disturb_mildly", lambda rgb, rng: rgb)
    monkeypatch.setattr(windows, "WINDOW", 32)
    data, edges = Windows([pairs_of(chain, "patches")], MASK, 30), set()
    for number in range(30):
        torch.manual_seed(number)
        item = data[number]
        assert item["image"].shape == (3, 32, 32)
        seen = item["image"][1] < 0.2  # 240 of 255 levels are .88, 60 are -.53
        assert (seen == (item["fine"][0] > 0)).float().mean() > 0.97
        edges.add(item["fine"].numpy().tobytes())
    assert len(edges) > 20


def test_windows_have_every_angle_both_hands_and_stay_inside():
    rng, turns = np.random.default_rng(1), []
    for _ in range(300):
        window = windows.draw_window(300, 400, rng)
        turns.append((np.degrees(np.arctan2(window[1, 1], window[1, 0])), np.linalg.det(window[:, :2])))
        row, column = np.linalg.solve(window[:, :2], windows.WINDOW / 2 - window[:, 2])[::-1]
        assert 64 <= row <= 236 and 64 <= column <= 336
    angles, areas = np.array(turns).T
    assert np.histogram(angles, 8, (-180, 180))[0].min() > 15 and 0.3 < (areas > 0).mean() < 0.7
    assert np.abs(areas).min() >= 1.25**-2 - 1e-9 and np.abs(areas).max() <= 1.25**2 + 1e-9


def test_a_change_keeps_labels_or_replaces_them(chain):
    """A segmenter that finds the right mask in half of the pairs."""
    synthetic = pairs_of(chain, "synthetic")
    good = {read_image(rgb).tobytes(): read_mask(fine) for rgb, fine in synthetic[::2]}

    class Half:
        def predict(self, rgb):
            return good.get(rgb.tobytes(), np.zeros((H, W), np.uint8))

    assert changed(chain, "1 x n", Half()) == synthetic[:4] and changed(chain, "4 x n", Half()) == synthetic
    assert changed(chain, "filtered", Half()) == synthetic[::2]
    relabelled = changed(chain, "relabelled", Half())
    assert [rgb for rgb, _ in relabelled] == [rgb for rgb, _ in synthetic]
    assert np.array_equal(read_mask(relabelled[0][1]), read_mask(synthetic[0][1])) and not read_mask(relabelled[1][1]).any()
    assert len(CHANGES) == 4


def test_copies_are_seen(study, chain, tmp_path):
    index, folder = study
    copy_patches(index.iloc[:4].assign(pair=index["patch"]), folder, chain / "again")
    others = index.iloc[8:16]
    same = copied(chain, "again", others, folder, 204, 1)
    assert same["masks"] == same["images"] == 1
    copy_patches(index.iloc[16:24].assign(pair=index["patch"]), folder, chain / "others")
    assert all(0.2 < share < 0.8 for share in copied(chain, "others", others, folder, 204, 1).values())


@pytest.mark.parametrize("name", NUISANCES)
def test_a_nuisance_moves_nothing_and_comes_from_its_seed(name):
    """The edges of a step stay in place to a pixel; the same name and seed give the same bytes."""
    rgb = np.full((96, 96, 3), 235, np.uint8)
    rgb[30:66, 40:80] = (170, 90, 150)
    before = rgb.copy()
    views = {(patch, seed): disturb(rgb, name, patch, seed) for patch in ("a", "b", "c", "d") for seed in (1, 2)}
    assert np.array_equal(rgb, before)
    assert len({view.tobytes() for view in views.values()}) > len(views) / 2  # of JPEG there are few qualities
    for (patch, seed), view in views.items():
        assert view.shape == rgb.shape and view.dtype == np.uint8 and not np.array_equal(view, rgb)
        assert np.array_equal(view, disturb(rgb, name, patch, seed))
        gray = view.mean(axis=2)
        middle = (gray[40:56, 50:70].mean() + gray[:20].mean()) / 2
        for profile, edges in ((gray[35:61].mean(axis=0), (40, 80)), (gray[:, 45:75].mean(axis=1), (30, 66))):
            inside = np.flatnonzero(profile < middle)
            assert abs(inside[0] - edges[0]) <= 1 and abs(inside[-1] + 1 - edges[1]) <= 1


def test_training_shows_less_than_a_test():
    rgb = toy(3)[0]
    off = [np.abs(disturb_mildly(rgb, np.random.default_rng(seed)).astype(int) - rgb).mean() for seed in range(40)]
    tests = [np.abs(disturb(rgb, name, str(seed), 1).astype(int) - rgb).mean() for name in NUISANCES for seed in range(8)]
    assert 0 < np.mean(off) < np.mean(tests) and min(off) == 0


def test_a_logit_depends_on_its_surroundings():
    """Without the lower levels a logit would see 6 px around it; with them it sees 40 and more."""
    network = Segmenter(SegmenterSettings(4, 4)).networks["segmenter"].eval()
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)).requires_grad_()
    network(image)[0, 0, 48, 48].backward()
    rows = image.grad[0].abs().sum((0, 2)).nonzero()
    assert rows.min() < 8 and rows.max() > 88
    with pytest.raises(ValueError, match="multiples of 8"):
        network(torch.zeros(1, 3, 60, 64))


def test_measures_by_hand():
    """Two of three objects found, one of them whole and one with 4 of 6 px; one object made up."""
    wanted, found = np.zeros((2, 20, 20), np.uint8)
    wanted[2:4, 2:5] = wanted[8:10, 2:5] = wanted[14:16, 2:5] = 1
    found[2:4, 2:5] = found[8:10, 2:4] = found[14:16, 14:17] = 1
    values = measure(found, wanted)
    assert values["dice"] == pytest.approx(2 * 10 / (16 + 18))
    assert values["f1_50"] == pytest.approx(4 / 6) and values["f1_75"] == pytest.approx(2 / 6)
    empty = np.zeros((20, 20), np.uint8)
    assert set(measure(empty, empty).values()) == {1.0}


class Level:
    """A model of fixed answers: foreground where green is below a level."""

    def __init__(self, level: int) -> None:
        self.level = level

    def predict(self, rgb: np.ndarray) -> np.ndarray:
        return (rgb[..., 1] < self.level).astype(np.uint8)


def test_scores_show_each_test_and_disturbed_means_of_all_nuisances(study):
    index, folder = study
    plan = make_plan(index, part_looks(index, folder, 1), 1, 1)
    table = score({"real": Level(100), "both": Level(150)}, plan.tests, folder, 1).set_index(["arm", "test", "metric", "patch"])["value"]
    patch, other = plan.tests[SAME]["patch"].iloc[0], plan.tests[OTHER]["patch"].iloc[0]
    assert table["real", SAME, "dice", patch] > 0.99 and table["both", OTHER, "dice", other] < 0.9 < table["real", OTHER, "dice", other]
    rgb, wanted = read_image(folder / "rgb" / f"{patch}.webp"), read_mask(folder / "fine" / f"{patch}.png")
    by_hand = [measure(Level(100).predict(disturb(rgb, name, patch, 1)), wanted)["dice"] for name in NUISANCES]
    assert table["real", DISTURBED, "dice", patch] == pytest.approx(np.mean(by_hand))


def scores_of(effects: dict[int, dict[str, float]]) -> pd.DataFrame:
    """Scores of "real" and "both" on 3 patches a subject; effects: the gain by seed and subject."""
    rng, rows = np.random.default_rng(1), []
    for seed, subjects in effects.items():
        for subject, gain in subjects.items():
            for number in range(3):
                base = rng.uniform(0.3, 0.9)
                rows += [(seed, "4", arm, SAME, "dice", subject, f"{subject}{number}", value)
                         for arm, value in (("real", base), ("both", base + gain))]
    return pd.DataFrame(rows, columns=["seed", "n", "arm", "test", "metric", "subject", "patch", "value"])


def test_a_difference_is_paired_and_its_interval_knows_seeds_and_subjects():
    def difference(effects):
        table = summarise(scores_of(effects), 300, 1)
        row = table[(table["arm"] == "both - real") & (table["seed"] == "mean")].iloc[0]
        return row["value"], row["low"], row["high"]

    assert difference({1: {"a": 0.05, "b": 0.05}, 2: {"a": 0.05, "c": 0.05}}) == pytest.approx((0.05, 0.05, 0.05))
    value, low, high = difference({1: {"a": 0.1, "b": 0.1}, 2: {"a": -0.1, "b": -0.1}})  # seeds disagree
    assert value == pytest.approx(0) and low == pytest.approx(-0.1) and high == pytest.approx(0.1)
    value, low, high = difference({1: {"a": 0.1, "b": -0.1}, 2: {"a": 0.1, "b": -0.1}})  # subjects disagree
    assert value == pytest.approx(0) and low < -0.04 and high > 0.04
    assert [verdict(*ends) for ends in ((0.01, 0.1), (-0.1, -0.01), (-0.1, 0.1))] == ["HELPS", "HARMS", "not told apart"]


def test_seeds_weigh_the_same_and_an_n_that_one_lacks_is_left_out():
    scores = scores_of({1: {"a": 0.3}, 2: {"a": 0.0, "b": 0.0, "c": 0.0}})
    odd = scores[scores["seed"] == 1].assign(n="16")
    table = summarise(pd.concat([scores, odd]), 20, 1)
    assert set(table["n"]) == {"4"}
    mean = table[(table["arm"] == "both - real") & (table["seed"] == "mean")]["value"].item()
    assert mean == pytest.approx(0.15)  # not .075, the mean over patches
