"""The watcher process: copies what changes on OPS while it holds the Lease. flows/watch.py starts it.

OPS ── source_watch ──▶ change_queue ──▶ handler ──▶ reconciler ──▶ clusters
                                            └──▶ recorders ──▶ Prefect's history, Events on OPS
"""

import threading
from collections.abc import Callable
from pathlib import Path

from tasks.config.load import load_config
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.kube.pool import reuse_clients
from tasks.metrics import registry
from tasks.runtime import shutdown
from tasks.watch.change_queue import ChangeQueue
from tasks.watch.event_recorder import EventRecorder
from tasks.watch.handler import ChangeHandler
from tasks.watch.health import Heartbeat, serve
from tasks.watch.lease import Lease
from tasks.watch.publisher import Recorder, log
from tasks.watch.reconciler import MAX_CHANGES, Reconciler
from tasks.watch.source_watch import SourceWatch
from tasks.watch.timings import DEFAULT, WatchTimings, delay

MAX_FORBIDDEN = 3
"""Consecutive HTTP 403 responses after which the watcher ends. While OPS starts, there may be one or two."""
TERMINATION_LOG = Path("/dev/termination-log")
"""Kubernetes shows its text as the reason why the container ended."""


class Watcher:
    def __init__(
        self, lease: Lease | None, port: int, recorder: Recorder, timings: WatchTimings = DEFAULT
    ) -> None:
        """Serve `/healthz` and `/metrics` from now on. Raises ConfigError where the port can't be bound."""
        self._lease, self._recorder, self._timings = lease, EventRecorder(recorder), timings
        self._stopped = threading.Event()
        self._error = ""
        self._heartbeat = Heartbeat(timings)
        serve(port, self._heartbeat, registry.exposition)
        self._changes = ChangeQueue()
        self._reconciler = Reconciler(timings)
        self._handler = ChangeHandler(self._reconciler, self._recorder, self._changes.add, timings)

    def run(self) -> int:
        """Wait for the Lease, then copy changes until `stop`; return the exit status. Raises ConfigError."""
        load_config()
        if self._wait_for_lease():
            self._copy_changes(load_config())  # read again: a standby may have waited for days
        self._release_lease()
        self._recorder.close(self._timings.record_shutdown)
        if self._error:
            log(self._error)
            if TERMINATION_LOG.is_char_device() or TERMINATION_LOG.is_file():
                TERMINATION_LOG.write_text(self._error)
        return 1 if self._error else 0

    def stop(self, error: str = "") -> None:
        """Begin nothing new and let what is under way end; with an error, the exit status is 1."""
        self._error = self._error or error
        self._stopped.set()
        self._changes.close()
        shutdown.stop()

    def _copy_changes(self, config: SyncConfig) -> None:
        self._start(lambda: self._watch_source(config))
        self._start(self._renew_lease)
        retries = self._start(self._retry_failed)
        with reuse_clients():
            workers = [self._start(self._handle_changes) for _ in range(MAX_CHANGES)]
            while not self._stopped.wait(self._timings.wakeup_interval):
                pass
            for worker in workers:
                worker.join()
        self._reconciler.close()
        retries.join()
        self._handler.retry_failed()  # starts no retry any more; reports those that were under way

    def _handle_changes(self) -> None:
        while (name := self._changes.take()) is not None:
            try:
                self._handler.handle(name)
            finally:
                self._changes.done(name)

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        """Start a thread whose unexpected error ends the watcher, since it is useless without the thread."""

        def stop_on_error() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  its text could hold anything
                self.stop(f"a defect of tls-sync ended the watcher ({type(error).__name__})")

        thread = threading.Thread(target=stop_on_error, daemon=True)
        thread.start()
        return thread

    def _wait_for_lease(self) -> bool:
        """Wait until this replica is the leader; return False if it is stopped before."""
        forbidden = 0
        while self._lease and not self._stopped.is_set():
            try:
                if self._lease.try_acquire_or_renew():
                    log("this replica is the leader")
                    break
                forbidden = 0
                self._heartbeat.beat()
            except ClusterError as error:
                forbidden = self._log_error(error, forbidden)
            self._stopped.wait(self._timings.lease_interval)
        return not self._stopped.is_set()

    def _renew_lease(self) -> None:
        while self._lease and not self._stopped.wait(self._timings.lease_interval):
            reason = "another replica is the leader now"
            try:
                self._lease.try_acquire_or_renew()
            except ClusterError as error:
                reason = f"the Lease could not be renewed in time: {error}"
                log(str(error))
            if not self._lease.is_leader:
                self.stop(reason)

    def _release_lease(self) -> None:
        shutdown.begin_run()  # nothing runs any more that was to stop, and this request is to be sent
        if self._lease and self._lease.is_leader:
            try:
                self._lease.release()
            except ClusterError as error:
                log(f"{error}; the Lease expires by itself after {self._timings.lease_duration:.0f} seconds")

    def _watch_source(self, config: SyncConfig) -> None:
        watch, forbidden = SourceWatch(lambda: self._record_activity(config.owner), self._timings), 0
        while not self._stopped.is_set():
            try:
                for name in watch.changes(config.source):
                    self._changes.add(name)
            except ClusterError as error:
                forbidden = self._log_error(error, forbidden)
            self._stopped.wait(delay(self._timings.relist_backoff, watch.failures))
            watch.failures += 1

    def _log_error(self, error: ClusterError, forbidden: int) -> int:
        """Log the error and return the number of consecutive 403 responses; stop at the maximum."""
        forbidden = forbidden + 1 if error.failure.code is FailureCode.FORBIDDEN else 0
        log(str(error))
        if forbidden >= MAX_FORBIDDEN:
            self.stop(str(error))
        return forbidden

    def _record_activity(self, owner: str) -> None:
        self._heartbeat.beat()
        registry.record_source_event(owner)

    def _retry_failed(self) -> None:
        while not self._stopped.wait(self._timings.retry_interval):
            self._handler.retry_failed()
            self._handler.write_notes()
            self._handler.refresh()
