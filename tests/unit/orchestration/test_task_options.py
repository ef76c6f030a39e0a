"""Which failures are retried, and the delay that Retry-After asks for."""

import pytest

from tasks.domain.errors import ClusterError, ClusterFailed
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Failure
from tasks.kube.throttle import MAX_RETRY_AFTER, retry_after_seconds
from tasks.orchestration.task_options import is_retryable


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


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 1),
        ("86400", MAX_RETRY_AFTER),
        ("9" * 400, 1),
        ("-1", 1),
        ("1.5", 1),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1),
        ("٣", 1),
        ("soon", 1),
        ("", 1),
        (None, 1),
    ],
)
def test_a_pause_is_what_was_asked_for_within_reason(said: str | None, seconds: float) -> None:
    """Whole seconds up to a limit; a second where the header says nothing of use."""
    assert retry_after_seconds(said) == seconds
