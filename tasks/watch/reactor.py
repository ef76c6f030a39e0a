"""Brings what has changed on OPS to the clusters at once, in this process, with connections kept.

What is decided and written is target/sync.py's business, as in a run. A cluster that fails, or takes long, is
left to itself until it is in sync again, so that it holds up no other one. Only the first wave is served: the
others wait for a run, which sees first how it went there.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.config.limits import CLUSTER_SECONDS, limit_copies
from tasks.config.load import load_config
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.attempts import writes_of
from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, RunReport, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.kube.pool import client_of_source
from tasks.plan.spec import RunMemory, SyncSpec, specs_for
from tasks.plan.unrouted import routed
from tasks.source.read import check_changed, read_source
from tasks.target.sync import sync
from tasks.watch.source_watch import RESYNC
from tasks.watch.timings import DEFAULT, WatchTimings, delay

SIDE_BY_SIDE = 32
Tell = Callable[[RunReport], None]


@dataclass
class _Trouble:
    """A cluster in which not all is well; it is tried again, with all of OPS."""

    apart: bool
    """Left out where something changes: it would hold up the others, and gets all of it later."""
    attempt: int = 0
    due: float = 0.0
    work: Future[ClusterReport] | None = None
    age: int = 0
    """That of the inventory with which the work began."""
    certificate: str | None = None
    """The only one that the work is about."""
    owed: bool = False
    """Somebody was told that its report would follow."""


class Reconciler:
    """One thread acts; `retry_failed` may be called by another one."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._timings = timings
        self._inventory: SourceSnapshot | None = None
        self._age = 0
        """Counts what became of the inventory, so that a slow cluster knows whether it has seen all of it."""
        self._troubles: dict[str, _Trouble] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        self._memory = RunMemory()
        self._closed = False

    def act(self, names: Iterable[str]) -> RunReport | None:
        """What became of it; None where no route sends any of these. Raises ConfigError.

        Where OPS could not be read the report says so, and nothing was done: ask again.
        """
        config, began = load_config(), datetime.now(UTC)
        wanted = [name for name in names if name == RESYNC or _is_routed(config, name)]
        if not wanted:
            return None
        certificate = wanted[0] if len(wanted) == 1 and wanted[0] != RESYNC else None
        clusters = [c for c in config.first_wave if certificate is None or c.routes_certificate(certificate)]
        inventory = limit_copies(self._look(config, certificate), config.source, clusters, certificate)
        specs = specs_for(
            config,
            clusters,
            inventory,
            RunParameters(certificate=certificate),
            explicit=False,
            memory=self._memory,
        )
        reports, pending = self._deliver(specs)
        return _report(config, inventory, reports, pending=pending, certificate=certificate, began=began)

    def _look(self, config: SyncConfig, certificate: str | None) -> SourceSnapshot:
        source, now = config.source, datetime.now(UTC)
        try:
            with client_of_source(source, time.monotonic() + CLUSTER_SECONDS) as client:
                if certificate and self._inventory:
                    found = check_changed(client, source, certificate, now)
                    inventory = self._inventory.corrected({certificate: found})
                else:
                    inventory = read_source(client, source, now)
        except ClusterError as error:
            return SourceSnapshot(failure=error.failure)
        except Exception as error:  # noqa: BLE001  its text could hold anything; the watcher goes on
            return SourceSnapshot(failure=internal_error(source.label, "read the certificates", error))
        with self._lock:
            self._inventory, self._age = inventory, self._age + 1
        return inventory

    def _deliver(self, specs: Sequence[SyncSpec]) -> tuple[tuple[ClusterReport, ...], tuple[str, ...]]:
        """The reports of the clusters that were done in time, and the names of the others."""
        running: dict[str, tuple[SyncSpec, Future[ClusterReport]]] = {}
        with self._lock:
            apart = {name for name, trouble in self._troubles.items() if trouble.apart or trouble.work}
            for spec in specs:
                if spec.cluster.name not in apart and (future := self._begin(spec)):
                    running[spec.cluster.name] = spec, future
        wait([future for _, future in running.values()], self._timings.report_wait)
        done = {name: future.result() for name, (_, future) in running.items() if future.done()}
        with self._lock:
            for name in running.keys() - done.keys():
                self._leave_at_work(*running[name])
            for name, report in done.items():
                self._note(name, report)
        left = tuple(spec.cluster.name for spec in specs if spec.cluster.name not in done)
        return tuple(done.values()), left

    def _begin(self, spec: SyncSpec) -> Future[ClusterReport] | None:
        """For who has the lock; None where nothing begins any more."""
        return None if self._closed else self._pool.submit(_delivered, spec)

    def _leave_at_work(self, spec: SyncSpec, future: Future[ClusterReport]) -> None:
        """It had a trouble already, then what it does now is not all that it needs."""
        name = spec.cluster.name
        age = -1 if name in self._troubles else self._age
        self._troubles[name] = _Trouble(
            apart=True, work=future, age=age, certificate=spec.certificate, owed=True
        )

    def _note(self, name: str, report: ClusterReport) -> None:
        """A failure that time may heal sets a cluster apart; another one is looked at again, now and then."""
        known = self._troubles.get(name)
        if report.failures and (known is None or (_may_pass(report) and not known.work)):
            self._troubles[name] = self._failed(report, attempt=0)

    def retry_failed(self, tell: Tell) -> None:
        """Try each cluster again whose time has come, with all of OPS; tell of those that are done.

        Waits for none of them. Raises ConfigError.
        """
        if not self.troubled:  # as a rule: this is asked every second
            return
        config = load_config()
        known = {cluster.name: cluster for cluster in config.first_wave}
        with self._lock:
            for name in self._troubles.keys() - known.keys():
                del self._troubles[name]
            finished = [(name, one) for name, one in self._troubles.items() if one.work and one.work.done()]
            for name, trouble in self._troubles.items():
                if not trouble.work and trouble.due <= time.monotonic():
                    self._try_again(config, known[name], trouble)
        for name, trouble in finished:
            self._finish(config, name, trouble, tell)

    def _try_again(self, config: SyncConfig, cluster: Cluster, trouble: _Trouble) -> None:
        if self._inventory:
            (spec,) = specs_for(config, [cluster], self._inventory, RunParameters(), memory=self._memory)
            trouble.work, trouble.age = self._begin(spec), self._age

    def _finish(self, config: SyncConfig, name: str, trouble: _Trouble, tell: Tell) -> None:
        """A cluster goes along with the others again only if nothing changed on OPS meanwhile."""
        assert trouble.work
        report = trouble.work.result()
        with self._lock:
            inventory, is_over = self._inventory, not report.failures and trouble.age == self._age
            if is_over:
                del self._troubles[name]
            else:
                self._troubles[name] = self._again(trouble, report)
        if inventory and (is_over or trouble.owed or writes_of(report)):
            tell(_report(config, inventory, (report,), certificate=trouble.certificate))

    def _again(self, trouble: _Trouble, report: ClusterReport) -> _Trouble:
        """At once where it only has yet to see what changed meanwhile."""
        if not report.failures:
            return _Trouble(apart=True, attempt=trouble.attempt)
        return self._failed(report, trouble.attempt + 1)

    def _failed(self, report: ClusterReport, attempt: int) -> _Trouble:
        backoff, may_pass = self._timings.retry_backoff, _may_pass(report)
        pause = delay(backoff, attempt) if may_pass else backoff[-1]
        return _Trouble(apart=may_pass, attempt=attempt, due=time.monotonic() + pause)

    def close(self) -> None:
        """Wait for what is under way; tasks/runtime/shutdown.py ends it. Nothing begins any more."""
        with self._lock:
            self._closed = True
        self._pool.shutdown()

    @property
    def troubled(self) -> frozenset[str]:
        """Clusters in which not all is well."""
        with self._lock:
            return frozenset(self._troubles)


def _may_pass(report: ClusterReport) -> bool:
    """Whether time may heal it: also where only ours ran out."""
    return report.transient or any(failure.code is FailureCode.DEADLINE for failure in report.failures)


def _is_routed(config: SyncConfig, name: str) -> bool:
    return any(one.routes_certificate(name) for one in config.first_wave)


def _report(  # noqa: PLR0913  what a report is made of
    config: SyncConfig,
    inventory: SourceSnapshot,
    clusters: tuple[ClusterReport, ...],
    *,
    pending: tuple[str, ...] = (),
    certificate: str | None = None,
    began: datetime | None = None,
) -> RunReport:
    return RunReport(
        now=datetime.now(UTC),
        parameters=RunParameters(certificate=certificate),
        suspended=config.suspended,
        inventory=routed(inventory, config),
        clusters=clusters,
        pending=pending,
        owner=config.owner,
        configured=config.names,
        began=began,
    )


def _delivered(spec: SyncSpec) -> ClusterReport:
    try:
        return sync(spec, time.monotonic() + CLUSTER_SECONDS)
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        failure = internal_error(spec.cluster.name, "bring the cluster in sync", error)
        return ClusterReport(cluster=spec.cluster.name, failures=(failure,))
