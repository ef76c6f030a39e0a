"""The future of a task on a Dask worker, as far as fan_out.py uses the futures of Prefect."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from typing import Any

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Failure, Requests
from tasks.kube import request_counts
from tasks.orchestration.fan_out import report_of


class RemoteFuture:
    """The report of one cluster from a worker, or the reason why none will come."""

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
        """Fetch the result of a task that has ended, and add the requests of its report to this process's."""
        try:
            result = self._future.result(raise_on_failure=False)
            report = report_of(result, lambda _: ClusterReport(cluster=self._cluster))
            cached = self._future.state.name == "Cached"  # an earlier attempt of the run has counted them
        except (Exception, CancelledError) as error:  # noqa: BLE001  a library's text ends here
            self.give_up(FailureCode.WORKER_LOST, type(error).__name__)
        else:
            self._end(result, () if cached else report.requests)

    def give_up(self, code: FailureCode, detail: str = "") -> None:
        """End with a failure of the cluster."""
        failure = Failure(code=code, cluster=self._cluster, what=f"run task {self._task}", detail=detail)
        self._end(ClusterError(failure))

    def _end(self, result: Any, requests: Iterable[Requests] = ()) -> None:
        """Set the result. Only the first call has an effect."""
        with self._lock:
            if self._ended.is_set():
                return
            request_counts.add(requests)
            self._result, self._future = result, None  # without a reference, the scheduler drops the task
            self._ended.set()
        for call in self._callbacks:
            call(self)
