"""A cluster or a run in a few words: the descriptions of artifacts, whose list is a status board. Pure."""

from collections.abc import Iterator
from datetime import datetime

from tasks.domain.models import Action, ClusterReport, RunReport
from tasks.domain.text import count_of, printable
from tasks.report.verdict import MAX_NAMED, Verdict, run_verdict

ACTS = (Action.CREATE, Action.UPDATE, Action.DELETE)
OK, FAILED = "✓", "✗"


def cluster_headline(cluster: ClusterReport, now: datetime, last_in_sync: datetime | None = None) -> str:
    """Return `dev ✓ update 1`, `prd ✓ in sync, 13 copies` or `rct ✗ Timeout, last in sync 11:47 UTC`."""
    if cluster.ok:
        return f"{cluster.cluster} {OK} {_done(cluster)}"
    last = f", last in sync {_moment(last_in_sync, now)}" if last_in_sync else ""
    return f"{cluster.cluster} {FAILED} {_problems(cluster)}{last}"


def run_headline(report: RunReport) -> str:
    """Return `✓ 3 clusters: create 3`, or `✗ 1 of 3 clusters failed: rct (Timeout)`."""
    if report.snapshot.failure:
        return f"{FAILED} nothing was written: OPS: {report.snapshot.failure.code}"
    failed = [cluster for cluster in report.clusters if not cluster.ok]
    if not failed:  # also where discovered clusters are not known
        return headline(run_verdict(report))
    named = [f"{one.cluster} ({_problems(one)})" for one in failed[:MAX_NAMED]]
    named += [f"and {len(failed) - MAX_NAMED} more"] if len(failed) > MAX_NAMED else []
    count = count_of(len(report.clusters), "cluster")
    return f"{FAILED} {len(failed)} of {count} failed: {', '.join(named)}"


def headline(verdict: Verdict) -> str:
    """Return the message of a verdict with its mark."""
    return printable(f"{OK if verdict.ok else FAILED} {verdict.message}")


def _done(cluster: ClusterReport) -> str:
    counts = cluster.counts
    would = "would " if cluster.dry_run else ""
    acts = [f"{would}{action} {counts[action]}" for action in ACTS if counts.get(action)]
    copies = counts.get(Action.KEEP, 0)
    return ", ".join(acts) or f"in sync, {copies} {'copy' if copies == 1 else 'copies'}"


def _problems(cluster: ClusterReport) -> str:
    """Return the code of the first problem, and how many others there are."""
    first, *others = _codes(cluster)
    return f"{first} and {len(others)} more" if others else first


def _codes(cluster: ClusterReport) -> Iterator[str]:
    yield from (str(failure.code) for failure in cluster.failures)
    yield from (str(change.reason) for change in cluster.changes if change.failed)


def _moment(moment: datetime, now: datetime) -> str:
    """Return the time, with its day where that is another one."""
    day = "" if moment.date() == now.date() else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M} UTC"
