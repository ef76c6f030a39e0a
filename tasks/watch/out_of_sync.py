"""What the watcher knows of a cluster that failed or is slow, and when it tries that cluster again."""

import time
from concurrent.futures import Future
from dataclasses import dataclass

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport
from tasks.watch.timings import delay


@dataclass
class OutOfSync:
    """One cluster. It is tried again, with every certificate, until it is in sync."""

    isolated: bool
    """Left out of batches, which it would delay; its next retry copies the changes of these, too."""
    attempt: int = 0
    """Retries that failed so far."""
    retry_at: float = 0.0
    """Time of the next retry, a value of time.monotonic()."""
    future: Future[ClusterReport] | None = None
    """The sync that is under way."""
    missed: bool = False
    """A change was left out or has failed since that sync began, so that a full one has to follow."""
    certificate: str | None = None
    """The only certificate of that sync; None for every certificate."""
    report_owed: bool = False
    """A report named the cluster as pending, so that a report of its own has to follow."""
    earlier: tuple[tuple[str | None, Future[ClusterReport]], ...] = ()
    """Syncs that were slow before that one, and their certificates: their reports are owed, too."""

    @property
    def is_due(self) -> bool:
        """Whether its retry is to be started now."""
        return not self.future and self.retry_at <= time.monotonic()

    @property
    def has_ended(self) -> bool:
        """Whether no sync is under way any more, where one was."""
        return self.future is not None and self.future.done() and all(one.done() for _, one in self.earlier)


def slow(future: Future[ClusterReport], certificate: str | None, known: OutOfSync | None) -> OutOfSync:
    """Let the sync go on. If the cluster was out of sync before, a full one has to follow."""
    under_way = ((known.certificate, known.future),) if known and known.future else ()
    return OutOfSync(
        isolated=True,
        future=future,
        missed=known is not None,
        certificate=certificate,
        report_owed=True,
        earlier=(*(known.earlier if known else ()), *under_way),
    )


def after_failure(report: ClusterReport, attempt: int, backoff: tuple[float, ...]) -> OutOfSync:
    """Isolate the cluster if its failure may pass by itself; else batches go on to try it."""
    may_pass = is_temporary(report)
    seconds = delay(backoff, attempt) if may_pass else backoff[-1]
    return OutOfSync(isolated=may_pass, attempt=attempt, retry_at=time.monotonic() + seconds)


def after_retry(previous: OutOfSync, report: ClusterReport, backoff: tuple[float, ...]) -> OutOfSync:
    """Retry at once if the sync succeeded, but the cluster has missed a change meanwhile."""
    if not report.failures:
        return OutOfSync(isolated=True, attempt=previous.attempt)
    return after_failure(report, previous.attempt + 1, backoff)


def is_temporary(report: ClusterReport) -> bool:
    """Whether another attempt may succeed without a person's help; a missed deadline counts as such."""
    return report.transient or any(failure.code is FailureCode.DEADLINE for failure in report.failures)
