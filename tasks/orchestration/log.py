"""What Prefect logs of an error: of one that says all in its message, no traceback.

Prefect logs one per cluster that fails, and another one as a worker's run ends, around the report that people
look for. That of an error that nobody foresaw stays.
"""

import logging

from tasks.domain.errors import Told

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
LAST = "Engine execution exited"
"""How Prefect's last line begins. It names no error, and the one before it tells the run's state."""
STATE = "FailedRun"
"""Prefect's own error for the process of a run that ends in a Failed state, with that state's message."""


def without_tracebacks() -> None:
    """For this process, from now on; also in what Prefect's server keeps of its log."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_shortened)


def _shortened(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, Told) and type(error).__name__ != STATE:
        return True
    record.exc_info = None
    return not str(record.msg).startswith(LAST)
