"""docs/performance.md, its plots and docs/benchmark.json say the same; and what growth means."""

import re
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks import growth, page, parts, results, sizes
from tests.benchmarks.results import Result

MEASURED = results.read(page.NUMBERS)
TEXT = page.PAGE.read_text()


def test_the_page_has_the_committed_figures() -> None:
    """The table and the plots are what `python -m tests.benchmarks.page` makes of docs/benchmark.json."""
    assert results.markdown(MEASURED["rows"].values()) in TEXT
    assert page.with_table(TEXT, MEASURED) == TEXT
    for name, image in page.plots(MEASURED).items():
        assert (page.IMAGES / name).read_text() == image
        assert f"](images/{name})" in TEXT
        ET.fromstring(image)


def test_the_page_is_easy_to_read() -> None:
    """Each relative link names a file, and no line but a table's is longer than 110 characters."""
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    assert links
    assert [link for link in links if not (page.DOCS / link.partition("#")[0]).is_file()] == []
    assert [line for line in TEXT.splitlines() if len(line) > 110 and line[0] != "|"] == []


def test_ten_times_dearer_is_linear() -> None:
    """A cost that grows as the work has factor 10 and a constant one has 1, whatever the steps are."""
    points = [{"n": 1, "grows": 0.2, "stays": 5.0}, {"n": 3, "grows": 0.6, "stays": 5.0}]
    assert [growth.factors(points, "n", key) for key in ("grows", "stays")] == [[10.0], [1.0]]
    assert growth.marginal(points, "n", "grows") == [0.2]


def test_what_was_too_small_to_be_measured_has_no_factor() -> None:
    """Noise can make a cost without the start nothing, or less."""
    points = [{"n": 1, "cost": 0.1}, {"n": 10, "cost": -0.1}, {"n": 100, "cost": 0.0}]
    assert growth.factors(points, "n", "cost") == [0.0, 0.0]


def test_cpu_has_a_demand_of_its_own() -> None:
    """The worst factor of CPU over all kinds of growth counts, whatever wall time does."""
    points = [{"n": 10, **dict.fromkeys(growth.COSTS, 1)}, {"n": 100, **dict.fromkeys(growth.COSTS, 20)}]
    points[1] |= {cost: 11 for cost in growth.COSTS if "cpu" in cost}
    result = growth.worst_cpu([growth.grown("growth_n", "n", points, {})])
    assert (result.value, result.met) == (11, True)


@pytest.mark.parametrize(("dearest", "met"), [(10, True), (11, False)])
def test_growth_is_judged_by_its_worst_step(dearest: float, met: bool) -> None:
    """One step of one cost that is dearer than linear is enough for the demand not to be met."""
    points: list[dict[str, float]] = [
        {"n": 10, **dict.fromkeys(growth.COSTS, 1)},
        {"n": 100, **dict.fromkeys(growth.COSTS, 2)},
    ]
    points[1][growth.COSTS[1]] = dearest
    result = growth.grown("growth", "n", points, {})
    assert (result.value, result.met) == (dearest, met)


def test_a_part_that_is_measured_again_replaces_only_itself() -> None:
    """A part that is run alone leaves the other parts' figures as they were."""
    before = results.content([Result("a", "what", 1, "1"), Result("b", "what", 1, "1")], {"cores": 1})
    after = results.merge(before, results.content([Result("b", "what", 2, "2")], {"cores": 2}))
    assert (after["a"], after["b"]) == (1, 2)
    assert after["rows"] == before["rows"] | {"b": {**before["rows"]["b"], "ours": "2", "result": "2"}}
    assert after["details"]["machine"] == {"cores": 2}


def test_quick_leaves_out_what_takes_long() -> None:
    """The short form runs parts that exist, and none that needs many clusters."""
    assert set(parts.QUICK_PARTS) == set(parts.PARTS) - {"server", "growth", "many", "large"}
    assert sizes.QUICK.renewals < sizes.FULL.renewals
