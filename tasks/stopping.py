"""Ends what this process does for clusters: what is under way ends, and nothing else begins."""

import signal
import threading
from types import FrameType
from typing import Any
from weakref import WeakSet

from tasks.ending import Stage, reached
from tasks.watchdog import Watchdog

GRACE_SECONDS = 20.0
"""For requests under way; a pod that is to go has 30 seconds by default."""

asked = threading.Event()
_open: WeakSet[Watchdog] = WeakSet()


def begin() -> None:
    """A new run: whatever was asked of an earlier one in this process is over."""
    asked.clear()
    reached(Stage.BEGUN)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler) and not isinstance(handler, _Heard):
                signal.signal(number, _Heard(handler))


class _Heard:
    """Stops first, and then does what was done before: raises, as a rule.

    What a handler raises is lost where it meets a finalizer, and then nothing would stop.
    """

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        asked.set()
        self._handler(number, frame)


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
