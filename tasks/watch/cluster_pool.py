"""Makes calls to clusters side by side, and isolates one that fails or is slow, so that it delays no other.

An isolated cluster is left out until a sync with every certificate has brought it back.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from tasks.domain.attempts import writes_of
from tasks.domain.errors import internal_error
from tasks.domain.models import ClusterReport
from tasks.watch.out_of_sync import OutOfSync, after_failure, after_retry, is_temporary, slow
from tasks.watch.timings import WatchTimings

MAX_CONCURRENCY = 64
"""Maximum number of calls at once."""

Call = Callable[[], ClusterReport]
Ended = tuple[str | None, ClusterReport]
"""The report of a sync that nobody waited for, and its only certificate."""


class ClusterPool:
    """Usable from several threads."""

    def __init__(self, timings: WatchTimings) -> None:
        self.timings = timings
        self._pool = ThreadPoolExecutor(MAX_CONCURRENCY)
        self._lock = threading.Lock()
        self._out_of_sync: dict[str, OutOfSync] = {}
        self._closed = False

    def prepare(self, calls: Mapping[str, Callable[[], None]]) -> dict[str, Future[None]]:
        """Start these calls, by cluster, except those of clusters that are left out."""
        with self._lock:
            skipped = self._skipped()
            return {
                name: self._pool.submit(call)
                for name, call in calls.items()
                if not self._closed and name not in skipped
            }

    def run(
        self, calls: Mapping[str, Call], certificate: str | None, seconds: float
    ) -> tuple[tuple[ClusterReport, ...], tuple[str, ...]]:
        """Make these calls, which are about this certificate, by cluster, and wait for so long.

        Returns the reports of the clusters that ended in time, and the names of the others.
        """
        running: dict[str, Future[ClusterReport]] = {}
        with self._lock:
            skipped = self._skipped()
            for name, call in calls.items():
                if name in skipped:
                    self._out_of_sync[name].missed = True
                elif future := self._submit(name, call):
                    running[name] = future
        wait(running.values(), seconds)
        done = {name: future.result() for name, future in running.items() if future.done()}
        with self._lock:
            for name in running.keys() - done.keys():
                known = self._out_of_sync.get(name)
                self._out_of_sync[name] = slow(running[name], certificate, known)
            for name, report in done.items():
                self._record_failure(name, report)
        return tuple(done.values()), tuple(name for name in calls if name not in done)

    def _skipped(self) -> set[str]:
        """The clusters that are left out. The caller holds the lock."""
        return {name for name, one in self._out_of_sync.items() if one.isolated or one.future}

    def _submit(self, cluster: str, call: Call) -> Future[ClusterReport] | None:
        """Start a call unless this is closed. The caller holds the lock."""
        return None if self._closed else self._pool.submit(_call_or_fail, cluster, call)

    def _record_failure(self, name: str, report: ClusterReport) -> None:
        """Plan the first retry; of a cluster whose retry is planned, only a temporary failure isolates it."""
        known = self._out_of_sync.get(name)
        if not report.failures:
            return
        if known and known.future:
            known.missed = True
        elif known is None or is_temporary(report):
            self._out_of_sync[name] = after_failure(report, 0, self.timings.retry_backoff)

    def retry(self, clusters: Iterable[str], full_sync: Callable[[str], Call | None]) -> list[Ended]:
        """Start the retries that are due; return the reports of those that have ended, if they are owed.

        Clusters that are not among these are forgotten. `full_sync` makes the call for a cluster.
        """
        with self._lock:
            for name in self._out_of_sync.keys() - set(clusters):
                del self._out_of_sync[name]
            entries = tuple(self._out_of_sync.items())
            ended = [(name, one) for name, one in entries if one.has_ended]
            for name, one in entries:
                if one.is_due and (call := full_sync(name)):
                    one.future, one.missed = self._submit(name, call), False
            return [report for name, one in ended for report in self._finish(name, one)]

    @property
    def has_due_retry(self) -> bool:
        with self._lock:
            return any(one.is_due for one in self._out_of_sync.values())

    def _finish(self, name: str, one: OutOfSync) -> list[Ended]:
        """End the isolation of a cluster only if it has missed no change while it was synced."""
        assert one.future
        report = one.future.result()
        in_sync = not report.failures and not one.missed
        if in_sync:
            del self._out_of_sync[name]
        else:
            self._out_of_sync[name] = after_retry(one, report, self.timings.retry_backoff)
        owed = [(certificate, future.result()) for certificate, future in one.earlier]
        if in_sync or one.report_owed or writes_of(report):
            owed.append((one.certificate, report))
        return owed

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


def _call_or_fail(cluster: str, call: Call) -> ClusterReport:
    try:
        return call()
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        failure = internal_error(cluster, "bring the cluster in sync", error)
        return ClusterReport(cluster=cluster, failures=(failure,))
