"""The timeline of a survey's page: when what ends, as SVG without script. Pure.

A row per certificate, the one that ends first on top: its life as a bar, what is left of it filled, a notch
where cert-manager renews it, a diamond for each copy that ends on another day. Colours are never
alone: fills differ by pattern, and each row says its days.
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
"""Units of the picture: in all, for the names, and for the days at the other side."""
ROW, AXIS, HISTOGRAM = 20, 26, 56
NAME_LENGTH = 30
DAY = timedelta(days=1)
MOST_BEFORE, MOST_AFTER = 100 * DAY, 400 * DAY
"""What lies further from today is cut off at the edge, and has an arrow."""


LEVELS = {Level.FINE: "fine", Level.LATE: "due", Level.URGENT: "urgent"}


class Line(NamedTuple):
    """One row."""

    name: str
    begin: datetime | None
    end: datetime
    others: tuple[tuple[datetime, str], ...]
    """Ends of copies that differ, each with where it is."""
    due: datetime | None = None
    """When cert-manager renews it; unknown where the beginning is."""


class Scale(NamedTuple):
    first: datetime
    last: datetime

    def x(self, moment: datetime) -> float:
        inside = min(max(moment, self.first), self.last)
        return round(LABEL + (inside - self.first) / (self.last - self.first) * (WIDTH - LABEL - RIGHT), 1)


def lines_of(survey: InventoryReport) -> list[Line]:
    """By their end. What OPS does not have, or can't be asked for, has the life of its copies alone."""
    lives: dict[str, tuple[datetime | None, datetime]] = {
        one.ref.name: (one.version.not_before, one.version.not_after) for one in survey.certificates
    }
    told = {one.ref.name: one.renewal for one in survey.certificates}
    ends: dict[str, dict[datetime, list[str]]] = {}
    for one in survey.placements:
        if one.held and one.held.not_after:
            ends.setdefault(one.certificate, {}).setdefault(one.held.not_after, []).append(
                f"{one.cluster}, {one.place}"
            )
            lives.setdefault(one.certificate, (one.held.not_before, one.held.not_after))
    found = []
    for name, (begin, end) in lives.items():
        differing = sorted((at, ", ".join(who)) for at, who in ends.get(name, {}).items() if at != end)
        due = expiry.renewal_due(begin, end, told.get(name)) if begin else None
        found.append(Line(name, begin, end, tuple(differing), due))
    return sorted(found, key=lambda line: (min([line.end, *(at for at, _ in line.others)]), line.name))


def scale_of(lines: list[Line], now: datetime) -> Scale:
    """From the first beginning to the last end, with today in it."""
    begins = [line.begin for line in lines if line.begin]
    ends = [at for line in lines for at in (line.end, *(other for other, _ in line.others))]
    first = max(min([*begins, *ends, now - 7 * DAY]), now - MOST_BEFORE)
    last = min(max([*ends, now + 30 * DAY]), now + MOST_AFTER)
    return Scale(first, last)


def level(line: Line, now: datetime) -> str:
    """`ended`, `urgent`, `due` or `fine`, as the report of a run has it."""
    if line.end <= now:
        return "ended"
    if line.begin is None:
        return "urgent" if line.end - now < expiry.URGENT else "fine"
    return LEVELS[expiry.level(line.begin, line.end, line.due, now)]


def render(survey: InventoryReport) -> str:
    """Three pictures of one scale: how many end in each week, the months, the rows."""
    lines = lines_of(survey)
    if not lines:
        return "<p>No certificate is known.</p>"
    scale = scale_of(lines, survey.now)
    parts = [
        _picture(HISTOGRAM, "Ends per week", _histogram(lines, scale, survey.now)),
        '<div class="axis">',
        _picture(AXIS, "Months", _axis(scale, survey.now)),
        "</div>",
        _picture(ROW * len(lines), "When each certificate ends", _rows(lines, scale, survey.now)),
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
    base, room = HISTOGRAM - 4, HISTOGRAM - 20
    week = 7 * DAY
    counts = Counter((line.end - now) // week for line in lines if scale.first <= line.end <= scale.last)
    most = max(counts.values(), default=1)
    yield f'<text x="0" y="{base}" class="quiet">ends per week</text>'
    yield f'<line x1="{LABEL}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}" class="grid"/>'
    for number, count in sorted(counts.items()):
        begin = now + number * week
        left, right = scale.x(begin), scale.x(begin + week)
        height = round(room * count / most, 1)
        middle, width = round((left + right) / 2, 1), round(max(right - left - 2, 1), 1)
        told = f"{count} from {short_date(begin)} on"
        yield (
            f'<rect x="{left + 1:.1f}" y="{base - height:.1f}" width="{width}" height="{height}" class="bar">'
            f"<title>{told}</title></rect>"
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
    """The first of each month; of every third where there are many."""
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
    name, kind, days = printable(line.name), level(line, now), days_until(line.end, now) or 0
    begin, end, today = scale.x(line.begin or line.end), scale.x(line.end), scale.x(now)
    due = line.due
    renewal = f", renewal due {short_date(due)}" if due else ""
    yield f"<title>{escape(name)}: until {short_date(line.end)}, {days} d{renewal}</title>"
    yield f'<rect width="{WIDTH}" height="{ROW}" class="{ground}"/>'
    label = name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 13]}…{name[-12:]}"
    yield f'<text x="0" y="14">{escape(label)}</text>'
    yield f'<rect x="{begin}" y="5" width="{max(end - begin, 1):.1f}" height="10" rx="2" class="life"/>'
    if end > today:
        fill = {"due": ' fill="url(#hatch)"', "urgent": ' fill="url(#cross)"'}.get(kind, ' class="fine"')
        start = max(begin, today)
        yield f'<rect x="{start}" y="5" width="{max(end - start, 2):.1f}" height="10" rx="2"{fill}/>'
    if due and scale.first < due < scale.last:
        yield f'<path d="M{scale.x(due)} 3v14" class="notch"/>'
    if line.end > scale.last:
        yield f'<path d="M{end} 4l7 6l-7 6z" class="ink"/>'
    for at, who in line.others:
        where = f"{escape(printable(who))}: until {short_date(at)}"
        yield f'<path d="M{scale.x(at)} 3l6 7l-6 7l-6 -7z" class="diamond"><title>{where}</title></path>'
    sign = {"ended": "✗ ", "urgent": "‼ ", "due": "! "}.get(kind, "")
    first = min((at for at, _ in line.others), default=line.end)
    copy = f"◇ {days_until(first, now)} d / " if first < line.end else ""
    strong = ' class="strong"' if sign or copy else ""
    told = f"{copy}{sign}{days} d, {short_date(line.end)}"
    yield f'<text x="{WIDTH - RIGHT + 10}" y="14"{strong}>{told}</text>'
