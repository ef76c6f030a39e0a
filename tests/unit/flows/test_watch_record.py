"""Without Prefect's API, the watcher's records wait, and those that are dropped are counted."""

from datetime import UTC, datetime

import pytest

from flows import watch_record
from flows.watch_record import Recorder
from tasks.domain.models import RunReport
from tasks.metrics import registry
from tests.support.factories import cluster_report, run_report, snapshot
from tests.support.report_example import CREATED, UPDATED


def test_every_lost_record_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line counts the records that were dropped and those that still wait at the end."""
    monkeypatch.setattr(watch_record, "MAX_RECORDS", 2)
    monkeypatch.setattr(registry, "_lost", [0.0])
    monkeypatch.setattr(watch_record, "api_error", lambda: "Prefect's API does not answer")
    recorder = Recorder()
    for number in range(5):
        recorder.add(RunReport(snapshot=snapshot(), now=datetime.now(UTC)), f"web-{number}-tls changed")
    recorder.close(30.0)
    assert recorder.dropped == 3
    assert b"tls_sync_watch_lost_records_total 3.0" in registry.exposition()[0]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "tls-sync watch: Prefect's API does not answer; records wait",
        "tls-sync watch: records lost: 5; Prefect's API does not answer",
    ]


def test_waiting_records_are_limited_by_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the maximum number of rows the oldest records are dropped; the newest is kept at any size."""
    monkeypatch.setattr(watch_record, "MAX_ROWS", 5)
    monkeypatch.setattr(watch_record, "api_error", lambda: "away")
    recorder = Recorder()
    for number in range(4):
        recorder.add(run_report(cluster_report("dev", CREATED, UPDATED)), f"web-{number}-tls changed")
    assert recorder.dropped == 2
    recorder.add(run_report(cluster_report("dev", *[CREATED] * 9)), "start")
    assert recorder.dropped == 4
    recorder.close(30.0)
