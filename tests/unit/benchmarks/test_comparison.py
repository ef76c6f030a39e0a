"""Demands on what was measured in rounds: yes, no, can't tell."""

import pytest

from tests.benchmarks.comparison import Pair, at_least, at_most, seconds, seconds_at_most
from tests.benchmarks.results import Result

ONES = [1.0] * 10


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([1.3] * 10, "yes"),
        ([1.3] * 8 + [1.5] * 2, "yes"),
        ([1.3] * 7 + [1.5] * 3, "can't tell"),
        ([1.3] * 3 + [1.5] * 7, "can't tell"),
        ([1.3] * 2 + [1.5] * 8, "no"),
        ([1.5] * 10, "no"),
    ],
)
def test_a_demand_that_many_rounds_contradict_can_not_be_told(ours: list[float], verdict: str) -> None:
    """A quarter of the rounds on the other side of the demand than the median is noise, less is not."""
    result = at_most("key", "what", Pair(ours, ONES), 1.4)
    assert result.row["met?"] == verdict
    turned = at_least("key", "what", Pair(ONES, ours), 1.4)  # the same ratios, and the other way is demanded
    assert turned.row["met?"] == {"yes": "no", "no": "yes"}.get(verdict, verdict)


def test_a_single_round_is_told() -> None:
    """Where nothing was repeated, nothing contradicts."""
    assert at_most("key", "what", Pair([1.3], [1.0]), 1.4).row["met?"] == "yes"


def test_rounds_are_compared_in_pairs() -> None:
    """What slows down both parties of a round leaves the verdict as it is."""
    other = [1.0, 1.0, 4.0, 4.0]
    result = at_most("key", "what", Pair([1.2 * one for one in other], other), 1.4)
    assert (result.value, result.row["met?"]) == (1.2, "yes")


def test_seconds_are_judged_as_ratios_are() -> None:
    """A demand on seconds goes by the median, and by how many rounds contradict it."""
    samples = [0.2] * 7 + [0.3] * 3
    result = seconds_at_most("key", "what", samples, 0.25)
    assert (result.value, result.met, result.row["met?"]) == (0.2, True, "can't tell")


def test_a_count_is_always_told() -> None:
    """What must be exactly so has no noise."""
    assert Result("key", "what", 25, "25", demand="exactly that", met=False).row["met?"] == "no"


def test_the_table_has_the_median_and_the_best() -> None:
    """Both are in the cell of a party, and one alone where nothing was repeated."""
    assert seconds([2.0, 0.5, 3.0]) == "2.00 s, best 0.500 s"
    assert seconds([0.5]) == "0.500 s"
    assert Pair([2.0, 1.0, 3.0], [1.0, 2.0, 1.0]).details["ratio_of_best"] == 1.0
