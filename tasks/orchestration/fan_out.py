"""Tasks side by side: submitted, waited for, and their reports, whatever became of them."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from prefect.logging import get_run_logger
from prefect.utilities.annotations import opaque

from tasks.domain.errors import ClusterFailed
from tasks.domain.models import ClusterReport
from tasks.orchestration.process import give_back
from tasks.orchestration.sharing import Shared
from tasks.runtime.shutdown import stop

Submit = Callable[..., Any]
"""Takes a task and its parameters by name; returns a future."""
STEP_SECONDS = 0.5
"""In which a signal is heard, whichever thread gets it."""


def submit_to_thread(task: Any, **parameters: Any) -> Any:
    """Of this process, by the flow's own task runner."""
    return task.submit(**{name: opaque(value) for name, value in parameters.items()})


class Job(NamedTuple):
    """A task to be, and the report that stands for it where it ends with an error that nobody foresaw."""

    submit: Callable[[], Any]
    defective: Callable[[BaseException], ClusterReport]


def run_concurrently(jobs: Iterable[Job]) -> tuple[tuple[ClusterReport, ...], BaseException | None]:
    """The reports of these, in their order; and what told us to stop, if anything did.

    Then no other is submitted, so that there are fewer reports than jobs.
    """
    under_way = _UnderWay()
    signal: BaseException | None = None
    try:
        for job in jobs:
            under_way.submit(job)
        under_way.wait()
    except BaseException as told:  # noqa: BLE001  raised again by the flow, once its report is out
        signal = told
        stop()
        _say_so(told)
    return under_way.reports(), signal


class _UnderWay:
    """Takes each report as soon as it is there, and lets go of the task: so no result is held for long."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[Any, Job]] = {}
        self._reports: dict[int, ClusterReport] = {}
        self._done: SimpleQueue[int] = SimpleQueue()
        self._shared = Shared()

    def submit(self, job: Job) -> None:
        place = len(self._reports) + len(self._running)
        self._running[place] = (job.submit(), job)
        self._running[place][0].add_done_callback(lambda _: self._done.put(place))

    def wait(self) -> None:
        """In steps: a signal that the system gives to another thread is heard only when this one wakes."""
        while self._running:
            with suppress(Empty):
                self._take(self._done.get(timeout=STEP_SECONDS))

    def reports(self) -> tuple[ClusterReport, ...]:
        """Of all that was submitted; waits for them without hearing signals."""
        for place in tuple(self._running):
            self._take(place)
        return tuple(report for _, report in sorted(self._reports.items()))

    def _take(self, place: int) -> None:
        """May be interrupted anywhere, and asked again."""
        if place in self._running:
            future, job = self._running[place]
            report = report_of(future.result(raise_on_failure=False), job.defective)
            self._reports[place] = self._shared.report(report)
            self._running.pop(place)
            give_back()


def report_of(result: Any, defective: Callable[[BaseException], ClusterReport]) -> ClusterReport:
    """What a task came to; an error that nobody foresaw becomes a report, too."""
    if isinstance(result, ClusterFailed):
        return result.report
    if isinstance(result, BaseException):
        return defective(result)
    return result if isinstance(result, ClusterReport) else ClusterReport.model_validate_json(result)


def _say_so(told: BaseException) -> None:
    """At once: the report comes once the writes under way have ended."""
    if not isinstance(told, Exception):
        get_run_logger().warning("told to stop: writes under way end, no other begins, then the report")
