"""Ends what is done for clusters: what is under way ends, and nothing else begins.

In the process of a run that is all of it. A worker of Dask may serve several runs at a time: there,
each has a Stop of its own, which whatever is made for it takes along.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol
from weakref import WeakSet

from tasks.runtime.signals import Stage, note, reached

GRACE_SECONDS = 20.0
"""For requests under way; a pod that is to go has 30 seconds by default."""


class Connection(Protocol):
    def abort(self) -> None:
        """Close it at once, whatever is under way."""


class Stop:
    def __init__(self) -> None:
        self.asked = threading.Event()
        self._open: WeakSet[Connection] = WeakSet()

    def register(self, connection: Connection) -> None:
        """Its connections are cut, too, where they outlast the grace."""
        self._open.add(connection)

    def stop(self, grace: float) -> None:
        self.asked.set()
        timer = threading.Timer(grace, self._cut)
        timer.daemon = True
        timer.start()

    def _cut(self) -> None:
        for connection in list(self._open):
            connection.abort()


_of_process = Stop()
_apart: ContextVar[Stop | None] = ContextVar("_apart", default=None)
asked = _of_process.asked


def current() -> Stop:
    """The one that counts for what is made here; threads that a task starts are to be given it."""
    return _apart.get() or _of_process


@contextmanager
def apart(stop: Stop) -> Iterator[None]:
    """Meanwhile, in this thread, this one counts, and no other."""
    token = _apart.set(stop)
    try:
        yield
    finally:
        _apart.reset(token)


def begin() -> None:
    """A new run: whatever was asked of an earlier one in this process is over."""
    asked.clear()
    reached(Stage.BEGUN)
    for number in (signal.SIGINT, signal.SIGTERM):
        note(number, asked)


def stop(grace: float = GRACE_SECONDS) -> None:
    _of_process.stop(grace)
