"""Brings the clusters of a run in sync, wave by wave.

A wave begins when the one before has ended. It writes only urgent copies where too much failed before, or,
with `waves.verify: served`, where an address of an earlier wave does not present what is stored there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tasks.domain.attempts import with_earlier_writes, writes_of
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Failure
from tasks.domain.parameters import RunParameters
from tasks.orchestration.fan_out import Submit, submit_to_thread, until_stopped
from tasks.plan.spec import SyncSpec
from tasks.plan.waves import Hold, held_back, hold_reason, looking_first, waves_of, with_hold
from tasks.report.served import not_served_reason
from tasks.served.awaited import all_match, with_warnings
from tasks.served.look import wait_until_served
from tasks.sync_cluster import sync_wave

Reports = tuple[ClusterReport, ...]


def sync_clusters(
    specs: Iterable[SyncSpec], submit: Submit = submit_to_thread
) -> tuple[Reports, BaseException | None]:
    """Run one task per cluster, wave by wave. Return the reports, and the signal that stopped the run.

    After a signal (SIGTERM, Ctrl-C, a cancellation in the UI), writes in progress finish and no other starts.
    """
    rollout = _Rollout(submit)
    for wave in waves_of(specs):
        rollout.run(wave)
    return tuple(with_warnings(rollout.reports)), rollout.signal


@dataclass
class _Rollout:
    """The waves of a run, one after another."""

    submit: Submit
    reports: Reports = ()
    signal: BaseException | None = None
    hold: Hold | None = None
    """Why no later wave may write more than what is urgent."""
    previous: tuple[tuple[SyncSpec, ...], Reports] | None = None

    def run(self, wave: tuple[SyncSpec, ...]) -> None:
        if self.signal:
            self.reports += tuple(map(_interrupted_report, wave))
            return
        if self.previous and not self.hold and (reason := hold_reason(*self.previous)):
            self.hold = Hold(reason)
        if self.hold:
            done, self.signal = sync_wave(held_back(wave, self.hold), self.submit)
        elif all_match(self.reports) or wave[0].parameters.urgent_only:
            done, self.signal = sync_wave(wave, self.submit)
        else:
            done = self._look_first(wave)
        self.previous = wave, done
        self.reports += done

    def _look_first(self, wave: tuple[SyncSpec, ...]) -> Reports:
        """Write what is urgent. If more is to do, look at what the waves before serve: only then do the rest.

        So a wave that has nothing to do costs no handshake.
        """
        done, self.signal = sync_wave(looking_first(wave), self.submit)
        if not any(report.waiting for report in done):
            return done
        if not self.signal:
            self.reports, self.signal = look(self.reports, wave[0].run_deadline)
        if self.signal:
            return tuple(map(_interrupted, done))
        if reason := not_served_reason(self.reports):
            self.hold = Hold(reason, FailureCode.NOT_SERVED)
            return tuple(map(with_hold, held_back(wave, self.hold), done))
        rest = [spec for spec, report in zip(wave, done, strict=True) if report.waiting]
        more, self.signal = sync_wave(rest, self.submit)
        later = {report.cluster: report for report in more}
        return tuple(_joined(report, later.get(report.cluster)) for report in done)


def look_for_fleet(
    reports: Reports, parameters: RunParameters, run_deadline: datetime
) -> tuple[Reports, BaseException | None]:
    """Look at what the addresses of a group present: the fleet does not know yet what later waves have to do.

    Where nothing but urgent copies is written in later waves anyhow, nobody looks.
    """
    if parameters.urgent_only or all_match(reports):
        return reports, None
    looked, signal = look(reports, run_deadline)
    return tuple(with_warnings(looked)), signal


def look(reports: Reports, run_deadline: datetime | None) -> tuple[Reports, BaseException | None]:
    """Return the reports with what their addresses present, and the signal that stopped the run."""
    return until_stopped(lambda: wait_until_served(reports, run_deadline), reports)


def _joined(first: ClusterReport, second: ClusterReport | None) -> ClusterReport:
    """The report of a cluster that was served twice: before and after the run looked at what others serve."""
    if second is None:
        return _interrupted(first)
    joined = with_earlier_writes(second, writes_of(first))
    return joined.model_copy(update={"requests": (*first.requests, *second.requests)})


def _interrupted(report: ClusterReport) -> ClusterReport:
    """The report of a cluster whose other writes did not begin."""
    if not report.waiting:
        return report
    failure = _interruption(report.cluster, f"write {report.waiting} secrets")
    return report.model_copy(update={"failures": (*report.failures, failure), "waiting": 0})


def _interrupted_report(spec: SyncSpec) -> ClusterReport:
    failure = _interruption(spec.cluster.name, "bring the cluster in sync")
    return ClusterReport(cluster=spec.cluster.name, dry_run=spec.dry_run, failures=(failure,))


def _interruption(cluster: str, what: str) -> Failure:
    return Failure(code=FailureCode.INTERRUPTED, cluster=cluster, what=what)
