"""The options of Prefect's tasks: retries, results, deadlines.

Retried is what may pass by itself: no connection, no response in time, HTTP 408, 409, 429 and 5xx.
Not retried is what needs a person: 401, 403, 422, refusals, a broken configuration.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer

from tasks.config.limits import CLUSTER_SECONDS
from tasks.domain.errors import ClusterError, ClusterFailed

RETRY_DELAYS = [2.0, 5.0, 12.0]
"""Seconds before the second, third and fourth attempt, before jitter."""
RETRY_JITTER = 0.5
"""Maximum share of a delay that Prefect adds at random."""


class FinishedState(Protocol):
    def result(self, *, raise_on_failure: bool = ...) -> Any: ...


def is_retryable(_task: Any, _run: Any, state: FinishedState) -> bool:
    """Tell Prefect whether the failure may pass by itself."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, ClusterError):
        return error.failure.transient
    return isinstance(error, ClusterFailed) and error.report.transient


RESULT_SERIALIZER = JSONSerializer(object_encoder="tasks.domain.errors.encode_error", object_decoder=None)
"""Plain JSON: Prefect's default decoder imports any class that a file in the result storage names."""

TASK_OPTIONS: dict[str, Any] = {
    "retries": len(RETRY_DELAYS),
    "retry_delay_seconds": RETRY_DELAYS,
    "retry_jitter_factor": RETRY_JITTER,
    "retry_condition_fn": is_retryable,
    "persist_result": True,
    "cache_result_in_memory": False,  # else all results stay in memory to the end of the run
    "result_serializer": RESULT_SERIALIZER,
    "log_prints": False,
}
"""The options of each task that reads or writes a cluster."""


def deadline_of_task(run_deadline: datetime | None = None) -> float:
    """Return the deadline of this task, counted from its first attempt, as a time of time.monotonic()."""
    context, now = TaskRunContext.get(), datetime.now(UTC)
    started = (context.task_run.start_time if context else None) or now
    end = started + timedelta(seconds=CLUSTER_SECONDS)
    left = (min(end, run_deadline or end) - now).total_seconds()
    return time.monotonic() + min(left, CLUSTER_SECONDS)  # also if the clock was set back since
