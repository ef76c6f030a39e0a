"""Progress on stderr: plain lines in a log, one rewritten line on a terminal."""

import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]

_ERASE_LINE = "\r\x1b[K"


def say(line: str) -> None:
    """Print a line. On a terminal, the next line overwrites one that ends in a carriage return."""
    passing = line.endswith("\r")
    line = line.rstrip("\r")
    if sys.stderr.isatty():
        line = _ERASE_LINE + line
    else:
        passing = False
    sys.stderr.write(line if passing else f"{line}\n")
    sys.stderr.flush()


class Waiting:
    """Reports at intervals that something goes on, and for how many seconds."""

    def __init__(self, what: str, say: Say) -> None:
        self._what = what
        self._say = say
        self._rewrite = sys.stderr.isatty()
        self._interval = 1 if self._rewrite else 30
        self._begin = self._last = time.monotonic()

    @property
    def seconds(self) -> int:
        return int(time.monotonic() - self._begin)

    def tick(self) -> None:
        """Report if the interval has passed: 1 s on a terminal, else 30 s. Call it often."""
        if time.monotonic() - self._last >= self._interval:
            self._last = time.monotonic()
            self._say(f"{self._what}: {self.seconds} s" + ("\r" if self._rewrite else ""))
