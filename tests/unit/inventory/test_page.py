"""The inventory's page as a text: one file that needs nothing else. In a browser: tests/e2e."""

import hashlib
import re
from base64 import b64encode
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from tasks.inventory import page as survey_page
from tasks.inventory import timeline
from tasks.inventory.model import Content, InventoryReport, Status
from tests.support import factories
from tests.support.factories import NOW
from tests.support.inventory_example import example, placement

HOSTILE = "</title></style><script>alert(1)</script><img src=http://evil.example/x onerror=y>\"'&"
VOID = {"meta", "rect", "line", "path"}


class Reader(HTMLParser):
    """Tags with attributes, and whether each one is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def hostile() -> InventoryReport:
    one = factories.certificate(HOSTILE)
    row = placement(one, HOSTILE, Status.REFUSED, namespace=HOSTILE, detail=HOSTILE)
    return example(3).model_copy(
        update={"placements": (row,), "certificates": (one,), "warnings": (HOSTILE,)}
    )


@pytest.mark.parametrize(
    "survey", [example(10), hostile(), InventoryReport(now=NOW)], ids=["usual", "hostile", "empty"]
)
def test_the_page_needs_and_runs_nothing(survey: InventoryReport) -> None:
    """No script, no handler, no address but its own sections, all tags closed, and the style allowed."""
    page = survey_page.render(survey)
    reader = Reader(page)
    assert reader.open == []
    names = {name for name, _ in reader.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "embed", "base", "form", "image", "use"}
    for _, attributes in reader.tags:
        assert not any(key.startswith("on") or key in ("src", "style", "srcset") for key in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert len(style) == 1
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    digest = b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page


def rows(survey: InventoryReport) -> list[str]:
    return [line.name for line in timeline.lines_of(survey)]


def test_what_ends_first_stands_on_top() -> None:
    """By the certificate's end or, where a copy ends earlier, by that one's."""
    late, soon = factories.certificate("late-tls", age=1), factories.certificate("soon-tls", age=80)
    survey = InventoryReport(now=NOW, certificates=(late, soon))
    assert rows(survey) == ["soon-tls", "late-tls"]
    stale = placement(late, "dev", Status.STALE).model_copy(
        update={"held": Content(fingerprint="x", not_after=NOW + timedelta(days=1))}
    )
    assert rows(survey.model_copy(update={"placements": (stale,)})) == ["late-tls", "soon-tls"]


def test_a_copy_without_a_source_has_a_row() -> None:
    """What OPS does not have any more, or can't be asked for, ends all the same."""
    gone = placement(factories.certificate("gone-tls"), "dev", Status.ORPHANED)
    assert rows(InventoryReport(now=NOW, placements=(gone,))) == ["gone-tls"]


@pytest.mark.parametrize(
    ("age", "life", "expected"),
    [
        (10, 90, "fine"),
        (62, 90, "fine"),
        (64, 90, "due"),
        (84, 90, "urgent"),
        (91, 90, "ended"),
        (0, 6, "fine"),
        (4.3, 6, "due"),
        (5.1, 6, "urgent"),
    ],
)
def test_a_row_has_a_level(age: float, life: float, expected: str) -> None:
    """As in the report of a run: late, urgent, past; one of six days is fine while it is fresh."""
    one = factories.certificate(age=age, life=life)
    (line,) = timeline.lines_of(InventoryReport(now=NOW, certificates=(one,)))
    assert timeline.level(line, NOW) == expected


def test_the_notch_is_when_cert_manager_renews() -> None:
    """As its Certificate tells, also where that is far from two thirds of the life, and so is the level."""
    one = factories.certificate(age=80, life=90, renewal=NOW + timedelta(days=2))
    survey = InventoryReport(now=NOW, certificates=(one,))
    (line,) = timeline.lines_of(survey)
    assert timeline.level(line, NOW) == "fine"
    assert "until 2026-03-11, 10 d, renewal due 2026-03-03" in timeline.render(survey)


@pytest.mark.parametrize(
    ("age", "life"),
    [(3000, 10), (1, 4000), (0, 0.001), (3000, 6000)],
    ids=["long ago", "far", "short", "both"],
)
def test_what_lies_far_away_is_cut_off_at_the_edge(age: float, life: float) -> None:
    """One authority of ten years does not press ninety days into a line; nothing leaves the picture."""
    survey = example(3)
    odd = factories.certificate("odd-tls", age=age, life=life)
    survey = survey.model_copy(update={"certificates": (*survey.certificates, odd)})
    picture = timeline.render(survey)
    scale = timeline.scale_of(timeline.lines_of(survey), NOW)
    assert scale.last - scale.first <= timeline.MOST_BEFORE + timeline.MOST_AFTER
    edges: list[Any] = re.findall(r' x="([-\d.]+)" y="[\d.]+" width="([-\d.]+)"', picture)
    assert edges
    for x, width in edges:
        assert 0 <= float(x) <= timeline.WIDTH
        assert float(width) > 0
        assert float(x) + float(width) <= timeline.WIDTH
    assert "odd-tls" in picture
