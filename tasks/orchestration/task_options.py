"""How every task of ours is tried again and kept, and until when it may work.

Tried again: what may pass by itself (no connection, no answer in time, HTTP 408, 409, 429, 5xx).
Not: 401, 403, 422, refusals, a broken configuration, which need a person.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer

from tasks.config.limits import CLUSTER_SECONDS
from tasks.domain.errors import ClusterError, ClusterFailed

DELAYS = [2.0, 5.0, 12.0]
"""Seconds before the second, third and fourth attempt, before jitter."""
JITTER = 0.5


class FinishedState(Protocol):
    def result(self, *, raise_on_failure: bool = ...) -> Any: ...


def is_retryable(_task: Any, _run: Any, state: FinishedState) -> bool:
    """Prefect's retry condition: whether time may heal this failure."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, ClusterError):
        return error.failure.transient
    return isinstance(error, ClusterFailed) and error.report.transient


RESULTS = JSONSerializer(object_encoder="tasks.domain.errors.encode_error", object_decoder=None)
"""Plain JSON: Prefect's own decoder would import any class that a file in the result storage names."""

TASK_OPTIONS: dict[str, Any] = {
    "retries": len(DELAYS),
    "retry_delay_seconds": DELAYS,
    "retry_jitter_factor": JITTER,
    "retry_condition_fn": is_retryable,
    "persist_result": True,
    "cache_result_in_memory": False,  # or each would be held to the end of the run
    "result_serializer": RESULTS,
    "log_prints": False,
}
"""How every task of ours is tried again and kept."""


def deadline_of_task(until: datetime | None = None) -> float:
    """The moment of time.monotonic() at which this task's time, counted from its first attempt, is up."""
    context, now = TaskRunContext.get(), datetime.now(UTC)
    begun = (context.task_run.start_time if context else None) or now
    end = begun + timedelta(seconds=CLUSTER_SECONDS)
    left = (min(end, until or end) - now).total_seconds()
    return time.monotonic() + min(left, CLUSTER_SECONDS)  # also where the clock was set back meanwhile
