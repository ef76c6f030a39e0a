"""Counts the requests to API servers that this process makes, by verb and by what became of them."""

import threading
from collections import Counter
from typing import Any, NamedTuple

from urllib3 import BaseHTTPResponse, PoolManager

from tasks.models import Requests

NO_ANSWER = "none"

_lock = threading.Lock()
_made: Counter["Outcome"] = Counter()


class Outcome(NamedTuple):
    verb: str
    code: str


class Counted:
    """A pool whose requests are counted."""

    def __init__(self, pool: PoolManager) -> None:
        self._pool = pool

    def request(self, method: str, url: str, **how: Any) -> BaseHTTPResponse:
        code = NO_ANSWER
        try:
            response = self._pool.request(method, url, **how)
            code = str(response.status)
            return response
        finally:
            with _lock:
                _made[Outcome(method, code)] += 1


def made() -> Counter[Outcome]:
    """All since the process began."""
    with _lock:
        return Counter(_made)


def since(before: Counter[Outcome]) -> tuple[Requests, ...]:
    """What was made after a call of `made`."""
    return tuple(
        Requests(verb=one.verb, code=one.code, count=count)
        for one, count in sorted((made() - before).items())
    )
