"""The watcher's reports in its log, in the metrics and in Prefect's history."""

import threading
from collections.abc import Sequence

import pytest

from tasks.domain.models import RunReport
from tasks.metrics import registry
from tasks.watch.publisher import MAX_TURNS, Publisher
from tests.support.factories import cluster_report, run_report
from tests.support.report_example import UPDATED
from tests.support.waiting import PATIENCE

Observed = list[tuple[RunReport, ...]]


class SlowRecorder:
    """Blocks while it stores its first report, until it may go on."""

    def __init__(self) -> None:
        self.triggers: list[str] = []
        self.began, self.go_on = threading.Event(), threading.Event()

    def add(self, _: RunReport, trigger: str) -> None:
        self.triggers.append(trigger)
        self.began.set()
        assert self.go_on.wait(PATIENCE)

    def close(self, seconds: float) -> None: ...


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> Observed:
    """The reports that became metrics, by call."""
    calls: Observed = []
    monkeypatch.setattr(registry, "observe", lambda *several: calls.append(several))
    return calls


def as_they_are(reports: Sequence[RunReport]) -> Sequence[RunReport]:
    return reports


def test_reports_that_come_meanwhile_are_published_together_and_keep_nobody_waiting(
    observed: Observed,
) -> None:
    """Who copied a change goes on with the next one; each report is published once, in order."""
    recorder = SlowRecorder()
    publisher = Publisher(recorder, as_they_are)
    reports = [run_report(cluster_report(name, UPDATED)) for name in ("dev", "rct", "prd")]
    first = threading.Thread(target=publisher.publish, args=(reports[0], "first"))
    first.start()
    assert recorder.began.wait(PATIENCE)
    publisher.publish(reports[1], "second")  # would block here if it waited for the first
    publisher.publish(reports[2], "third")
    assert recorder.triggers == ["first"]
    recorder.go_on.set()
    first.join(PATIENCE)
    assert recorder.triggers == ["first", "second", "third"]
    assert observed == [(reports[0],), (reports[1], reports[2])]


def test_a_failure_to_publish_blocks_no_later_report(observed: Observed) -> None:
    """The error reaches the thread that published, and ends the watcher; the lock is free again."""
    recorder = SlowRecorder()
    recorder.go_on.set()
    faults = iter([ValueError("a defect")])

    def updated(reports: Sequence[RunReport]) -> Sequence[RunReport]:
        for fault in faults:
            raise fault
        return reports

    publisher = Publisher(recorder, updated)
    with pytest.raises(ValueError, match="a defect"):
        publisher.publish(run_report(), "first")
    publisher.publish(run_report(), "second")
    assert recorder.triggers == ["second"]
    assert len(observed) == 1


def test_where_reports_keep_coming_no_thread_publishes_for_ever(observed: Observed) -> None:
    """Until it goes on, its certificate is not copied again; what it leaves is published by the next call."""
    recorder, more = SlowRecorder(), iter(range(50))
    recorder.go_on.set()

    def updated(reports: Sequence[RunReport]) -> Sequence[RunReport]:
        for number in more:
            publisher.publish(run_report(), f"number {number}")  # as another thread does at this moment
            break
        return reports

    publisher = Publisher(recorder, updated)
    publisher.publish(run_report(), "first")
    assert len(observed) == MAX_TURNS
    while len(recorder.triggers) <= 50:
        before = len(observed)
        publisher.publish_waiting()
        assert len(observed) > before
    assert recorder.triggers == ["first", *(f"number {number}" for number in range(50))]
