"""What becomes of a batch of changes: a report, or another attempt later."""

from collections.abc import Iterable
from queue import SimpleQueue

import pytest

from tasks.domain.errors import ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import RunReport
from tasks.domain.reasons import Reason
from tasks.metrics import registry
from tasks.watch.handler import ChangeHandler, trigger
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tasks.watch.timings import WatchTimings
from tests.support.factories import cluster_report, failure, rejection, run_report, snapshot
from tests.support.report_example import UPDATED

NAMES = frozenset({"web-tls"})
NOT_READY = snapshot(rejection("web-tls", Reason.NOT_READY))
TIMINGS = WatchTimings(config_retry=0.0, source_retry=0.0, limit_retry=0.0, not_ready_backoff=(0.0, 0.0))


class Records:
    def __init__(self) -> None:
        self.added: list[tuple[RunReport, str]] = []

    def add(self, report: RunReport, trigger: str) -> None:
        self.added.append((report, trigger))

    def close(self, seconds: float) -> None: ...


class Scripted(Reconciler):
    """Has one result for each batch, whatever its names are."""

    def __init__(self, *results: RunReport | ConfigError | None) -> None:
        super().__init__()
        self._results = iter(results)

    def reconcile(self, _: Iterable[str]) -> RunReport | None:
        result = next(self._results)
        if isinstance(result, ConfigError):
            raise result
        return result


class Stage:
    """A handler whose reconciler has these results, its records, and the names that it queued again."""

    def __init__(self, *results: RunReport | ConfigError | None) -> None:
        self.records = Records()
        self._again: SimpleQueue[str] = SimpleQueue()
        self._handler = ChangeHandler(Scripted(*results), self.records, self._again.put, TIMINGS)

    def handle(self, names: frozenset[str] = NAMES) -> None:
        self._handler.handle(names)

    def queued_again(self) -> str:
        return self._again.get(timeout=30)


@pytest.fixture(autouse=True)
def observed(monkeypatch: pytest.MonkeyPatch) -> list[RunReport]:
    """The reports that became metrics."""
    reports: list[RunReport] = []
    monkeypatch.setattr(registry, "observe", reports.append)
    return reports


def test_a_report_is_logged_measured_and_recorded(
    observed: list[RunReport], capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch that was copied is one line, one observation and one record with its trigger."""
    report = run_report(cluster_report("dev", UPDATED))
    stage = Stage(report)
    stage.handle()
    assert observed == [report]
    assert stage.records.added == [(report, "web-tls changed")]
    assert "web-tls changed: 1 cluster: update 1 (0." in capsys.readouterr().out


def test_what_no_route_names_is_not_reported(
    observed: list[RunReport], capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch that concerns no cluster leaves no line, no observation and no record."""
    stage = Stage(None)
    stage.handle()
    assert (observed, stage.records.added, capsys.readouterr().out) == ([], [], "")


@pytest.mark.parametrize("code", [FailureCode.UNREACHABLE, FailureCode.TOO_MANY])
def test_a_source_that_cannot_be_read_is_tried_again(code: FailureCode) -> None:
    """The names are queued again, and nothing is recorded until OPS was read."""
    stage = Stage(run_report(snapshot=snapshot(failure=failure(code, "OPS"))))
    stage.handle()
    assert stage.queued_again() == "web-tls"
    assert stage.records.added == []


def test_an_invalid_configuration_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Each batch is queued again; the error is logged again only after a batch that succeeded."""
    error = ConfigError("configuration tls-sync.yaml: owner is missing")
    stage = Stage(error, error, run_report(cluster_report("dev", UPDATED)), error)
    for _ in range(2):
        stage.handle()
        assert stage.queued_again() == "web-tls"
    assert capsys.readouterr().out.count("owner is missing") == 1
    stage.handle()
    stage.handle()
    assert capsys.readouterr().out.count("owner is missing") == 1


def test_a_certificate_that_is_not_ready_is_checked_again_before_it_is_reported() -> None:
    """The report is recorded after the last check of the backoff."""
    report = run_report(cluster_report("dev"), snapshot=NOT_READY)
    stage = Stage(report, report, report)
    for _ in range(2):
        stage.handle()
        assert stage.queued_again() == "web-tls"
        assert stage.records.added == []
    stage.handle()
    assert stage.records.added == [(report, "web-tls changed")]


def test_a_certificate_that_became_ready_may_be_checked_as_often_again() -> None:
    """The number of checks counts from the last batch in which the certificate was Ready."""
    not_ready, ready = (
        run_report(cluster_report("dev"), snapshot=NOT_READY),
        run_report(cluster_report("dev", UPDATED)),
    )
    stage = Stage(not_ready, not_ready, ready, not_ready)
    stage.handle()
    stage.handle()
    stage.handle()
    assert stage.records.added == [(ready, "web-tls changed")]
    stage.handle()
    assert stage.records.added == [(ready, "web-tls changed")]


def test_what_was_copied_is_reported_although_another_certificate_is_not_ready() -> None:
    """A batch with writes is recorded at once; only the certificate that is not Ready is queued again."""
    report = run_report(cluster_report("dev", UPDATED), snapshot=NOT_READY)
    stage = Stage(report)
    stage.handle(NAMES | {"b-tls"})
    assert stage.queued_again() == "web-tls"
    assert stage.records.added == [(report, "2 certificates changed")]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({"web-tls"}, "web-tls changed"),
        ({"web-tls", "api-tls"}, "2 certificates changed"),
        ({"web-tls", RESYNC}, "start"),
    ],
)
def test_a_trigger_is_described_for_people(names: set[str], text: str) -> None:
    """One name is spelled out, several are counted, and a resync is the start."""
    assert trigger(frozenset(names)) == text
