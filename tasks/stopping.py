"""Ends what this process does for clusters: what is under way ends, and nothing else begins."""

import signal
import threading
from weakref import WeakSet

from tasks.ending import Stage, note, reached
from tasks.watchdog import Watchdog

GRACE_SECONDS = 20.0
"""For requests under way; a pod that is to go has 30 seconds by default."""

asked = threading.Event()
_open: WeakSet[Watchdog] = WeakSet()


def begin() -> None:
    """A new run: whatever was asked of an earlier one in this process is over."""
    asked.clear()
    reached(Stage.BEGUN)
    for number in (signal.SIGINT, signal.SIGTERM):
        note(number, asked)


def register(watchdog: Watchdog) -> None:
    """Its connections are cut, too, where they outlast the grace."""
    _open.add(watchdog)


def stop(grace: float = GRACE_SECONDS) -> None:
    asked.set()
    timer = threading.Timer(grace, _cut)
    timer.daemon = True
    timer.start()


def _cut() -> None:
    for watchdog in list(_open):
        watchdog.bite()
