"""Records how far the run has come, for the message of an interruption, and sets events on signals."""

import signal
import threading
from enum import Enum
from types import FrameType
from typing import Any


class Stage(Enum):
    """How far this process's run has come, and the message of an interruption at that point."""

    NOT_BEGUN = "interrupted before a run began: nothing was written"
    BEGUN = "interrupted: no report; tls-sync plan shows what is left to do"
    REPORTED = "interrupted; the report above shows what was done"


class _Run:
    stage = Stage.NOT_BEGUN


def set_stage(stage: Stage) -> None:
    _Run.stage = stage


def interrupt_message() -> str:
    return _Run.stage.value


def set_on_signal(number: signal.Signals, event: threading.Event) -> None:
    """Make the signal set the event before it calls its present handler, which usually raises.

    The exception alone is not reliable: raised in a finalizer it is lost, and raised in a library such as
    pydantic-core it becomes another error. Outside the main thread, this does nothing.
    """
    handler = signal.getsignal(number)
    is_set_up = getattr(handler, "event", None) is event
    if threading.current_thread() is threading.main_thread() and callable(handler) and not is_set_up:
        signal.signal(number, _SettingHandler(handler, event))


class _SettingHandler:
    def __init__(self, handler: Any, event: threading.Event) -> None:
        self._handler = handler
        self.event = event

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.event.set()
        self._handler(number, frame)
