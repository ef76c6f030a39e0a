"""The inventory's HTML page: one file without scripts or requests. tests/e2e has it in a browser."""

import hashlib
import re
from base64 import b64encode
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from tasks.inventory import page, timeline
from tasks.inventory.model import Content, InventoryReport, Status
from tests.support import factories
from tests.support.factories import NOW
from tests.support.inventory_example import copy_state, example

HOSTILE = "</title></style><script>alert(1)</script><img src=http://evil.example/x onerror=y>\"'&"
VOID = {"meta", "rect", "line", "path"}


class Reader(HTMLParser):
    """Collects the tags with their attributes, and checks that each one is closed."""

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
    copy = copy_state(one, HOSTILE, Status.REFUSED, namespace=HOSTILE, detail=HOSTILE)
    snapshot = factories.snapshot(one, warnings=(HOSTILE,))
    return example(3).model_copy(update={"copies": (copy,), "snapshot": snapshot})


@pytest.mark.parametrize(
    "report", [example(10), hostile(), InventoryReport(now=NOW)], ids=["usual", "hostile", "empty"]
)
def test_the_page_loads_and_runs_nothing(report: InventoryReport) -> None:
    """The page has no script, handler, external link or open tag; its policy allows its own style."""
    html = page.render(report)
    reader = Reader(html)
    assert reader.open == []
    names = {name for name, _ in reader.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "embed", "base", "form", "image", "use"}
    for _, attributes in reader.tags:
        assert not any(key.startswith("on") or key in ("src", "style", "srcset") for key in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert len(style) == 1
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    digest = b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in html


def rows(report: InventoryReport) -> list[str]:
    return [line.name for line in timeline.lines_of(report)]


def test_the_earliest_expiry_is_on_top() -> None:
    """Rows are sorted by the certificate's expiry or, if it is earlier, that of a copy."""
    late, soon = factories.certificate("late-tls", age=1), factories.certificate("soon-tls", age=80)
    report = InventoryReport(now=NOW, snapshot=factories.snapshot(late, soon))
    assert rows(report) == ["soon-tls", "late-tls"]
    stale = copy_state(late, "dev", Status.STALE).model_copy(
        update={"stored": Content(fingerprint="x", not_after=NOW + timedelta(days=1))}
    )
    assert rows(report.model_copy(update={"copies": (stale,)})) == ["late-tls", "soon-tls"]


def test_a_copy_without_a_source_has_a_row() -> None:
    """A certificate that OPS no longer has, or that can't be read, has the expiry of its copies."""
    gone = copy_state(factories.certificate("gone-tls"), "dev", Status.ORPHANED)
    assert rows(InventoryReport(now=NOW, copies=(gone,))) == ["gone-tls"]


@pytest.mark.parametrize(
    ("age", "life", "expected"),
    [
        (10, 90, "fine"),
        (62, 90, "fine"),
        (64, 90, "due"),
        (84, 90, "urgent"),
        (91, 90, "expired"),
        (0, 6, "fine"),
        (4.3, 6, "due"),
        (5.1, 6, "urgent"),
    ],
)
def test_a_row_has_a_level(age: float, life: float, expected: str) -> None:
    """The level is that of a run's report, or expired; it depends on the lifetime of the certificate."""
    one = factories.certificate(age=age, life=life)
    (line,) = timeline.lines_of(InventoryReport(now=NOW, snapshot=factories.snapshot(one)))
    assert timeline.level(line, NOW) == expected


def test_the_notch_is_the_renewal_time() -> None:
    """Notch and level go by the Certificate's renewalTime, not by two thirds of the lifetime."""
    one = factories.certificate(age=80, life=90, renewal=NOW + timedelta(days=2))
    report = InventoryReport(now=NOW, snapshot=factories.snapshot(one))
    (line,) = timeline.lines_of(report)
    assert timeline.level(line, NOW) == "fine"
    assert "until 2026-03-11, 10 d, renewal due 2026-03-03" in timeline.render(report)


@pytest.mark.parametrize(
    ("age", "life"),
    [(3000, 10), (1, 4000), (0, 0.001), (3000, 6000)],
    ids=["long ago", "far", "short", "both"],
)
def test_dates_far_away_are_cut_off_at_the_edge(age: float, life: float) -> None:
    """A certificate of ten years does not change the scale for the others; no bar leaves the picture."""
    report = example(3)
    odd = factories.certificate("odd-tls", age=age, life=life)
    snapshot = factories.snapshot(*report.snapshot.certificates, odd)
    report = report.model_copy(update={"snapshot": snapshot})
    picture = timeline.render(report)
    scale = timeline.scale_of(timeline.lines_of(report), NOW)
    assert scale.last - scale.first <= timeline.MAX_PAST + timeline.MAX_FUTURE
    edges: list[Any] = re.findall(r' x="([-\d.]+)" y="[\d.]+" width="([-\d.]+)"', picture)
    assert edges
    for x, width in edges:
        assert 0 <= float(x) <= timeline.WIDTH
        assert float(width) > 0
        assert float(x) + float(width) <= timeline.WIDTH
    assert "odd-tls" in picture
