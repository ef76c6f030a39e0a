"""How a run went: the name and message of its final state, and the certificates near expiry. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from tasks.domain.errors import first_problem
from tasks.domain.expiry import Level, level_of
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Certificate, Issuance, Rejection, RunReport, SourceSnapshot
from tasks.domain.text import count_of
from tasks.report.unserved import unserved_note

NOT_DISCOVERED = "ClustersNotDiscovered"
"""The name of the final state where ClusterProfiles could not be read."""
MAX_NAMED = 10
"""Maximum number of clusters that the message of a run's state names; the report has all."""


class Verdict(NamedTuple):
    ok: bool
    name: str
    """Name of the run's final state."""
    message: str


def is_ok(report: RunReport) -> bool:
    """Whether OPS could be read and every cluster was served."""
    read = not (report.snapshot.failure or report.discovery.failure)
    return read and all(cluster.ok for cluster in report.clusters)


def run_verdict(report: RunReport) -> Verdict:
    """Return the final state, with a message in one line: `1 of 3 clusters failed: rct (Unreachable: …)`."""
    return _verdict(report, _notes)


def change_message(report: RunReport) -> str:
    """Return the message of a report on one certificate, with what OPS holds of that one and no other."""
    return _verdict(report, _notes_of_change).message


def _verdict(report: RunReport, notes: Callable[[RunReport], Iterable[str]]) -> Verdict:
    if report.snapshot.failure:
        failure = report.snapshot.failure
        too_many = failure.code is FailureCode.TOO_MANY
        why = "" if too_many else ", OPS can't be read"
        message = f"nothing was written{why}: {failure}. To do: {failure.code.remedy}"
        return Verdict(ok=False, name=str(failure.code) if too_many else "SourceUnreadable", message=message)
    failed = [cluster for cluster in report.clusters if not cluster.ok]
    unknown = report.discovery.failure
    if failed:
        reasons = [f"{cluster.cluster} ({first_problem(cluster)})" for cluster in failed[:MAX_NAMED]]
        reasons += [f"and {len(failed) - MAX_NAMED} more"] if len(failed) > MAX_NAMED else []
        message = f"{len(failed)} of {_clusters(report)} failed: {'; '.join(reasons)}"
        message += f"; discovered ones are not known ({unknown.code})" if unknown else ""
        return Verdict(ok=False, name="ClustersFailed", message=message)
    if unknown:
        message = f"discovered clusters are not known, the others are served: {unknown}"
        return Verdict(ok=False, name=NOT_DISCOVERED, message=f"{message}. To do: {unknown.code.remedy}")
    message = "; ".join([f"{_clusters(report)}: {_action_counts(report)}", *notes(report)])
    return Verdict(ok=True, name="Completed", message=message)


def _clusters(report: RunReport) -> str:
    return count_of(len(report.clusters), "cluster")


def _action_counts(report: RunReport) -> str:
    totals: Counter[Action] = Counter()
    for cluster in report.clusters:
        totals.update(cluster.counts)  # goes through all rows, so once
    text = ", ".join(f"{action} {totals[action]}" for action in Action if totals[action]) or "nothing to do"
    return f"{'dry run, nothing written: ' if report.parameters.dry_run else ''}{text}"


def _notes(report: RunReport) -> Iterator[str]:
    snapshot = report.snapshot
    if not (snapshot.certificates or snapshot.listed):
        yield "warning: OPS has no certificate that is fit to be sent"
    yield from _pending(report)
    yield from source_notes(snapshot, report.now, report.suspended)
    yield from unserved_note(report.discovery)


def _notes_of_change(report: RunReport) -> Iterator[str]:
    entry = report.snapshot.entries.get(str(report.parameters.certificate))
    if isinstance(entry, Rejection):
        yield f"rejected on OPS ({entry.reason})"
    elif isinstance(entry, Issuance):
        yield "not issued yet"
    for request in report.snapshot.refused_requests:
        if request.ref.name == report.parameters.certificate:
            yield f"not granted ({request.reason})"
    yield from _pending(report)


def _pending(report: RunReport) -> Iterator[str]:
    if report.pending:
        yield f"still at work, with reports of their own to follow: {', '.join(report.pending)}"


def source_notes(snapshot: SourceSnapshot, now: datetime, suspended: Sequence[str]) -> Iterator[str]:
    """Yield what the message of a run and that of an inventory say about OPS and suspended clusters."""
    if snapshot.rejections:
        yield f"{len(snapshot.rejections)} rejected on OPS"
    if snapshot.issuances:
        yield f"{len(snapshot.issuances)} not issued yet"
    if snapshot.refused_requests:
        yield f"{len(snapshot.refused_requests)} asked for beyond selfService"
    if near_expiry := sum(1 for _ in expiring(snapshot, now)):
        yield f"{near_expiry} near expiry"
    if suspended:
        yield f"suspended: {', '.join(suspended)}"


def expiring(snapshot: SourceSnapshot, now: datetime) -> Iterator[tuple[Certificate, str]]:
    """Yield the certificates on OPS that should have been renewed by now, the earliest expiry first."""
    for one in sorted(snapshot.certificates, key=lambda c: (c.version.not_after, c.ref.name)):
        if (level := level_of(one, now)) is not Level.FINE:
            yield one, f"{level}: {count_of(one.version.days_left(now), 'day')} left"
