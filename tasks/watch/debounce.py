"""Groups changed certificates into batches: the first at once, those of the next second together."""

import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue

from tasks.watch.timings import DEFAULT, WatchTimings


class Debouncer:
    """A queue of names, which several threads fill and one empties."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._timings = timings
        self._queue: SimpleQueue[str | None] = SimpleQueue()

    def add(self, *names: str) -> None:
        for name in names:
            self._queue.put(name)

    def close(self) -> None:
        """End `batches` after the names that are in the queue now."""
        self._queue.put(None)

    def batches(self) -> Iterator[frozenset[str]]:
        """Yield changed names. A name that is added while its batch is handled comes again in the next one.

        After a quiet window the next name comes alone and at once; the names of one window come together at
        its end. So a stream that is slower than one name per window never waits.
        """
        window_ends = 0.0
        while (first := self._next()) is not None:
            names = {first}
            if not self._collect(names, window_ends):
                yield frozenset(names)
                return
            yield frozenset(names)
            window_ends = time.monotonic() + self._timings.debounce_window

    def _next(self) -> str | None:
        """Wait for the next name, and wake now and then to let Python run signal handlers."""
        while True:
            try:
                return self._queue.get(timeout=self._timings.wakeup_interval)
            except Empty:
                continue

    def _collect(self, names: set[str], window_ends: float) -> bool:
        """Add the names that come until then; return False once the queue is closed."""
        while (left := window_ends - time.monotonic()) > 0:
            try:
                name = self._queue.get(timeout=left)
            except Empty:
                return True
            if name is None:
                return False
            names.add(name)
        return True
