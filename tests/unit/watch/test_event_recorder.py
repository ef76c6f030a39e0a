"""The watcher's Kubernetes Events: after the record, bounded, and without harm where they fail."""

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from tasks.config.schema import Source
from tasks.domain.models import CertificateResource, RunReport
from tasks.report.kubernetes_events import MAX_EVENTS, KubernetesEvent
from tasks.watch import event_recorder
from tasks.watch.event_recorder import EventRecorder
from tests.support.factories import certificate, cluster_report, run_report, snapshot, unpinned_clusters
from tests.support.report_example import UPDATED
from tests.support.waiting import PATIENCE, until

UID = "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11"


class Records:
    """Another Recorder."""

    def __init__(self) -> None:
        self.triggers: list[str] = []
        self.closed = 0.0

    def add(self, _: RunReport, trigger: str) -> None:
        self.triggers.append(trigger)

    def close(self, seconds: float) -> None:
        self.closed = seconds


class Ops:
    """Notes the Events, and blocks until it may go on."""

    def __init__(self) -> None:
        self.written: list[list[str]] = []
        self.error, self.go_on, self.began = "", threading.Event(), threading.Event()
        self.go_on.set()

    def write(self, _: Source, events: Sequence[KubernetesEvent]) -> str:
        self.began.set()
        assert self.go_on.wait(PATIENCE)
        self.written.append([one.about.name for one in events])
        return self.error

    def has(self, number: int) -> bool:
        return len(self.written) == number


class Loaded:
    def load(self) -> Any:
        return unpinned_clusters("dev")


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Ops:
    ops = Ops()
    monkeypatch.setattr(event_recorder, "write_events", ops.write)
    monkeypatch.setattr(event_recorder, "ReloadedConfig", Loaded)
    return ops


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(event_recorder, "log", lines.append)
    return lines


@pytest.fixture
def recorder(ops: Ops) -> Iterator[EventRecorder]:
    made = EventRecorder(Records())
    yield made
    ops.go_on.set()
    made.close(1)


def report(name: str) -> RunReport:
    """A renewal of b-tls, which the Certificate of this name writes."""
    about = certificate("b-tls", resource=CertificateResource(name=name, uid=UID))
    return run_report(cluster_report("dev", UPDATED), snapshot=snapshot(about))


def test_a_report_is_recorded_first(ops: Ops) -> None:
    """Prefect's history has each report, and OPS an Event of each that changed something."""
    records = Records()
    recorder = EventRecorder(records)
    recorder.add(report("one"), "one changed")
    recorder.add(run_report(cluster_report("dev")), "nothing")
    until("the Event", lambda: ops.written == [["one"]])
    recorder.close(3)
    assert (records.triggers, records.closed) == (["one changed", "nothing"], 3)


def test_who_copies_does_not_wait(ops: Ops, recorder: EventRecorder, logged: list[str]) -> None:
    """While OPS is slow, the newest Events wait, in order; the log counts those that were dropped."""
    ops.go_on.clear()
    recorder.add(report("first"), "")
    assert ops.began.wait(PATIENCE)
    for number in range(MAX_EVENTS + 20):
        recorder.add(report(f"n{number}"), "")  # would block here
    ops.go_on.set()
    until("the other Events", lambda: sum(map(len, ops.written)) == MAX_EVENTS + 1)
    assert ops.written[0] == ["first"]
    assert ops.written[1] == [f"n{number}" for number in range(20, MAX_EVENTS + 20)]
    until("the line", lambda: logged)
    assert logged == ["Kubernetes Events on OPS: 20 were dropped, since more changed than OPS accepted"]


def test_a_lasting_error_is_logged_once(ops: Ops, recorder: EventRecorder, logged: list[str]) -> None:
    """Each renewal fails alike where the right is missing; another error is logged again."""
    for number, error in enumerate(("Forbidden", "Forbidden", "", "Forbidden"), start=1):
        ops.error = error
        recorder.add(report("one"), "")
        until("the Event", partial(ops.has, number))
    recorder.close(1)
    assert logged == ["Forbidden", "Forbidden"]
