"""Counts the requests to API servers, by verb and by what became of them.

Those of a process are counted together; those of a task that another process does for a run, in a book of
its own, which its report takes to the run.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from urllib3 import BaseHTTPResponse
from urllib3.connectionpool import HTTPConnectionPool

from tasks.domain.models import Requests

NO_ANSWER = "none"

_lock = threading.Lock()
_made: Counter["Outcome"] = Counter()


class Outcome(NamedTuple):
    verb: str
    code: str


_book: ContextVar["Counter[Outcome] | None"] = ContextVar("_book", default=None)


@contextmanager
def counted_in(book: "Counter[Outcome]") -> Iterator[None]:
    """Pools that are made meanwhile in this thread count in this book, and nowhere else."""
    token = _book.set(book)
    try:
        yield
    finally:
        _book.reset(token)


class Counted:
    """The connections to one server, whose requests are counted."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        book = _book.get()
        self._pool, self._made = pool, _made if book is None else book

    def request(self, method: str, target: str, **how: Any) -> BaseHTTPResponse:
        code = NO_ANSWER
        try:
            response = self._pool.urlopen(method, target, **how)
            code = str(response.status)
            return response
        finally:
            with _lock:
                self._made[Outcome(method, code)] += 1


def made() -> Counter[Outcome]:
    """All since the process began."""
    with _lock:
        return Counter(_made)


def since(before: Counter[Outcome]) -> tuple[Requests, ...]:
    """What was made after a call of `made`."""
    return told(made() - before)


def told(book: Counter[Outcome]) -> tuple[Requests, ...]:
    """What stands in a book, for a report."""
    with _lock:
        found = sorted(book.items())
    return tuple(Requests(verb=one.verb, code=one.code, count=count) for one, count in found)


def add(made_elsewhere: Iterable[Requests]) -> None:
    """What another process made for a run of this one."""
    with _lock:
        for one in made_elsewhere:
            _made[Outcome(one.verb, one.code)] += one.count
