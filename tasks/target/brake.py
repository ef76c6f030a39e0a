"""Leaves an API server in peace that keeps failing."""

import threading

from tasks.domain.failure_codes import Code

GIVE_UP_AFTER = 3
"""Failures of an API server in a row, after which it is left in peace."""
IN_TROUBLE = frozenset({Code.UNREACHABLE, Code.CONNECTION_LOST, Code.TIMEOUT, Code.THROTTLED})


class Brake:
    """Stops the writes to a cluster whose API server has failed several times in a row.

    Failures of single objects (a webhook of one namespace, a conflict) say nothing about the others.
    """

    def __init__(self) -> None:
        self._lock, self._failures = threading.Lock(), 0

    @property
    def is_on(self) -> bool:
        return self._failures >= GIVE_UP_AFTER

    def record(self, code: Code | None) -> None:
        with self._lock:
            if code is None:
                self._failures = 0
            elif code in IN_TROUBLE:
                self._failures += 1
