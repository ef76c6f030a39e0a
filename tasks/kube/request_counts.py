"""Counts the requests to API servers by verb and status code.

The requests of a process share one counter. A task that runs in another process has a counter of its own, and
its report carries the counts back to the run.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from tasks.domain.models import Requests
from tasks.kube.connections import Connections, OpenResponse

NO_RESPONSE = "none"
"""The code of a request without a response."""


class VerbAndCode(NamedTuple):
    verb: str
    code: str


_lock = threading.Lock()
_process_counter: Counter[VerbAndCode] = Counter()
_task_counter: ContextVar[Counter[VerbAndCode] | None] = ContextVar("_task_counter", default=None)


@contextmanager
def count_into(counter: Counter[VerbAndCode]) -> Iterator[None]:
    """Inside the block, clients that this thread creates count into this counter only."""
    token = _task_counter.set(counter)
    try:
        yield
    finally:
        _task_counter.reset(token)


class CountedConnections:
    """Connections whose requests are counted."""

    def __init__(self, connections: Connections) -> None:
        counter = _task_counter.get()
        self._connections, self._counter = connections, _process_counter if counter is None else counter

    def close(self) -> None:
        self._connections.close()

    def request(self, method: str, target: str, **options: Any) -> OpenResponse:
        code = NO_RESPONSE
        try:
            response = self._connections.request(method, target, **options)
            code = str(response.status)
            return response
        finally:
            with _lock:
                self._counter[VerbAndCode(method, code)] += 1


def snapshot() -> Counter[VerbAndCode]:
    """Return the counts since the process began."""
    with _lock:
        return Counter(_process_counter)


def since(before: Counter[VerbAndCode]) -> tuple[Requests, ...]:
    """Return the counts since an earlier snapshot."""
    return as_requests(snapshot() - before)


def as_requests(counter: Counter[VerbAndCode]) -> tuple[Requests, ...]:
    """Return a counter in the form of a report."""
    with _lock:
        counts = sorted(counter.items())
    return tuple(Requests(verb=key.verb, code=key.code, count=count) for key, count in counts)


def add(requests: Iterable[Requests]) -> None:
    """Add what another process counted for a run of this one."""
    with _lock:
        for one in requests:
            _process_counter[VerbAndCode(one.verb, one.code)] += one.count
