"""The names of changed certificates that wait to be handled, each once, in the order in which they came."""

import threading

from tasks.watch.source_watch import RESYNC


class ChangeQueue:
    """Several threads add names and take them.

    A name is handed to one thread at a time. If it is added while it is handled, it comes again afterwards.
    RESYNC stands for every name: it comes first and alone.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[str, None] = {}
        self._handled: set[str] = set()
        self._closed = False

    def add(self, *names: str) -> None:
        with self._changed:
            self._waiting |= dict.fromkeys(names)
            self._changed.notify(len(names))  # each wakes one thread at most

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self) -> str | None:
        """Wait for a name; None once the queue is closed. `done` must follow."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._next() is not None)
            name = None if self._closed else self._next()
            if name is None:
                return None
            if name == RESYNC:
                self._waiting.clear()  # it reads all of them, later than they were added
            self._waiting.pop(name, None)
            self._handled.add(name)
            return name

    def done(self, name: str) -> None:
        with self._changed:
            self._handled.discard(name)
            if name == RESYNC:
                self._changed.notify_all()
            elif self._waiting:  # for this name again, or for RESYNC, which waits for all others
                self._changed.notify()

    def _next(self) -> str | None:
        if RESYNC in self._waiting:
            return None if self._handled else RESYNC
        if RESYNC in self._handled:
            return None
        return next((name for name in self._waiting if name not in self._handled), None)
