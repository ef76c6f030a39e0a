"""The watcher's records without Prefect's API: what waits, and what is lost."""

from datetime import UTC, datetime

import pytest

from flows import record
from flows.record import Recorder
from tasks import metrics
from tasks.models import RunReport
from tests.factories import inventory


def test_every_lost_record_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those for which there was no room count as well as those that still wait at the end."""
    monkeypatch.setattr(record, "WAITING", 2)
    monkeypatch.setattr(metrics, "_lost", [0.0])
    monkeypatch.setattr(record, "api_answers", lambda: False)
    recorder = Recorder()
    for number in range(5):
        recorder.add(RunReport(inventory=inventory(), now=datetime.now(UTC)), f"web-{number}-tls changed")
    recorder.close(30.0)
    assert recorder.lost == 3
    assert b"tls_sync_watch_lost_records_total 3.0" in metrics.exposition()[0]
    assert "records lost: 5;" in capsys.readouterr().err
