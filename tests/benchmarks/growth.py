"""What ten times the work costs.

The factor of a step is the cost after it, divided by the cost before. A step that is not tenfold, as in the
tests, is extrapolated to tenfold along the line through both points on logarithmic scales.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.benchmarks.results import Result

LINEAR, WORST = 10, 12
"""The factor of a cost that grows as the work, and the most that CPU may have."""
COSTS = ("first_sync_seconds", "first_sync_cpu_seconds", "unchanged_seconds", "unchanged_cpu_seconds")

Point = Mapping[str, float]


def factors(points: Sequence[Point], over: str, key: str) -> list[float]:
    """Of each step."""
    return [_tenfold(before, after, over, key) for before, after in pairwise(points)]


def marginal(points: Sequence[Point], over: str, key: str) -> list[float]:
    """Seconds for one more, within each step: without the start, which every run pays."""
    return [round((b[key] - a[key]) / (b[over] - a[over]), 6) for a, b in pairwise(points)]


def grown(key: str, over: str, points: Sequence[Point], extra: dict[str, Any]) -> Result:
    """The worst factor of all costs and steps."""
    found = {cost: factors(points, over, cost) for cost in COSTS}
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
            "one_more_seconds": {cost: marginal(points, over, cost) for cost in COSTS},
            **extra,
        },
    )


def worst_cpu(results: Sequence[Result]) -> Result:
    """The worst CPU factor of all of these, since wall time says more of the machine than of the program."""
    steps = [
        (factor, result.key.removeprefix("growth_"), cost)
        for result in results
        for cost, factors in result.details["factors"].items()
        if "cpu" in cost
        for factor in factors
    ]
    worst, over, cost = max(steps)
    return Result(
        key="growth_worst",
        what="10 times the certificates, or clusters: CPU dearer by, at worst",
        value=worst,
        unit="x",
        ours=f"{over}, {cost.removesuffix('_cpu_seconds').replace('_', ' ')}",
        demand=f"at most {WORST}x",
        met=worst <= WORST,
    )


def _tenfold(before: Point, after: Point, over: str, key: str) -> float:
    """0 where a cost was too small to be measured."""
    if before[key] <= 0 or after[key] <= 0:
        return 0.0
    slope = math.log(after[key] / before[key]) / math.log(after[over] / before[over])
    return round(10**slope, 2)
