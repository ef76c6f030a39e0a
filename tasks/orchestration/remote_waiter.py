"""Waits for the reports of tasks on Dask workers, no longer than the run may take.

Once the run is stopped, it cancels them (cancellation.py), and waits STOP_SECONDS for their reports.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from tasks.domain.failure_codes import FailureCode
from tasks.orchestration.cancellation import cancel_remote_tasks
from tasks.orchestration.remote_futures import RemoteFuture
from tasks.runtime import shutdown

CHECK_SECONDS = 0.5
"""Seconds between two checks of the stop signal and the deadline."""
LATE_SECONDS = 10.0
"""Seconds to wait for reports after the deadline of the run, at which workers end their tasks."""
STOP_SECONDS = 22.0
"""Seconds to wait for reports once the run is stopped, of the 30 that a pod has.

Workers notice it within 2 seconds (remote_tasks.POLL_SECONDS), and abort requests 15 seconds later
(GRACE_SECONDS).
"""
FETCHERS = 4
"""Number of threads that fetch reports."""
COUNT_SECONDS = 5.0
"""Seconds between two counts of the workers."""
WARN_SECONDS = 60.0
"""Seconds between two warnings that there is no worker."""
NO_WORKER_SECONDS = 300.0
"""Seconds without any worker after which tasks are given up; as long as one cluster may take."""


class RemoteTaskWaiter:
    """All tasks of a run that are submitted to workers, and the threads that wait for them."""

    def __init__(self, run_deadline: datetime, count_workers: Callable[[], int] | None = None) -> None:
        self._count_workers = count_workers
        self._end = time.monotonic() + (run_deadline - datetime.now(UTC)).total_seconds() + LATE_SECONDS
        self._futures: list[RemoteFuture] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._fetchers = ThreadPoolExecutor(FETCHERS, "fetch-report")

    def __enter__(self) -> Self:
        self._start(self._enforce_deadline, "remote-deadline")
        if self._count_workers:
            self._start(partial(self._watch_workers, self._count_workers), "remote-workers")
        return self

    @staticmethod
    def _start(target: Callable[[], None], name: str) -> None:
        threading.Thread(target=partial(copy_context().run, target), name=name, daemon=True).start()

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._closed.set()
        self._fetchers.shutdown(wait=False, cancel_futures=True)

    def add(self, future: Any, cluster: str, task: str) -> RemoteFuture:
        """Wait for one more task, of which `future` is the future of Prefect's task runner."""
        remote = RemoteFuture(future, cluster, task)
        with self._lock:
            self._futures.append(remote)
        future.add_done_callback(lambda _: self._fetch(remote))
        return remote

    def _fetch(self, remote: RemoteFuture) -> None:
        """Fetch the report in a thread of our own, so that the thread that runs callbacks is not blocked."""
        with suppress(RuntimeError):  # the executor is shut down
            self._fetchers.submit(remote.fetch)

    def _enforce_deadline(self) -> None:
        stopped = False
        while not self._closed.wait(CHECK_SECONDS):
            if shutdown.requested.is_set() and not stopped:
                stopped = True
                self._end = min(self._end, time.monotonic() + STOP_SECONDS)
                self._start(_cancel, "remote-cancel")
            if time.monotonic() > self._end:
                self._give_up(
                    *(
                        (FailureCode.INTERRUPTED, "")
                        if stopped
                        else (FailureCode.WORKER_LOST, "the time of the run is up")
                    )
                )

    def _watch_workers(self, count: Callable[[], int]) -> None:
        """Warn while there is no worker, and give up after NO_WORKER_SECONDS.

        This also covers workers that die of each task, as where tls-sync is not installed.
        """
        since, warned = time.monotonic(), 0.0
        while not self._closed.wait(COUNT_SECONDS):
            try:
                found = count()
            except Exception:  # noqa: BLE001  if the scheduler is gone, the futures end by themselves
                found = 1  # unknown: no reason to give up
            if found or not self._pending():
                since, warned = time.monotonic(), 0.0
                continue
            seconds = time.monotonic() - since
            if seconds > NO_WORKER_SECONDS:
                self._give_up(FailureCode.WORKER_LOST, f"no worker for {NO_WORKER_SECONDS:.0f} s")
            elif seconds > warned:
                warned = seconds + WARN_SECONDS
                get_run_logger().warning("the task runner has no worker: the run waits for one; see its log")

    def _give_up(self, code: FailureCode, detail: str) -> None:
        for remote in self._pending():
            remote.give_up(code, detail)

    def _pending(self) -> tuple[RemoteFuture, ...]:
        with self._lock:
            self._futures = [remote for remote in self._futures if not remote.has_ended]
            return tuple(self._futures)


def _cancel() -> None:
    context = FlowRunContext.get()
    assert context, "in a flow"
    assert context.flow_run, "in a flow"
    cancel_remote_tasks(context.flow_run)
