"""Which orphans may be deleted: copies whose certificate is gone from OPS. Off by default. Pure.

Only a run for everything prunes, and only clusters with `prune: true`. A copy is deleted when all this holds:

- the copy is ours and unedited, a glob routes its certificate there, and OPS has nothing of that name: what
  OPS has and we refuse, or what a route names literally, is kept;
- at least three runs found the certificate gone, each 50 minutes or more after the last, the first one a day
  ago. Each records that on the copy (`tls-sync.io/orphaned-*`); the record is removed when it is back;
- in these runs, and in the one that deletes, nothing failed and nothing was refused in the cluster, and no
  cluster had a newer certificate than OPS (WouldDowngrade): OPS may have been restored from an old backup;
- times are those of the cluster's API server, from the Date of its answers. Where it has none, or our clock
  differs by more than five minutes, nothing is recorded or deleted there;
- the copy has no annotation tls-sync.io/prune, or it is "true";
- of all certificates of which the pruned clusters have copies, at most 30 % are gone from OPS, and OPS has at
  least one; at most 30 % and 10 of the cluster's own copies are deleted at once, and 50 in all clusters. Of
  fewer than ten certificates, or copies, one certificate may go. Beyond a limit, nothing is deleted and the
  run is Failed: external-dns emptied whole zones when its source was not ready
  (kubernetes-sigs/external-dns#1238, #3841);
- the waves before that of the cluster went well, and no address there presents something else than is stored,
  as far as the run has looked.

Then target/prune.py asks OPS for each name, and deletes only the very object that was listed.
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
from tasks.plan.orphans import Clock, deferred, is_due, is_from, must_record, next_record, prune_forecast
from tasks.plan.safety import UnsafePlan
from tasks.plan.spec import SyncSpec

MAX_SHARE = 0.3
"""Maximum share of the certificates, or of a cluster's copies, that may go in one run."""
FEW = 10
"""Of fewer certificates or copies than this, one may go in one run."""
MAX_DELETIONS_PER_CLUSTER, MAX_DELETIONS_PER_RUN = 10, 50


class PrunePlan(NamedTuple):
    """What to do in one cluster; each row is bound to the uid and resourceVersion that were listed."""

    cluster: str
    deletes: tuple[Change, ...] = ()
    records: tuple[Change, ...] = ()
    """`absence` is the record on the copy; after `at_target_time`, the one to write."""
    cleared: tuple[Change, ...] = ()
    """Copies whose record is removed, since their certificate is back."""
    deferred: tuple[Change, ...] = ()
    """Copies that nothing is done about in this run; their `detail` says why."""
    failures: tuple[Failure, ...] = ()

    @property
    def rows(self) -> tuple[Change, ...]:
        return (*self.deletes, *self.records, *self.cleared)


def plan_prune(
    specs: Iterable[SyncSpec], reports: Iterable[ClusterReport], now: datetime
) -> tuple[PrunePlan, ...]:
    """One plan for each pruned cluster that has a report, in the order of the specs.

    `reports` are those of the whole run, in any order. `now` is our time, which `at_target_time` replaces.
    """
    found = {report.cluster: report for report in reports}
    pruned = (spec for spec in specs if spec.cluster.prune)
    pairs = [(spec, found[spec.cluster.name]) for spec in pruned if spec.cluster.name in found]
    if not pairs:
        return ()
    newer = copies_newer_than_ops(found.values())
    doubt = implausible_loss(pairs[0][0].snapshot, (report for _, report in pairs if not report.failures))
    planned = [_plan_one(spec, report, newer, doubt, now) for spec, report in pairs]
    total = sum(len(one.deletes) for one in planned)
    if total > MAX_DELETIONS_PER_RUN:
        text = (
            f"{total} copies are due in all clusters together; at most {MAX_DELETIONS_PER_RUN} may go at once"
        )
        planned = [_refused(one, text) if one.deletes else one for one in planned]
    return tuple(planned)


def copies_newer_than_ops(reports: Iterable[ClusterReport]) -> str:
    """The copies, in all clusters of a run, that are newer than OPS's certificate; empty where none is."""
    found = (
        f"{row.target} on {report.cluster}"
        for report in reports
        for row in report.changes
        if row.reason is Reason.WOULD_DOWNGRADE
    )
    return join_limited(sorted(found))


def implausible_loss(snapshot: SourceSnapshot, reports: Iterable[ClusterReport]) -> str:
    """Why it is implausible that so many certificates are gone from OPS; empty where it is plausible."""
    reports = list(reports)
    gone = {row.certificate for report in reports for row in _orphans(report)}
    known = gone | {row.certificate for report in reports for row in _copies(report) if not _is_orphan(row)}
    if gone and not (snapshot.certificates or snapshot.listed):
        return f"OPS holds no certificate at all, and {len(gone)} are missing there"
    if len(gone) > (most := _allowed(len(known))):
        return f"{len(gone)} of {len(known)} certificates are gone from OPS at once; at most {most} may be"
    return ""


def at_target_time(plan: PrunePlan, clock: Clock, namespace: str) -> PrunePlan:
    """The plan by the target's clock, right before it is carried out; records have that time.

    `namespace` is where OPS has its certificates.
    """
    if clock.problem:
        idle = _deferred((*plan.deletes, *plan.records), clock.problem)
        return plan._replace(deletes=(), records=(), deferred=(*plan.deferred, *idle))
    deletes = tuple(row for row in plan.deletes if _is_due(row, clock.now))
    wanted = (row for row in plan.records if _must_record(row, clock.now))
    records = tuple(_with_next_record(row, clock, namespace) for row in wanted)
    return plan._replace(deletes=deletes, records=records)


def ensure_safe_prune(
    plan: PrunePlan, spec: SyncSpec, report: ClusterReport, newer: str, clock: Clock
) -> None:
    """Check every record and deletion against the facts, independently of the plan. Raises UnsafePlan.

    `newer` is what `copies_newer_than_ops` says of all clusters of the run.
    """
    listed = {row.key: row for row in report.changes}
    if not spec.cluster.prune or spec.certificate or spec.dry_run:
        raise UnsafePlan("this run may not prune this cluster")
    if (plan.deletes or plan.records) and (newer or clock.problem or not report.ok):
        raise UnsafePlan("nothing may be recorded or deleted in this cluster now")
    if _limit_exceeded(plan.deletes, report):
        raise UnsafePlan("more deletions than one run may make")
    for row in (*plan.deletes, *plan.records):
        rules = _rules(row, listed.get(row.key), spec.snapshot, clock.now)
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise UnsafePlan(f"{row.target}: {', '.join(broken)}")


def _rules(row: Change, found: Change | None, snapshot: SourceSnapshot, now: datetime) -> dict[str, bool]:
    """What must hold for a row that is deleted or recorded; `found` is the row of the report."""
    recorded = found.absence if found and _is_orphan(found) else None
    deletes = row.action is Action.DELETE
    return {
        "it is not the one that was listed": found is not None
        and (found.uid, found.resource_version) == (row.uid, row.resource_version),
        "it is bound to no object": bool(row.uid and row.resource_version),
        "its certificate is on OPS": row.certificate not in snapshot.entries,
        "a protected namespace": not is_protected(row.target.namespace),
        "it is not due": not deletes or (recorded is not None and is_due(recorded, now)),
        "its record differs": deletes or (recorded is not None and row.absence == next_record(recorded, now)),
    }


def with_outcome(report: ClusterReport, done: Iterable[Change], failures: Iterable[Failure]) -> ClusterReport:
    """The report of a cluster, with what was done about its orphans."""
    rows = {row.key: row for row in (*report.changes, *done)}
    return report.model_copy(
        update={"changes": tuple(rows.values()), "failures": (*report.failures, *failures)}
    )


def _plan_one(spec: SyncSpec, report: ClusterReport, newer: str, doubt: str, now: datetime) -> PrunePlan:
    namespace = spec.config.source.namespace
    planned = PrunePlan(
        report.cluster, cleared=tuple(_cleared(row) for row in report.changes if _is_wanted_again(row))
    )
    every = _orphans(report)
    listed = spec.snapshot.entries  # one that was deleted after OPS was listed waits for the next run
    orphans = [
        row
        for row in every
        if row.absence and is_from(row.absence, namespace) and row.certificate not in listed
    ]
    why = _obstacle(report, newer)
    if why:
        planned = planned._replace(deferred=_deferred(orphans, why))
    if doubt and every and not report.failures:
        return _refused(planned, doubt)
    if why:
        return planned
    planned = planned._replace(records=tuple(row for row in orphans if _must_record(row, now)))
    due = tuple(_deletion(row) for row in orphans if _is_due(row, now))
    if why := _limit_exceeded(due, report):
        return _refused(planned, why)
    return planned._replace(deletes=due)


def _obstacle(report: ClusterReport, newer: str) -> str:
    """Why this run may record and delete nothing in a cluster; empty where it may."""
    if newer:
        return f"OPS may be of an older snapshot, as targets have newer certificates ({newer}): see to those"
    problems = [str(failure.code) for failure in report.failures]
    problems += [f"{row.reason} of {row.target}" for row in report.changes if row.failed]
    return f"something failed or was refused in this cluster: {join_limited(problems)}" if problems else ""


def _deferred(rows: Iterable[Change], why: str) -> tuple[Change, ...]:
    gone = Reason.GONE_FROM_SOURCE
    return tuple(replace(row, action=Action.KEEP, reason=gone, detail=deferred(why)) for row in rows)


def _refused(planned: PrunePlan, detail: str) -> PrunePlan:
    """The plan without deletions, and with a failure that says why."""
    failure = Failure(
        code=FailureCode.PRUNE_REFUSED, cluster=planned.cluster, what="delete copies", detail=detail
    )
    return planned._replace(deletes=(), failures=(failure,))


def _limit_exceeded(due: Sequence[Change], report: ClusterReport) -> str:
    """Why these are too many deletions for one run in a cluster; empty where they are not."""
    copies, gone = sum(1 for _ in _copies(report)), {row.certificate for row in due}
    if copies < FEW:
        many = f"copies of {len(gone)} certificates are due; of fewer than {FEW} copies, only those of one"
        return f"{many} may go at once" if len(gone) > 1 else ""
    most = min(MAX_DELETIONS_PER_CLUSTER, _allowed(copies))
    return f"{len(due)} copies are due; at most {most} may go at once here" if len(due) > most else ""


def _allowed(existing: int) -> int:
    return 1 if existing < FEW else int(existing * MAX_SHARE)


def _copies(report: ClusterReport) -> Iterable[Change]:
    """The rows about copies of ours that the run found: not what it created, nor what is not ours."""
    found = (row for row in report.changes if row.action is not Action.CREATE)
    return (row for row in found if row.old is not None and row.reason not in NOT_OURS)


def _is_orphan(row: Change) -> bool:
    return row.reason is Reason.GONE_FROM_SOURCE


def _orphans(report: ClusterReport) -> list[Change]:
    """The copies that could be deleted in the end."""
    return [row for row in report.changes if _is_orphan(row) and row.absence and not row.absence.kept]


def _is_due(row: Change, now: datetime) -> bool:
    return row.absence is not None and is_due(row.absence, now)


def _must_record(row: Change, now: datetime) -> bool:
    return row.absence is not None and must_record(row.absence, now)


def _with_next_record(row: Change, clock: Clock, namespace: str) -> Change:
    record = next_record(row.absence or OrphanRecord(), clock.now)
    return replace(row, absence=record, detail=prune_forecast(record, clock, namespace))


def _is_wanted_again(row: Change) -> bool:
    """Whether the copy has a record, and its certificate is back."""
    return not _is_orphan(row) and not row.writes and row.absence is not None and bool(row.uid)


def _cleared(row: Change) -> Change:
    return replace(row, absence=OrphanRecord())


def _deletion(row: Change) -> Change:
    return replace(row, action=Action.DELETE, reason=Reason.PRUNED, detail="")
