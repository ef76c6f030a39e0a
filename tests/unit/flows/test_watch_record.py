"""Without Prefect's API, the watcher's reports wait as one record, and those that are lost are counted."""

import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from flows import watch_record
from flows.watch_record import MAX_REPORTS, Record, Recorder
from tasks.domain.models import Action, Change, RunReport, SecretRef
from tasks.domain.reasons import Reason
from tasks.metrics import registry
from tasks.report.merge import count_rows
from tasks.watch.timings import WatchTimings
from tests.support.factories import cluster_report, run_report

SECONDS = 30.0
TIMINGS = WatchTimings(record_delay=0.123, record_max_delay=SECONDS)


def renewal(number: int) -> RunReport:
    """The report of a renewal on three clusters."""
    change = Change(
        action=Action.UPDATE,
        reason=Reason.CERTIFICATE_RENEWED,
        target=SecretRef(namespace="app", name=f"web-{number}-tls"),
        certificate=f"web-{number}-tls",
        applied=True,
    )
    return run_report(*(cluster_report(name, change) for name in ("dev", "rct", "prd")))


class Prefect:
    """Takes records, once it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[Record] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        monkeypatch.setattr(watch_record, "api_error", lambda: "")
        monkeypatch.setattr(watch_record, "tls_sync_watch", self._take)

    def _take(self, *_: object, **__: object) -> None:
        self.begun.set()
        assert self.go_on.wait(SECONDS)
        self.taken.append(watch_record._current.get())


def test_reports_that_wait_are_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 renewals during one write none is lost: they follow in one record, with all rows."""
    prefect = Prefect(monkeypatch)
    recorder = Recorder()
    recorder.add(renewal(0), "start")
    assert prefect.begun.wait(SECONDS)
    for number in range(300):
        recorder.add(renewal(number), f"web-{number}-tls changed")
        assert len(recorder._records) <= MAX_REPORTS + 1
    prefect.go_on.set()
    recorder.close(SECONDS)
    first, second = prefect.taken
    assert (first.trigger, count_rows(first.report)) == ("start", 3)
    assert second.trigger == "web-0-tls changed, web-1-tls changed and 298 more"
    assert count_rows(second.report) == 900
    assert recorder.dropped == 0


def test_every_lost_report_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line counts the reports that were dropped and those that still wait at the end."""
    monkeypatch.setattr(watch_record, "MAX_ROWS", 6)
    monkeypatch.setattr(registry, "_lost", [0.0])
    monkeypatch.setattr(watch_record, "api_error", lambda: "Prefect's API does not answer")
    recorder = Recorder()
    for number in range(5):
        recorder.add(renewal(number), f"web-{number}-tls changed")
    recorder.close(SECONDS)
    assert 1 <= recorder.dropped <= 4
    assert f"tls_sync_watch_lost_records_total {recorder.dropped}.0".encode() in registry.exposition()[0]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "tls-sync watch: Prefect's API does not answer; records wait",
        "tls-sync watch: records lost: 5; Prefect's API does not answer",
    ]


def test_waiting_records_are_limited_by_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the maximum number of rows the oldest records are dropped; the newest is kept at any size."""
    monkeypatch.setattr(watch_record, "MAX_ROWS", 5)
    prefect = Prefect(monkeypatch)
    recorder = Recorder()
    recorder.add(renewal(0), "start")
    assert prefect.begun.wait(SECONDS)
    recorder.add(renewal(1), "web-1-tls changed")
    assert recorder.dropped == 1
    recorder.add(renewal(2), "web-2-tls changed")
    assert recorder.dropped == 2
    prefect.go_on.set()
    recorder.close(SECONDS)
    assert prefect.taken[-1].trigger == "web-2-tls changed"


class Scripted(threading.Condition):
    """Calls `during` in place of the waits for further reports."""

    def __init__(self, during: Callable[[], None]) -> None:
        super().__init__()
        self._during = during

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        if timeout != TIMINGS.record_delay:
            return super().wait_for(predicate, timeout)
        self._during()
        return predicate()


def recorder_that_waits(
    monkeypatch: pytest.MonkeyPatch, during: Callable[[Recorder], None], timings: WatchTimings = TIMINGS
) -> Recorder:
    """`during` is called each time when it has seen a report and waits for further ones."""
    condition = Scripted(lambda: during(recorder))
    scripted = SimpleNamespace(Condition=lambda: condition, Thread=threading.Thread)
    monkeypatch.setattr(watch_record, "threading", scripted)
    recorder = Recorder(timings)
    return recorder


def test_a_record_waits_while_reports_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals that follow one another are one record, which takes no time from their copies."""
    more = iter(range(1, 5))
    prefect = Prefect(monkeypatch)
    prefect.go_on.set()

    def during(recorder: Recorder) -> None:
        for number in more:
            return recorder.add(renewal(number), f"web-{number}-tls changed")
        return None

    recorder = recorder_that_waits(monkeypatch, during)
    recorder.add(renewal(0), "web-0-tls changed")
    assert prefect.begun.wait(SECONDS)
    recorder.close(SECONDS)
    assert [(one.reports, count_rows(one.report)) for one in prefect.taken] == [(5, 15)]


def test_reports_that_never_cease_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait has a limit: the history goes on while certificates change all the time."""
    prefect = Prefect(monkeypatch)
    prefect.go_on.set()

    def during(recorder: Recorder) -> None:
        if not prefect.begun.is_set():
            recorder.add(renewal(1), "web-1-tls changed")

    recorder = recorder_that_waits(monkeypatch, during, replace(TIMINGS, record_max_delay=0.2))
    recorder.add(renewal(0), "web-0-tls changed")
    assert prefect.begun.wait(SECONDS)
    recorder.close(SECONDS)
