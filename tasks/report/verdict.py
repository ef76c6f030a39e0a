"""How a run went, in one sentence: the state's name and message, and what is to be looked at. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.domain.errors import first_problem
from tasks.domain.expiry import Level, level_of
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Certificate, RunReport
from tasks.domain.text import count_of

NAMED = 10
"""Clusters in the message of a run's state; the report has them all."""


class Verdict(NamedTuple):
    ok: bool
    name: str
    """Name of the run's final state."""
    message: str


def verdict(report: RunReport) -> Verdict:
    """How the run ended, in one line: `1 of 3 clusters failed: rct (Unreachable: …)`."""
    if report.inventory.failure:
        failure = report.inventory.failure
        too_many = failure.code is FailureCode.TOO_MANY
        why = "" if too_many else ", OPS can't be read"
        message = f"nothing was written{why}: {failure}. To do: {failure.code.remedy}"
        return Verdict(ok=False, name=str(failure.code) if too_many else "SourceUnreadable", message=message)
    failed = [cluster for cluster in report.clusters if not cluster.ok]
    if failed:
        reasons = [f"{cluster.cluster} ({first_problem(cluster)})" for cluster in failed[:NAMED]]
        reasons += [f"and {len(failed) - NAMED} more"] if len(failed) > NAMED else []
        message = f"{len(failed)} of {_clusters(report)} failed: {'; '.join(reasons)}"
        return Verdict(ok=False, name="ClustersFailed", message=message)
    message = "; ".join([f"{_clusters(report)}: {_done(report)}", *_notes(report)])
    return Verdict(ok=True, name="Completed", message=message)


def _clusters(report: RunReport) -> str:
    return count_of(len(report.clusters), "cluster")


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
    snapshot = report.inventory
    ending = len(list(expiring(report)))
    yield from about_ops(len(snapshot.rejections), len(snapshot.issuances), ending, report.suspended)


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
            yield one, f"{level}: {count_of(one.version.days_left(report.now), 'day')} left"
