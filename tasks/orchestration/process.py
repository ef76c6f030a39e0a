"""What the process of a run is to be like: small, and keeping its secrets to itself."""

import ctypes
import logging
import os
import resource

from tasks.domain.errors import ExpectedError
from tasks.runtime.tls import KEY_LOG

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
LAST = "Engine execution exited"
"""How Prefect's last line begins. It names no error, and the one before it tells the run's state."""
STATE = "FailedRun"
"""Prefect's own error for the process of a run that ends in a Failed state, with that state's message."""

PR_SET_DUMPABLE = 4  # from linux/prctl.h
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # from malloc.h
LARGE_BYTES = 128 * 1024


def prepare() -> None:
    """For a process that runs the flow: one arena, kept to itself, private files, a log for people."""
    without_tracebacks()
    _return_memory()
    keep_to_itself()
    # A result record names its own serializer: who can write the result storage can run code.
    os.umask(0o077)


def keep_to_itself() -> None:
    """For each process of ours: nobody but root looks into it, and what it says by TLS can't be read later.

    Its memory holds every key of the moment. The limit ends core files, but no core that is piped to a
    program; what can't be dumped has neither, and is closed to a debugger and to /proc/PID/mem and environ.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:
        prctl(PR_SET_DUMPABLE, *(ctypes.c_ulong(0) for _ in range(4)))
    os.environ.pop(KEY_LOG, None)  # Prefect's client would heed it, and what we start


def _return_memory() -> None:
    """Let all threads allocate from one arena, and give what is large back at once.

    glibc would give each thread its own, 6 MiB for 100 certificates, and Python's lock leaves nothing to win
    by several; and it would learn to keep what is large, between what stays. Another C library is left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """What is free in between, too, to the system: what many threads leave behind is scattered."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def without_tracebacks() -> None:
    """Log no traceback of an error whose message says all, here and in what Prefect's server keeps.

    Prefect logs one per cluster that fails, and another one as a worker's run ends, around the report that
    people look for. That of an error that nobody foresaw stays.
    """
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_shortened)


def _shortened(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, ExpectedError) and type(error).__name__ != STATE:
        return True
    record.exc_info = None
    return not str(record.msg).startswith(LAST)
