"""Does the rule of notebook 12 call a difference the setting's only where seeds would not explain it?"""

import numpy as np
import pandas as pd
import pytest

from ppcore.experiments.variants import CHANGES, OWN, one_more, reading, variants
from ppcore.methods.pix2pix import Pix2PixSettings


def test_the_interval_of_one_more_training_by_hand():
    # mean 2, sd 1, k = 3: Student's t with 2 degrees of freedom has its .975 quantile at 4.302653
    low, high = one_more([1, 2, 3])
    assert (low, high) == pytest.approx((2 - 4.302653 * np.sqrt(4 / 3), 2 + 4.302653 * np.sqrt(4 / 3)), abs=1e-5)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_one_more_training_lies_in_it_as_often_as_it_says(k):
    scores = np.random.default_rng(0).normal(7, 3, (4000, k + 1))
    within = [low <= scores[i, k] <= high for i, (low, high) in enumerate(map(one_more, scores[:, :k]))]
    assert np.mean(within) == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors


def test_one_training_has_no_spread():
    with pytest.raises(ValueError, match="1 trainings: wanted two or more"):
        one_more([0.3])


def test_one_thing_is_changed_at_a_time_and_no_training_stands_twice():
    own = Pix2PixSettings(ngf=4, lambda_l1=10.0)
    plan = variants(own, 5, 3)
    assert [(each.name, each.seed) for each in plan] == [(OWN, 5), (OWN, 6), (OWN, 7), *((name, 5) for name in CHANGES)]
    for each in plan:
        assert {name: getattr(each.settings, name) for name in CHANGES.get(each.name, {})} == CHANGES.get(each.name, {})
    assert len({str(each) for each in plan}) == len({(each.settings, each.seed) for each in plan}) == len(plan)
    assert [each.name for each in variants(own, 5, 2, changes=False)] == [OWN, OWN]
    assert "lambda 100" not in [each.name for each in variants(Pix2PixSettings(), 5, 3)]  # which has it already


def test_the_sentences_follow_from_the_numbers():
    """Own MMD² .1, .2, .3: .2 ± 4.302653 * .1 * sqrt(4 / 3) = [-.297, .697] for one more; coverage: [.103, 1.097]."""
    own = {"mmd2": (0.1, 0.2, 0.3), "coverage": (0.5, 0.6, 0.7), "control_iou": (0.1, 0.2, 0.3)}
    rows = [(OWN, metric, str(value)) for metric, values in own.items() for value in values]
    rows += [("lambda 100", "mmd2", "0.7"), ("lambda 100", "coverage", "1.09"), ("lambda 100", "control_iou", "-0.3")]
    table = pd.DataFrame(rows, columns=["variant", "metric", "value"])
    seeds, changed = reading(table, {"COPY": 0.8, "DEPAS": 0.69, "other": -0.3})
    assert "give 0.1, 0.2, 0.3; prediction interval: [-0.297, 0.697]." in seeds
    assert seeds.endswith("COPY (0.8): worse with any seed; other (-0.3): better with any seed; "
                          "DEPAS (0.69): better or worse, depending on the seed.")
    assert changed == ("Changed: lambda 100. Against the prediction intervals of other seeds: MMD² 0.7 (above), "
                       "coverage 1.09 (within), IoU to the outline -0.3 (below).")
