"""Prepares the process of a run: little memory, no access from outside, and a readable log."""

import ctypes
import logging
import os
import resource

from tasks.domain.errors import ExpectedError
from tasks.runtime.tls import KEY_LOG

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
LAST_LINE = "Engine execution exited"
"""Start of Prefect's last line, which says nothing beyond its traceback."""
FAILED_RUN = "FailedRun"
"""Class name of the error that Prefect raises for a Failed run, with the message of that state."""

PR_SET_DUMPABLE = 4  # from linux/prctl.h
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # from malloc.h
LARGE_BYTES = 128 * 1024


def prepare() -> None:
    """Prepare a process that runs a flow; call it before any key is read."""
    drop_expected_tracebacks()
    _limit_malloc()
    forbid_dumps()
    # A result record names its own serializer: whoever can write to the result storage can run code.
    os.umask(0o077)


def forbid_dumps() -> None:
    """Keep key material in this process: no core dump, no debugger but root's, no log of TLS session keys.

    RLIMIT_CORE prevents core files, but not cores that are piped to a program. A process that is not
    dumpable has neither, and closes /proc/PID/mem and environ to other processes of its user.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:
        prctl(PR_SET_DUMPABLE, *(ctypes.c_ulong(0) for _ in range(4)))
    os.environ.pop(KEY_LOG, None)  # Prefect's client and child processes would use it


def _limit_malloc() -> None:
    """Use one malloc arena, and return large blocks to the system at once. No effect without glibc.

    By default glibc gives each thread its own arena: 6 MiB more for 100 certificates, and the GIL leaves
    nothing to gain from it. It also raises its mmap threshold, so that large freed blocks stay in a
    fragmented heap.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def release_memory() -> None:
    """Return free memory to the system, also that between blocks in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def drop_expected_tracebacks() -> None:
    """Log expected errors without a traceback, here and in Prefect's server; unexpected ones keep theirs.

    Prefect logs a traceback per failed cluster, and another one at the end of a worker's run, around the
    report that people look for.
    """
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_drop_traceback)


def _drop_traceback(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, ExpectedError) and type(error).__name__ != FAILED_RUN:
        return True
    record.exc_info = None
    return not str(record.msg).startswith(LAST_LINE)
