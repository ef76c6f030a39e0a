"""Suppresses cryptography's warnings about unusual certificates: our checks decide about them. Pure."""

import threading
import warnings


class _Silence:
    """Warning filters apply to the whole process: the first thread sets ours, the last one removes it."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore", UserWarning)  # cryptography's are of this kind

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before.__exit__(None, None, None)


without_warnings = _Silence()
"""A context manager in which to parse certificates. Usable from several threads."""
