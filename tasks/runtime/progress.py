"""Says on a terminal what a command waits for."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DELAY_SECONDS = 0.7
"""What takes less is not announced."""


@contextmanager
def saying(text: str) -> Iterator[None]:
    """Write a line to stderr if the block takes longer, and if a person may read it there."""
    line = threading.Timer(DELAY_SECONDS, sys.stderr.write, [f"tls-sync: {text} …\n"])
    line.daemon = True
    if sys.stderr.isatty():
        line.start()
    try:
        yield
    finally:
        line.cancel()
