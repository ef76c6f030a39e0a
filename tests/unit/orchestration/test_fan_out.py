"""Concurrent tasks, with fake futures."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

from prefect.logging import disable_run_logger

from tasks.domain.errors import ClusterFailed
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Failure
from tasks.orchestration.fan_out import Job, run_concurrently


class Signal(BaseException):
    """The exception that a signal handler raises."""


class Text(str):
    """A result with weak references, which a plain str does not have."""

    __slots__ = ("__weakref__",)


class Future:
    """A future that ends as soon as it has a callback."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def result(self, *, raise_on_failure: bool) -> Any:
        assert not raise_on_failure
        return self._result


def failed(cluster: str) -> ClusterReport:
    failure = Failure(code=FailureCode.INTERNAL, cluster=cluster, what="bring the cluster in sync")
    return ClusterReport(cluster=cluster, failures=(failure,))


def job(cluster: str, result: Any = None) -> Job:
    text = ClusterReport(cluster=cluster).model_dump_json()
    return Job(lambda: Future(text if result is None else result), lambda _: failed(cluster))


def test_reports_come_in_the_order_of_the_jobs() -> None:
    """Reports are in the order of the jobs, also those of failed tasks and of unexpected errors."""
    jobs = (job("a"), job("b", ClusterFailed(failed("b"))), job("c", OSError("canary")), job("d"))
    reports, signal = run_concurrently(jobs)
    assert reports == (ClusterReport(cluster="a"), failed("b"), failed("c"), ClusterReport(cluster="d"))
    assert signal is None


def test_a_signal_between_two_jobs_ends_the_submissions() -> None:
    """Submitted jobs are reported, later ones are not, and the signal is returned."""

    def interrupted() -> Any:
        raise Signal

    with disable_run_logger():
        reports, signal = run_concurrently((job("a"), job("b")._replace(submit=interrupted), job("c")))
    assert reports == (ClusterReport(cluster="a"),)
    assert isinstance(signal, Signal)


def test_results_are_dropped_as_soon_as_they_are_read() -> None:
    """At most one result is in memory at a time, however many clusters there are."""
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    class Watched(Future):
        def result(self, *, raise_on_failure: bool) -> Any:
            nonlocal most
            gc.collect()
            most = max(most, len(alive))
            text = Text(super().result(raise_on_failure=raise_on_failure))
            alive.add(text)
            return text

    def watched(number: int) -> Job:
        name = f"c{number}"
        text = ClusterReport(cluster=name).model_dump_json()
        return Job(lambda: Watched(text), lambda _: failed(name))

    reports, _ = run_concurrently(map(watched, range(20)))
    assert len(reports) == 20
    assert most <= 1
