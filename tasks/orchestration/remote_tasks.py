"""What a task needs on a Dask worker, in another process than its flow.

One thread per run asks Prefect every POLL_SECONDS whether the run has been cancelled. If so, the run's tasks
on this worker stop as those in a stopped process do. Tasks of other runs on the same worker go on.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import Context
from functools import cache, partial
from typing import NamedTuple
from uuid import UUID

from prefect.context import FlowRunContext, SettingsContext, TaskRunContext

from tasks.domain.models import Requests
from tasks.kube import request_counts
from tasks.orchestration import process
from tasks.orchestration.cancellation import is_cancelled
from tasks.plan.spec import RunMemory
from tasks.runtime import shutdown

POLL_SECONDS = 2.0
"""Seconds between two requests for the state of the run."""
FIRST_POLL_SECONDS = 5.0
"""Seconds that a run's first task waits for the first response; without one, it starts all the same."""
IDLE_SECONDS = 60.0
"""Seconds after its last task for which a run is remembered; longer than the delay before a retry."""
GRACE_SECONDS = 15.0
"""Seconds for requests in progress once the run is cancelled; less than remote_waiter.STOP_SECONDS."""


class TaskScope(NamedTuple):
    """What a task shares with the other tasks and attempts of its run on this worker."""

    requests: Callable[[], tuple[Requests, ...]]
    """Returns the requests of all attempts of the task; none in the flow's own process, which counts them."""
    memory: RunMemory | None
    """Memory of the run's tasks on this worker; None in the flow's own process, where the run has its own."""


@contextmanager
def remote_task_scope() -> Iterator[TaskScope]:
    """On a worker, stop the task inside this block when its run is cancelled, and count its requests."""
    flow, task = FlowRunContext.get(), TaskRunContext.get()
    if not (flow and flow.detached and flow.flow_run and task):
        yield TaskScope(tuple, None)
        return
    _prepare()
    run = _enter_run(flow.flow_run.id, flow.flow_run.run_count)
    try:
        counter = run.counters.setdefault(task.task_run.id, Counter())
        with shutdown.task_scope(run.stop), request_counts.count_into(counter):
            yield TaskScope(lambda: request_counts.as_requests(counter), run.memory)
    finally:
        run.leave()


def worker_hostname() -> str:
    """Return the hostname of the worker; empty in the flow's own process."""
    flow = FlowRunContext.get()
    return socket.gethostname() if flow and flow.detached else ""


@cache
def _prepare() -> None:
    """Prepare the worker's process, once, before it reads the first key."""
    process.prepare()


class _RemoteRun:
    """One attempt of a run on this worker, from its first task to IDLE_SECONDS after its last one."""

    def __init__(self, run_id: UUID, attempt: int) -> None:
        self.stop = shutdown.StopSignal()
        self.memory = RunMemory()
        self.counters: dict[UUID, Counter[request_counts.VerbAndCode]] = {}
        """Id of a task run -> its requests, of all attempts."""
        self.key = run_id, attempt
        self._tasks, self._left = 0, time.monotonic()
        self._polled = threading.Event()
        # A context with the settings alone: the client of a task's context would be closed with the task.
        poll = partial(Context().run, self._poll, SettingsContext.get())
        threading.Thread(target=poll, name=f"poll-{run_id}", daemon=True).start()

    def enter(self) -> None:
        """Count one more task. The caller holds the lock."""
        self._tasks += 1

    def leave(self) -> None:
        with _lock:
            self._tasks, self._left = self._tasks - 1, time.monotonic()

    def wait_for_first_poll(self) -> None:
        self._polled.wait(FIRST_POLL_SECONDS)

    def _poll(self, settings: SettingsContext | None) -> None:
        with settings.model_copy() if settings else nullcontext():
            while not self._remove_if_idle():
                if is_cancelled(*self.key) and not self.stop.requested.is_set():
                    self.stop.stop(GRACE_SECONDS)
                self._polled.set()
                time.sleep(POLL_SECONDS)

    def _remove_if_idle(self) -> bool:
        with _lock:
            idle = not self._tasks and time.monotonic() - self._left > IDLE_SECONDS
            if idle:
                del _runs[self.key]
            return idle


_runs: dict[tuple[UUID, int], _RemoteRun] = {}
"""Run and attempt -> what its tasks share on this worker, and nothing of any other run."""
_lock = threading.Lock()


def _enter_run(run_id: UUID, attempt: int) -> _RemoteRun:
    """Return the run, with one more task in it."""
    with _lock:
        run = _runs.get((run_id, attempt)) or _RemoteRun(run_id, attempt)
        _runs[run.key] = run
        run.enter()
    run.wait_for_first_poll()
    return run
