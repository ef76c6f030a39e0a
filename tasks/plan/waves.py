"""Clusters in waves: DEV before RCT before PRD. Pure.

The clusters of a wave are served concurrently. The next wave begins when this one has ended. Where more than
the configured share of this wave's copies differs from OPS, all later waves write only urgent copies: those
that expire within 24 hours. With `waves.verify: served` they do so, too, where an address of an earlier wave
does not present what is stored there; see tasks/rollout.py.

A run for one cluster is a wave of its own: who asks for PRD by name gets PRD.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from tasks.config.routes import RoutedCopy
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Certificate,
    Change,
    ClusterReport,
    Failure,
    ListedSecret,
    Plan,
    SecretRef,
    SourceSnapshot,
)
from tasks.domain.reasons import REQUESTS
from tasks.plan.described import with_entries_read
from tasks.plan.spec import SyncSpec

WANTED, MISSING, NOT_SERVED = "tls-sync.wanted", "tls-sync.missing", "tls-sync.not-served"
"""Labels of a group's run in Prefect, from which the fleet reads how it went."""

URGENT = timedelta(hours=24)
"""A copy is urgent when it expires within this time."""


class Share(NamedTuple):
    """How many copies a wave, or a part of it, is to have, and how many of these differ from OPS."""

    wanted: int = 0
    missing: int = 0

    def within(self, most: float) -> bool:
        return self.wanted == 0 or self.missing / self.wanted <= most


def waves_of(specs: Iterable[SyncSpec]) -> list[tuple[SyncSpec, ...]]:
    """The first wave first; within one, in the order of the configuration."""
    ordered = sorted(specs, key=_wave)
    return [tuple(wave) for _, wave in groupby(ordered, key=_wave)]


class Hold(NamedTuple):
    """Why later waves may write only what is urgent."""

    reason: str
    code: FailureCode = FailureCode.HELD_BACK


def held_back(wave: Iterable[SyncSpec], hold: Hold) -> tuple[SyncSpec, ...]:
    """The wave, limited to urgent writes because an earlier one went badly."""
    return tuple(replace(spec, hold_reason=hold.reason, hold_code=hold.code) for spec in wave)


def looking_first(wave: Iterable[SyncSpec]) -> tuple[SyncSpec, ...]:
    """The wave, limited to urgent writes until the run has looked at what the waves before serve."""
    return tuple(replace(spec, looks_first=True) for spec in wave)


def went_well(wave: Iterable[SyncSpec], reports: Iterable[ClusterReport]) -> bool:
    """Whether the next wave may write everything."""
    return not hold_reason(wave, reports)


def hold_reason(wave: Iterable[SyncSpec], reports: Iterable[ClusterReport]) -> str:
    """Why the next wave may write only what is urgent; empty where it may write everything."""
    specs = tuple(wave)
    most, share = specs[0].config.waves.max_failed_share, share_of(specs, reports)
    if share.within(most):
        return ""
    missing = f"{share.missing} of {share.wanted} copies are not as on OPS"
    return f"in wave {_wave(specs[0])}, {missing}: more than waves.maxFailedShare, {most:g}"


def share_of(wave: Iterable[SyncSpec], reports: Iterable[ClusterReport]) -> Share:
    """The share of a wave. A cluster without a report counts as having none of its copies.

    A discovered one that lacks something does not count, or whoever announces clusters could stop all waves.
    """
    specs, reports = tuple(wave), tuple(reports)
    by_name = {report.cluster: report for report in reports}
    wanted = there = 0
    if specs:
        snapshot = with_entries_read(specs[0].snapshot, specs[0].memory, reports)  # one for all of a run
        for spec in specs:
            report = by_name.get(spec.cluster.name)
            if report and report.lacks:
                continue
            targets = _wanted(spec, snapshot, report)
            wanted += len(targets)
            if report:
                rows = (row for row in report.changes if row.reason not in REQUESTS)
                there += sum(_is_well(row, report) and row.target in targets for row in rows)
    return Share(wanted, wanted - there)


def only_urgent(plan: Plan, now: datetime) -> tuple[Plan, tuple[Change, ...]]:
    """The plan with its urgent writes only, and the writes that wait."""
    waiting = tuple(change for change in plan.writes if not _is_urgent(change, now))
    targets = {change.target for change in waiting}
    due = tuple(change for change in plan.changes if change.target not in targets)
    return plan.model_copy(update={"changes": due}), waiting


def hold_failure(spec: SyncSpec, waiting: int, planned: int) -> Failure:
    """The failure in the report of a cluster in which writes wait."""
    what, why = f"write {waiting} of {planned} secrets", spec.hold_reason or "urgent_only was asked for"
    return Failure(code=spec.hold_code, cluster=spec.cluster.name, what=what, detail=why)


def with_hold(spec: SyncSpec, report: ClusterReport) -> ClusterReport:
    """The report of a cluster that looked first, and whose other writes are held back now."""
    if not report.waiting:
        return report
    planned = sum(change.writes for change in report.changes)
    failure = hold_failure(spec, report.waiting, planned)
    return report.model_copy(update={"failures": (*report.failures, failure), "waiting": 0})


def _wave(spec: SyncSpec) -> int:
    return spec.cluster.wave


def _wanted(spec: SyncSpec, snapshot: SourceSnapshot, report: ClusterReport | None) -> set[SecretRef]:
    """The copies that the cluster is to have, without those that were asked for beyond the limits.

    Whether a listed Secret is fit is known where it was read, in this process or another one. So one that a
    glob routes counts where the report has a row, and where the cluster failed or has no report.
    """
    rows = {row.key for row in report.changes} if report and not report.failures else None
    beyond = {row.key for row in (report.changes if report else ()) if row.reason in REQUESTS}

    def is_wanted(want: RoutedCopy) -> bool:
        key = want.target, want.certificate
        if key in beyond or want.refusal in REQUESTS:
            return False
        if want.literal:
            return True
        source = snapshot.entries.get(want.certificate)
        is_listed = isinstance(source, ListedSecret) and (rows is None or key in rows)
        return isinstance(source, Certificate) or is_listed

    cluster = spec.cluster.with_selected(report.selected if report else {})
    wants = cluster.routed_copies(snapshot.names, spec.explicit_certificate)
    return {want.target for want in wants if spec.certificate in (None, want.certificate) and is_wanted(want)}


def _is_well(change: Change, report: ClusterReport) -> bool:
    return not change.failed and (change.applied or report.dry_run or not change.writes)


def _is_urgent(change: Change, now: datetime) -> bool:
    return change.old is not None and change.old.not_after - now < URGENT


def labels_of(share: Share, not_served: int | None = None) -> dict[str, bool | int | float | str]:
    served = {} if not_served is None else {NOT_SERVED: not_served}
    return {WANTED: share.wanted, MISSING: share.missing, **served}


def share_in(labels: Mapping[str, Any]) -> Share | None:
    """The share in the labels of a group's run; None where they have none that makes sense."""
    wanted, missing = labels.get(WANTED), labels.get(MISSING)
    if type(wanted) is int and type(missing) is int and 0 <= missing <= wanted:
        return Share(wanted, missing)
    return None


def not_served_in(labels: Mapping[str, Any]) -> int | None:
    """How many handshakes of a group's run found something else; None where the labels don't say it."""
    found = labels.get(NOT_SERVED)
    return found if type(found) is int and found >= 0 else None
