"""Delays requests to an API server that throttles (HTTP 429), and limits how many run at a time.

A server that refuses one request has no capacity for any of ours. So the delay that it demands holds for all
clients in this process that talk to it, and from then on only half as many requests run at a time.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

MAX_RETRY_AFTER = 32.0
"""Maximum seconds that an API server can make us wait. API Priority and Fairness never demands more."""
MAX_REFUSALS = 5
"""Refusals in a row, without another response in between, after which no request is repeated."""
CALM_SECONDS = 30.0
"""Seconds without a refusal, after which the number of simultaneous requests is no longer limited."""
STEP_SECONDS = 0.5
"""Maximum seconds before a waiting request notices that the run has been stopped."""
UNLIMITED = 1_000_000


class Throttle:
    """The throttle of one API server. It costs nothing until the server refuses a request."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running, self._limit, self._refusals = 0, UNLIMITED, 0
        self._resume = self._calm = 0.0

    @contextmanager
    def slot(self, deadline: float, stopped: threading.Event) -> Iterator[float]:
        """Wait until a request may be sent, the deadline or a stop. Yields the time.monotonic() value."""
        with self._changed:
            while not self._is_free() and not stopped.is_set() and time.monotonic() < deadline:
                now = time.monotonic()
                left = [STEP_SECONDS, deadline - now, *([self._resume - now] if self._resume > now else [])]
                self._changed.wait(min(left))
            self._running += 1
        try:
            yield time.monotonic()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def _is_free(self) -> bool:
        now = time.monotonic()
        if now >= self._calm:
            self._limit = UNLIMITED
        return now >= self._resume and self._running < self._limit

    def record_response(self, started: float, pause: float, *, throttled: bool) -> bool:
        """Record the response to the request of a slot that started then, still within that slot.

        Return whether a throttled request may be repeated, after `pause` seconds.
        """
        with self._changed:
            if not throttled:
                self._refusals = 0
                return False
            if started >= self._resume:  # else it ran beside the request whose refusal is counted already
                self._refusals += 1
                self._limit = max(1, min(self._limit, self._running) // 2)
            self._resume = max(self._resume, time.monotonic() + pause)
            self._calm = self._resume + CALM_SECONDS
            return self._refusals < MAX_REFUSALS


_throttles: WeakValueDictionary[str, Throttle] = WeakValueDictionary()
_lock = threading.Lock()


def throttle_of(server: str) -> Throttle:
    """Return the throttle that all clients of a server share, by the server's address."""
    with _lock:
        return _throttles.setdefault(server, Throttle())


def retry_after_seconds(header: str | None) -> float:
    """Return the seconds of a Retry-After header; one second if it has no number of seconds."""
    text = (header or "").strip()
    seconds = float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1.0
    return min(max(seconds, 1.0), MAX_RETRY_AFTER)
