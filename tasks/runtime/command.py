"""How a command ends: its last words, where it is interrupted or lacks its dependencies, and its process.

It imports none of these.
"""

import argparse
import atexit
import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path

from tasks.runtime.signals import note

INTERRUPTED = 130
UNREAD = 141
"""As of a program that SIGPIPE ends: who was to read what it says has gone, as `head` does, or a kubectl."""
NO_SPACE = "no space is left where the output goes"
MISSING = "the dependencies are missing: make .venv/ready && export PATH=$PWD/.venv/bin:$PATH"


def ended(command: Callable[[], int], words: Callable[[], str] = lambda: "interrupted") -> int:
    """The exit status of a command; what it has yet to import, it imports in here."""
    told = threading.Event()
    note(signal.SIGINT, told)
    _able_to_speak()
    try:
        status = command()
        sys.stdout.flush()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or told.is_set():
            sys.stderr.write(f"tls-sync: {words()}\n")
            return INTERRUPTED
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return UNREAD
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
            _say_no_more()
            sys.stderr.write(f"tls-sync: {NO_SPACE}\n")
            return 1
        if not (isinstance(error, ModuleNotFoundError) and _is_dependency(error.name or "")):
            raise  # a defect of ours, or half a Python
        sys.stderr.write(f"tls-sync: {MISSING}\n")
        return 1
    return status


def _able_to_speak() -> None:
    """Also with its output closed, and to a terminal that knows fewer letters: it shows ? for the others."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  to the end
    elif isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _nobody_reads() -> bool:
    """Whether it was this process's output that broke."""
    output = select.poll()
    output.register(sys.stdout, 0)  # errors are told in any case
    if not output.poll(0):
        return False
    _say_no_more()
    return True


def _say_no_more() -> None:
    """What is left of the output goes nowhere: Python would try once more at the end, and tell of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_fast(command: Callable[[], int]) -> int:
    """The exit status of a command; with it, the process ends as it is, once its exit handlers are done.

    Python would first take apart all that was imported: 0.1 s after a run.
    """
    status: list[int] = []
    atexit.register(_end, status)  # before all others, so called after them
    status.append(command())
    return status[0]


def _end(status: list[int]) -> None:
    if not status:  # an error is under way, and has its own
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # a disk that is full, say: Python tells of it, and has a status for that
        return
    os._exit(status[0])


def _is_dependency(module: str) -> bool:
    """A package that isn't there at all; of one that is, a missing part is no matter of `make`."""
    ours = ("tasks", "flows", "deployments")
    return bool(module) and "." not in module and module not in (*ours, *sys.stdlib_module_names)


def text(given: str) -> str:
    """Not empty: that is most often a variable that is not set, and must not pass for no option at all."""
    if not given.strip():
        raise argparse.ArgumentTypeError("is empty; is a variable not set?")
    return given
