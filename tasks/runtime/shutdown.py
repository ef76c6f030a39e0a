"""Stops the work on clusters: nothing new begins, and requests that outlast a grace period are aborted.

A process usually serves one run, and has one stop signal. A Dask worker may serve several runs at a time,
each with a stop signal of its own.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol
from weakref import WeakSet

from tasks.runtime.signals import Stage, set_on_signal, set_stage

GRACE_SECONDS = 20.0
"""Seconds that requests in progress have to finish. Kubernetes gives a pod 30 seconds by default."""


class Abortable(Protocol):
    def abort(self) -> None:
        """End at once, whatever is in progress."""


class StopSignal:
    def __init__(self) -> None:
        self.requested = threading.Event()
        self._registered: WeakSet[Abortable] = WeakSet()

    def register(self, connections: Abortable) -> None:
        """Abort these, too, if they outlast the grace period."""
        self._registered.add(connections)

    def stop(self, grace: float) -> None:
        """Request the stop, and abort what is left after `grace` seconds."""
        self.requested.set()
        timer = threading.Timer(grace, self._abort)
        timer.daemon = True
        timer.start()

    def _abort(self) -> None:
        for one in list(self._registered):
            one.abort()


_of_process = StopSignal()
_of_task: ContextVar[StopSignal | None] = ContextVar("_of_task", default=None)
requested = _of_process.requested


def current() -> StopSignal:
    """Return the stop signal of the current task, or else the process's.

    Pass it to threads explicitly: they do not inherit context variables.
    """
    return _of_task.get() or _of_process


@contextmanager
def task_scope(stop: StopSignal) -> Iterator[None]:
    """Inside the block, this is the stop signal of this thread."""
    token = _of_task.set(stop)
    try:
        yield
    finally:
        _of_task.reset(token)


def begin_run() -> None:
    """Clear the stop signal of an earlier run, and set it on SIGINT and SIGTERM from now on."""
    requested.clear()
    set_stage(Stage.BEGUN)
    for number in (signal.SIGINT, signal.SIGTERM):
        set_on_signal(number, requested)


def stop(grace: float = GRACE_SECONDS) -> None:
    """Stop this process's run: abort the connections that are left after `grace` seconds."""
    _of_process.stop(grace)
