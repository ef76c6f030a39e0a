"""Brings the target clusters in sync with OPS when certificates change, over connections that stay open.

target/sync.py decides and writes, as in a run. A cluster that fails or is slow is isolated until it is in
sync again, so that it delays no other cluster. Only the first wave is synced: later waves wait for a run,
which checks first how the waves before them went.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime

from tasks.config.limits import CLUSTER_SECONDS, refuse_too_many
from tasks.config.load import load_config
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.attempts import writes_of
from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.models import ClusterReport, RunReport, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.kube.pool import client_of_source
from tasks.plan.spec import RunMemory, SyncSpec, specs_for
from tasks.plan.unrouted import routed_by, without_unrouted
from tasks.source.read import check_changed, read_source
from tasks.target.sync import sync
from tasks.watch.out_of_sync import OutOfSync, after_failure, after_retry, is_temporary
from tasks.watch.source_watch import RESYNC
from tasks.watch.timings import DEFAULT, WatchTimings

MAX_CONCURRENCY = 32
"""Maximum number of clusters that are synced at once."""


class Reconciler:
    """One thread calls `reconcile`; another one may call `retry_failed`."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._timings = timings
        self._snapshot: SourceSnapshot | None = None
        self._generation = 0
        """Number of the snapshot: a slow cluster has to be synced again if it began with an older one."""
        self._out_of_sync: dict[str, OutOfSync] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(MAX_CONCURRENCY)
        self._memory = RunMemory()
        self._closed = False

    def reconcile(self, names: Iterable[str]) -> RunReport | None:
        """Copy these certificates, or all for RESYNC; return None if no route names any. Raises ConfigError.

        If OPS could not be read, the report has that failure and no cluster was touched.
        """
        config, began = load_config(), datetime.now(UTC)
        is_routed = routed_by(config.first_wave)
        changed = [name for name in names if name == RESYNC or is_routed(name)]
        if not changed:
            return None
        known = () if RESYNC in changed or not self._snapshot else tuple(changed)
        certificate = known[0] if len(known) == 1 else None
        clusters = [c for c in config.first_wave if not known or any(map(c.routes_certificate, known))]
        snapshot = refuse_too_many(self._read_source(config, known), config.source, clusters, certificate)
        specs = specs_for(
            config,
            clusters,
            snapshot,
            RunParameters(certificate=certificate),
            explicit=False,
            memory=self._memory,
        )
        reports, pending = self._sync(specs)
        return _report(config, snapshot, reports, pending=pending, certificate=certificate, began=began)

    def _read_source(self, config: SyncConfig, names: Sequence[str]) -> SourceSnapshot:
        """Read these certificates into the last snapshot, or, without names, all of OPS into a new one."""
        source, now = config.source, datetime.now(UTC)
        try:
            with client_of_source(source, time.monotonic() + CLUSTER_SECONDS) as client:
                if names and self._snapshot:
                    snapshot = self._snapshot.corrected(check_changed(client, source, names, now))
                else:
                    snapshot = read_source(client, source, now)
        except ClusterError as error:
            return SourceSnapshot(failure=error.failure)
        except Exception as error:  # noqa: BLE001  its text could hold anything; the watcher goes on
            return SourceSnapshot(failure=internal_error(source.label, "read the certificates", error))
        with self._lock:
            self._snapshot, self._generation = snapshot, self._generation + 1
        return snapshot

    def _sync(self, specs: Sequence[SyncSpec]) -> tuple[tuple[ClusterReport, ...], tuple[str, ...]]:
        """Return the reports of the clusters that ended in time, and the names of the others."""
        running: dict[str, tuple[SyncSpec, Future[ClusterReport]]] = {}
        with self._lock:
            skipped = {name for name, one in self._out_of_sync.items() if one.isolated or one.future}
            for spec in specs:
                if spec.cluster.name not in skipped and (future := self._submit(spec)):
                    running[spec.cluster.name] = spec, future
        wait([future for _, future in running.values()], self._timings.report_wait)
        done = {name: future.result() for name, (_, future) in running.items() if future.done()}
        with self._lock:
            for name in running.keys() - done.keys():
                self._isolate_slow(*running[name])
            for name, report in done.items():
                self._record_failure(name, report)
        pending = tuple(spec.cluster.name for spec in specs if spec.cluster.name not in done)
        return tuple(done.values()), pending

    def _submit(self, spec: SyncSpec) -> Future[ClusterReport] | None:
        """Start a sync unless this is closed. The caller holds the lock."""
        return None if self._closed else self._pool.submit(_sync_or_fail, spec)

    def _isolate_slow(self, spec: SyncSpec, future: Future[ClusterReport]) -> None:
        """Let the sync go on. If the cluster failed before, generation -1 makes a full sync follow."""
        name = spec.cluster.name
        self._out_of_sync[name] = OutOfSync(
            isolated=True,
            future=future,
            generation=-1 if name in self._out_of_sync else self._generation,
            certificate=spec.certificate,
            report_owed=True,
        )

    def _record_failure(self, name: str, report: ClusterReport) -> None:
        """Plan the first retry; of a cluster whose retry is planned, only a temporary failure isolates it."""
        known = self._out_of_sync.get(name)
        if report.failures and (known is None or (is_temporary(report) and not known.future)):
            self._out_of_sync[name] = after_failure(report, 0, self._timings.retry_backoff)

    def retry_failed(self, publish: Callable[[RunReport], None]) -> None:
        """Start the retries that are due, each with every certificate, and publish the reports of ended ones.

        Does not wait for a cluster. Raises ConfigError.
        """
        if not self.out_of_sync:  # as a rule: this is called every second
            return
        config = load_config()
        clusters = {cluster.name: cluster for cluster in config.first_wave}
        with self._lock:
            for name in self._out_of_sync.keys() - clusters.keys():
                del self._out_of_sync[name]
            entries = self._out_of_sync.items()
            ended = [(name, one) for name, one in entries if one.future and one.future.done()]
            for name, one in entries:
                if not one.future and one.retry_at <= time.monotonic():
                    self._retry(config, clusters[name], one)
        for name, one in ended:
            self._finish(config, name, one, publish)

    def _retry(self, config: SyncConfig, cluster: Cluster, one: OutOfSync) -> None:
        if self._snapshot:
            (spec,) = specs_for(config, [cluster], self._snapshot, RunParameters(), memory=self._memory)
            one.future, one.generation = self._submit(spec), self._generation

    def _finish(
        self, config: SyncConfig, name: str, one: OutOfSync, publish: Callable[[RunReport], None]
    ) -> None:
        """End the isolation of a cluster only if nothing changed on OPS while it was synced."""
        assert one.future
        report = one.future.result()
        with self._lock:
            snapshot = self._snapshot
            in_sync = not report.failures and one.generation == self._generation
            if in_sync:
                del self._out_of_sync[name]
            else:
                self._out_of_sync[name] = after_retry(one, report, self._timings.retry_backoff)
        if snapshot and (in_sync or one.report_owed or writes_of(report)):
            publish(_report(config, snapshot, (report,), certificate=one.certificate))

    def close(self) -> None:
        """Start nothing more, and wait for what is under way; tasks/runtime/shutdown.py limits that time."""
        with self._lock:
            self._closed = True
        self._pool.shutdown()

    @property
    def out_of_sync(self) -> frozenset[str]:
        """Names of the clusters that failed or are slow."""
        with self._lock:
            return frozenset(self._out_of_sync)


def _report(  # noqa: PLR0913  all that a report contains
    config: SyncConfig,
    snapshot: SourceSnapshot,
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
        snapshot=without_unrouted(snapshot, config),
        clusters=clusters,
        pending=pending,
        owner=config.owner,
        configured=config.names,
        began=began,
    )


def _sync_or_fail(spec: SyncSpec) -> ClusterReport:
    try:
        return sync(spec, time.monotonic() + CLUSTER_SECONDS)
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        failure = internal_error(spec.cluster.name, "bring the cluster in sync", error)
        return ClusterReport(cluster=spec.cluster.name, failures=(failure,))
