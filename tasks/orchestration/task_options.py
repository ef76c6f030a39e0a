"""What is tried again, and when. Knows Prefect's states by their protocol only.

Tried again: what may pass by itself (no connection, no answer in time, HTTP 408, 409, 429, 5xx).
Not: 401, 403, 422, refusals, a broken configuration, which need a person.
"""

from datetime import timedelta
from typing import Any, Protocol

from tasks.domain.errors import ClusterError, ClusterFailed

DELAYS = [2.0, 5.0, 12.0]
"""Seconds before the second, third and fourth attempt, before jitter."""
JITTER = 0.5
CLUSTER_SECONDS = 300.0
"""What one cluster, or the list of OPS, may take in all, attempts and delays included."""


LONGEST_PAUSE = 32.0
"""Seconds that an API server may ask us to wait before another request: its own never ask for more."""


def pause_asked_for(retry_after: str | None) -> float:
    """Seconds to wait where a server says Retry-After; one second where it says nothing of use."""
    text = (retry_after or "").strip()
    seconds = float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1.0
    return min(max(seconds, 1.0), LONGEST_PAUSE)


RUN = timedelta(minutes=50)
"""What a run may take in all: the next one begins an hour after it."""


class FinishedState(Protocol):
    def result(self, *, raise_on_failure: bool = ...) -> Any: ...


def may_pass(_task: Any, _run: Any, state: FinishedState) -> bool:
    """Prefect's retry condition: whether time may heal this failure."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, ClusterError):
        return error.failure.transient
    return isinstance(error, ClusterFailed) and error.report.transient
