"""The runs that Prefect has recorded, as text and as JSON. Pure; orchestration/run_history.py reads them."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Any

from pydantic import Field

from tasks.domain import text
from tasks.domain.models import Model
from tasks.domain.parameters import is_run_tag
from tasks.domain.text import fold

SCHEMA_VERSION = 1
"""Version of the JSON document. Existing keys keep their name and meaning; new keys may be added."""
FAILED_TYPES = frozenset({"FAILED", "CRASHED"})
"""Prefect's types of state in which a run has failed."""
MARKS = {"COMPLETED": "✓", "FAILED": "✗", "CRASHED": "✗", "RUNNING": "…", "CANCELLED": "-"}
MAX_MESSAGE = 2000
"""Maximum length of a message that is shown, in characters."""
MIN_ID = 8
"""Minimum number of characters of an id that are shown."""


class ClusterOutcome(Model):
    """The final state of one cluster's task in a run."""

    type: str
    """Prefect's type of state: COMPLETED, FAILED, …"""
    message: str = ""


class Run(Model):
    id: str
    name: str
    flow: str
    parameters: dict[str, str | bool | None] = Field(default_factory=dict)
    started_by: str
    began: datetime | None = None
    created: datetime | None = None
    """When the run was created or scheduled."""
    took: timedelta | None = None
    type: str
    state: str
    """Name of the state: Completed, ClustersFailed, Late, …"""
    message: str = ""
    clusters: dict[str, ClusterOutcome] = Field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.type in FAILED_TYPES


def started_by(
    *, scheduled: bool, creator: str, deployed: bool, tags: Iterable[str], deployment_tags: Iterable[str]
) -> str:
    """Return `schedule`, the name of the creator, `by hand` or `shell`, with the tags of its starter.

    Prefect's server has no users; `prefect deployment run … --tag alice` records who started the run.
    """
    given = set(tags) - set(deployment_tags) - {"auto-scheduled"}
    own_tags = sorted(tag for tag in given if not is_run_tag(tag))
    starter = "schedule" if scheduled else creator or ("by hand" if deployed else "shell")
    return f"{starter} ({', '.join(own_tags)})" if own_tags else starter


def matches(run: Run, cluster: str | None, *, failed: bool) -> bool:
    """Whether a run is for the cluster and, with `failed`, failed there.

    A run that failed before it reached the cluster failed there, too.
    """
    if cluster is None:
        return run.failed or not failed
    selected = run.parameters.get("cluster") in (None, cluster)
    outcome = run.clusters.get(cluster)
    elsewhere = run.parameters.get("group") is not None or not run.failed
    if not selected or (outcome is None and run.clusters and elsewhere):
        return False
    has_failed = outcome.type in FAILED_TYPES if outcome else run.failed
    return has_failed or not failed


def render(runs: Iterable[Run], *, cluster: str | None, zone: tzinfo | None, width: int) -> str:
    """Return a table of the runs, and below it the messages of those that are not Completed."""
    shown = list(runs)
    length = id_length(run.id for run in shown)
    header = ["began", "took", "run", "by", "state", "clusters", "id"]
    lines = text.table(header, [[*_row(run, zone), run.id[-length:]] for run in shown])
    for run in shown:
        if messages := list(_messages(run, cluster)):
            lines += ["", text.printable(f"{run.name} ({run.id[-length:]}): {run.state}")]
            lines += [part for line in messages for part in fold(f"  {line}", width)]
    return "\n".join(lines)


def id_length(ids: Iterable[str]) -> int:
    """Return how many characters of the ids tell them apart, counted from their ends; at least MIN_ID.

    Prefect's ids begin with the time at which a run was created, which all scheduled runs of a batch share;
    their last 12 characters are random.
    """
    all_ids = set(ids)
    length = MIN_ID
    while len({one[-length:] for one in all_ids}) < len(all_ids):
        length += 1
    return length


def _row(run: Run, zone: tzinfo | None) -> list[str]:
    clusters = " ".join(f"{name} {MARKS.get(one.type, '?')}" for name, one in sorted(run.clusters.items()))
    moment = run.began or run.created
    began = f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}" if moment else "-"
    return [
        began,
        format_duration(run.took),
        run.name,
        run.started_by,
        run.state,
        clusters or "-",
    ]


def _messages(run: Run, cluster: str | None) -> Iterator[str]:
    """Yield the lines of the cluster's own message, or else of the run's."""
    outcome = run.clusters.get(cluster) if cluster else None
    message = (outcome.message if outcome and outcome.type in FAILED_TYPES else "") or run.message
    if run.type != "COMPLETED" and message:
        for line in message[:MAX_MESSAGE].splitlines():
            yield text.printable(line)


def format_duration(took: timedelta | None) -> str:
    """Return the time as `0.8 s`, `42 s`, `3 min 5 s`."""
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
        "by": run.started_by,
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
