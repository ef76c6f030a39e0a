"""Which certificates were copied, and wait for the notes of their copies to be written in a quiet moment.

A run would otherwise read these certificates once more only to write the notes.
"""

import threading
import time

from tasks.watch.timings import DEFAULT, WatchTimings

MAX_NAMES = 20
"""Maximum number of certificates whose notes are written at a time, so that retries wait for few."""


class PendingNotes:
    """Usable from several threads."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._timings, self._lock = timings, threading.Lock()
        self._names: dict[str, None] = {}
        self._last_change = 0.0

    def changed(self, name: str) -> None:
        with self._lock:
            self._names[name] = None
            self._last_change = time.monotonic()

    def due(self) -> list[str]:
        """Remove and return some names; none while certificates have changed a moment ago."""
        with self._lock:
            if time.monotonic() - self._last_change < self._timings.note_delay:
                return []
            due = list(self._names)[:MAX_NAMES]
            for name in due:
                del self._names[name]
            return due
