"""Reports -> text for people: a table for a terminal, Markdown for the Prefect UI, and the verdict. Pure.

Sorted, and what needs a person comes first: the same facts give the same text.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Issuance,
    Rejection,
    SourceSnapshot,
    Version,
)
from tasks.domain.reasons import Reason
from tasks.domain.text import count_of, printable

COLUMNS = (Action.CREATE, Action.UPDATE, Action.KEEP, Action.REFUSE, Action.NOTHING)
"""And one more where something was to be deleted."""
LOG_ROWS = 20
"""Rows per cluster in the log; the artifact has them all."""


def rejected(snapshot: SourceSnapshot) -> list[str]:
    """What OPS holds that is not fit to be sent: one line each."""
    return [_told(one, one.reason) for one in snapshot.rejections]


def not_issued(snapshot: SourceSnapshot, now: datetime) -> list[str]:
    """What cert-manager has yet to issue: one line each, what is late first."""
    late = sorted(snapshot.issuances, key=lambda one: one.reason(now) is not Reason.ISSUANCE_LATE)
    return [_told(one, one.reason(now)) for one in late]


def _told(one: Rejection | Issuance, reason: Reason) -> str:
    detail = f" ({printable(one.detail)})" if one.detail else ""
    return f"{one.ref.name}: {reason}: {reason.sentence}{detail}: {reason.remedy}"


def not_routed(snapshot: SourceSnapshot) -> Iterator[str]:
    """How much is left out of these lines, since nobody wants it sent."""
    if count := snapshot.unrouted_rejections:
        are = "is" if count == 1 else "are"
        yield f"{count_of(count, 'Secret')} on OPS {are} not fit to be sent and {are} not routed"
    if count := snapshot.unrouted_issuances:
        are = "is" if count == 1 else "are"
        yield f"{count_of(count, 'certificate')} on OPS {are} not issued yet and {are} not routed"


def worst_first(clusters: Iterable[ClusterReport]) -> list[ClusterReport]:
    """Clusters in trouble before the others, otherwise in the order of the configuration."""
    return sorted(clusters, key=lambda cluster: cluster.ok)


def rows(cluster: ClusterReport) -> list[Change]:
    """The rows worth a look, failed ones first: all but copies in sync."""
    told = (change for change in cluster.changes if change.reason is not Reason.IN_SYNC)
    return sorted(told, key=lambda c: (not c.failed, c.target.namespace, c.target.name))


def outcome(change: Change, *, dry_run: bool) -> str:
    """The action as it turned out."""
    if not change.acts or change.applied:
        return str(change.action)
    return f"would {change.action}" if dry_run else f"{change.action} (not done)"


def is_foretold(change: Change) -> bool:
    """Whether the row says what becomes of a copy whose certificate is gone: then nothing is to be done."""
    return change.reason is Reason.GONE_FROM_SOURCE and bool(change.detail)


def is_told(change: Change) -> bool:
    """Whether a log has a sentence for the row: a person has something to do, or something is to come."""
    return change.failed or is_foretold(change) or change.reason is Reason.ISSUANCE_PENDING


def what_to_do(change: Change) -> str:
    if is_foretold(change):
        return f"{change.reason.sentence}: {change.detail}"
    sentence = f"{change.reason.sentence}{f' ({change.detail})' if change.detail else ''}"
    return f"{sentence}: {change.reason.remedy}" if change.reason.remedy else sentence


def brief(version: Version | None) -> str:
    """A version in eight digits, and its end: `3f9a1c07 2027-02-01`."""
    if version is None:
        return "-"
    return f"{version.fingerprint.rpartition(':')[2][:8]} {version.not_after:%Y-%m-%d}"


def overview(clusters: Iterable[ClusterReport]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the table of clusters: rows per action, failures, state."""
    ordered = worst_first(clusters)
    deletes = any(change.action is Action.DELETE for cluster in ordered for change in cluster.changes)
    columns = (*COLUMNS, Action.DELETE) if deletes else COLUMNS
    header = ["cluster", *map(str, columns), "failures", "state"]
    return header, [_overview_of(cluster, columns) for cluster in ordered]


def _overview_of(cluster: ClusterReport, columns: Iterable[Action]) -> list[str]:
    counts = cluster.counts
    actions = (str(counts.get(action, 0)) for action in columns)
    return [cluster.cluster, *actions, str(len(cluster.failures)), state_of(cluster)]


def state_of(cluster: ClusterReport) -> str:
    return "ok" if cluster.ok else "FAILED"
