"""The timeline of an inventory's page: when each certificate expires, as SVG without scripts. Pure.

There is a row per certificate, the earliest expiry on top. A bar is its lifetime, the filled part the rest of
it; a notch is its renewal; a diamond is a copy with another expiry. Fills also differ by pattern, and each
row has its days as text, so that no colour has a meaning of its own.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from html import escape
from typing import NamedTuple

from tasks.domain import expiry
from tasks.domain.expiry import Level
from tasks.domain.text import printable, short_date
from tasks.inventory.model import InventoryReport, days_until

WIDTH, LABEL, RIGHT = 1000, 210, 180
"""Widths in units of the picture: of all, of the names on the left, and of the days on the right."""
ROW, AXIS, HISTOGRAM = 20, 26, 56
"""Heights in units of the picture: of a row, of the axis, and of the histogram."""
MAX_NAME = 30
"""Maximum length of a name, in characters."""
DAY = timedelta(days=1)
MAX_PAST, MAX_FUTURE = 100 * DAY, 400 * DAY
"""Time that the picture shows before and after today. Bars are cut off there; a later expiry has an arrow."""


LEVELS = {Level.FINE: "fine", Level.LATE: "due", Level.URGENT: "urgent"}


class Line(NamedTuple):
    """One row of the picture."""

    name: str
    not_before: datetime | None
    not_after: datetime
    others: tuple[tuple[datetime, str], ...]
    """The other expiries of copies, each with the places of the copies."""
    due: datetime | None = None
    """When cert-manager renews it; None if not_before is unknown."""


class Scale(NamedTuple):
    first: datetime
    last: datetime

    def x(self, moment: datetime) -> float:
        inside = min(max(moment, self.first), self.last)
        return round(LABEL + (inside - self.first) / (self.last - self.first) * (WIDTH - LABEL - RIGHT), 1)


def lines_of(report: InventoryReport) -> list[Line]:
    """Return the rows, the earliest expiry first. Without OPS's certificate, a row shows its copies."""
    certificates = report.snapshot.certificates
    lifetimes: dict[str, tuple[datetime | None, datetime]] = {
        one.ref.name: (one.version.not_before, one.version.not_after) for one in certificates
    }
    renewals = {one.ref.name: one.renewal for one in certificates}
    places: dict[str, dict[datetime, list[str]]] = {}
    for one in report.copies:
        if one.stored and one.stored.not_after:
            of_certificate = places.setdefault(one.certificate, {})
            of_certificate.setdefault(one.stored.not_after, []).append(f"{one.cluster}, {one.place}")
            lifetimes.setdefault(one.certificate, (one.stored.not_before, one.stored.not_after))
    found = []
    for name, (begin, end) in lifetimes.items():
        others = sorted((at, ", ".join(where)) for at, where in places.get(name, {}).items() if at != end)
        due = expiry.renewal_due(begin, end, renewals.get(name)) if begin else None
        found.append(Line(name, begin, end, tuple(others), due))
    return sorted(found, key=lambda line: (min([line.not_after, *(at for at, _ in line.others)]), line.name))


def scale_of(lines: list[Line], now: datetime) -> Scale:
    """Return a scale from the first notBefore to the last notAfter, with today in it."""
    begins = [line.not_before for line in lines if line.not_before]
    ends = [at for line in lines for at in (line.not_after, *(other for other, _ in line.others))]
    first = max(min([*begins, *ends, now - 7 * DAY]), now - MAX_PAST)
    last = min(max([*ends, now + 30 * DAY]), now + MAX_FUTURE)
    return Scale(first, last)


def level(line: Line, now: datetime) -> str:
    """Return `expired`, `urgent`, `due` or `fine`, by the rule that the report of a run has."""
    if line.not_after <= now:
        return "expired"
    if line.not_before is None:
        return "urgent" if line.not_after - now < expiry.URGENT else "fine"
    return LEVELS[expiry.level(line.not_before, line.not_after, line.due, now)]


def render(report: InventoryReport) -> str:
    """Return three pictures of one scale: the expiries per week, the months, the rows."""
    lines = lines_of(report)
    if not lines:
        return "<p>No certificate is known.</p>"
    scale = scale_of(lines, report.now)
    parts = [
        _picture(HISTOGRAM, "Expiries per week", _histogram(lines, scale, report.now)),
        '<div class="axis">',
        _picture(AXIS, "Months", _axis(scale, report.now)),
        "</div>",
        _picture(ROW * len(lines), "When each certificate expires", _rows(lines, scale, report.now)),
    ]
    return "\n".join(parts)


def _picture(height: int, title: str, body: Iterator[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">\n'
        + "\n".join(body)
        + "\n</svg>"
    )


PATTERNS = (
    '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform='
    '"rotate(45)"><rect width="5" height="5" class="due"/><rect width="2" height="5" class="paper"/>'
    '</pattern><pattern id="cross" width="4" height="4" patternUnits="userSpaceOnUse">'
    '<rect width="4" height="4" class="urgent"/><rect width="4" height="1" class="paper"/></pattern></defs>'
)


def _histogram(lines: list[Line], scale: Scale, now: datetime) -> Iterator[str]:
    base, max_height = HISTOGRAM - 4, HISTOGRAM - 20
    week = 7 * DAY
    counts = Counter(
        (line.not_after - now) // week for line in lines if scale.first <= line.not_after <= scale.last
    )
    most = max(counts.values(), default=1)
    yield f'<text x="0" y="{base}" class="quiet">expiries per week</text>'
    yield f'<line x1="{LABEL}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}" class="grid"/>'
    for number, count in sorted(counts.items()):
        begin = now + number * week
        left, right = scale.x(begin), scale.x(begin + week)
        height = round(max_height * count / most, 1)
        middle, width = round((left + right) / 2, 1), round(max(right - left - 2, 1), 1)
        title = f"{count} in the week from {short_date(begin)}"
        yield (
            f'<rect x="{left + 1:.1f}" y="{base - height:.1f}" width="{width}" height="{height}" class="bar">'
            f"<title>{title}</title></rect>"
            f'<text x="{middle}" y="{base - height - 3:.1f}" class="small middle">{count}</text>'
        )


def _axis(scale: Scale, now: datetime) -> Iterator[str]:
    today = scale.x(now)
    for month in _months(scale):
        at = scale.x(month)
        yield f'<line x1="{at}" x2="{at}" y1="18" y2="{AXIS}" class="grid"/>'
        if abs(at - today) > 45 and at < WIDTH - RIGHT - 20:
            text = f"{month:%b %Y}" if month.month == 1 else f"{month:%b}"
            yield f'<text x="{at}" y="14" class="quiet middle">{text}</text>'
    yield f'<line x1="{today}" x2="{today}" y1="17" y2="{AXIS}" class="today"/>'
    yield f'<text x="{today}" y="14" class="strong middle">today</text>'
    yield f'<text x="{WIDTH - RIGHT + 10}" y="14" class="quiet">left, until</text>'


def _months(scale: Scale) -> Iterator[datetime]:
    """Yield the first day of each month, or of every third month if there are many."""
    step = 3 if scale.last - scale.first > 300 * DAY else 1
    year, month = scale.first.year, scale.first.month
    while True:
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        at = scale.first.replace(year=year, month=month, day=1, hour=0, minute=0, second=0, microsecond=0)
        if at >= scale.last:
            return
        if (month - 1) % step == 0:
            yield at


def _rows(lines: list[Line], scale: Scale, now: datetime) -> Iterator[str]:
    height = ROW * len(lines)
    yield PATTERNS
    for number, line in enumerate(lines):
        yield f'<g transform="translate(0 {number * ROW})">'
        yield from _row(line, scale, now, "stripe" if number % 2 else "paper")
        yield "</g>"
    for month in _months(scale):
        yield f'<line x1="{scale.x(month)}" x2="{scale.x(month)}" y1="0" y2="{height}" class="month"/>'
    today = scale.x(now)
    yield f'<line x1="{today}" x2="{today}" y1="0" y2="{height}" class="today"/>'


def _row(line: Line, scale: Scale, now: datetime, ground: str) -> Iterator[str]:
    name, kind, days = printable(line.name), level(line, now), days_until(line.not_after, now) or 0
    begin, end, today = scale.x(line.not_before or line.not_after), scale.x(line.not_after), scale.x(now)
    due = line.due
    renewal = f", renewal due {short_date(due)}" if due else ""
    yield f"<title>{escape(name)}: until {short_date(line.not_after)}, {days} d{renewal}</title>"
    yield f'<rect width="{WIDTH}" height="{ROW}" class="{ground}"/>'
    label = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 13]}…{name[-12:]}"
    yield f'<text x="0" y="14">{escape(label)}</text>'
    yield f'<rect x="{begin}" y="5" width="{max(end - begin, 1):.1f}" height="10" rx="2" class="life"/>'
    if end > today:
        fill = {"due": ' fill="url(#hatch)"', "urgent": ' fill="url(#cross)"'}.get(kind, ' class="fine"')
        start = max(begin, today)
        yield f'<rect x="{start}" y="5" width="{max(end - start, 2):.1f}" height="10" rx="2"{fill}/>'
    if due and scale.first < due < scale.last:
        yield f'<path d="M{scale.x(due)} 3v14" class="notch"/>'
    if line.not_after > scale.last:
        yield f'<path d="M{end} 4l7 6l-7 6z" class="ink"/>'
    for at, where in line.others:
        title = f"{escape(printable(where))}: until {short_date(at)}"
        yield f'<path d="M{scale.x(at)} 3l6 7l-6 7l-6 -7z" class="diamond"><title>{title}</title></path>'
    sign = {"expired": "✗ ", "urgent": "‼ ", "due": "! "}.get(kind, "")
    first = min((at for at, _ in line.others), default=line.not_after)
    copy = f"◇ {days_until(first, now)} d / " if first < line.not_after else ""
    strong = ' class="strong"' if sign or copy else ""
    text = f"{copy}{sign}{days} d, {short_date(line.not_after)}"
    yield f'<text x="{WIDTH - RIGHT + 10}" y="14"{strong}>{text}</text>'
