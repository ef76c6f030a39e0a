"""Runs tasks concurrently: submits them, waits for them, and returns a report for each, also if it fails."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from prefect.logging import get_run_logger
from prefect.utilities.annotations import opaque

from tasks.domain.errors import ClusterFailed
from tasks.domain.models import Change, ClusterReport
from tasks.orchestration.process import release_memory
from tasks.runtime.shutdown import stop

T = TypeVar("T")
Submit = Callable[..., Any]
"""Submits a task with its parameters by name; returns a future."""
WAKE_SECONDS = 0.5
"""Maximum seconds for which the main thread blocks: Python runs signal handlers only when it wakes."""
MAX_INTERNED = 10_000
"""Maximum number of interned values per generation; those not seen for a generation are dropped.

Clusters with different namespaces share no rows, and interning them all would cost more than it saves.
"""


def submit_to_thread(task: Any, **parameters: Any) -> Any:
    """Submit a task to the flow's own task runner, a thread of this process."""
    return task.submit(**{name: opaque(value) for name, value in parameters.items()})


class Job(NamedTuple):
    """A task to submit, and how to report an unexpected error of it."""

    submit: Callable[[], Any]
    error_report: Callable[[BaseException], ClusterReport]


def run_concurrently(jobs: Iterable[Job]) -> tuple[tuple[ClusterReport, ...], BaseException | None]:
    """Run the jobs. Return their reports, in the order of the jobs, and the signal that stopped them, if any.

    After a signal no other job is submitted, so that there are fewer reports than jobs.
    """
    running = _RunningJobs()
    signal: BaseException | None = None
    try:
        for job in jobs:
            running.submit(job)
        running.wait()
    except BaseException as error:  # noqa: BLE001  the flow raises it again after its report
        signal = error
        stop()
        _log_stop(error)
    return running.reports(), signal


def until_stopped(work: Callable[[], T], otherwise: T) -> tuple[T, BaseException | None]:
    """Do some work between tasks. Return its result, or `otherwise` with the signal that stopped it."""
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001  the flow raises it again after its report
        stop()
        _log_stop(error)
        return otherwise, error


class _RunningJobs:
    """Collects each report once its task has ended, and drops the task with its result."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[Any, Job]] = {}
        self._reports: dict[int, ClusterReport] = {}
        self._ended: SimpleQueue[int] = SimpleQueue()
        self._interner = RowInterner()

    def submit(self, job: Job) -> None:
        number = len(self._reports) + len(self._running)
        self._running[number] = (job.submit(), job)
        self._running[number][0].add_done_callback(lambda _: self._ended.put(number))

    def wait(self) -> None:
        """Wait for all jobs, in steps of WAKE_SECONDS, so that a signal interrupts it."""
        while self._running:
            with suppress(Empty):
                self._collect(self._ended.get(timeout=WAKE_SECONDS))

    def reports(self) -> tuple[ClusterReport, ...]:
        """Return the reports of all submitted jobs, once all have ended; signals do not interrupt it."""
        for number in tuple(self._running):
            self._collect(number)
        return tuple(report for _, report in sorted(self._reports.items()))

    def _collect(self, number: int) -> None:
        """A signal may interrupt this anywhere; the job is then collected once more."""
        if number in self._running:
            future, job = self._running[number]
            report = report_of(future.result(raise_on_failure=False), job.error_report)
            self._reports[number] = self._interner.intern(report)
            self._running.pop(number)
            release_memory()


def report_of(result: Any, error_report: Callable[[BaseException], ClusterReport]) -> ClusterReport:
    """Return the report of a task's result: a report, its JSON, or an exception."""
    if isinstance(result, ClusterFailed):
        return result.report
    if isinstance(result, BaseException):
        return error_report(result)
    return result if isinstance(result, ClusterReport) else ClusterReport.model_validate_json(result)


class RowInterner:
    """Replaces equal rows by one object: a run has the rows of all clusters, and many are equal."""

    def __init__(self) -> None:
        self._current: dict[Any, Any] = {}
        self._previous: dict[Any, Any] = {}

    def intern(self, report: ClusterReport) -> ClusterReport:
        return report.model_copy(update={"changes": tuple(map(self._row, report.changes))})

    def _row(self, row: Change) -> Change:
        if known := self._find(row):
            return known
        one = self._one
        return one(replace(row, target=one(row.target), old=one(row.old), new=one(row.new)))

    def _one(self, value: T) -> T:
        if value is None:
            return value
        return self._find(value) or self._add(value)

    def _find(self, value: T) -> T | None:
        known: T | None = self._current.get(value)
        if known is None and (known := self._previous.get(value)) is not None:
            self._add(known)
        return known

    def _add(self, value: T) -> T:
        if len(self._current) >= MAX_INTERNED:
            self._current, self._previous = {}, self._current
        self._current[value] = value
        return value


def _log_stop(signal: BaseException) -> None:
    if not isinstance(signal, Exception):
        get_run_logger().warning(
            "stop requested: writes in progress finish, no new ones start, then the report follows"
        )
