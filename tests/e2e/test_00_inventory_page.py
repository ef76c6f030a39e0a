"""The inventory's page in a real browser. Needs Chromium; the picture is in docs/images/."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.domain.models import Certificate
from tasks.inventory import page as inventory_page
from tasks.inventory.model import InventoryReport, Status
from tests.e2e.browser import HEIGHT, WIDTH, Browser, browser
from tests.support import factories
from tests.support.inventory_example import copy_state, example

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    '"><svg onload="document.title=\'owned\'">',
    "</style></title><a href=\"javascript:document.title='owned'\">x</a>",
    "\u202etls-\x1b[31m\u2028x",
    "long-" * 50,
)
OVERLAPS = """(() => {
  const boxes = [...document.querySelectorAll('#timeline svg')].map(svg => [...svg.querySelectorAll('text')]
    .map(one => [one.textContent, one.getBoundingClientRect()]));
  const found = [];
  for (const some of boxes) for (let i = 0; i < some.length; i++) for (let j = i + 1; j < some.length; j++) {
    const [a, one] = some[i], [b, other] = some[j];
    if (one.left < other.right && other.left < one.right && one.top + 2 < other.bottom - 2
        && other.top + 2 < one.bottom - 2) found.push(a + ' / ' + b);
  }
  return found.slice(0, 5);
})()"""
CUT_OFF = """[...document.querySelectorAll('#timeline svg')].flatMap(svg => {
  const edge = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(one => one.getBoundingClientRect().right > edge.right + 1
    || one.getBoundingClientRect().left < edge.left - 1).map(one => one.textContent);
}).slice(0, 5)"""
CONTRAST = """(() => {
  const light = colour => { const [r, g, b] = colour.match(/[0-9.]+/g).map(Number).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const least = [...document.querySelectorAll('h1, p, li, small, td, th, a, svg text')].map(one => {
    const style = getComputedStyle(one);
    const ink = light(one instanceof SVGElement ? style.fill : style.color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05); });
  return Math.min(...least);
})()"""


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    """A missing browser fails on CI; elsewhere it skips and says how to get it."""
    if not os.environ.get("CI") and not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no browser can be had: install Debian's packages chromium and chromium-driver")
    with browser() as found:
        yield found


@pytest.fixture(autouse=True)
def plain(page: Browser) -> None:
    page.pretend()
    page.resize(WIDTH)


def show(page: Browser, folder: Path, report: InventoryReport) -> None:
    file = folder / "inventory.html"
    file.write_text(inventory_page.render(report), encoding="utf-8")
    page.open(file.as_uri())


def hostile() -> InventoryReport:
    """Return names that no API server accepts, as another source might have them."""
    certificates: list[Certificate] = [
        factories.certificate(text, issuer=text, dns_names=(text,)) for text in HOSTILE
    ]
    rows = [
        copy_state(one, "dev", status, namespace=one.ref.name, detail=one.ref.name)
        for one in certificates
        for status in (Status.REFUSED, Status.STALE)
    ]
    snapshot = factories.snapshot(*certificates, warnings=HOSTILE)
    return example(3).model_copy(update={"copies": tuple(rows), "snapshot": snapshot})


@pytest.mark.parametrize("count", [1, 10, 300])
def test_the_timeline_is_readable(page: Browser, tmp_path: Path, count: int) -> None:
    """Every certificate has its row with name and days; no text covers another or is cut off."""
    one_certificate = InventoryReport(now=factories.NOW, snapshot=factories.snapshot(factories.certificate()))
    report = example(count) if count > 1 else one_certificate
    show(page, tmp_path, report)
    rows = page.evaluate("[...document.querySelectorAll('#timeline svg g')].map(g => g.textContent.trim())")
    assert len(rows) == count
    for one in report.snapshot.certificates:
        (row,) = [row for row in rows if row.startswith(f"{one.ref.name}:")]
        assert f"{one.version.days_left(report.now)} d, {one.version.not_after:%Y-%m-%d}" in row
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(CUT_OFF) == []
    heights = (
        "[...document.querySelectorAll('#timeline svg g text')].map(t => t.getBoundingClientRect().height)"
    )
    assert page.evaluate(f"Math.min(...{heights})") >= 12
    assert "today" in page.text


def test_the_months_stay_in_sight(page: Browser, tmp_path: Path) -> None:
    """The axis is visible however far one has scrolled in a long timeline."""
    show(page, tmp_path, example(300))
    page.evaluate("window.scrollTo(0, 3000)")
    assert page.evaluate("Math.round(document.querySelector('.axis').getBoundingClientRect().top)") == 0


def test_what_is_wrong_is_on_the_page(page: Browser, tmp_path: Path) -> None:
    """The page has verdict, statuses, remedies, served certificates, and rows that need no colour."""
    report = example(10)
    show(page, tmp_path, report)
    text = page.await_text("To look at", "Expiries", "Certificates and clusters", "All copies")
    for words in (
        "15 of 32 copies not in sync",
        "OwnedByOther: a Secret of that name exists",
        "an older certificate: the server has not loaded the stored one",
        "prd: Unreachable",
        *(f"{status}" for status in Status),
    ):
        assert words in text
    assert page.evaluate("document.querySelectorAll('#copies tbody tr').length") == len(report.copies)
    assert page.evaluate("document.querySelectorAll('#matrix tbody tr').length") == 10


def test_no_name_gets_to_be_more_than_text(page: Browser, tmp_path: Path) -> None:
    """Markup in names, namespaces, issuers and warnings is shown, and does nothing."""
    show(page, tmp_path, hostile())
    assert page.evaluate("document.title") == "tls-sync inventory, 2026-03-01"
    assert (
        page.evaluate("document.querySelectorAll('script, img, iframe, object, [onload], [onerror]').length")
        == 0
    )
    assert (
        page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href')[0])") == ["#"] * 3
    )
    assert HOSTILE[0] in page.text
    assert "\u202e" not in page.evaluate("document.documentElement.innerHTML")
    assert page.evaluate(OVERLAPS) == []


def test_the_browser_would_run_and_load_nothing(page: Browser, tmp_path: Path) -> None:
    """The page's policy would stop markup that came from text, and the page loads nothing."""
    show(page, tmp_path, example(10))
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0
    file = tmp_path / "inventory.html"
    added = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    file.write_text(file.read_text().replace("<main>", f"<main>{added}"))
    page.open(file.as_uri())
    page.await_text("To look at")
    assert page.evaluate("document.title") == "tls-sync inventory, 2026-03-01"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(page: Browser, tmp_path: Path, scheme: str) -> None:
    """Contrast is at least 4.5 to 1 (WCAG AA), in both colour schemes."""
    page.pretend(prefers_color_scheme=scheme)
    show(page, tmp_path, example(10))
    assert page.evaluate(CONTRAST) >= 4.5
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]


@pytest.mark.parametrize("width", [400, 800, 1500])
def test_no_window_is_too_narrow(page: Browser, tmp_path: Path, width: int) -> None:
    """Wide tables scroll by themselves, with the keyboard, too; the page does not."""
    page.resize(width)
    show(page, tmp_path, example(10))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    focusable = (
        "[...document.querySelectorAll('.chart, .wide')].every(one => one.tabIndex === 0 && one.ariaLabel)"
    )
    assert page.evaluate(focusable)


def test_it_can_be_printed(page: Browser, tmp_path: Path) -> None:
    """On paper there is no box that scrolls, and no row is missing."""
    page.pretend("print")
    show(page, tmp_path, example(300))
    boxes = "[...document.querySelectorAll('.chart, .wide')]"
    assert page.evaluate(f"{boxes}.every(one => getComputedStyle(one).overflowX === 'visible')")
    assert page.pages_printed().startswith(b"%PDF-")


def test_the_picture_of_the_guide(page: Browser, tmp_path: Path) -> None:
    """The picture docs/images/inventory.png can be renewed, into $TLS_SYNC_SCREENSHOTS."""
    folder = Path(os.environ.get("TLS_SYNC_SCREENSHOTS") or tmp_path)
    page.resize(1200, HEIGHT - 140)
    show(page, tmp_path, example(10))
    page.evaluate("document.querySelector('#timeline').scrollIntoView()")
    assert page.screenshot(folder / "inventory.png").startswith(b"\x89PNG")
