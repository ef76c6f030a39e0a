"""Brings the target clusters in sync with OPS when certificates change, over connections that stay open.

renewal.py decides and writes for one cluster, as a run does; cluster_pool.py isolates one that fails or is
slow. Only the first wave is synced: later waves wait for a run, which checks first how the waves before them
went.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from tasks.config.limits import CLUSTER_SECONDS, refuse_too_many
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.models import (
    ClusterReport,
    Discovery,
    RunReport,
    SourceSnapshot,
    without_lacking,
)
from tasks.domain.parameters import RunParameters
from tasks.kube.pool import client_of_source
from tasks.plan.safety import UnsafePlan
from tasks.plan.spec import RunMemory, specs_for
from tasks.plan.unrouted import concerned_by
from tasks.runtime.memory import memory_limit
from tasks.source.changed import read_changed
from tasks.source.read import list_source
from tasks.target.remembered import RememberedTargets
from tasks.watch.announced import AnnouncedConfig
from tasks.watch.cluster_pool import Call, ClusterPool
from tasks.watch.known_source import KnownSource
from tasks.watch.pending_notes import PendingNotes
from tasks.watch.renewal import Doubt, Renewal
from tasks.watch.reported_source import ReportedSource
from tasks.watch.source_watch import RESYNC
from tasks.watch.timings import DEFAULT, WatchTimings

MAX_CHANGES = 8
"""Maximum number of changes that are copied at once."""

NOTE_SECONDS = 5.0
"""Maximum number of seconds for writing notes: the thread that does it also retries failed clusters."""


class Copied(NamedTuple):
    """What became of a change, or of all certificates."""

    snapshot: SourceSnapshot
    clusters: tuple[ClusterReport, ...] = ()
    pending: tuple[str, ...] = ()
    """The clusters that did not end in time, or that are isolated."""


class Reconciler:
    """Several threads may call `reconcile`, each for names of its own; another one `retry_failed`."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._config = AnnouncedConfig(timings)
        self._source, self._reported_source = KnownSource(), ReportedSource()
        self._reading = threading.Lock()
        self._clusters, self._notes = ClusterPool(timings), PendingNotes(timings)
        self._requests = ThreadPoolExecutor(MAX_CHANGES)
        """For requests to OPS, which wait for no target."""
        self._memory = RunMemory()
        self._targets = RememberedTargets()
        self._concerned: tuple[SyncConfig, Callable[[str], bool]] | None = None
        self._reported: SyncConfig | None = None
        """The configuration of the last report."""

    def reconcile(self, name: str) -> RunReport | None:
        """Copy this certificate, or all for RESYNC; return None if nothing sends it. Raises ConfigError.

        If OPS could not be read, the report has that failure and no cluster was touched.
        """
        began = datetime.now(UTC)
        if name == RESYNC:
            self._config.refresh(now=True)
        config = self._config.load()
        if name == RESYNC:
            return self._report(config, self._copy_all(config), began=began)
        if not self._is_concerned(config, name):
            return None
        with self._reading:  # if OPS could not be read so far, one thread copies all
            everything = None if self._source.snapshot else self._copy_all(config)
        if everything:
            return self._report(config, everything, began=began)
        copied = self._copy(config, name)
        if not (copied.clusters or copied.pending or copied.snapshot.failure or self._is_told(copied, name)):
            return None  # its Certificate may ask for a copy, and does not
        return self._report(config, copied, certificate=name, began=began)

    def refresh(self) -> bool:
        """Return whether other clusters are announced on OPS now. Raises ConfigError."""
        return self._config.refresh()

    def _is_concerned(self, config: SyncConfig, name: str) -> bool:
        known = self._concerned
        if known is None or known[0] is not config:
            known = self._concerned = config, concerned_by(config.first_wave)
        return known[1](name)

    @staticmethod
    def _is_told(copied: Copied, name: str) -> bool:
        return any(one.ref.name == name for one in copied.snapshot.refused_requests)

    def _copy_all(self, config: SyncConfig) -> Copied:
        source = config.source
        try:
            with client_of_source(source, time.monotonic() + CLUSTER_SECONDS) as client:
                asks = bool(config.self_service)
                found = list_source(
                    client, source, datetime.now(UTC), self._source.certificates, with_requests=asks
                )
        except Exception as error:  # noqa: BLE001  its text could hold anything; the watcher goes on
            return Copied(_unread(config, error))
        self._source.replace(found)
        self._memory = RunMemory(cluster_ids=self._memory.cluster_ids)  # what was read before counts no more
        clusters = self._source.with_requests(config).first_wave
        snapshot = refuse_too_many(self._source.snapshot or found, source, clusters, limit=memory_limit())
        renewals = self._renewals(config, clusters, snapshot, RunParameters())
        calls = {one.spec.cluster.name: one.look for one in renewals}
        reports, pending = self._clusters.run(calls, None, self._clusters.timings.report_wait)
        self._reported_source.describe(snapshot, self._memory, reports)
        return Copied(snapshot, reports, pending)

    def _copy(self, config: SyncConfig, name: str) -> Copied:
        """Read one Secret of OPS and write it to the clusters: two round trips.

        The private key is in memory here, and in the writes that this starts: where a cluster is slow, until
        that cluster's deadline has passed at the latest.
        """
        known = self._source.snapshot
        assert known
        source, parameters = config.source, RunParameters(certificate=name)
        clusters = self._getting(config, name)
        prepared = self._prepare(self._renewals(config, clusters, known, parameters))
        try:
            with client_of_source(source, time.monotonic() + CLUSTER_SECONDS) as client:
                now = datetime.now(UTC)
                asks, pool = bool(config.self_service), self._requests
                found = read_changed(
                    client, source, name, now, self._source.certificates, pool, with_requests=asks
                )
                if asks and known.requests_unread and found.requests is not None:
                    self._source.read_requests(config, client)  # Certificates can be read again
        except Exception as error:  # noqa: BLE001  its text could hold anything; the watcher goes on
            return Copied(_unread(config, error))
        self._source.correct(config, name, found)
        clusters = self._getting(config, name)  # its Certificate may ask for something else by now
        snapshot, secret = self._source.snapshot or known, found.secret
        renewals = self._renewals(config, clusters, snapshot, parameters)
        self._notes.changed(name)
        calls: dict[str, Call] = {
            cluster: partial(one.write, secret, prepared.get(cluster))
            for one in renewals
            for cluster in [one.spec.cluster.name]
        }
        return Copied(snapshot, *self._clusters.run(calls, name, self._clusters.timings.change_wait))

    def _renewals(
        self,
        config: SyncConfig,
        clusters: Sequence[Cluster],
        snapshot: SourceSnapshot,
        parameters: RunParameters,
        *,
        explicit: bool = False,
    ) -> list[Renewal]:
        specs = specs_for(config, clusters, snapshot, parameters, explicit=explicit, memory=self._memory)
        deadline, timings = time.monotonic() + CLUSTER_SECONDS, self._clusters.timings
        return [Renewal(one, self._targets.of(config, one.cluster), deadline, timings) for one in specs]

    def _prepare(self, renewals: Sequence[Renewal]) -> dict[str, Future[None]]:
        """Verify identities and rights that are too old, while OPS is read."""
        return self._clusters.prepare(
            {one.spec.cluster.name: one.prepare for one in renewals if one.needs_preparation}
        )

    def _getting(self, config: SyncConfig, name: str) -> list[Cluster]:
        return [one for one in self._source.with_requests(config).first_wave if one.routes_certificate(name)]

    def _knows_requests(self, config: SyncConfig) -> bool:
        """Read what Certificates ask for, if a retry is due; return whether it is known for that.

        No event tells of a Certificate that is deleted without its Secret; a retry would make its copy anew.
        """
        if not config.self_service:
            return True
        if self._source.snapshot is None or not self._clusters.has_due_retry:
            return False
        try:
            with client_of_source(config.source, time.monotonic() + NOTE_SECONDS) as client:
                self._source.read_requests(config, client)
        except Exception:  # noqa: BLE001  its text could hold anything; the retry stays due
            return False
        return True

    def retry_failed(self, publish: Callable[[RunReport], None]) -> None:
        """Start the retries that are due, each with every certificate, and publish the reports of ended ones.

        Does not wait for a cluster. Raises ConfigError.
        """
        if not self.out_of_sync:  # as a rule: this is called every second
            return
        config = self._config.load()
        is_known = self._knows_requests(config)
        clusters = {cluster.name: cluster for cluster in self._source.with_requests(config).first_wave}
        known = self._source.snapshot

        def full_sync(name: str) -> Call | None:
            if known is None or not is_known:
                return None
            (renewal,) = self._renewals(config, [clusters[name]], known, RunParameters(), explicit=True)
            return renewal.look

        for certificate, report in self._clusters.retry(clusters, full_sync):
            if snapshot := self._source.snapshot:
                publish(self._report(config, Copied(snapshot, (report,)), certificate=certificate))

    def write_notes(self) -> None:
        """Write the notes of what was copied, once nothing has changed for a while. Raises ConfigError.

        The clusters that failed are left to a run.
        """
        names, snapshot = self._notes.due(), self._source.snapshot
        if not names or snapshot is None:
            return
        config, deadline = self._config.load(), time.monotonic() + NOTE_SECONDS
        awake = self._source.with_requests(config).first_wave
        clusters = [one for one in awake if one.name not in self.out_of_sync]
        with ThreadPoolExecutor(MAX_CHANGES) as pool:
            for cluster in clusters:
                routed = [name for name in names if cluster.routes_certificate(name)]
                pool.submit(
                    _note,
                    [
                        replace(renewal, deadline=deadline)
                        for name in routed
                        for renewal in self._renewals(
                            config, [cluster], snapshot, RunParameters(certificate=name)
                        )
                    ],
                )

    def updated(self, reports: Sequence[RunReport]) -> list[RunReport]:
        """Return the reports with what is known of OPS by now: other threads may have read more of it."""
        config, snapshot = self._reported, self._source.snapshot
        if config is None or snapshot is None:
            return list(reports)
        now = self._as_reported(config, snapshot)
        return [one.model_copy(update={"snapshot": now}) for one in reports]

    def _report(
        self,
        config: SyncConfig,
        copied: Copied,
        *,
        certificate: str | None = None,
        began: datetime | None = None,
    ) -> RunReport:
        """A report on one certificate has what no route names, too, until it is published (`updated`)."""
        self._reported = config
        snapshot = copied.snapshot
        reports, unserved = without_lacking(copied.clusters)
        known = Discovery() if certificate else self._config.discovered().discovery
        discovery = Discovery() if certificate else known.with_unserved(unserved)
        return RunReport(
            now=datetime.now(UTC),
            parameters=RunParameters(certificate=certificate),
            suspended=config.suspended,
            snapshot=snapshot if certificate else self._as_reported(config, snapshot),
            clusters=reports,
            pending=copied.pending,
            discovery=discovery,
            owner=config.owner,
            configured=config.names,
            began=began,
        )

    def _as_reported(self, config: SyncConfig, snapshot: SourceSnapshot) -> SourceSnapshot:
        return self._reported_source.of(self._source.with_requests(config), snapshot, self._memory)

    def close(self) -> None:
        """Start nothing more, and wait for what is under way."""
        self._clusters.close()

    @property
    def out_of_sync(self) -> frozenset[str]:
        """Names of the clusters that failed or are slow."""
        return self._clusters.out_of_sync


def _note(renewals: Iterable[Renewal]) -> None:
    """Write the notes of one cluster until one fails; the next run compares its copies and writes more."""
    with suppress(ClusterError, UnsafePlan):
        for renewal in renewals:
            with suppress(Doubt):
                renewal.note()


def _unread(config: SyncConfig, error: Exception) -> SourceSnapshot:
    if isinstance(error, ClusterError):
        return SourceSnapshot(failure=error.failure)
    return SourceSnapshot(failure=internal_error(config.source.label, "read the certificates", error))
