"""What a run waits for that workers are to bring: reports. A shell around the futures of Dask.

No wait outlasts the run. Where the run is told to stop, its tasks elsewhere hear of it through Prefect, which
they ask (tasks/orchestration/remote_tasks.py); what has not come soon after, is not waited for.
"""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Failure, Requests
from tasks.kube import request_counts
from tasks.orchestration.fan_out import report_of
from tasks.orchestration.recall import labels_of
from tasks.runtime import shutdown

STEP_SECONDS = 0.5
LATE_SECONDS = 10.0
"""For reports that are on their way when the time of the run is up."""
STOP_SECONDS = 22.0
"""For reports once the run is told to stop, of the 30 that a pod has: workers hear of it within two, and give
requests under way fifteen."""
FETCHERS = 4
COUNT_SECONDS = 5.0
"""Between two looks at how many workers there are."""
SAY_SECONDS = 60.0
"""Between two lines that say that there is none."""
ALONE_SECONDS = 300.0
"""Without any worker; as long as one cluster may take."""


class RemoteFuture:
    """What one worker is to bring. Like a future of Prefect's, as far as fan_out.py uses that."""

    def __init__(self, future: Any, cluster: str, task: str) -> None:
        self._future, self._cluster, self._task = future, cluster, task
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._result: Any = None
        self._callbacks: list[Callable[[Any], Any]] = []

    def add_done_callback(self, call: Callable[[Any], Any]) -> None:
        with self._lock:
            if not self._ended.is_set():
                self._callbacks.append(call)
                return
        call(self)

    def result(self, timeout: float | None = None, *, raise_on_failure: bool = True) -> Any:
        if not self._ended.wait(timeout):
            raise TimeoutError
        if raise_on_failure and isinstance(self._result, BaseException):
            raise self._result
        return self._result

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def fetch(self) -> None:
        """It is there, or it is known that it never will be."""
        try:
            result = self._future.result(raise_on_failure=False)
            report = report_of(result, lambda _: ClusterReport(cluster=self._cluster))
            cached = self._future.state.name == "Cached"  # then an earlier attempt of the run counted
        except (Exception, CancelledError) as error:  # noqa: BLE001  a library's text ends here
            self.give_up(FailureCode.WORKER_LOST, type(error).__name__)
        else:
            self._end(result, () if cached else report.requests)

    def give_up(self, code: FailureCode, detail: str = "") -> None:
        failure = Failure(code=code, cluster=self._cluster, what=f"run task {self._task}", detail=detail)
        self._end(ClusterError(failure))

    def _end(self, result: Any, requests: Iterable[Requests] = ()) -> None:
        """What comes first counts, and only that."""
        with self._lock:
            if self._ended.is_set():
                return
            request_counts.add(requests)
            self._result, self._future = result, None  # which lets the scheduler forget it
            self._ended.set()
        for call in self._callbacks:
            call(self)


class RemoteTaskWaiter:
    """Everything that a run waits for."""

    def __init__(self, until: datetime, workers: Callable[[], int] | None = None) -> None:
        """`workers` tells how many there are, for who can."""
        self._workers = workers
        self._end = time.monotonic() + (until - datetime.now(UTC)).total_seconds() + LATE_SECONDS
        self._coming: list[RemoteFuture] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._fetchers = ThreadPoolExecutor(FETCHERS, "fetch-report")

    def __enter__(self) -> Self:
        self._begin(self._attend, "attendance")
        if self._workers:
            self._begin(partial(self._count, self._workers), "workers")
        return self

    @staticmethod
    def _begin(what: Callable[[], None], name: str) -> None:
        threading.Thread(target=partial(copy_context().run, what), name=name, daemon=True).start()

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._over.set()
        self._fetchers.shutdown(wait=False, cancel_futures=True)

    def expect(self, future: Any, cluster: str, task: str) -> RemoteFuture:
        coming = RemoteFuture(future, cluster, task)
        with self._lock:
            self._coming.append(coming)
        future.add_done_callback(lambda _: self._fetch(coming))
        return coming

    def _fetch(self, coming: RemoteFuture) -> None:
        """Fetch the report in a thread of our own, so that the thread that runs callbacks is not held up."""
        with suppress(RuntimeError):  # nobody waits any more
            self._fetchers.submit(coming.fetch)

    def _attend(self) -> None:
        told = False
        while not self._over.wait(STEP_SECONDS):
            if shutdown.requested.is_set() and not told:
                told = True
                self._end = min(self._end, time.monotonic() + STOP_SECONDS)
                self._begin(_call_back, "call-back")
            for coming in self._awaited() if time.monotonic() > self._end else ():
                lost = (
                    (FailureCode.INTERRUPTED, "")
                    if told
                    else (FailureCode.WORKER_LOST, "the time of the run is up")
                )
                coming.give_up(*lost)

    def _awaited(self) -> tuple[RemoteFuture, ...]:
        with self._lock:
            self._coming = [coming for coming in self._coming if not coming.has_ended]
            return tuple(self._coming)

    def _count(self, workers: Callable[[], int]) -> None:
        """Says where there is no worker at all, as when each that came could not read its order and died."""
        since, said = time.monotonic(), 0.0
        while not self._over.wait(COUNT_SECONDS):
            try:
                found = workers()
            except Exception:  # noqa: BLE001  a scheduler that is gone ends the futures themselves
                found = 1  # as far as we know
            if found or not self._awaited():
                since, said = time.monotonic(), 0.0
                continue
            alone = time.monotonic() - since
            if alone > ALONE_SECONDS:
                for coming in self._awaited():
                    coming.give_up(FailureCode.WORKER_LOST, f"no worker for {ALONE_SECONDS:.0f} s")
            elif alone > said:
                said = alone + SAY_SECONDS
                get_run_logger().warning("the task runner has no worker: the run waits for one; see its log")


def _call_back() -> None:
    """Where Prefect does not take it, tasks elsewhere go on until their time is up."""
    context = FlowRunContext.get()
    assert context, "in a flow"
    assert context.flow_run, "in a flow"
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(context.flow_run.id, labels_of(context.flow_run.run_count))
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("the workers were not told to stop (%s)", type(error).__name__)
