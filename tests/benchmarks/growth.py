"""What ten times the work costs: certificates, and clusters.

The factor of a step is what a thing costs after it, by what it cost before. Where a step is not tenfold, as
in the tests, it is brought to tenfold on the line through both points where both scales are logarithmic.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.benchmarks.results import Result

LINEAR = 10
"""Times dearer, at ten times the work."""

Point = Mapping[str, float]


def factors(points: Sequence[Point], over: str, keys: Sequence[str]) -> dict[str, list[float]]:
    """Of each key, how many times dearer it is after each step."""
    return {key: [_tenfold(*pair, over, key) for pair in _pairs(points)] for key in keys}


def marginal(points: Sequence[Point], over: str, key: str) -> list[float]:
    """What one more costs within each step: a start that every run pays is not in it."""
    return [round((b[key] - a[key]) / (b[over] - a[over]), 6) for a, b in _pairs(points)]


def grown(key: str, over: str, points: Sequence[Point], keys: Sequence[str], extra: dict[str, Any]) -> Result:
    """The worst factor of all keys and steps."""
    found = factors(points, over, keys)
    worst, where, step = max((f, one, step) for one, steps in found.items() for step, f in enumerate(steps))
    before, after = points[step : step + 2]
    return Result(
        key=key,
        what=f"10 times the {over}: dearer by, at worst ({where.replace('_', ' ')})",
        value=worst,
        unit="x",
        ours=f"{after[where]:.2f} s for {after[over]:g}",
        other=f"{before[where]:.2f} s for {before[over]:g}",
        demand=f"at most {LINEAR}x",
        met=worst <= LINEAR,
        details={
            "points": [dict(point) for point in points],
            "factors": found,
            "one_more_seconds": {one: marginal(points, over, one) for one in keys},
            **extra,
        },
    )


def _pairs(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    return list(pairwise(points))


def _tenfold(before: Point, after: Point, over: str, key: str) -> float:
    """0 where it was too little to be measured."""
    if not before[key] or not after[key]:
        return 0.0
    slope = math.log(after[key] / before[key]) / math.log(after[over] / before[over])
    return round(10**slope, 2)
