"""The two plots of docs/performance.md as SVG, both scales logarithmic. Pure."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 84, 570, 46, 346
GREY, BLUE, ORANGE = "#7d8590", "#3b82d6", "#d97b16"
LINES = (
    ("first_sync_seconds", "first sync, wall", BLUE, 2.5),
    ("first_sync_cpu_seconds", "first sync, CPU", BLUE, 1.2),
    ("unchanged_seconds", "unchanged, wall", ORANGE, 2.5),
    ("unchanged_cpu_seconds", "unchanged, CPU", ORANGE, 1.2),
)
"""Key of a point, label, colour, width of the line."""

Pixels = Sequence[tuple[float, float]]


def draw(points: Sequence[dict[str, Any]], over: str, title: str) -> str:
    """One line per cost, and a dashed one for a cost that grows linearly from the first point on."""
    sizes, (key, *_) = [point[over] for point in points], LINES[0]
    linear = [points[0][key] * size / sizes[0] for size in sizes]
    costs = [*linear, *(point[key] for point in points for key, *_ in LINES)]
    low, high = 10 ** math.floor(math.log10(min(costs))), max(costs) * 1.2

    def x(size: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0]), 1)

    def y(cost: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * math.log(cost / low) / math.log(high / low), 1)

    decades = [10.0**power for power in range(round(math.log10(low)), math.ceil(math.log10(high)))]
    lines = {label: ([point[key] for point in points], colour, width) for key, label, colour, width in LINES}
    parts = [
        _text(LEFT, 22, title, "start", 'font-weight="600"'),
        _text((LEFT + RIGHT) / 2, HEIGHT - 14, over, "middle"),
        _text(20, TOP - 4, "seconds", "start"),
        *(f'<path d="M{LEFT} {y(cost)}H{RIGHT}" stroke="{GREY}" stroke-opacity="0.3"/>' for cost in decades),
        *(_text(LEFT - 8, y(cost) + 4, f"{cost:g}", "end") for cost in decades),
        *(f'<path d="M{x(n)} {TOP}V{BOTTOM}" stroke="{GREY}" stroke-opacity="0.3"/>' for n in sizes),
        *(_text(x(size), BOTTOM + 18, f"{size:,}", "middle") for size in sizes),
        _line([(x(size), y(cost)) for size, cost in zip(sizes, linear, strict=True)], GREY, 1.5, "6 5"),
    ]
    labels = [(y(linear[-1]), "linear", GREY)]
    for label, (values, colour, width) in lines.items():
        parts.append(_line([(x(n), y(cost)) for n, cost in zip(sizes, values, strict=True)], colour, width))
        labels.append((y(values[-1]), f"{label}, {values[-1]:.3g} s", colour))
    return "\n".join([_head(title), *parts, *_beside(labels), "</svg>"]) + "\n"


def _head(title: str) -> str:
    style = f'role="img" font-family="system-ui, sans-serif" font-size="13" fill="{GREY}"'
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n<title>{escape(title)}</title>'


def _beside(labels: Iterable[tuple[float, str, str]]) -> Iterable[str]:
    """At the ends of the lines, 18 pixels apart at least."""
    below = 0.0
    for end, label, colour in sorted(labels):
        below = max(end + 4, below + 18)
        yield _text(RIGHT + 12, round(below, 1), label, "start", f'fill="{colour}"')


def _line(pixels: Pixels, colour: str, width: float, dashes: str = "none") -> str:
    places = " ".join(f"{x},{y}" for x, y in pixels)
    style = f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}"'
    return f'<polyline points="{places}" fill="none" {style}/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {more}>{escape(text)}</text>'
