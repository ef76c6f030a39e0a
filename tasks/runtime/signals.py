"""What an interruption finds: how far the run has come, and an event that a signal sets."""

import signal
import threading
from enum import Enum
from types import FrameType
from typing import Any


class Stage(Enum):
    """How far this process's run has come, and what an interruption leaves to say there."""

    NOT_BEGUN = "interrupted before a run began: nothing was written"
    BEGUN = "interrupted: no report; python -m flows --dry-run says what is left"
    REPORTED = "interrupted; the report above says what was done"


class _Run:
    stage = Stage.NOT_BEGUN


def reached(stage: Stage) -> None:
    _Run.stage = stage


def interrupt_message() -> str:
    return _Run.stage.value


def note(number: signal.Signals, told: threading.Event) -> None:
    """From now on, the signal sets `told` first, and then does what it did before: raises, as a rule.

    What a handler raises is lost where it meets a finalizer, and comes out as another error where it meets
    a library such as pydantic-core.
    """
    handler = signal.getsignal(number)
    noted = getattr(handler, "told", None) is told
    if threading.current_thread() is threading.main_thread() and callable(handler) and not noted:
        signal.signal(number, _Noting(handler, told))


class _Noting:
    def __init__(self, handler: Any, told: threading.Event) -> None:
        self._handler = handler
        self.told = told

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.told.set()
        self._handler(number, frame)
