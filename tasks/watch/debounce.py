"""Gathers what has changed: the first at once, and what comes in the next second as one."""

import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue

from tasks.watch.timings import DEFAULT, WatchTimings


class Debouncer:
    """Filled by one thread, emptied by another."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._timings = timings
        self._waiting: SimpleQueue[str | None] = SimpleQueue()

    def add(self, *names: str) -> None:
        for name in names:
            self._waiting.put(name)

    def close(self) -> None:
        """No more will come: `batches` ends."""
        self._waiting.put(None)

    def batches(self) -> Iterator[frozenset[str]]:
        """What changed, each name once a batch; what comes while a batch is dealt with is in the next one.

        After a quiet second the first comes alone and at once; of a stream there is one batch a second.
        """
        busy_until = 0.0
        while (first := self._next()) is not None:
            names = {first}
            if time.monotonic() < busy_until and not self._gather(names):
                yield frozenset(names)
                return
            yield frozenset(names)
            busy_until = time.monotonic() + self._timings.debounce_window

    def _next(self) -> str | None:
        """In steps: a signal that the system gives to another thread is heard only when this one wakes."""
        while True:
            try:
                return self._waiting.get(timeout=self._timings.wakeup_interval)
            except Empty:
                continue

    def _gather(self, names: set[str]) -> bool:
        """Add what comes within the second; False where no more will come."""
        until = time.monotonic() + self._timings.debounce_window
        while (left := until - time.monotonic()) > 0:
            try:
                name = self._waiting.get(timeout=left)
            except Empty:
                return True
            if name is None:
                return False
            names.add(name)
        return True
