"""What a task is given that is done in another process than its flow: by a worker of Dask. A shell.

The run's process reaches in here with an order, and with nothing else. So one thread per run asks Prefect
every other second whether that run goes on; where it does not, its tasks here end as they do in a process
that is told to stop. Those of other runs, which the worker may serve at the same time, go on.
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

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, SettingsContext, TaskRunContext
from prefect.exceptions import ObjectNotFound, PrefectException

from tasks.domain.models import Requests
from tasks.kube import request_counts
from tasks.orchestration import process
from tasks.orchestration.recall import is_recalled
from tasks.plan.spec import RunMemory
from tasks.runtime import shutdown

PAUSE_SECONDS = 2.0
"""Between two questions."""
FIRST_SECONDS = 5.0
"""For the first answer, before which no task of the run begins; without one, it begins all the same."""
LINGER_SECONDS = 60.0
"""A run counts as present for so long after a task: the pauses before another attempt are shorter."""
GRACE_SECONDS = 15.0
"""For requests under way, where the run is recalled; less than it waits for reports (remote_futures.py)."""
ANSWER_SECONDS = 5.0


class TaskScope(NamedTuple):
    """What a task has of its worker's process."""

    requests: Callable[[], tuple[Requests, ...]]
    """The requests that all attempts of the task have made; none in the flow's own process, which counts."""
    memory: RunMemory | None
    """That of the run's tasks on this worker; None in the flow's own process, where the run has its own."""


@contextmanager
def remote_task_scope() -> Iterator[TaskScope]:
    """Around the work of a task: on a worker, follow the run's state, and count the task's requests."""
    flow, task = FlowRunContext.get(), TaskRunContext.get()
    if not (flow and flow.detached and flow.flow_run and task):
        yield TaskScope(tuple, None)
        return
    _prepare()
    run = _entered(flow.flow_run.id, flow.flow_run.run_count)
    try:
        book = run.books.setdefault(task.task_run.id, Counter())
        with shutdown.task_scope(run.stop), request_counts.count_into(book):
            yield TaskScope(lambda: request_counts.as_requests(book), run.memory)
    finally:
        run.leave()


def worker_hostname() -> str:
    """The hostname of the worker; empty in the flow's own process."""
    flow = FlowRunContext.get()
    return socket.gethostname() if flow and flow.detached else ""


@cache
def _prepare() -> None:
    """Once in a worker's process, before the first key."""
    process.prepare()


class _Run:
    """One attempt of a run, as far as this process has to do with it."""

    def __init__(self, run_id: UUID, attempt: int) -> None:
        self.stop = shutdown.StopSignal()
        self.memory = RunMemory()
        self.books: dict[UUID, Counter[request_counts.VerbAndCode]] = {}
        self.key = run_id, attempt
        self._tasks, self._left = 0, time.monotonic()
        self._answered = threading.Event()
        # In a context that has the settings alone: a client of a task's would be closed with the task.
        listen = partial(Context().run, self._listen, SettingsContext.get())
        threading.Thread(target=listen, name=f"recall-{run_id}", daemon=True).start()

    def enter(self) -> None:
        """A task begins. The caller holds the lock."""
        self._tasks += 1

    def leave(self) -> None:
        with _lock:
            self._tasks, self._left = self._tasks - 1, time.monotonic()

    def wait(self) -> None:
        self._answered.wait(FIRST_SECONDS)

    def _listen(self, settings: SettingsContext | None) -> None:
        with settings.model_copy() if settings else nullcontext():
            while not self._is_gone():
                recalled = self._is_recalled()
                if recalled and not self.stop.requested.is_set():
                    self.stop.stop(GRACE_SECONDS)
                self._answered.set()
                time.sleep(PAUSE_SECONDS)

    def _is_recalled(self) -> bool:
        run_id, attempt = self.key
        try:
            with get_client(sync_client=True, httpx_settings={"timeout": ANSWER_SECONDS}) as client:
                run = client.read_flow_run(run_id)
        except ObjectNotFound:
            return True  # someone deleted it
        except (httpx.HTTPError, PrefectException, OSError, RuntimeError):
            return False  # asked again in a moment
        state = run.state_type.value if run.state_type else ""
        return is_recalled(run.labels, state, run.run_count, attempt)

    def _is_gone(self) -> bool:
        with _lock:
            gone = not self._tasks and time.monotonic() - self._left > LINGER_SECONDS
            if gone:
                del _runs[self.key]
            return gone


_runs: dict[tuple[UUID, int], _Run] = {}
_lock = threading.Lock()


def _entered(run_id: UUID, attempt: int) -> _Run:
    """The run, in which one more task is at work from now on."""
    with _lock:
        run = _runs.get((run_id, attempt)) or _Run(run_id, attempt)
        _runs[run.key] = run
        run.enter()
    run.wait()
    return run
