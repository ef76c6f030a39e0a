"""What was measured in rounds, against a demand: yes, no, or can't tell. Pure.

The median of the rounds is judged. Where a quarter of the rounds or more say otherwise than the median, the
demand can't be told from noise.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.benchmarks.results import Result
from tests.benchmarks.usage import Cost, middle

DISSENT = 0.25
"""The share of the rounds that makes a verdict uncertain."""


def is_uncertain(met: bool, rounds: Iterable[bool]) -> bool:
    """Whether too many rounds say otherwise; `rounds` has, of each, whether it meets the demand."""
    against = [one != met for one in rounds]
    return any(against) and sum(against) >= DISSENT * len(against)


@dataclass(frozen=True)
class Pair:
    """Seconds of two parties, in the order of the rounds."""

    ours: Sequence[float]
    other: Sequence[float]

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return round(statistics.median(self.ours) / statistics.median(self.other), 2)

    @property
    def ratios(self) -> list[float]:
        """Of each round."""
        return [round(ours / other, 3) for ours, other in zip(self.ours, self.other, strict=True)]

    @property
    def details(self) -> dict[str, Any]:
        return {
            "ours_seconds": _rounded(self.ours),
            "other_seconds": _rounded(self.other),
            "ratio_of_best": round(min(self.ours) / min(self.other), 2),
            "ratio_of_each_round": self.ratios,
        }


Details = Mapping[str, Any] | None


def judged(result: Result, rounds: Iterable[float], meets: Callable[[float], bool]) -> Result:
    """Return the result with its verdict; `rounds` has the figure of each round."""
    met = meets(result.value)
    return replace(result, met=met, uncertain=is_uncertain(met, map(meets, rounds)))


def at_most(key: str, what: str, pair: Pair, times: float, details: Details = None) -> Result:
    """Return ours / other, of which at most `times` is demanded."""
    result = _ratio(key, what, pair, pair.ratio, details)
    return judged(replace(result, demand=f"at most {times:g}x"), pair.ratios, lambda one: one <= times)


def high_at_most(key: str, what: str, pair: Pair, times: float) -> Result:
    """Return ours / other of the 95 % quantiles, of which at most `times` is demanded.

    A single round has no quantile, so no round contradicts.
    """
    ours, other = (high(some) for some in (pair.ours, pair.other))
    ratio = round(ours / other, 2)
    return replace(
        _ratio(key, what, pair, ratio, None),
        ours=_seconds(ours),
        other=_seconds(other),
        demand=f"at most {times:g}x",
        met=ratio <= times,
    )


def high(samples: Sequence[float]) -> float:
    """The 95 % quantile."""
    return statistics.quantiles(samples, n=20)[-1]


def at_least(key: str, what: str, pair: Pair, times: float, details: Details = None) -> Result:
    """Return other / ours, of which at least `times` is demanded."""
    turned = Pair(pair.other, pair.ours)
    result = _ratio(key, what, pair, turned.ratio, details)
    return judged(replace(result, demand=f"at least {times:g}x"), turned.ratios, lambda one: one >= times)


def _ratio(key: str, what: str, pair: Pair, ratio: float, details: Details) -> Result:
    return Result(
        key=key,
        what=what,
        value=ratio,
        unit="x",
        ours=seconds(pair.ours),
        other=seconds(pair.other),
        details=pair.details | dict(details or {}),
    )


def seconds_at_most(key: str, what: str, samples: Sequence[float], most: float) -> Result:
    """Return the median of the rounds, of which at most so many seconds are demanded."""
    result = Result(
        key=key,
        what=what,
        value=middle(samples),
        unit=" s",
        ours=seconds(samples),
        demand=f"at most {most:g} s",
        details={"ours_seconds": _rounded(samples)},
    )
    return judged(result, samples, lambda one: one <= most)


def walls(costs: Iterable[Cost]) -> list[float]:
    return [one.seconds for one in costs]


def cpus(costs: Iterable[Cost]) -> list[float]:
    return [one.cpu for one in costs]


def cpu_seconds(costs: Mapping[str, Sequence[Cost]]) -> dict[str, Any]:
    """Medians, by the names of the parties, for the details of a result."""
    own = {name: middle(cpus(some)) for name, some in costs.items()}
    servers = {f"servers during {n}": middle(o.servers_cpu for o in some) for n, some in costs.items()}
    return {"cpu_seconds": own | servers}


def seconds(samples: Sequence[float]) -> str:
    """The median and the best: `1.42 s, best 1.30 s`; with one digit more where they are under a second."""
    if len(samples) == 1:
        return _seconds(samples[0])
    return f"{_seconds(statistics.median(samples))}, best {_seconds(min(samples))}"


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value < 1 else f"{value:.2f} s"


def _rounded(samples: Sequence[float]) -> list[float]:
    return [round(sample, 4) for sample in samples]
