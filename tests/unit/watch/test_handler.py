"""What becomes of a change: a report, or another attempt later."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tasks.domain.errors import ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import RunReport
from tasks.domain.reasons import Reason
from tasks.metrics import registry
from tasks.watch import handler as handler_module
from tasks.watch.handler import ChangeHandler, trigger
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tasks.watch.timings import DEFAULT
from tests.support.factories import cluster_report, failure, rejection, run_report, snapshot
from tests.support.report_example import UPDATED

Queued = list[tuple[float, tuple[str, ...]]]
NAME = "web-tls"
NOT_READY = snapshot(rejection("web-tls", Reason.NOT_READY))


class Records:
    def __init__(self) -> None:
        self.added: list[tuple[RunReport, str]] = []

    def add(self, report: RunReport, trigger: str) -> None:
        self.added.append((report, trigger))

    def close(self, seconds: float) -> None: ...


class Scripted(Reconciler):
    """Has one result for each change, whatever its name is."""

    def __init__(self, *results: RunReport | ConfigError | None, retries: ConfigError | None = None) -> None:
        super().__init__()
        self._results, self._retries = iter(results), retries

    def retry_failed(self, publish: Callable[[RunReport], None]) -> None:
        if self._retries:
            raise self._retries
        super().retry_failed(publish)

    def reconcile(self, _: str) -> RunReport | None:
        result = next(self._results)
        if isinstance(result, ConfigError):
            raise result
        return result


class Stage:
    """A handler whose reconciler has these results, and its records."""

    def __init__(self, *results: RunReport | ConfigError | None, retries: ConfigError | None = None) -> None:
        self.records = Records()
        reconciler = Scripted(*results, retries=retries)
        self._handler = ChangeHandler(reconciler, self.records, lambda *_: None)
        self.retry_failed = self._handler.retry_failed

    def another_publishes(self) -> threading.Lock:
        return self._handler._publisher._publishing

    def handle(self, name: str = NAME) -> None:
        self._handler.handle(name)


@pytest.fixture(autouse=True)
def observed(monkeypatch: pytest.MonkeyPatch) -> list[RunReport]:
    """The reports that became metrics."""
    reports: list[RunReport] = []
    monkeypatch.setattr(registry, "observe", lambda *several: reports.extend(several))
    return reports


class Timer:
    """Stores the seconds and the names of each timer that is started."""

    started: Queued

    def __init__(self, seconds: float, _: Callable[..., None], names: tuple[str, ...]) -> None:
        self._call = seconds, names
        self.daemon = False

    def start(self) -> None:
        assert self.daemon, "it would keep the process alive"
        self.started.append(self._call)


@pytest.fixture(autouse=True)
def queued(monkeypatch: pytest.MonkeyPatch) -> Queued:
    """The names that are queued again, each batch with the seconds until then."""
    monkeypatch.setattr(Timer, "started", [], raising=False)
    monkeypatch.setattr(handler_module, "threading", SimpleNamespace(Timer=Timer, Lock=threading.Lock))
    return Timer.started


def test_a_report_is_logged_measured_and_recorded(
    observed: list[RunReport], capsys: pytest.CaptureFixture[str]
) -> None:
    """A change that was copied is one line, one observation and one record with its trigger."""
    report = run_report(cluster_report("dev", UPDATED))
    stage = Stage(report)
    stage.handle()
    assert observed == [report]
    assert stage.records.added == [(report, "web-tls changed")]
    assert "web-tls changed: 1 cluster: update 1 (0." in capsys.readouterr().out


def test_what_no_route_names_is_not_reported(
    observed: list[RunReport], capsys: pytest.CaptureFixture[str]
) -> None:
    """A change that concerns no cluster leaves no line, no observation and no record."""
    stage = Stage(None)
    stage.handle()
    assert (observed, stage.records.added, capsys.readouterr().out) == ([], [], "")


@pytest.mark.parametrize(
    ("code", "seconds"),
    [(FailureCode.UNREACHABLE, DEFAULT.source_retry), (FailureCode.TOO_MANY, DEFAULT.limit_retry)],
)
def test_a_source_that_cannot_be_read_is_tried_again(
    queued: Queued, code: FailureCode, seconds: float
) -> None:
    """The names are queued again, and nothing is recorded until OPS was read."""
    stage = Stage(run_report(snapshot=snapshot(failure=failure(code, "OPS"))))
    stage.handle()
    assert queued == [(seconds, (NAME,))]
    assert stage.records.added == []


def test_an_invalid_configuration_is_logged_once(queued: Queued, capsys: pytest.CaptureFixture[str]) -> None:
    """Each change is queued again; the error is logged again only after a change that succeeded."""
    error = ConfigError("configuration tls-sync.yaml: owner is missing")
    stage = Stage(error, error, run_report(cluster_report("dev", UPDATED)), error)
    stage.handle()
    stage.handle()
    assert queued == [(DEFAULT.config_retry, (NAME,))] * 2
    assert capsys.readouterr().out.count("owner is missing") == 1
    stage.handle()
    stage.handle()
    assert capsys.readouterr().out.count("owner is missing") == 1


@pytest.mark.parametrize("error", [None, ConfigError("owner is missing")], ids=["valid", "invalid"])
def test_what_threads_left_to_report_is_reported_with_the_retries(error: ConfigError | None) -> None:
    """The last reports of a burst wait for no other change, also where the configuration can't be read."""
    stage = Stage(run_report(cluster_report("dev", UPDATED)), retries=error)
    with stage.another_publishes():
        stage.handle()
    assert stage.records.added == []
    stage.retry_failed()
    assert [what for _, what in stage.records.added] == ["web-tls changed"]


def test_a_certificate_that_is_not_ready_is_checked_again_before_it_is_reported(queued: Queued) -> None:
    """The report is recorded after the last check of the backoff."""
    report = run_report(cluster_report("dev"), snapshot=NOT_READY)
    stage = Stage(*[report] * (len(DEFAULT.not_ready_backoff) + 1))
    for _ in DEFAULT.not_ready_backoff:
        stage.handle()
        assert stage.records.added == []
    assert queued == [(seconds, (NAME,)) for seconds in DEFAULT.not_ready_backoff]
    stage.handle()
    assert stage.records.added == [(report, "web-tls changed")]


def test_the_checks_count_from_the_last_change_in_which_a_certificate_was_ready(queued: Queued) -> None:
    """A renewal that is not Ready at first is checked after the first wait of the backoff again."""
    not_ready = run_report(cluster_report("dev"), snapshot=NOT_READY)
    ready = run_report(cluster_report("dev", UPDATED))
    stage = Stage(not_ready, not_ready, ready, not_ready)
    for _ in range(4):
        stage.handle()
    assert stage.records.added == [(ready, "web-tls changed")]
    first, second, *_ = DEFAULT.not_ready_backoff
    assert queued == [(first, (NAME,)), (second, (NAME,)), (first, (NAME,))]


def test_a_write_is_reported_although_the_certificate_is_not_ready(queued: Queued) -> None:
    """The certificate is queued again, and the report does not wait for that."""
    report = run_report(cluster_report("dev", UPDATED), snapshot=NOT_READY)
    stage = Stage(report)
    stage.handle()
    assert queued == [(DEFAULT.not_ready_backoff[0], (NAME,))]
    assert stage.records.added == [(report, trigger(NAME))]


def test_at_a_start_each_certificate_that_is_not_ready_is_checked_again(queued: Queued) -> None:
    """They are queued together, and the report of the start does not wait for them."""
    report = run_report(
        cluster_report("dev"),
        snapshot=snapshot(rejection(NAME, Reason.NOT_READY), rejection("api-tls", Reason.NOT_READY)),
    )
    stage = Stage(report)
    stage.handle(RESYNC)
    ((seconds, names),) = queued
    assert (seconds, sorted(names)) == (DEFAULT.not_ready_backoff[0], ["api-tls", NAME])
    assert stage.records.added == [(report, "start")]


def test_a_certificate_that_did_not_change_is_not_checked_again(queued: Queued) -> None:
    """Another certificate queues nothing; a resync queues every certificate that is not Ready."""
    report = run_report(cluster_report("dev"), snapshot=NOT_READY)
    stage = Stage(report, report)
    stage.handle("b-tls")
    assert queued == []
    stage.handle(RESYNC)
    assert queued == [(DEFAULT.not_ready_backoff[0], (NAME,))]


@pytest.mark.parametrize(("name", "text"), [(NAME, "web-tls changed"), (RESYNC, "start")])
def test_a_trigger_is_described_for_people(name: str, text: str) -> None:
    """A name is spelled out, and a resync is the start."""
    assert trigger(name) == text
