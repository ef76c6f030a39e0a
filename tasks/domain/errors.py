"""The errors of tls-sync. Their texts are ours alone: no server's text, no token, no key material."""

from pathlib import Path

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Failure


class ExpectedError(Exception):
    """An error whose message says all: the lines of code that it came by help nobody."""


class ConfigError(ExpectedError):
    """The configuration or a parameter can't be used; the message lists every fault and its remedy."""


class ClusterError(ExpectedError):
    """A conversation with a cluster failed in a way that a Failure describes."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return f"{self.failure}. To do: {self.failure.code.remedy}"

    __repr__ = __str__


class ClusterFailed(ExpectedError):
    """A cluster did not fully succeed; the report says what did happen there.

    An exception, not a result: a persisted result would come back as success when the run is resumed.
    """

    def __init__(self, report: ClusterReport) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return f"{self.report.cluster}: {first_problem(self.report)}"

    __repr__ = __str__  # Prefect logs it at every attempt, and a report can have hundreds of rows


def encode_error(error: object) -> str:
    """An error as it stands in the result storage: Prefect stores those of failed tasks, too."""
    if isinstance(error, ClusterError | ClusterFailed):
        return str(error)
    raise TypeError("only results and our own errors are stored")


def describe(failure: Failure, cluster: str) -> str:
    """A failure in one line; where it was not this cluster's, with the one whose it was."""
    return str(failure) if failure.cluster == cluster else f"on {failure.cluster}: {failure}"


def first_problem(report: ClusterReport) -> str:
    """The first failure or failed row of a report, in one line, and how many more there are."""
    troubles = [describe(failure, report.cluster) for failure in report.failures]
    troubles += [
        f"{change.reason}: {change.target}: {change.reason.sentence}"
        for change in report.changes
        if change.failed
    ]
    more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
    return troubles[0] + more if troubles else "no failure"


def internal_error(cluster: str, what: str, error: BaseException) -> Failure:
    """An error that nobody foresaw, told by its type and place: its text could hold anything."""
    if isinstance(error, ClusterError):
        return error.failure
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
    return Failure(
        code=FailureCode.INTERNAL, cluster=cluster, what=what, detail=f"{type(error).__name__}{place}"
    )
