"""When the next request may go to an API server that asked to slow down (HTTP 429), and how many at a time.

A server that refuses one request is short of seats for all of ours, whichever thread they come from: so what
it asks for holds for all clients of this process that talk to it, and half of them wait from then on.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

LONGEST_PAUSE = 32.0
"""Seconds that an API server may ask us to wait before another request: its own never ask for more."""

REFUSALS = 5
"""In a row, with nothing answered in between, after which the server is left in peace."""
CALM_SECONDS = 30.0
"""Without a refusal, after which as many requests as before may go at a time."""
STEP_SECONDS = 0.5
"""In which the end of a run is heard."""
UNBOUNDED = 1_000_000


class Pace:
    """Of one API server. Costs nothing until it refuses something."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way, self._most, self._refusals = 0, UNBOUNDED, 0
        self._resume = self._calm = 0.0

    @contextmanager
    def turn(self, deadline: float, stopped: threading.Event) -> Iterator[float]:
        """Waits until a request may go, or nothing may any more; gives the moment when it went."""
        with self._changed:
            while not self._may_go() and not stopped.is_set() and time.monotonic() < deadline:
                now = time.monotonic()
                left = [STEP_SECONDS, deadline - now, *([self._resume - now] if self._resume > now else [])]
                self._changed.wait(min(left))
            self._under_way += 1
        try:
            yield time.monotonic()
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify()

    def _may_go(self) -> bool:
        now = time.monotonic()
        if now >= self._calm:
            self._most = UNBOUNDED
        return now >= self._resume and self._under_way < self._most

    def heard(self, begun: float, pause: float, *, refused: bool) -> bool:
        """Said within the turn that began then; whether a request that was refused may be made again."""
        with self._changed:
            if not refused:
                self._refusals = 0
                return False
            if begun >= self._resume:  # the others that were under way say nothing new
                self._refusals += 1
                self._most = max(1, min(self._most, self._under_way) // 2)
            self._resume = max(self._resume, time.monotonic() + pause)
            self._calm = self._resume + CALM_SECONDS
            return self._refusals < REFUSALS


_known: WeakValueDictionary[str, Pace] = WeakValueDictionary()
_lock = threading.Lock()


def pace_of(server: str) -> Pace:
    """The same one for all clients of a server, by its address, as long as there is any."""
    with _lock:
        return _known.setdefault(server, Pace())


def pause_asked_for(retry_after: str | None) -> float:
    """Seconds to wait where a server says Retry-After; one second where it says nothing of use."""
    text = (retry_after or "").strip()
    seconds = float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1.0
    return min(max(seconds, 1.0), LONGEST_PAUSE)
