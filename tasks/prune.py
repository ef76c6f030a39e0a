"""Which copies may be deleted, because their certificate is gone from OPS. Off by default. Pure.

Only a whole run prunes, never one for a single cluster or certificate, and only clusters with `prune: true`.
A copy goes when all of this holds:

- it is ours, nobody has edited it, a glob routes its certificate there, and it is not on OPS at all: what is
  refused there, or named literally by a route, is kept;
- at least three runs in which nothing failed in its cluster found it so, the first of them a day ago. Each
  notes that on the copy (`tls-sync.io/orphaned-*`); when the certificate is back, the notes end;
- the annotation tls-sync.io/prune is not on it, or says "true";
- of all certificates that the pruned clusters have copies of, at most 30 % are gone from OPS, which holds at
  least one; of the cluster's own copies at most 30 % and 10 go at once, and 50 in all. Of fewer than ten
  certificates, or copies, one certificate may go. Beyond that, nothing is deleted and the run is Failed:
  external-dns emptied whole zones when its source was not ready (kubernetes-sigs/external-dns#1238, #3841);
- the waves before the cluster's went well.

Then OPS has to prove it, name by name, and the copy has to be the very one that was listed: see pruner.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from tasks.absence import RUNS, counts, is_due, is_from, outlook
from tasks.models import Absence, Action, Change, ClusterReport, Failure, Inventory
from tasks.names import is_protected
from tasks.order import Order
from tasks.plan import UnsafePlan
from tasks.reasons import NOT_OURS, Code, Reason

RENEW_NOTE = timedelta(hours=6)
"""Older than this, a note is renewed, though it has counted enough runs."""
SHARE = 0.3
SMALL = 10
"""Of fewer than this, one may go at once."""
MOST, MOST_IN_ALL = 10, 50


class Pruning(NamedTuple):
    """What is to be done in one cluster; each row is bound to the object and state that was listed."""

    cluster: str
    deletes: tuple[Change, ...] = ()
    notes: tuple[Change, ...] = ()
    """Their `absence` is what is to be noted; one without `since` ends the notes."""
    failures: tuple[Failure, ...] = ()

    @property
    def rows(self) -> tuple[Change, ...]:
        return (*self.deletes, *self.notes)


def plan_prune(
    orders: Iterable[Order], reports: Iterable[ClusterReport], now: datetime
) -> tuple[Pruning, ...]:
    """One for each cluster that is pruned and in which nothing failed, in the order of the orders.

    Reports come wave by wave, orders as the configuration has them: they belong together by name.
    """
    found = {report.cluster: report for report in reports if not report.failures}
    pruned = (order for order in orders if order.cluster.prune)
    pairs = [(order, found[order.cluster.name]) for order in pruned if order.cluster.name in found]
    if not pairs:
        return ()
    if doubt := doubt_about_ops(pairs[0][0].inventory, (report for _, report in pairs)):
        return tuple(_refused(report.cluster, doubt) for _, report in pairs if _orphans(report))
    planned = [_plan_one(order, report, now) for order, report in pairs]
    total = sum(len(one.deletes) for one in planned)
    if total > MOST_IN_ALL:
        text = f"{total} copies are due in all clusters together; at most {MOST_IN_ALL} may go at once"
        planned = [_refused(p.cluster, text, p.notes) if p.deletes else p for p in planned]
    return tuple(planned)


def doubt_about_ops(inventory: Inventory, reports: Iterable[ClusterReport]) -> str:
    """Why OPS can't be believed that so much is gone; empty where it can."""
    reports = list(reports)
    gone = {row.certificate for report in reports for row in _orphans(report)}
    known = gone | {row.certificate for report in reports for row in _copies(report) if not _is_orphan(row)}
    if gone and not inventory.certificates:
        return f"OPS holds no certificate at all, and {len(gone)} are missing there"
    if len(gone) > (most := _allowed(len(known))):
        return f"{len(gone)} of {len(known)} certificates are gone from OPS at once; at most {most} may be"
    return ""


def ensure_safe_prune(pruning: Pruning, order: Order, report: ClusterReport, now: datetime) -> None:
    """Check what must hold for every deletion, from the facts and not from the plan. Raises UnsafePlan."""
    on_ops = set(order.inventory.sources)
    listed = {row.target: row for row in report.changes}
    if not order.cluster.prune or order.certificate or order.dry_run or report.failures:
        raise UnsafePlan("this run may not prune this cluster")
    if _beyond(pruning.deletes, report):
        raise UnsafePlan("more deletions than may be at once")
    for row in pruning.deletes:
        found = listed.get(row.target)
        rules = {
            "it is not the one that was listed": found is not None
            and (found.uid, found.resource_version) == (row.uid, row.resource_version),
            "it is bound to no object": bool(row.uid and row.resource_version),
            "its certificate is on OPS": row.certificate not in on_ops,
            "a protected namespace": not is_protected(row.target.namespace),
            "it is not due": found is not None and _is_orphan(found) and _is_due(found, now),
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise UnsafePlan(f"{row.target}: {', '.join(broken)}")


def merged(report: ClusterReport, done: Iterable[Change], failures: Iterable[Failure]) -> ClusterReport:
    """The report of a cluster, with what became of its orphans."""
    rows = {change.target: change for change in report.changes} | {row.target: row for row in done}
    return report.model_copy(
        update={"changes": tuple(rows.values()), "failures": (*report.failures, *failures)}
    )


def _plan_one(order: Order, report: ClusterReport, now: datetime) -> Pruning:
    namespace = order.config.source.namespace
    orphans = [row for row in _orphans(report) if row.absence and is_from(row.absence, namespace)]
    due = [_deletion(row) for row in orphans if _is_due(row, now)]
    notes = tuple(_noted(row, now, namespace) for row in orphans if _wants_note(row, now))
    notes += tuple(_cleared(row) for row in report.changes if _is_over(row))
    if why := _beyond(due, report):
        return _refused(report.cluster, why, notes)
    return Pruning(report.cluster, tuple(due), notes)


def _refused(cluster: str, detail: str, notes: tuple[Change, ...] = ()) -> Pruning:
    failure = Failure(code=Code.PRUNE_REFUSED, cluster=cluster, what="delete copies", detail=detail)
    return Pruning(cluster, notes=notes, failures=(failure,))


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
    absence = row.absence
    if absence is None or _is_due(row, now):
        return False
    if absence.seen is None or not counts(absence, now):
        return True
    return absence.runs < RUNS or now - absence.seen >= RENEW_NOTE


def _noted(row: Change, now: datetime, namespace: str) -> Change:
    old = row.absence or Absence()
    counted = counts(old, now)
    since = old.since if counted and old.since else now
    noted = replace(old, since=since, seen=now, runs=(old.runs if counted else 0) + 1)
    return replace(row, absence=noted, detail=outlook(noted, now, namespace))


def _is_over(row: Change) -> bool:
    """It bears notes, and its certificate is not gone any more."""
    return not _is_orphan(row) and not row.writes and row.absence is not None and bool(row.uid)


def _cleared(row: Change) -> Change:
    return replace(row, absence=Absence())


def _deletion(row: Change) -> Change:
    return replace(row, action=Action.DELETE, reason=Reason.PRUNED, detail="")
