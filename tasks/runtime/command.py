"""Runs a command and turns interruptions, closed output and missing dependencies into exit statuses.

It imports only the standard library, so that it works without the dependencies.
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

from tasks.runtime.signals import set_on_signal

INTERRUPTED = 130
OUTPUT_CLOSED = 141
"""The status of a program that SIGPIPE ends: the reader of its output, such as `head`, is gone."""
NO_SPACE = "no space is left for the output"
MISSING_DEPENDENCIES = "the dependencies are missing: make .venv/ready && export PATH=$PWD/.venv/bin:$PATH"


def run_command(command: Callable[[], int], message: Callable[[], str] = lambda: "interrupted") -> int:
    """Run a command, which should do its imports itself, and return the exit status.

    `message` returns what to print when the command is interrupted.
    """
    interrupted = threading.Event()
    set_on_signal(signal.SIGINT, interrupted)
    _prepare_output()
    try:
        status = command()
        sys.stdout.flush()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or interrupted.is_set():
            sys.stderr.write(f"tls-sync: {message()}\n")
            return INTERRUPTED
        if isinstance(error, BrokenPipeError) and _is_output_closed():
            return OUTPUT_CLOSED
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
            _discard_output()
            sys.stderr.write(f"tls-sync: {NO_SPACE}\n")
            return 1
        if not (isinstance(error, ModuleNotFoundError) and _is_dependency(error.name or "")):
            raise  # a bug, or an incomplete Python installation
        sys.stderr.write(f"tls-sync: {MISSING_DEPENDENCIES}\n")
        return 1
    return status


def _prepare_output() -> None:
    """Make writing work with stdout closed, and with an encoding that lacks some characters (shown as ?)."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  open until the process exits
    elif isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _is_output_closed() -> bool:
    """Return whether the broken pipe is this process's output."""
    output = select.poll()
    output.register(sys.stdout, 0)  # poll reports errors in any case
    if not output.poll(0):
        return False
    _discard_output()
    return True


def _discard_output() -> None:
    """Redirect stdout to /dev/null: Python would write the rest at exit, and report the error again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_fast(command: Callable[[], int]) -> int:
    """Return the exit status of a command, with which the process then exits right after the exit handlers.

    Python would first tear down all modules, which takes 0.1 s after a run.
    """
    status: list[int] = []
    atexit.register(_exit, status)  # registered first, so called last
    status.append(command())
    return status[0]


def _exit(status: list[int]) -> None:
    if not status:  # an exception is being raised, which has an exit status of its own
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # such as a full disk: Python reports it, with an exit status of its own
        return
    os._exit(status[0])


def _is_dependency(module: str) -> bool:
    """Return whether a missing module is a whole package of others: `make` can't repair a part of one."""
    ours = ("tasks", "flows", "deployments")
    return bool(module) and "." not in module and module not in (*ours, *sys.stdlib_module_names)


def non_empty(value: str) -> str:
    """Return an option's value. An empty one is refused: often it is a variable that is not set."""
    if not value.strip():
        raise argparse.ArgumentTypeError("is empty; is a variable not set?")
    return value
