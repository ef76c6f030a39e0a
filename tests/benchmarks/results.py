"""What was measured, as a table for a terminal and as bench.json."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("prefect", "kubernetes", "pydantic", "cryptography")
HEADINGS = ("what", "ours", "other", "result", "demand", "met?")


@dataclass(frozen=True)
class Result:
    """One number to be known by, and what it was made from."""

    key: str
    what: str
    value: float
    ours: str
    other: str = ""
    unit: str = ""
    demand: str = ""
    met: bool | None = None
    """None where nothing is demanded."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = {True: "yes", False: "no", None: ""}[self.met]
        return self.what, self.ours, self.other, f"{self.value:g}{self.unit}", self.demand, verdict


@dataclass(frozen=True)
class Pair:
    """Two things timed in turn, so that both had the same weather."""

    ours: Sequence[float]
    other: Sequence[float]

    @property
    def ratio(self) -> float:
        return round(statistics.median(self.ours) / statistics.median(self.other), 2)

    @property
    def ratio_of_best(self) -> float:
        """What is left of the ratio when the machine's other work is out of the way."""
        return round(min(self.ours) / min(self.other), 2)

    @property
    def details(self) -> dict[str, Any]:
        return {
            "ours_seconds": _rounded(self.ours),
            "other_seconds": _rounded(self.other),
            "ratio_of_best": self.ratio_of_best,
        }


def seconds(samples: Sequence[float]) -> str:
    """`1.42 s`: the median; `0.071 s` where it is short."""
    median = statistics.median(samples)
    return f"{median:.3f} s" if median < 1 else f"{median:.2f} s"


def render(results: Iterable[Result]) -> str:
    rows = [HEADINGS, *(result.cells for result in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def write(results: Iterable[Result], machine: dict[str, Any], path: Path) -> None:
    """The numbers flat, for other programs; all that stands behind them under `details`."""
    results = tuple(results)
    content: dict[str, Any] = {result.key: result.value for result in results}
    content["details"] = {"machine": machine} | {result.key: result.details for result in results}
    path.write_text(json.dumps(content, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Where it was measured, without which no number means much."""
    return {
        "cores": os.cpu_count(),
        "load": load(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    } | {name: version(name) for name in PACKAGES}


def load() -> list[float]:
    return [round(average, 2) for average in os.getloadavg()]


def _rounded(samples: Sequence[float]) -> list[float]:
    return [round(sample, 4) for sample in samples]
