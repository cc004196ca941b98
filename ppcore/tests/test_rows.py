"""Does metrics.csv hold what it says, the same twice, and does Table 2 show it?"""

import cv2
import numpy as np
import pandas as pd
import pytest

from ppcore.masks.labels import MASK, Label, write_labels
from ppcore.masks.make import coarse_mask, write_mask
from ppcore.metrics import rows as module
from ppcore.metrics.image_rows import image_control_row
from ppcore.metrics.rows import (add_holm, control_rows, copying_rows, diversity_rows, repetition_rows,
                                 similarity_rows)
from ppcore.metrics.sets import MaskSet, read_samples, read_set
from ppcore.metrics.table import CLASS_METRICS, MASK_METRICS, compare, mask_metrics, table_2

FEW = {"resamples": 20, "seed": 1}


def masks(count: int, seed: int, prefix: str, per_subject: int = 4) -> MaskSet:
    rng = np.random.default_rng(seed)
    made = [((cv2.GaussianBlur(rng.normal(size=(64, 96)), (0, 0), rng.uniform(3, 9)) > 0)
             & (rng.random((64, 96)) > 0.02)).astype(np.uint8) for _ in range(count)]
    return MaskSet(made, np.array([f"{prefix}{i // per_subject}" for i in range(count)]))


@pytest.fixture(scope="module")
def sets() -> dict[str, MaskSet]:
    real, train = masks(24, 0, "test"), masks(40, 1, "train")
    copy = MaskSet([coarse_mask(mask) for mask in real.masks], real.subjects)
    return {"real": real, "train": train, "COPY": copy, "real-train": MaskSet(train.masks[:24], train.subjects[:24])}


def all_rows(sets: dict[str, MaskSet], name: str) -> list[dict]:
    return (similarity_rows(sets["real"], sets[name], permutations=99, **FEW)
            + copying_rows(sets["train"], sets["real"], sets[name], **FEW)
            + control_rows(sets["COPY"].masks, sets[name], coarse_mask, **FEW))


def test_copy_keeps_to_its_outline_exactly_and_is_unlike_real_masks(sets):
    value = {row["metric"]: row["value"] for row in all_rows(sets, "COPY")}
    perfect = {"iou": "1", "boundary_f1": "1", "fraction_error": "0", "fraction_bias": "0", "fraction_rank": "1"}
    assert {name: value[f"control_{name}"] for name in perfect} == perfect
    assert value["mmd_p"] == "0.01" and float(value["coverage"]) < 0.2
    assert value["fid"] == value["kid"] == value["fid_infinity"] == "no weights"


def test_training_masks_pass_for_real_and_are_found_to_be_copies(sets):
    rows = {row["metric"]: row for row in all_rows(sets, "real-train")}
    assert float(rows["mmd_p"]["value"]) > 0.01 and float(rows["coverage"]["value"]) > 0.8
    assert rows["nearest_train_ratio"]["value"] == rows["nearest_train_ratio_pixels"]["value"] == "0"
    assert float(rows["copying_ct"]["value"]) < -5
    low, value, high = (float(rows["coverage"][key]) for key in ("low", "value", "high"))
    assert low <= value <= high and rows["coverage"]["n"] == 24


def test_the_same_sets_and_seed_give_the_same_rows_twice(sets):
    fresh = {name: MaskSet(found.masks, found.subjects) for name, found in sets.items()}
    assert all_rows(sets, "COPY") == all_rows(fresh, "COPY")


def test_diversity_is_held_against_the_error_to_the_real_mask(sets):
    real = MaskSet(sets["real"].masks[:6], sets["real"].subjects[:6])
    rng = np.random.default_rng(0)
    noisy = [np.stack([mask ^ (rng.random(mask.shape) < 0.05) for _ in range(4)]).astype(np.uint8) for mask in real.masks]
    rows = {row["metric"]: row for row in diversity_rows(noisy, real, **FEW)}
    assert float(rows["diversity"]["value"]) == pytest.approx(2 * 0.05 * 0.95, rel=0.1)
    assert float(rows["diversity_ratio"]["value"]) == pytest.approx(2 * 0.95, rel=0.05)  # each errs in 5 %, apart by twice that
    assert rows["diversity"]["low"] != "" and rows["diversity"]["n"] == 6
    same = [np.stack([mask] * 4) for mask in real.masks]
    assert [row["value"] for row in diversity_rows(same, real, **FEW)] == ["0", "nan"]
    with pytest.raises(ValueError, match="zip"):
        diversity_rows(noisy[:2], real, **FEW)


def test_with_weights_the_rows_hold_scores_and_few_masks_are_said_to_be_too_few(sets, monkeypatch):
    monkeypatch.setattr(module, "fid_kid", lambda a, b, *_, **__: {"fid": 2.0, "kid": 0.5, "n": min(len(a), len(b))})
    monkeypatch.setattr(module, "inception_features", lambda masks, _: np.array([mask.ravel()[:8] for mask in masks], float))
    few = MaskSet(sets["COPY"].masks[:9], sets["COPY"].subjects[:9])
    for synthetic, n, words in ((sets["COPY"], 24, None), (few, 9, "too few masks")):
        rows = {row["metric"]: row for row in similarity_rows(sets["real"], synthetic, permutations=10, weights="w", **FEW)}
        assert rows["fid"]["value"] == "2" and rows["fid_infinity"]["n"] == n
        assert rows["fid_infinity"]["value"] == words if words else np.isfinite(float(rows["fid_infinity"]["value"]))


def test_holm_runs_over_the_methods_that_have_a_p_value():
    scores = {name: [{"metric": "mmd_p", "value": p, "n": 5}] for name, p in (("a", "0.01"), ("b", "0.04"), ("c", "0.03"))}
    scores["images only"] = [{"metric": "image_mmd_p", "value": "0.001", "n": 5}]
    add_holm(scores)
    assert compare(scores, ["mmd_p_holm"]).loc["mmd_p_holm"].tolist() == ["0.03", "0.06", "0.06", ""]


def test_table_2_shows_the_spread_over_training_seeds():
    rows = pd.DataFrame([{"metric": metric, "value": value, "low": low, "high": "0.9", "n": 3, "method": "pix2pix",
                          "protocol": "A", "seed": seed} for metric, seed, value, low in (
        ("ks", 1, "0.1", "0.05"), ("ks", 2, "0.3", "0.2"), ("ks", 3, "0.2", "0.1"), ("coverage", 1, "0.5", "0.4"),
        ("kid", 1, "0.9", "0.9"),
        ("fid", 1, "no weights", ""), ("fid", 2, "no weights", ""))])
    shown = table_2(rows).set_index("method").loc["PriorPath (pix2pix)"]
    assert shown["KS"] == "0.2 [0.1, 0.3]"  # mean, least and largest over the seeds
    assert shown["coverage"] == "0.5 [0.4, 0.9]"  # one seed: its interval over subjects
    assert shown["KID"] == "0.9"  # no interval that has no width
    assert shown["FID"] == "no weights" and shown["density"] == ""
    several = pd.concat([rows, rows.iloc[:1].assign(metric="nuclei: ks")])
    shown = table_2(several).set_index("method").loc["PriorPath (pix2pix)"]
    assert shown["KS, tissue"] == "0.2 [0.1, 0.3]" and "KS" not in shown  # the other classes have rows of their own


def test_sets_are_read_as_they_were_written(tmp_path, sets):
    for sample in range(2):
        for name, mask in zip("ab", sets["real"].masks[2 * sample:]):
            write_mask(tmp_path / f"{name}_{sample}.png", mask)
    found = read_set(tmp_path, ["b", "a"], pd.Series(["s1", "s2"]), "_1")
    np.testing.assert_array_equal(found.masks[0], sets["real"].masks[3])
    np.testing.assert_array_equal(found.descriptors, MaskSet(sets["real"].masks[3:1:-1], found.subjects).descriptors)
    assert [group.shape for group in read_samples(tmp_path, ["a", "b"], 2)] == [(2, 64, 96)] * 2
    np.testing.assert_array_equal(read_samples(tmp_path, ["a"], 2)[0][1], sets["real"].masks[2])


FOUR = (*MASK, Label("nuclei", "#3f2a82", 7, 9), Label("gland", "#d55e00", 7, 9))


def labelled(masks: MaskSet, seed: int, swapped: bool = False) -> MaskSet:
    """The same tissue with nuclei and glands in it, in either order of the two classes."""
    rng, maps = np.random.default_rng(seed), []
    for mask in masks.masks:
        labels = mask.copy()
        for value, blur in ((2, 2), (3, 6)):
            field = cv2.GaussianBlur(rng.normal(size=mask.shape), (0, 0), blur)
            labels[(mask > 0) & (field > field.std())] = 5 - value if swapped else value
        maps.append(labels)
    return MaskSet(maps, masks.subjects, (*MASK, FOUR[3], FOUR[2]) if swapped else FOUR)


def coarsen(labels: np.ndarray) -> np.ndarray:
    return coarse_mask(labels, dense=((7, 9), (7, 9)))


def label_rows(sets: dict[str, MaskSet], swapped: bool = False) -> dict[str, dict]:
    real, made, train = (labelled(sets[name], i, swapped) for i, name in enumerate(("real", "real-train", "train")))
    outlines = [coarsen(labels) for labels in real.masks]
    return {row["metric"]: row for row in (
        similarity_rows(real, made, permutations=9, **FEW) + copying_rows(train, real, made, **FEW)
        + control_rows(outlines, made, coarsen, **FEW) + repetition_rows(made, coarsen))}


def test_the_tissue_of_label_maps_has_the_rows_of_its_masks_and_each_class_has_its_own(sets):
    found = label_rows(sets)
    masks = {row["metric"]: row for row in (
        similarity_rows(sets["real"], sets["real-train"], permutations=9, **FEW)
        + control_rows([coarse_mask(mask) for mask in sets["real"].masks], sets["real-train"], coarse_mask, **FEW)
        + repetition_rows(sets["real-train"], coarse_mask))}
    of_tissue = [name for name in masks if name.startswith(("ks", "kl", "control", "repetition", "grid", "w1"))]
    assert {name: found[name] for name in of_tissue if name != "w1_mean"} == {
        name: masks[name] for name in of_tissue if name != "w1_mean"}
    assert not any(":" in name for name in masks)
    assert {f"{name}: ks" for name in ("nuclei", "gland")} < set(found)
    assert mask_metrics(FOUR) == MASK_METRICS + tuple(f"{name}: {metric}" for name in ("nuclei", "gland") for metric in
                                                      CLASS_METRICS) and mask_metrics(MASK) == MASK_METRICS


def test_another_order_of_the_classes_changes_no_row_but_the_order(sets):
    one, other = label_rows(sets), label_rows(sets, swapped=True)
    assert list(one) != list(other) and set(one) == set(other)
    one, other = ({name: pd.to_numeric(pd.Series(row).drop("metric"), errors="coerce").tolist() for name, row in rows.items()
                   if "pixels" not in name and ": control" not in name}  # what is painted last wins a tie, and is on top in C
                  for rows in (one, other))
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6, nan_ok=True)


def test_control_of_a_class_is_a_mean_over_the_maps_that_have_it():
    half = np.ones((64, 96), np.uint8)
    half[10:40, 10:40] = 2
    plain, moved = np.ones((64, 96), np.uint8), np.roll(half, 15, axis=1)
    made = MaskSet([half, moved, plain, plain], np.array(list("abcd")), FOUR)
    rows = {row["metric"]: row for row in control_rows([half, half, half, plain], made, lambda labels: labels, **FEW)}
    assert rows["nuclei: control_iou"]["value"] == f"{(1 + 1 / 3 + 0) / 3:.6g}" and rows["nuclei: control_iou"]["n"] == 3
    share = 900 / half.size
    assert rows["nuclei: control_fraction_asked"]["value"] == f"{share * 3 / 4:.6g}"
    assert rows["nuclei: control_fraction_obtained"]["value"] == f"{share / 2:.6g}"
    assert rows["gland: control_iou"] == {"metric": "gland: control_iou", "value": "nan", "low": "", "high": "", "n": 0}
    assert rows["control_iou"]["value"] == "1"  # all of it is tissue


def test_the_tissue_of_an_image_is_held_against_the_tissue_of_its_map():
    labels = np.zeros((64, 96), np.uint8)
    labels[:32], labels[:8] = 1, 2
    rgb = np.where(labels[..., None] > 0, np.uint8(100), np.uint8(250)).repeat(3, axis=2)
    assert image_control_row([labels], [rgb], 204)["value"] == "1"


def test_sets_of_label_maps_are_read_as_they_were_written(tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, (64, 96), dtype=np.uint8)
    write_labels(tmp_path / "a_0.png", labels, FOUR)
    found = read_set(tmp_path, ["a"], ["s"], "_0", FOUR)
    assert np.array_equal(found.masks[0], labels) and found.descriptors.shape == (1, 81)
    assert found.fractions == pytest.approx([(labels > 0).mean()]) and found.shares.sum() == pytest.approx(1)
    assert found.shares[0, 3] == (labels == 3).mean()
