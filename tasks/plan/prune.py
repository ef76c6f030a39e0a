"""Which copies may be deleted, because their certificate is gone from OPS. Off by default. Pure.

Only a whole run prunes, never one for a single cluster or certificate, and only clusters with `prune: true`.
A copy goes when all of this holds:

- it is ours, nobody has edited it, a glob routes its certificate there, and it is not on OPS at all: what is
  refused there, or named literally by a route, is kept;
- at least three runs found it so, each 50 minutes or more after the other, and the first of them a day ago.
  Each notes that on the copy (`tls-sync.io/orphaned-*`); when the certificate is back, the notes end;
- in these runs, and in the one that deletes, nothing failed and nothing was refused in its cluster, and no
  cluster had a newer certificate than OPS (WouldDowngrade), which may have been restored from a snapshot that
  is older than what is missing;
- all times are those of its cluster's API server, which stand in each answer. Where our clock is more than
  five minutes away from that one, or it tells none, nothing is noted or deleted there;
- the annotation tls-sync.io/prune is not on it, or says "true";
- of all certificates that the pruned clusters have copies of, at most 30 % are gone from OPS, which holds at
  least one; of the cluster's own copies at most 30 % and 10 go at once, and 50 in all. Of fewer than ten
  certificates, or copies, one certificate may go. Beyond that, nothing is deleted and the run is Failed:
  external-dns emptied whole zones when its source was not ready (kubernetes-sigs/external-dns#1238, #3841);
- the waves before the cluster's went well.

Then OPS has to prove it, name by name, and the copy has to be the very one that was listed (target/prune.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Change, ClusterReport, Failure, OrphanRecord, SourceSnapshot
from tasks.domain.names import is_protected
from tasks.domain.reasons import NOT_OURS, Reason
from tasks.domain.text import join_limited
from tasks.plan.orphans import Clock, is_due, is_from, next_note, prune_forecast, waiting, wants_note
from tasks.plan.safety import UnsafePlan
from tasks.plan.spec import SyncSpec

SHARE = 0.3
SMALL = 10
"""Of fewer than this, one may go at once."""
MOST, MOST_IN_ALL = 10, 50


class Pruning(NamedTuple):
    """What is to be done in one cluster; each row is bound to the object and state that was listed."""

    cluster: str
    deletes: tuple[Change, ...] = ()
    notes: tuple[Change, ...] = ()
    """Their `absence` is what was noted so far; once `timed`, what is to be noted."""
    ended: tuple[Change, ...] = ()
    """Whose notes end, as their certificate is not gone any more."""
    waiting: tuple[Change, ...] = ()
    """To which nothing is done for now; their `detail` says why."""
    failures: tuple[Failure, ...] = ()

    @property
    def rows(self) -> tuple[Change, ...]:
        return (*self.deletes, *self.notes, *self.ended)


def plan_prune(
    specs: Iterable[SyncSpec], reports: Iterable[ClusterReport], now: datetime
) -> tuple[Pruning, ...]:
    """One for each cluster that is pruned and has a report, in the order of the orders.

    `reports` are those of the whole run, wave by wave, and orders as the configuration has them: they belong
    together by name. `now` is our time, by which nothing is done yet: see `timed`.
    """
    found = {report.cluster: report for report in reports}
    pruned = (spec for spec in specs if spec.cluster.prune)
    pairs = [(spec, found[spec.cluster.name]) for spec in pruned if spec.cluster.name in found]
    if not pairs:
        return ()
    newer = newer_than_ops(found.values())
    doubt = doubt_about_ops(pairs[0][0].snapshot, (report for _, report in pairs if not report.failures))
    planned = [_plan_one(spec, report, newer, doubt, now) for spec, report in pairs]
    total = sum(len(one.deletes) for one in planned)
    if total > MOST_IN_ALL:
        text = f"{total} copies are due in all clusters together; at most {MOST_IN_ALL} may go at once"
        planned = [_refused(one, text) if one.deletes else one for one in planned]
    return tuple(planned)


def newer_than_ops(reports: Iterable[ClusterReport]) -> str:
    """Copies that are newer than what OPS has, in any cluster of a run; empty where none is."""
    found = (
        f"{row.target} on {report.cluster}"
        for report in reports
        for row in report.changes
        if row.reason is Reason.WOULD_DOWNGRADE
    )
    return join_limited(sorted(found))


def doubt_about_ops(inventory: SourceSnapshot, reports: Iterable[ClusterReport]) -> str:
    """Why OPS can't be believed that so much is gone; empty where it can."""
    reports = list(reports)
    gone = {row.certificate for report in reports for row in _orphans(report)}
    known = gone | {row.certificate for report in reports for row in _copies(report) if not _is_orphan(row)}
    if gone and not inventory.certificates:
        return f"OPS holds no certificate at all, and {len(gone)} are missing there"
    if len(gone) > (most := _allowed(len(known))):
        return f"{len(gone)} of {len(known)} certificates are gone from OPS at once; at most {most} may be"
    return ""


def timed(pruning: Pruning, clock: Clock, namespace: str) -> Pruning:
    """What of it holds by the target's clock, right before it is carried out; notes bear that time.

    `namespace` is where OPS has its certificates.
    """
    if clock.trouble:
        idle = _waiting((*pruning.deletes, *pruning.notes), clock.trouble)
        return pruning._replace(deletes=(), notes=(), waiting=(*pruning.waiting, *idle))
    deletes = tuple(row for row in pruning.deletes if _is_due(row, clock.now))
    wanted = (row for row in pruning.notes if _wants_note(row, clock.now))
    notes = tuple(_noted(row, clock, namespace) for row in wanted)
    return pruning._replace(deletes=deletes, notes=notes)


def ensure_safe_prune(
    pruning: Pruning, spec: SyncSpec, report: ClusterReport, newer: str, clock: Clock
) -> None:
    """Check what must hold for every note and deletion, from the facts and not from the plan.

    `newer` is what `newer_than_ops` says of all clusters of the run. Raises UnsafePlan.
    """
    listed = {row.target: row for row in report.changes}
    if not spec.cluster.prune or spec.certificate or spec.dry_run:
        raise UnsafePlan("this run may not prune this cluster")
    if (pruning.deletes or pruning.notes) and (newer or clock.trouble or not report.ok):
        raise UnsafePlan("nothing may be noted or deleted in this cluster now")
    if _beyond(pruning.deletes, report):
        raise UnsafePlan("more deletions than may be at once")
    for row in (*pruning.deletes, *pruning.notes):
        rules = _rules(row, listed.get(row.target), spec.snapshot, clock.now)
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise UnsafePlan(f"{row.target}: {', '.join(broken)}")


def _rules(row: Change, found: Change | None, inventory: SourceSnapshot, now: datetime) -> dict[str, bool]:
    """What must hold for a row that is deleted or noted; `found` is what was listed there."""
    noted = found.absence if found and _is_orphan(found) else None
    deletes = row.action is Action.DELETE
    return {
        "it is not the one that was listed": found is not None
        and (found.uid, found.resource_version) == (row.uid, row.resource_version),
        "it is bound to no object": bool(row.uid and row.resource_version),
        "its certificate is on OPS": row.certificate not in inventory.entries,
        "a protected namespace": not is_protected(row.target.namespace),
        "it is not due": not deletes or (noted is not None and is_due(noted, now)),
        "it is noted otherwise": deletes or (noted is not None and row.absence == next_note(noted, now)),
    }


def merged(report: ClusterReport, done: Iterable[Change], failures: Iterable[Failure]) -> ClusterReport:
    """The report of a cluster, with what became of its orphans."""
    rows = {change.target: change for change in report.changes} | {row.target: row for row in done}
    return report.model_copy(
        update={"changes": tuple(rows.values()), "failures": (*report.failures, *failures)}
    )


def _plan_one(spec: SyncSpec, report: ClusterReport, newer: str, doubt: str, now: datetime) -> Pruning:
    namespace = spec.config.source.namespace
    planned = Pruning(report.cluster, ended=tuple(_cleared(row) for row in report.changes if _is_over(row)))
    every = _orphans(report)
    orphans = [row for row in every if row.absence and is_from(row.absence, namespace)]
    why = _what_comes_first(report, newer)
    if why:
        planned = planned._replace(waiting=_waiting(orphans, why))
    if doubt and every and not report.failures:
        return _refused(planned, doubt)
    if why:
        return planned
    planned = planned._replace(notes=tuple(row for row in orphans if _wants_note(row, now)))
    due = tuple(_deletion(row) for row in orphans if _is_due(row, now))
    if why := _beyond(due, report):
        return _refused(planned, why)
    return planned._replace(deletes=due)


def _what_comes_first(report: ClusterReport, newer: str) -> str:
    """Why nothing may be noted or deleted in a cluster in this run; empty where it may."""
    if newer:
        return f"OPS may be of an older snapshot, as targets have newer certificates ({newer}): see to those"
    troubles = [str(failure.code) for failure in report.failures]
    troubles += [f"{row.reason} of {row.target}" for row in report.changes if row.failed]
    return f"something failed or was refused in this cluster: {join_limited(troubles)}" if troubles else ""


def _waiting(rows: Iterable[Change], why: str) -> tuple[Change, ...]:
    gone = Reason.GONE_FROM_SOURCE
    return tuple(replace(row, action=Action.KEEP, reason=gone, detail=waiting(why)) for row in rows)


def _refused(planned: Pruning, detail: str) -> Pruning:
    """The same without deletions, and with a failure that says why."""
    failure = Failure(
        code=FailureCode.PRUNE_REFUSED, cluster=planned.cluster, what="delete copies", detail=detail
    )
    return planned._replace(deletes=(), failures=(failure,))


def _beyond(due: Sequence[Change], report: ClusterReport) -> str:
    """Why these are too many to go at once in a cluster; empty where they are not."""
    copies, gone = sum(1 for _ in _copies(report)), {row.certificate for row in due}
    if copies < SMALL:
        told = f"copies of {len(gone)} certificates are due; of fewer than {SMALL} copies, only those of one"
        return f"{told} may go at once" if len(gone) > 1 else ""
    most = min(MOST, _allowed(copies))
    return f"{len(due)} copies are due; at most {most} may go at once here" if len(due) > most else ""


def _allowed(existing: int) -> int:
    return 1 if existing < SMALL else int(existing * SHARE)


def _copies(report: ClusterReport) -> Iterable[Change]:
    """The rows about copies of ours that were there: what was made just now, or refused, is none."""
    found = (row for row in report.changes if row.action is not Action.CREATE)
    return (row for row in found if row.old is not None and row.reason not in NOT_OURS)


def _is_orphan(row: Change) -> bool:
    return row.reason is Reason.GONE_FROM_SOURCE


def _orphans(report: ClusterReport) -> list[Change]:
    """Those that could be deleted at last."""
    return [row for row in report.changes if _is_orphan(row) and row.absence and not row.absence.kept]


def _is_due(row: Change, now: datetime) -> bool:
    return row.absence is not None and is_due(row.absence, now)


def _wants_note(row: Change, now: datetime) -> bool:
    return row.absence is not None and wants_note(row.absence, now)


def _noted(row: Change, clock: Clock, namespace: str) -> Change:
    noted = next_note(row.absence or OrphanRecord(), clock.now)
    return replace(row, absence=noted, detail=prune_forecast(noted, clock, namespace))


def _is_over(row: Change) -> bool:
    """It bears notes, and its certificate is not gone any more."""
    return not _is_orphan(row) and not row.writes and row.absence is not None and bool(row.uid)


def _cleared(row: Change) -> Change:
    return replace(row, absence=OrphanRecord())


def _deletion(row: Change) -> Change:
    return replace(row, action=Action.DELETE, reason=Reason.PRUNED, detail="")
