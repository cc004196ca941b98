"""Does the segmenter learn, do all arms get the same chance, and does nothing of a test subject reach training?"""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from ppcore.experiments import utility
from ppcore.experiments.nuisance import NUISANCES, disturb, disturb_mildly
from ppcore.experiments.utility import (CLEAN, DIFFERENCE, DISTURBED, SHARES, Arm, Windows, arms, real_subset, sources,
                                        train_arm)
from ppcore.masks.make import read_mask, write_mask
from ppcore.masks.patches import write_image
from ppcore.methods.segmenter import Segmenter, SegmenterSettings
from ppcore.study.errors import StudyError
from ppcore.study.files import hash_file

H, W = 64, 96


def toy(seed: int, height: int = H, width: int = W) -> tuple[np.ndarray, np.ndarray]:
    """Pink discs on white, and their mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(4):
        mask |= (rows - rng.integers(height)) ** 2 + (columns - rng.integers(width)) ** 2 < rng.integers(8, 18) ** 2
    rgb = np.where(mask[..., None], np.array([200, 120, 170]), 240) + rng.normal(0, 6, (height, width, 3))
    return rgb.round().clip(0, 255).astype(np.uint8), mask


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network gains nothing from more
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Toy patches of 6 training and 2 test subjects, 4 of each, and 5 pairs of training outlines: index, folders."""
    folder = tmp_path_factory.mktemp("study")
    index = pd.DataFrame([{"patch": f"s{subject}_{number}", "subject": f"s{subject}",
                           "split": "test" if subject > 5 else "train"} for subject in range(8) for number in range(4)])
    for number, patch in enumerate([*index["patch"], *(f"pair_{i}" for i in range(5))]):
        place = folder / ("pairs" if patch.startswith("pair") else "patches")
        rgb, mask = toy(number)
        write_image(place / "rgb" / f"{patch}.webp", rgb)
        write_mask(place / "fine" / f"{patch}.png", mask)
    index.to_csv(folder / "patches" / "index.csv", index=False)
    made = pd.DataFrame({"pair": [f"pair_{i}" for i in range(5)],
                         "outline": ["s0_0", "s1_0", "s2_3", "s2_3_varied1", "s5_1"]})
    made.to_csv(folder / "pairs" / "index.csv", index=False)
    return index, folder / "patches", folder / "pairs"


def trained(arm: Arm, study, folder, steps: int = 2) -> Segmenter:
    return train_arm(arm, *study, folder, steps=steps, width=4, device="cpu", precision="float32", workers=0)


def test_it_learns_a_task_that_can_be_learnt(study, tmp_path):
    index, patches, _ = study
    model = trained(Arm("real", 1.0, 1), study, tmp_path, steps=40)
    test = index[index["split"] == "test"]
    for patch in test["patch"]:
        rgb = utility.read_image(patches / "rgb" / f"{patch}.webp")
        assert utility.iou(model.predict(rgb), read_mask(patches / "fine" / f"{patch}.png")) > 0.95


def test_a_logit_depends_on_its_surroundings():
    """Without the lower levels a logit would see 6 px around it; with them it sees 40 and more."""
    network = Segmenter(SegmenterSettings(4, 4)).networks["segmenter"].eval()
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)).requires_grad_()
    network(image)[0, 0, 48, 48].backward()
    rows = image.grad[0].abs().sum((0, 2)).nonzero()
    assert rows.min() < 8 and rows.max() > 88
    with pytest.raises(ValueError, match="multiples of 8"):
        network(torch.zeros(1, 3, 60, 64))


def test_equal_seeds_give_equal_weights_and_others_do_not(study, tmp_path):
    plan = Arm("both", 1.0, 1), Arm("both", 1.0, 1), Arm("both", 1.0, 2)
    for number, arm in enumerate(plan):
        trained(arm, study, tmp_path / str(number))
    first, again, other = (hash_file(tmp_path / str(number) / "generator.safetensors") for number in range(3))
    assert first == again != other


def test_all_arms_take_the_same_steps(study, tmp_path):
    plan = arms((1,))
    assert [(arm.name, arm.share) for arm in plan] == [
        ("synthetic", 0), *(("real", share) for share in SHARES), *(("both", share) for share in SHARES)]
    for arm in plan:
        trained(arm, study, tmp_path / str(arm), steps=3)
    cards = [json.loads((tmp_path / str(arm) / "model.json").read_text())["training"] for arm in plan]
    assert {card["steps"] for card in cards} == {3} and {card["items"] for card in cards} == {3 * utility.BATCH}


def test_a_share_is_of_few_subjects_and_part_of_a_larger_one(study):
    index = study[0]
    subject = index.set_index("patch")["subject"]
    for seed in range(5):
        subsets = [real_subset(index, share, seed) for share in (0.05, 0.25, 0.5, 1.0)]
        assert [len(subset) for subset in subsets] == [1, 6, 12, 24]
        assert [subject[subset].nunique() for subset in subsets] == [1, 2, 3, 6]
        assert all(set(small) < set(large) for small, large in zip(subsets, subsets[1:]))
        assert not set(subject[subsets[-1]]) & {"s6", "s7"}
    assert len({subject[real_subset(index, 0.05, seed)[0]] for seed in range(20)}) > 2


def test_no_test_subject_is_in_a_training_set(study, tmp_path):
    index, patches, pairs = study
    for arm in arms(range(3)):
        for source in sources(arm, *study):
            assert not [image for image, _ in source if image.stem[:2] in ("s6", "s7")]
    (tmp_path / "leaking").mkdir()
    made = pd.read_csv(pairs / "index.csv")
    made.loc[3, "outline"] = "s6_1_varied2"
    made.to_csv(tmp_path / "leaking" / "index.csv", index=False)
    with pytest.raises(StudyError, match="made from s6_1, not in the training set"):
        sources(Arm("both", 0.05, 1), index, patches, tmp_path / "leaking")
    assert len(sources(Arm("real", 0.05, 1), index, patches, tmp_path / "leaking")) == 1  # it reads none of them


def test_both_sees_half_real_windows_and_the_same_draws(study, monkeypatch):
    """Windows of constant images tell where they come from."""
    def constant(rgb, fine):
        return np.full((H, W, 3), 255 * (rgb.parents[1] == study[2]), np.uint8), np.tri(H, W, dtype=np.uint8)

    monkeypatch.setattr(utility, "_read_pair", constant)
    monkeypatch.setattr(utility, "disturb_mildly", lambda rgb, rng: rgb)
    both, real = (Windows(sources(Arm(name, 0.05, 1), *study), 40) for name in ("both", "real"))
    synthetic, same = [], 0
    for number in range(40):
        items = []
        for windows in (both, real):
            torch.manual_seed(number)
            items.append(windows[number])
        synthetic.append(bool(items[0]["image"].max() > 0))
        same += torch.equal(items[0]["fine"], items[1]["fine"])
    assert sum(synthetic) == 20 and same == 40


def test_a_window_of_image_and_mask_stay_on_one_another(study, monkeypatch):
    monkeypatch.setattr(utility, "disturb_mildly", lambda rgb, rng: rgb)
    monkeypatch.setattr(utility, "WINDOW", 32)
    windows = Windows(sources(Arm("real", 1.0, 1), *study), 30)
    for number in range(30):
        torch.manual_seed(number)
        item = windows[number]
        assert item["image"].shape == (3, 32, 32)
        seen = item["image"].mean(dim=0) < 0.6  # 240 of 255 levels are .88, pink is .28
        assert (seen == (item["fine"][0] > 0)).float().mean() > 0.99


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


class _Rule:
    """A model of fixed answers: tissue where red is below a level."""

    def __init__(self, level: int) -> None:
        self.level = level

    def predict(self, rgb: np.ndarray) -> np.ndarray:
        return (rgb[..., 0] < self.level).astype(np.uint8)


def test_scores_are_paired_and_the_threshold_is_1_on_clean_images(study):
    index, patches, _ = study
    test = utility.spread(index, 2)
    assert test["subject"].tolist() == ["s6", "s6", "s7", "s7"] and test["patch"].iloc[:2].tolist() == ["s6_0", "s6_3"]
    threshold = 190  # between disc and ground in gray
    models = {arm: _Rule(230 if arm.name == "real" else 220 - arm.seed) for arm in arms((1, 2))}
    for patch in test["patch"]:  # labels as in the study: a threshold of the image
        rgb = utility.read_image(patches / "rgb" / f"{patch}.webp")
        assert np.array_equal(utility.tissue_mask(rgb, threshold), read_mask(patches / "fine" / f"{patch}.png"))
    scores = utility.score(models, test, patches, threshold, seed=1)
    table = utility.summarise(scores, 20, seed=1)
    at = table.set_index(["arm", "share", "seed", "shift", "metric"])
    assert at.loc["threshold", 0.0, "", CLEAN, "iou"]["value"] == 1 > at.loc["threshold", 0.0, "", DISTURBED, "iou"]["value"]
    for share in SHARES:
        real, both, paired = (at.loc[arm, share, "mean", DISTURBED, "iou"] for arm in ("real", "both", DIFFERENCE))
        assert paired["value"] == pytest.approx(both["value"] - real["value"]) and paired["n"] == 4
        assert paired["low"] <= paired["value"] <= paired["high"]
    disturbed = scores.query("arm == 'synthetic' and seed == '2' and metric == 'iou' and shift != 'clean'")
    assert at.loc["synthetic", 0.0, "2", DISTURBED, "iou"]["value"] == pytest.approx(disturbed["value"].mean())
    assert len(disturbed) == 4 * len(NUISANCES) and table["value"].notna().all()
