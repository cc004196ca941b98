"""Are the benchmark's numbers what they are called, and are those shown the ones that were measured?"""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from ppcore.experiments.speed import compare, count_flops, in_new_process, interleaved, matrix_product_peak
from ppcore.study.runs import REPOSITORY
from ppcore.workflow.readme import SLIDES_SPEED, SPEED
from ppcore.workflow.results import slides_speed_table, speed_table


def test_ratios_are_taken_round_by_round():
    """A load that doubles all times of a round changes no ratio."""
    times = {"textbook": np.array([4.0, 8.0, 5.0]), "ours": np.array([2.0, 4.0, 2.0]),
             "float32": np.array([4.0, 8.0, 4.0])}
    row = compare(times)
    assert (row["textbook_s"], row["ours_s"], row["ratio"], row["float32_ratio"]) == (5, 2, 2, 1)
    assert (row["ratio_low"], row["ratio_high"]) == (2, 2.25)
    del times["float32"]
    assert np.isnan(compare(times)["float32_ratio"])


def test_calls_take_turns_and_the_first_round_is_not_timed():
    calls = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, "cpu")
    assert "".join(calls) == "ababab" and times["a"].shape == times["b"].shape == (2,)


def test_an_addition_and_a_multiplication_are_two_operations():
    convolution = torch.nn.Conv2d(3, 5, 4, stride=2, padding=1)
    assert count_flops(lambda: convolution(torch.zeros(1, 3, 8, 16))) == 2 * (3 * 4 * 4) * 5 * 4 * 8


def test_the_peak_is_the_rate_of_the_fastest_product(monkeypatch):
    """Products of 512 and 1,024 rows that take 1 s, one of the larger .5 s: 2 x 1,024^3 operations in it."""
    taken = iter([1.0, 1.0, 1.0, 0.5])
    monkeypatch.setattr("ppcore.experiments.speed.seconds", lambda call, device: next(taken))
    assert matrix_product_peak(torch.float32, "cpu", 1024, repeats=2) == pytest.approx(4 * 1024**3)


@pytest.mark.parametrize("name, as_markdown", [(SPEED, speed_table), (SLIDES_SPEED, slides_speed_table)])
def test_the_page_of_results_shows_the_stored_benchmarks(name, as_markdown):
    table = pd.read_csv(REPOSITORY / "figures" / name)
    page = (REPOSITORY / "figures" / "README.md").read_text(encoding="utf-8")
    assert as_markdown(table) in page, "python -m ppcore.workflow.readme writes it"
    assert f"Measured on {table['machine'].iloc[0]}" in page


def test_memory_is_that_of_the_call_and_of_its_highest_point():
    """40 MiB that are given back, in a process that holds as much before; an array of zeros takes no memory."""
    seconds, grown = in_new_process(partial(np.ones, 5 * 2**20))
    assert 38 < grown / 2**20 < 60 and seconds > 0
    assert in_new_process(partial(np.zeros, 5 * 2**20))[1] / 2**20 < 20
