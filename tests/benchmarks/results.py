"""What was measured, as a table and as bench.json."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say

UNCERTAIN = "can't tell"
PACKAGES = ("prefect", "kubernetes", "pydantic", "cryptography")

Content = dict[str, Any]
"""Of bench.json: each figure by its key; `rows` has its row of the table, `details` its samples."""
Row = Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """One figure and the samples behind it."""

    key: str
    what: str
    value: float
    ours: str
    other: str = ""
    unit: str = ""
    demand: str = ""
    met: bool | None = None
    """None where nothing is demanded."""
    uncertain: bool = False
    """Whether the rounds differ so much that `met` can't be told from noise; see comparison.py."""
    details: dict[str, Any] = field(default_factory=dict)

    def with_details(self, more: dict[str, Any]) -> "Result":
        return replace(self, details=self.details | more)

    @property
    def row(self) -> Row:
        return {
            "what": self.what,
            "ours": self.ours,
            "other": self.other,
            "result": f"{self.value:g}{self.unit}",
            "demand": self.demand,
            "met?": UNCERTAIN if self.uncertain else {True: "yes", False: "no", None: ""}[self.met],
        }


def text(rows: Iterable[Row]) -> str:
    """A table for a terminal."""
    cells = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def markdown(rows: Iterable[Row]) -> str:
    cells = _cells(rows)
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _cells(rows: Iterable[Row]) -> list[list[str]]:
    """The headings first."""
    rows = list(rows)
    return [list(rows[0]), *(list(row.values()) for row in rows)] if rows else [[]]


def content(results: Iterable[Result], machine: dict[str, Any]) -> Content:
    results = list(results)
    return {
        "rows": {result.key: dict(result.row) for result in results},
        "details": {result.key: result.details for result in results} | {"machine": machine},
        **{result.key: result.value for result in results},
    }


def merge(before: Content, after: Content) -> Content:
    """Replace what was measured again; each result says in its details when it was measured, at what load."""
    parts = {part: before.get(part, {}) | after.get(part, {}) for part in ("rows", "details")}
    return before | after | parts


def read(path: Path) -> Content:
    """Empty where there is no such file."""
    found: Content = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(content: Content, path: Path) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def now() -> dict[str, Any]:
    """Time and load average, for the details of a result."""
    return {"measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "load": load()}


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load": load(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    } | {name: version(name) for name in PACKAGES}


def programs(say: Say) -> dict[str, str]:
    """Versions of etcd and kubectl; the API server's is asked of itself."""
    found = locate("etcd", "kubectl", say=say)
    return {
        "etcd": _last_word([str(found["etcd"]), "--version"]),
        "kubectl": _last_word([str(found["kubectl"]), "version", "--client"]),
    }


def _last_word(command: list[str]) -> str:
    """Of the first line: `etcd Version: 3.6.16`, `Client Version: v1.36.3`."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return (done.stdout.splitlines() or ["unknown"])[0].split()[-1]


def load() -> list[float]:
    return [round(average, 2) for average in os.getloadavg()]
