"""The watcher's records without Prefect's API: what waits, and what is lost."""

from datetime import UTC, datetime

import pytest

from flows import watch_record
from flows.watch_record import Recorder
from tasks.domain.models import RunReport
from tasks.metrics import registry
from tests.support.factories import snapshot
from tests.unit.report.test_rows import CREATED, UPDATED, cluster, run


def test_every_lost_record_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those for which there was no room count as well as those that still wait at the end."""
    monkeypatch.setattr(watch_record, "WAITING", 2)
    monkeypatch.setattr(registry, "_lost", [0.0])
    monkeypatch.setattr(watch_record, "api_trouble", lambda: "Prefect's API does not answer")
    recorder = Recorder()
    for number in range(5):
        recorder.add(RunReport(inventory=snapshot(), now=datetime.now(UTC)), f"web-{number}-tls changed")
    recorder.close(30.0)
    assert recorder.lost == 3
    assert b"tls_sync_watch_lost_records_total 3.0" in registry.exposition()[0]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "tls-sync watch: Prefect's API does not answer; records wait",
        "tls-sync watch: records lost: 5; Prefect's API does not answer",
    ]


def test_large_records_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their rows are counted, too; the newest record is kept however large it is."""
    monkeypatch.setattr(watch_record, "WAITING_ROWS", 5)
    monkeypatch.setattr(watch_record, "api_trouble", lambda: "away")
    recorder = Recorder()
    for number in range(4):
        recorder.add(run(cluster("dev", CREATED, UPDATED)), f"web-{number}-tls changed")
    assert recorder.lost == 2
    recorder.add(run(cluster("dev", *[CREATED] * 9)), "start")
    assert recorder.lost == 4
    recorder.close(30.0)
