"""Brings the target clusters in sync with OPS when certificates change, over connections that stay open.

renewal.py decides and writes for one cluster, as a run does. A cluster that fails or is slow is isolated
until it is in sync again, so that it delays no other cluster. Only the first wave is synced: later waves wait
for a run, which checks first how the waves before them went.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from tasks.config.limits import CLUSTER_SECONDS, refuse_too_many
from tasks.config.reload import ReloadedConfig
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.attempts import writes_of
from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.models import ClusterReport, RunReport, SourceEntry, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.kube.pool import client_of_source
from tasks.plan.spec import RunMemory, SyncSpec, specs_for
from tasks.plan.unrouted import routed_by, without_unrouted
from tasks.source.changed import read_changed
from tasks.source.known_certificates import KnownCertificates
from tasks.source.read import read_source
from tasks.target.remembered import RememberedTargets
from tasks.watch.out_of_sync import OutOfSync, after_failure, after_retry, is_temporary, slow
from tasks.watch.renewal import Renewal
from tasks.watch.source_watch import RESYNC
from tasks.watch.timings import DEFAULT, WatchTimings

MAX_CONCURRENCY = 64
"""Maximum number of writes and syncs of clusters at once."""
MAX_CHANGES = 8
"""Maximum number of changes that are copied at once."""


class Copied(NamedTuple):
    """What became of a change, or of all certificates."""

    snapshot: SourceSnapshot
    clusters: tuple[ClusterReport, ...] = ()
    pending: tuple[str, ...] = ()
    """The clusters that did not end in time, or that are isolated."""


class Reconciler:
    """Several threads may call `reconcile`, each for names of its own; another one `retry_failed`."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._timings = timings
        self._config = ReloadedConfig()
        self._snapshot: SourceSnapshot | None = None
        self._generation = 0
        """Number of the snapshot: a slow cluster has to be synced again if it began with an older one."""
        self._out_of_sync: dict[str, OutOfSync] = {}
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._pool = ThreadPoolExecutor(MAX_CONCURRENCY)
        self._requests = ThreadPoolExecutor(MAX_CHANGES)
        """For requests to OPS, which wait for no target."""
        self._memory = RunMemory()
        self._targets, self._certificates = RememberedTargets(), KnownCertificates()
        self._routed: tuple[SyncConfig | None, Callable[[str], bool]] = None, bool
        self._closed = False

    def reconcile(self, name: str) -> RunReport | None:
        """Copy this certificate, or all for RESYNC; return None if no route names it. Raises ConfigError.

        If OPS could not be read, the report has that failure and no cluster was touched.
        """
        config, began = self._config.load(), datetime.now(UTC)
        if name != RESYNC and not self._is_routed(config, name):
            return None
        copied = self._copy_all(config) if name == RESYNC else self._copy_first(config)
        certificate = None
        if copied is None:
            certificate, copied = name, self._copy(config, name)
        return _report(config, copied, certificate=certificate, began=began)

    def _is_routed(self, config: SyncConfig, name: str) -> bool:
        known, is_routed = self._routed
        if known is not config:
            is_routed = routed_by(config.first_wave)
            self._routed = config, is_routed
        return is_routed(name)

    def _copy_first(self, config: SyncConfig) -> Copied | None:
        """Copy all if OPS could not be read so far; None where this name alone can be copied."""
        with self._reading:
            return None if self._snapshot else self._copy_all(config)

    def _copy_all(self, config: SyncConfig) -> Copied:
        source, clusters = config.source, config.first_wave
        try:
            with client_of_source(source, time.monotonic() + CLUSTER_SECONDS) as client:
                found = read_source(client, source, datetime.now(UTC), self._certificates)
        except Exception as error:  # noqa: BLE001  its text could hold anything; the watcher goes on
            return Copied(_unread(config, error))
        with self._lock:
            self._snapshot, self._generation = found, self._generation + 1
        snapshot = refuse_too_many(found, source, clusters)
        specs = specs_for(config, clusters, snapshot, RunParameters(), explicit=False, memory=self._memory)
        renewals = [self._renewal(spec) for spec in specs]
        return self._run(snapshot, [(one, one.look) for one in renewals], self._timings.report_wait)

    def _copy(self, config: SyncConfig, name: str) -> Copied:
        """Read one Secret of OPS and write it to the clusters: two round trips.

        The private key is in memory here, and in the writes that this starts: where a cluster is slow, until
        that cluster's deadline has passed at the latest.
        """
        assert self._snapshot
        source, deadline = config.source, time.monotonic() + CLUSTER_SECONDS
        clusters = [one for one in config.first_wave if one.routes_certificate(name)]
        prepared = self._prepare(self._specs(config, clusters, self._snapshot, name))
        try:
            with client_of_source(source, deadline) as client:
                now = datetime.now(UTC)
                entry, secret = read_changed(client, source, name, now, self._certificates, self._requests)
        except Exception as error:  # noqa: BLE001  its text could hold anything; the watcher goes on
            return Copied(_unread(config, error))
        snapshot = refuse_too_many(self._correct(name, entry), source, clusters, name)
        renewals = [self._renewal(spec) for spec in self._specs(config, clusters, snapshot, name)]
        calls = [(one, partial(one.write, secret, prepared.get(one.spec.cluster.name))) for one in renewals]
        return self._run(snapshot, calls, self._timings.change_wait)

    def _specs(
        self, config: SyncConfig, clusters: Sequence[Cluster], snapshot: SourceSnapshot, name: str
    ) -> tuple[SyncSpec, ...]:
        return specs_for(
            config, clusters, snapshot, RunParameters(certificate=name), explicit=False, memory=self._memory
        )

    def _renewal(self, spec: SyncSpec) -> Renewal:
        remembered = self._targets.of(spec.config, spec.cluster)
        return Renewal(spec, remembered, time.monotonic() + CLUSTER_SECONDS, self._timings)

    def _prepare(self, specs: Sequence[SyncSpec]) -> dict[str, Future[None]]:
        """Verify identities and rights that are too old, while OPS is read."""
        renewals = [self._renewal(spec) for spec in specs]
        with self._lock:
            skipped = self._skipped()
            return {
                one.spec.cluster.name: self._pool.submit(one.prepare)
                for one in renewals
                if not self._closed and one.spec.cluster.name not in skipped and one.needs_preparation
            }

    def _correct(self, name: str, entry: SourceEntry | None) -> SourceSnapshot:
        with self._lock:
            assert self._snapshot
            self._snapshot, self._generation = self._snapshot.corrected({name: entry}), self._generation + 1
            return self._snapshot

    def _run(
        self,
        snapshot: SourceSnapshot,
        calls: Sequence[tuple[Renewal, Callable[[], ClusterReport]]],
        seconds: float,
    ) -> Copied:
        """Make these calls side by side, and wait for so long."""
        running: dict[str, tuple[SyncSpec, Future[ClusterReport]]] = {}
        with self._lock:
            skipped, generation = self._skipped(), self._generation
            for renewal, call in calls:
                name = renewal.spec.cluster.name
                if name not in skipped and (future := self._submit(name, call)):
                    running[name] = renewal.spec, future
        wait([future for _, future in running.values()], seconds)
        done = {name: future.result() for name, (_, future) in running.items() if future.done()}
        with self._lock:
            for name in running.keys() - done.keys():
                spec, future = running[name]
                known = self._out_of_sync.get(name)
                self._out_of_sync[name] = slow(future, generation, spec.certificate, known)
            for name, report in done.items():
                self._record_failure(name, report)
        pending = tuple(one.spec.cluster.name for one, _ in calls if one.spec.cluster.name not in done)
        return Copied(snapshot, tuple(done.values()), pending)

    def _skipped(self) -> set[str]:
        """The clusters that are left out. The caller holds the lock."""
        return {name for name, one in self._out_of_sync.items() if one.isolated or one.future}

    def _submit(self, cluster: str, call: Callable[[], ClusterReport]) -> Future[ClusterReport] | None:
        """Start a call unless this is closed. The caller holds the lock."""
        return None if self._closed else self._pool.submit(_call_or_fail, cluster, call)

    def _record_failure(self, name: str, report: ClusterReport) -> None:
        """Plan the first retry; of a cluster whose retry is planned, only a temporary failure isolates it."""
        known = self._out_of_sync.get(name)
        if not report.failures:
            return
        if known and known.future:
            known.generation = -1  # what is under way may not include this change: a sync has to follow
        elif known is None or is_temporary(report):
            self._out_of_sync[name] = after_failure(report, 0, self._timings.retry_backoff)

    def retry_failed(self, publish: Callable[[RunReport], None]) -> None:
        """Start the retries that are due, each with every certificate, and publish the reports of ended ones.

        Does not wait for a cluster. Raises ConfigError.
        """
        if not self.out_of_sync:  # as a rule: this is called every second
            return
        config = self._config.load()
        clusters = {cluster.name: cluster for cluster in config.first_wave}
        with self._lock:
            for name in self._out_of_sync.keys() - clusters.keys():
                del self._out_of_sync[name]
            entries = self._out_of_sync.items()
            ended = [(name, one) for name, one in entries if one.has_ended]
            for name, one in entries:
                if not one.future and one.retry_at <= time.monotonic():
                    self._retry(config, clusters[name], one)
        for name, one in ended:
            self._finish(config, name, one, publish)

    def _retry(self, config: SyncConfig, cluster: Cluster, one: OutOfSync) -> None:
        if self._snapshot:
            (spec,) = specs_for(config, [cluster], self._snapshot, RunParameters(), memory=self._memory)
            one.future = self._submit(cluster.name, self._renewal(spec).look)
            one.generation = self._generation

    def _finish(
        self, config: SyncConfig, name: str, one: OutOfSync, publish: Callable[[RunReport], None]
    ) -> None:
        """End the isolation of a cluster only if nothing changed on OPS while it was synced."""
        assert one.future
        report = one.future.result()
        with self._lock:
            snapshot = self._snapshot
            in_sync = not report.failures and one.generation == self._generation
            if self._out_of_sync.get(name) is one:
                if in_sync:
                    del self._out_of_sync[name]
                else:
                    self._out_of_sync[name] = after_retry(one, report, self._timings.retry_backoff)
        if snapshot is None:
            return
        owed = [(certificate, future.result()) for certificate, future in one.earlier]
        if in_sync or one.report_owed or writes_of(report):
            owed.append((one.certificate, report))
        for certificate, owing in owed:
            publish(_report(config, Copied(snapshot, (owing,)), certificate=certificate))

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


def _report(
    config: SyncConfig, copied: Copied, *, certificate: str | None, began: datetime | None = None
) -> RunReport:
    return RunReport(
        now=datetime.now(UTC),
        parameters=RunParameters(certificate=certificate),
        suspended=config.suspended,
        snapshot=without_unrouted(copied.snapshot, config),
        clusters=copied.clusters,
        pending=copied.pending,
        owner=config.owner,
        configured=config.names,
        began=began,
    )


def _unread(config: SyncConfig, error: Exception) -> SourceSnapshot:
    if isinstance(error, ClusterError):
        return SourceSnapshot(failure=error.failure)
    return SourceSnapshot(failure=internal_error(config.source.label, "read the certificates", error))


def _call_or_fail(cluster: str, call: Callable[[], ClusterReport]) -> ClusterReport:
    try:
        return call()
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        failure = internal_error(cluster, "bring the cluster in sync", error)
        return ClusterReport(cluster=cluster, failures=(failure,))
