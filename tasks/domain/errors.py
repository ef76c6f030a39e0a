"""The errors of tls-sync. Their messages contain no server's text, no token and no key material."""

from pathlib import Path

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Failure


class ExpectedError(Exception):
    """An error whose message is complete, so no traceback is shown."""


class ConfigError(ExpectedError):
    """The configuration or a parameter is invalid; the message lists every fault and its remedy."""


class ClusterError(ExpectedError):
    """A request to a cluster failed, as its Failure describes."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return f"{self.failure}. To do: {self.failure.code.remedy}"

    __repr__ = __str__


class ClusterFailed(ExpectedError):
    """A cluster did not fully succeed; the report says what happened there.

    It is an exception because Prefect takes a persisted result for a success when a run is resumed.
    """

    def __init__(self, report: ClusterReport) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return f"{self.report.cluster}: {first_problem(self.report)}"

    __repr__ = __str__  # Prefect logs it at each attempt, and a report can have hundreds of rows


def encode_error(error: object) -> str:
    """Encode an error for Prefect's result storage, which also stores the errors of failed tasks.

    Raises TypeError for any other object.
    """
    if isinstance(error, ClusterError | ClusterFailed):
        return str(error)
    raise TypeError("only results and our own errors are stored")


def describe(failure: Failure, cluster: str) -> str:
    """Return a failure in one line, with its cluster if that is another one."""
    return str(failure) if failure.cluster == cluster else f"on {failure.cluster}: {failure}"


def first_problem(report: ClusterReport) -> str:
    """Return the first failure or failed row of a report in one line, and how many more there are."""
    lacks = (report.lacks,) if report.lacks else ()
    problems = [describe(failure, report.cluster) for failure in (*report.failures, *lacks)]
    problems += [
        f"{change.reason}: {change.target}: {change.reason.sentence}"
        for change in report.changes
        if change.failed
    ]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return problems[0] + more if problems else "no failure"


def internal_error(cluster: str, operation: str, error: BaseException) -> Failure:
    """Describe an unexpected error by its type and place; its text could contain key material."""
    if isinstance(error, ClusterError):
        return error.failure
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
    return Failure(
        code=FailureCode.INTERNAL, cluster=cluster, what=operation, detail=f"{type(error).__name__}{place}"
    )
