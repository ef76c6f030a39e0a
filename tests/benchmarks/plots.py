"""Plots as SVG, both scales logarithmic, readable on a light and on a dark page. Pure."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 46, 54
GREY, BLUE, ORANGE = "#7d8590", "#3b82d6", "#d97b16"
STYLE = f'role="img" font-family="system-ui, sans-serif" font-size="13" fill="{GREY}"'
LABELS_APART = 18


@dataclass(frozen=True)
class Series:
    name: str
    points: tuple[tuple[float, float], ...]
    colour: str
    hollow: bool = False
    """Drawn with a thinner line."""


@dataclass(frozen=True)
class Plot:
    title: str
    across: str
    up: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Scale:
    """From values to pixels; both ends are given."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)


def draw(plot: Plot) -> str:
    """The dashed line is what it would cost if it grew as the work does, from the first point on."""
    dashed = _linear(plot.series[0])
    all_points = [point for one in plot.series for point in one.points] + list(dashed)
    across = Scale(min(x for x, _ in all_points), max(x for x, _ in all_points), LEFT + 14, WIDTH - RIGHT)
    lowest = 10 ** math.floor(math.log10(min(y for _, y in all_points)))
    up = Scale(lowest, max(y for _, y in all_points) * 1.2, HEIGHT - BOTTOM, TOP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {STYLE}>',
        f"<title>{escape(plot.title)}</title>",
        _text(LEFT, 22, plot.title, "start", "font-size='15' font-weight='600'"),
        *_grid(plot, across, up),
        _line(dashed, across, up, f'stroke="{GREY}" stroke-width="1.5" stroke-dasharray="6 5"'),
        *(part for one in plot.series for part in _drawn(one, across, up)),
        *_labels(plot.series, dashed, up),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _linear(series: Series) -> tuple[tuple[float, float], ...]:
    (x, y), (last, _) = series.points[0], series.points[-1]
    return (x, y), (last, y * last / x)


def _grid(plot: Plot, across: Scale, up: Scale) -> Iterator[str]:
    """A line for each power of ten upwards, and for each measured number across."""
    right = WIDTH - RIGHT
    for power in range(math.ceil(math.log10(up.low)), math.floor(math.log10(up.high)) + 1):
        y = up(10**power)
        yield f'<path d="M{LEFT} {y}H{right}" stroke="{GREY}" stroke-opacity="0.3"/>'
        yield _text(LEFT - 8, y + 4, f"{10**power:g}", "end")
    for value in sorted({x for one in plot.series for x, _ in one.points}):
        x = across(value)
        yield f'<path d="M{x} {TOP}V{HEIGHT - BOTTOM}" stroke="{GREY}" stroke-opacity="0.3"/>'
        yield _text(x, HEIGHT - BOTTOM + 18, f"{value:,g}", "middle")
    yield _text((LEFT + right) / 2, HEIGHT - 14, plot.across, "middle")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield _text(18, middle, plot.up, "middle", f"transform='rotate(-90 18 {middle:g})'")


def _drawn(series: Series, across: Scale, up: Scale) -> Iterator[str]:
    width = 1.5 if series.hollow else 2.5
    yield _line(series.points, across, up, f'stroke="{series.colour}" stroke-width="{width}"')
    for x, y in series.points:
        fill = "none" if series.hollow else series.colour
        yield (
            f'<circle cx="{across(x)}" cy="{up(y)}" r="4.5" fill="{fill}" stroke="{series.colour}"'
            f' stroke-width="1.5"><title>{escape(series.name)}: {y:g} s for {x:,g}</title></circle>'
        )


def _labels(series: Sequence[Series], dashed: tuple[tuple[float, float], ...], up: Scale) -> Iterator[str]:
    """Beside the end of each line, moved down where two would touch."""
    ends = [(up(one.points[-1][1]), f"{one.name}, {one.points[-1][1]:.3g} s", one.colour) for one in series]
    below = 0.0
    for end, name, colour in sorted([*ends, (up(dashed[-1][1]), "linear", GREY)]):
        below = max(end + 4, below + LABELS_APART)
        yield _text(WIDTH - RIGHT + 12, round(below, 1), name, "start", f"fill='{colour}'")


def _line(points: Iterable[tuple[float, float]], across: Scale, up: Scale, style: str) -> str:
    places = " ".join(f"{across(x)},{up(y)}" for x, y in points)
    return f'<polyline points="{places}" fill="none" {style}/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    more = more.replace("'", '"')
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {more}>{escape(text)}</text>'
