"""What was measured, as a table for a terminal and as bench.json."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say

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

    def noting(self, facts: dict[str, Any]) -> "Result":
        """With more details."""
        return replace(self, details=self.details | facts)

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


def merged(results: Iterable[Result], machine: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The numbers flat, for other programs; rows of the table; all that stands behind them under `details`.

    What was measured before and is not now stays as it is: each result says when that was, and its load.
    """
    content: dict[str, Any] = {"rows": {}, "details": {}, **before}
    for result in results:
        content[result.key] = result.value
        content["rows"][result.key] = dict(zip(HEADINGS, result.cells, strict=True))
        content["details"][result.key] = result.details
    content["details"]["machine"] = machine
    return content


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(content: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def now() -> dict[str, Any]:
    """For the details of what was measured just now."""
    return {"measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "load": load()}


def machine() -> dict[str, Any]:
    """Where it was measured, without which no number means much."""
    return {
        "cores": os.cpu_count(),
        "load": load(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    } | {name: version(name) for name in PACKAGES}


def programs(say: Say) -> dict[str, str]:
    """What etcd and kubectl call themselves; the API server says it itself."""
    found = locate("etcd", "kubectl", say=say)
    return {
        "etcd": _say([str(found["etcd"]), "--version"]),
        "kubectl": _say([str(found["kubectl"]), "version", "--client"]),
    }


def _say(command: list[str]) -> str:
    """`etcd Version: 3.6.16`, `Client Version: v1.36.3`: the last word of the first line."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return (done.stdout.splitlines() or ["unknown"])[0].split()[-1]


def load() -> list[float]:
    return [round(average, 2) for average in os.getloadavg()]


def _rounded(samples: Sequence[float]) -> list[float]:
    return [round(sample, 4) for sample in samples]
