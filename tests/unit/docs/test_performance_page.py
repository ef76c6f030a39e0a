"""docs/performance.md, its plots and the numbers behind them say the same; and what growth means."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks import choices, figures, growth, page, parts, results, sizes
from tests.benchmarks.results import Result

MEASURED = results.read(page.NUMBERS)
TEXT = page.PAGE.read_text()


def test_the_page_says_what_was_measured() -> None:
    """Every table and sentence with numbers is what the committed measurement makes of it."""
    assert page.filled(TEXT, MEASURED) == TEXT


CHOSEN: dict[str, Any] = {
    "lists_compressed": 9.0,
    "one_seat_refusals": 3,
    "details": {
        "lists_compressed": {
            "copies": 1000,
            "gzip": dict.fromkeys(("seconds", "own_cpu_seconds", "servers_cpu_seconds"), 0.2)
            | {"bytes": 1024},
            "identity": dict.fromkeys(("seconds", "own_cpu_seconds", "servers_cpu_seconds"), 0.1)
            | {"bytes": 9216},
        },
        **{
            f"threads_{one}": {
                "seconds": {"1x1": 8.0, "1x4": 4.0, "16x1": 3.0, "16x4": 2.0},
                "in_use": "16x4",
                "clusters": 32,
                "black_holes": 4,
                "black_holes_seconds": {"1x4": 13.0, "16x4": 3.5},
            }
            for one in ("first_sync", "unchanged")
        },
        "one_seat_refusals": {
            "copies": 100,
            "seconds": 2.5,
            "seconds_with_all_seats": 0.7,
            "requests": 107,
            "too_early": 0,
            "others_answers": 99,
        },
    },
}


def test_what_was_chosen_is_told_once_it_was_measured() -> None:
    """Without its part of the benchmarks the page says so; with it, every choice stands beside the others."""
    assert choices.choices({"details": {}}).startswith("Not measured yet")
    told = choices.choices(CHOSEN)
    assert "| gzip | 1 KiB | 0.20 s | 0.20 s | 0.20 s |" in told
    assert "| 1 | 8.00 s (4.00x) | 4.00 s (2.00x) |\n| 16 | 3.00 s (1.50x) | 2.00 s (1.00x) |" in told
    assert "13.0 s with 1, 3.5 s with 16" in told
    assert "3 of 107 requests were refused" in told
    assert max(len(line) for line in told.splitlines() if line[0:1] != "|") <= 110


@pytest.mark.parametrize("name", figures.plots(MEASURED))
def test_the_plots_show_what_was_measured(name: str) -> None:
    """Each plot is what the committed measurement makes of it, is shown, and is well-formed."""
    image = (page.IMAGES / name).read_text()
    assert image == figures.plots(MEASURED)[name]
    assert f"](images/{name})" in TEXT
    ET.fromstring(image)


def test_every_block_has_its_place() -> None:
    """Each kind of block that can be made stands in the page once, and no other."""
    assert sorted(re.findall(r"<!-- measured: (\w+) -->", TEXT)) == sorted(figures.BLOCKS)


def test_the_page_is_easy_to_read_in_a_terminal() -> None:
    """No line but a table's or a picture's is longer than 110 characters."""
    assert [line for line in TEXT.splitlines() if len(line) > 110 and line[0] not in "|!"] == []


def test_every_link_of_the_page_leads_somewhere() -> None:
    """A relative link names a file that exists."""
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    assert len(links) > 3
    assert [link for link in links if not (page.DOCS / link).is_file()] == []


def test_ten_times_dearer_is_linear() -> None:
    """A cost that grows as the work has factor 10, one that stays has 1, whatever the steps are."""
    points = [{"n": 1, "grows": 0.2, "stays": 5.0}, {"n": 3, "grows": 0.6, "stays": 5.0}]
    assert growth.factors(points, "n", ("grows", "stays")) == {"grows": [10.0], "stays": [1.0]}
    assert growth.marginal(points, "n", "grows") == [0.2]


def test_growth_is_judged_by_its_worst_step() -> None:
    """One step of one cost that is dearer than linear is enough for the demand not to be met."""
    points = [{"n": 10, "a": 1, "b": 1}, {"n": 100, "a": 11, "b": 2}, {"n": 1000, "a": 12, "b": 3}]
    result = growth.grown("growth", "n", points, ("a", "b"), {})
    assert result.value == 11
    assert result.met is False


def test_what_is_measured_anew_replaces_only_itself() -> None:
    """A part that is run alone leaves the other parts' numbers as they were."""
    old = [Result("a", "what", 1, "1"), Result("b", "what", 1, "1")]
    before = results.merged(old, {"cores": 1}, {})
    after = results.merged([Result("b", "what", 2, "2")], {"cores": 2}, before)
    assert (after["a"], after["b"]) == (1, 2)
    assert after["rows"]["a"] == before["rows"]["a"]
    assert after["details"]["machine"] == {"cores": 2}


def test_quick_leaves_out_what_takes_long() -> None:
    """The short form runs parts that exist, and neither growth nor the large world."""
    assert set(parts.QUICK_PARTS) == set(parts.PARTS) - {"growth", "large"}
    assert sizes.QUICK.renewals < sizes.FULL.renewals


def test_the_numbers_are_a_file_of_the_repository() -> None:
    """They lie beside the page, as bench.json itself is not committed."""
    assert page.NUMBERS.parent == Path(page.PAGE).parent
    assert page.LATEST.name in (page.DOCS.parent / ".gitignore").read_text().splitlines()
