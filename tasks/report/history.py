"""Runs as Prefect remembers them, for people and programs. Pure; run_history.py asks Prefect."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Any

from pydantic import Field

from tasks.domain import text
from tasks.domain.models import Model
from tasks.domain.text import fold

SCHEMA_VERSION = 1
"""Of the document. What is there keeps its name and meaning; new keys may be added."""
ENDED_BADLY = frozenset({"FAILED", "CRASHED"})
MARKS = {"COMPLETED": "✓", "FAILED": "✗", "CRASHED": "✗", "RUNNING": "…", "CANCELLED": "-"}
LONGEST = 2000
"""Characters of a message that are shown."""


class Outcome(Model):
    """What became of one cluster in a run."""

    type: str
    """Prefect's type of state: COMPLETED, FAILED, …"""
    message: str = ""


class Run(Model):
    id: str
    name: str
    flow: str
    parameters: dict[str, str | bool | None] = Field(default_factory=dict)
    who: str
    began: datetime | None = None
    created: datetime | None = None
    """When it was asked for, or planned."""
    took: timedelta | None = None
    type: str
    state: str
    """Name of its state: Completed, ClustersFailed, Late, …"""
    message: str = ""
    clusters: dict[str, Outcome] = Field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.type in ENDED_BADLY


def who_asked(
    *, scheduled: bool, creator: str, deployed: bool, tags: Iterable[str], usual: Iterable[str]
) -> str:
    """Schedule, fleet, watcher, automation, shell, or by hand; with the tags that whoever asked gave along.

    Prefect's server knows no persons. `prefect deployment run … --tag alice` says who it was.
    """
    given = sorted(set(tags) - set(usual) - {"auto-scheduled"})
    told = f" ({', '.join(given)})" if given else ""
    if scheduled:
        return f"schedule{told}"
    if creator:
        return f"{creator}{told}"
    return f"{'by hand' if deployed else 'shell'}{told}"


def concerns(run: Run, cluster: str | None, *, failed: bool) -> bool:
    """Whether a run was asked for. A failed one has failed, too, for a cluster that it never reached."""
    if cluster is None:
        return run.failed or not failed
    wanted = run.parameters.get("cluster") in (None, cluster)
    outcome = run.clusters.get(cluster)
    elsewhere = run.parameters.get("group") is not None or not run.failed
    if not wanted or (outcome is None and run.clusters and elsewhere):
        return False
    bad = outcome.type in ENDED_BADLY if outcome else run.failed
    return bad or not failed


def render(runs: Iterable[Run], *, cluster: str | None, zone: tzinfo | None, width: int) -> str:
    """A table, the newest first, and below it what the runs that did not end well have said."""
    found = list(runs)
    header = ["began", "took", "run", "by", "state", "clusters", "id"]
    body = [_row(run, zone) for run in found]
    lines = text.table(header, body)
    for run in found:
        if said := list(_said(run, cluster)):
            lines += ["", text.printable(f"{run.name} ({run.id[:8]}): {run.state}")]
            lines += [part for line in said for part in fold(f"  {line}", width)]
    return "\n".join(lines)


def _row(run: Run, zone: tzinfo | None) -> list[str]:
    clusters = " ".join(f"{name} {MARKS.get(one.type, '?')}" for name, one in sorted(run.clusters.items()))
    moment = run.began or run.created
    began = f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}" if moment else "-"
    return [began, duration(run.took), run.name, run.who, run.state, clusters or "-", run.id[:8]]


def _said(run: Run, cluster: str | None) -> Iterator[str]:
    """Of one cluster what it said itself; else the message of the run, which names the clusters."""
    outcome = run.clusters.get(cluster) if cluster else None
    message = (outcome.message if outcome and outcome.type in ENDED_BADLY else "") or run.message
    if run.type != "COMPLETED" and message:
        for line in message[:LONGEST].splitlines():
            yield text.printable(line)


def duration(took: timedelta | None) -> str:
    """`0.8 s`, `42 s`, `3 min 5 s`."""
    if took is None:
        return "-"
    seconds = took.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def document(runs: Iterable[Run]) -> dict[str, Any]:
    return {"schemaVersion": SCHEMA_VERSION, "runs": [_entry(run) for run in runs]}


def _entry(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "flow": run.flow,
        "parameters": run.parameters,
        "by": run.who,
        "createdAt": run.created.isoformat() if run.created else None,
        "beganAt": run.began.isoformat() if run.began else None,
        "seconds": run.took.total_seconds() if run.took is not None else None,
        "stateType": run.type,
        "state": run.state,
        "message": run.message,
        "clusters": {
            name: {"stateType": one.type, "message": one.message} for name, one in run.clusters.items()
        },
    }
