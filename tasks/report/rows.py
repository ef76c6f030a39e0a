"""The columns, labels and notes that the terminal report and the Markdown report share. Pure.

Clusters and rows are sorted, failed ones first: the same facts give the same text.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Issuance,
    RefusedRequest,
    Rejection,
    SourceSnapshot,
    Version,
)
from tasks.domain.reasons import REQUESTS, Reason
from tasks.domain.text import count_of, printable
from tasks.report.served import served_count

OVERVIEW_ACTIONS = (Action.CREATE, Action.UPDATE, Action.KEEP, Action.REFUSE, Action.NOTHING)
"""Actions that the overview counts. It has a column for deletions only if there are any."""
LOG_ROWS = 20
"""Maximum number of rows, failures and warnings per cluster in the log; the artifact has more."""


class Column(NamedTuple):
    """A column of a cluster's table of changes, and the formats that show it."""

    title: str
    cell: Callable[[Change, ClusterReport], str]
    terminal: bool = True
    markdown: bool = True


def action_label(change: Change, cluster: ClusterReport) -> str:
    """Return the action, and whether it was only planned: `create`, `would create`, `create (not done)`."""
    if not change.acts or change.applied:
        return str(change.action)
    return f"would {change.action}" if cluster.dry_run else f"{change.action} (not done)"


def format_version(version: Version | None) -> str:
    """Return eight digits of the fingerprint, and the expiry: `3f9a1c07 2027-02-01`."""
    if version is None:
        return "-"
    return f"{version.fingerprint.rpartition(':')[2][:8]} {version.not_after:%Y-%m-%d}"


def has_prune_forecast(change: Change) -> bool:
    """Whether the row says what will become of a copy whose certificate is gone from OPS."""
    return change.reason is Reason.GONE_FROM_SOURCE and bool(change.detail)


def why(change: Change) -> str:
    """Return why the row has its action."""
    if has_prune_forecast(change):
        return f"{change.reason.sentence}: {change.detail}"
    return f"{change.reason.sentence}{f' ({change.detail})' if change.detail else ''}"


def needs_person(change: Change) -> bool:
    """Whether the row stands under what a person has to do: it failed, or was asked for beyond the limits."""
    return change.failed or change.reason in REQUESTS


def explain(change: Change) -> str:
    """Return why the row has its action and, where a person has something to do, the remedy."""
    if has_prune_forecast(change) or not change.reason.remedy:
        return why(change)
    return f"{why(change)}: {change.reason.remedy}"


COLUMNS = (
    Column("action", action_label),
    Column("secret", lambda change, _: str(change.target)),
    Column("certificate", lambda change, _: change.certificate, terminal=False),
    Column("reason", lambda change, _: str(change.reason)),
    Column("old", lambda change, _: format_version(change.old), terminal=False),
    Column("new", lambda change, _: format_version(change.new), terminal=False),
    Column(
        "old -> new, each with its expiry",
        lambda change, _: f"{format_version(change.old)} -> {format_version(change.new)}",
        markdown=False,
    ),
    # What a person must do about a failed row stands on top of the artifact: see to_do.py.
    Column("why", lambda change, _: (why if needs_person(change) else explain)(change), terminal=False),
)
"""The columns of a cluster's table of changes, in the terminal and in Markdown."""


def rejected(snapshot: SourceSnapshot) -> list[str]:
    """Return one line for each Secret on OPS that is not fit to be sent."""
    return [_source_line(one, one.reason) for one in snapshot.rejections]


def not_issued(snapshot: SourceSnapshot, now: datetime) -> list[str]:
    """Return one line for each certificate that cert-manager has yet to issue, late ones first."""
    late_first = sorted(snapshot.issuances, key=lambda one: one.reason(now) is not Reason.ISSUANCE_LATE)
    return [_source_line(one, one.reason(now)) for one in late_first]


def not_granted(snapshot: SourceSnapshot) -> list[str]:
    """Return one line for each Certificate that asks for copies beyond the limits of selfService."""
    return [_source_line(one, one.reason) for one in snapshot.refused_requests]


def _source_line(one: Rejection | Issuance | RefusedRequest, reason: Reason) -> str:
    detail = f" ({printable(one.detail)})" if one.detail else ""
    return f"{one.ref.name}: {reason}: {reason.sentence}{detail}: {reason.remedy}"


def certificates_on_ops(snapshot: SourceSnapshot) -> str:
    """Return how many certificates OPS has, and how many of them no run had to read."""
    unchecked = f", {snapshot.unchecked} not checked" if snapshot.unchecked else ""
    return f"{snapshot.fit} certificates fit to be sent{unchecked}"


def unrouted_notes(snapshot: SourceSnapshot) -> Iterator[str]:
    """Yield how many Secrets and certificates have no line of their own because no route names them."""
    if count := snapshot.unrouted_rejections:
        are = "is" if count == 1 else "are"
        yield f"{count_of(count, 'Secret')} on OPS {are} not fit to be sent and {are} not routed"
    if count := snapshot.unrouted_issuances:
        are = "is" if count == 1 else "are"
        yield f"{count_of(count, 'certificate')} on OPS {are} not issued yet and {are} not routed"


def failed_first(clusters: Iterable[ClusterReport]) -> list[ClusterReport]:
    """Return failed clusters before the others, each in the order of the configuration."""
    return sorted(clusters, key=lambda cluster: cluster.ok)


def not_in_sync(cluster: ClusterReport) -> list[Change]:
    """Return all rows but those of copies in sync, failed ones first."""
    shown = (change for change in cluster.changes if change.reason is not Reason.IN_SYNC)
    return sorted(shown, key=lambda c: (not c.failed, c.target.namespace, c.target.name))


def overview(clusters: Iterable[ClusterReport]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of clusters: rows per action, failures, state.

    Where the run looked at what addresses present, it has a column for that.
    """
    ordered = failed_first(clusters)
    deletes = any(change.action is Action.DELETE for cluster in ordered for change in cluster.changes)
    actions = (*OVERVIEW_ACTIONS, Action.DELETE) if deletes else OVERVIEW_ACTIONS
    served = any(one.served for cluster in ordered for one in cluster.served)
    header = ["cluster", *map(str, actions), *(["served"] if served else []), "failures", "state"]
    return header, [_overview_row(cluster, actions, served=served) for cluster in ordered]


def _overview_row(cluster: ClusterReport, actions: Iterable[Action], *, served: bool) -> list[str]:
    counts = cluster.counts
    numbers = [str(counts.get(action, 0)) for action in actions]
    numbers += [served_count(cluster)] if served else []
    return [cluster.cluster, *numbers, str(len(cluster.failures)), "ok" if cluster.ok else "FAILED"]
