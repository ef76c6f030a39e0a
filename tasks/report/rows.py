"""Reports -> text for people: a table for a terminal, Markdown for the Prefect UI, and the verdict. Pure.

Sorted, and what needs a person comes first: the same facts give the same text.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from tasks.domain.errors import first_trouble
from tasks.domain.expiry import Level, level_of
from tasks.domain.models import (
    Action,
    Certificate,
    Change,
    ClusterReport,
    Inventory,
    Issuance,
    Rejection,
    RunReport,
    Version,
)
from tasks.domain.reasons import Code, Reason

COLUMNS = (Action.CREATE, Action.UPDATE, Action.KEEP, Action.REFUSE, Action.NOTHING)
"""And one more where something was to be deleted."""
NAMED = 10
"""Clusters in the message of a run's state; the report has them all."""
LOG_ROWS = 20
"""Rows per cluster in the log; the artifact has them all."""


class Verdict(NamedTuple):
    ok: bool
    name: str
    """Name of the run's final state."""
    message: str


def verdict(report: RunReport) -> Verdict:
    """How the run ended, in one line: `1 of 3 clusters failed: rct (Unreachable: …)`."""
    if report.inventory.failure:
        failure = report.inventory.failure
        too_many = failure.code is Code.TOO_MANY
        why = "" if too_many else ", OPS can't be read"
        message = f"nothing was written{why}: {failure}. To do: {failure.code.remedy}"
        return Verdict(ok=False, name=str(failure.code) if too_many else "SourceUnreadable", message=message)
    failed = [cluster for cluster in report.clusters if not cluster.ok]
    if failed:
        reasons = [f"{cluster.cluster} ({first_trouble(cluster)})" for cluster in failed[:NAMED]]
        reasons += [f"and {len(failed) - NAMED} more"] if len(failed) > NAMED else []
        message = f"{len(failed)} of {_clusters(report)} failed: {'; '.join(reasons)}"
        return Verdict(ok=False, name="ClustersFailed", message=message)
    message = "; ".join([f"{_clusters(report)}: {_done(report)}", *_notes(report)])
    return Verdict(ok=True, name="Completed", message=message)


def _clusters(report: RunReport) -> str:
    return _count(len(report.clusters), "cluster")


def _done(report: RunReport) -> str:
    totals: Counter[Action] = Counter()
    for cluster in report.clusters:
        totals.update(cluster.counts)  # goes through all rows, so once
    told = [f"{action} {totals[action]}" for action in Action if totals[action]]
    text = ", ".join(told) or "nothing to do"
    return f"{'dry run, nothing written: ' if report.dry_run else ''}{text}"


def _notes(report: RunReport) -> Iterator[str]:
    if not report.inventory.certificates:
        yield "warning: OPS has no certificate that is fit to be sent"
    if report.pending:
        yield f"still at work, with reports of their own to follow: {', '.join(report.pending)}"
    inventory = report.inventory
    ending = len(list(expiring(report)))
    yield from about_ops(len(inventory.rejections), len(inventory.issuances), ending, report.suspended)


def about_ops(rejected: int, awaited: int, ending: int, suspended: Sequence[str]) -> Iterator[str]:
    """What a person is to know beside what became of the clusters, in a run and in the inventory alike."""
    if rejected:
        yield f"{rejected} rejected on OPS"
    if awaited:
        yield f"{awaited} not issued yet"
    if ending:
        yield f"{ending} near expiry"
    if suspended:
        yield f"suspended: {', '.join(suspended)}"


def expiring(report: RunReport) -> Iterator[tuple[Certificate, str]]:
    """Certificates on OPS that should have been renewed by now, the most urgent first."""
    certificates = report.inventory.certificates
    for one in sorted(certificates, key=lambda c: (c.version.not_after, c.ref.name)):
        if (level := level_of(one, report.now)) is not Level.FINE:
            yield one, f"{level}: {_count(one.version.days_left(report.now), 'day')} left"


def rejected(inventory: Inventory) -> list[str]:
    """What OPS holds that is not fit to be sent: one line each."""
    return [_told(one, one.reason) for one in inventory.rejections]


def not_issued(inventory: Inventory, now: datetime) -> list[str]:
    """What cert-manager has yet to issue: one line each, what is late first."""
    late = sorted(inventory.issuances, key=lambda one: one.reason(now) is not Reason.ISSUANCE_LATE)
    return [_told(one, one.reason(now)) for one in late]


def _told(one: Rejection | Issuance, reason: Reason) -> str:
    detail = f" ({plain(one.detail)})" if one.detail else ""
    return f"{one.ref.name}: {reason}: {reason.sentence}{detail}: {reason.remedy}"


def not_routed(inventory: Inventory) -> Iterator[str]:
    """How much is left out of these lines, since nobody wants it sent."""
    if count := inventory.unrouted_rejections:
        are = "is" if count == 1 else "are"
        yield f"{_count(count, 'Secret')} on OPS {are} not fit to be sent and {are} not routed"
    if count := inventory.unrouted_issuances:
        are = "is" if count == 1 else "are"
        yield f"{_count(count, 'certificate')} on OPS {are} not issued yet and {are} not routed"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


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


def plain(text: str) -> str:
    """Text that could come from a certificate, on one line and without control characters."""
    if text.isprintable():  # nearly all is: a long report has many cells
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def table(header: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table whose columns are as wide as they must be."""
    lines = [[plain(cell) for cell in line] for line in (header, *body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


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


def short_date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
