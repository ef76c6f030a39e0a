"""Which failures are retried, how long a task may take, and what it leaves behind."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace

import pytest
from prefect.context import TaskRunContext

from tasks.config.limits import CLUSTER_SECONDS
from tasks.domain.errors import ClusterError, ClusterFailed
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Failure
from tasks.orchestration.task_options import (
    RESULT_SERIALIZER,
    RETRY_DELAYS,
    TASK_OPTIONS,
    deadline_of_task,
    is_retryable,
)

MINUTE = timedelta(minutes=1)


class Ended:
    """A final state, as Prefect passes it to the retry condition."""

    def __init__(self, result: object) -> None:
        self._result = result

    def result(self, *, raise_on_failure: bool = True) -> object:
        assert not raise_on_failure
        return self._result


def failure(*, transient: bool) -> Failure:
    return Failure(
        code=FailureCode.UNREACHABLE, cluster="dev", what="list secrets in app-a", transient=transient
    )


@pytest.mark.parametrize("transient", [True, False])
def test_a_transient_failure_is_retried(transient: bool) -> None:
    """A task is retried if at least one of its failures is transient."""
    one, other = failure(transient=transient), failure(transient=False)
    report = ClusterReport(cluster="dev", failures=(other, one))
    assert is_retryable(None, None, Ended(ClusterError(one))) is transient
    assert is_retryable(None, None, Ended(ClusterFailed(report))) is transient


@pytest.mark.parametrize("result", [RuntimeError("x"), None, {"transient": True}])
def test_an_unexpected_result_is_not_retried(result: object) -> None:
    """Unexpected errors and other results are not retried."""
    assert is_retryable(None, None, Ended(result)) is False


def test_retries() -> None:
    """A failure is tried again after growing delays, one for each retry, and decided by is_retryable."""
    assert TASK_OPTIONS["retries"] == len(RETRY_DELAYS) == 3
    assert TASK_OPTIONS["retry_delay_seconds"] == RETRY_DELAYS
    assert all(one < other for one, other in pairwise(RETRY_DELAYS))
    assert 0 < TASK_OPTIONS["retry_jitter_factor"] < 1
    assert TASK_OPTIONS["retry_condition_fn"] is is_retryable


def test_results() -> None:
    """Results are persisted as plain JSON, stay in no memory, and what a task prints is logged nowhere."""
    assert TASK_OPTIONS["persist_result"] is True
    assert TASK_OPTIONS["cache_result_in_memory"] is False
    assert TASK_OPTIONS["log_prints"] is False
    assert TASK_OPTIONS["result_serializer"] is RESULT_SERIALIZER
    named = b'{"__class__": "tasks.domain.errors.ClusterError", "data": {}}'
    assert isinstance(RESULT_SERIALIZER.loads(named), dict)


def seconds_left(run_deadline: datetime | None = None) -> float:
    return deadline_of_task(run_deadline) - time.monotonic()


@pytest.fixture
def began(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task whose first attempt began three minutes ago."""
    run = SimpleNamespace(task_run=SimpleNamespace(start_time=datetime.now(UTC) - 3 * MINUTE))
    monkeypatch.setattr(TaskRunContext, "get", lambda: run)


def test_deadline_without_a_task() -> None:
    """What runs outside of a task has the whole time of a cluster."""
    assert CLUSTER_SECONDS - 60 < seconds_left() <= CLUSTER_SECONDS


def test_deadline_counts_from_the_first_attempt(began: None) -> None:
    """A retry has what the former attempts have left of it."""
    assert CLUSTER_SECONDS - 240 < seconds_left() <= CLUSTER_SECONDS - 180


def test_deadline_of_the_run(began: None) -> None:
    """A run that ends sooner ends its tasks, and one that ends later gives them no more time."""
    assert 0 < seconds_left(datetime.now(UTC) + MINUTE) <= 60
    assert seconds_left(datetime.now(UTC) + timedelta(days=1)) <= CLUSTER_SECONDS - 180
