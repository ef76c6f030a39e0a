"""The watcher process without clusters: what ends it, and with which exit status."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.config.schema import Source, SyncConfig
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import RunReport
from tasks.runtime import shutdown
from tasks.watch import watcher as watcher_module
from tasks.watch.lease import Lease
from tasks.watch.source_watch import SourceWatch
from tasks.watch.timings import WatchTimings
from tasks.watch.watcher import MAX_FORBIDDEN, Watcher
from tests.support.factories import cluster, failure

CONFIG = SyncConfig(
    owner="ops", source=Source(context="ops", namespace="certificates-ops"), clusters=(cluster(),)
)
TIMINGS = WatchTimings(relist_backoff=(0.0,), retry_interval=0.01, lease_interval=0.01, record_shutdown=7.0)
FORBIDDEN = ClusterError(failure(FailureCode.FORBIDDEN, "OPS"))
LOST = ClusterError(failure(FailureCode.CONNECTION_LOST, "OPS"))


class Records:
    def __init__(self) -> None:
        self.closed_after: list[float] = []

    def add(self, report: RunReport, trigger: str) -> None: ...

    def close(self, seconds: float) -> None:
        self.closed_after.append(seconds)


class Elected(Lease):
    """Is the leader for so many calls."""

    def __init__(self, calls: int) -> None:
        super().__init__("tls-sync", "tls-sync-watch", "one")
        self._calls = calls
        self.released = False

    @property
    def is_leader(self) -> bool:
        return self._calls > 0

    def try_acquire_or_renew(self) -> bool:
        self._calls -= 1
        return self.is_leader

    def release(self) -> None:
        self.released = True


@pytest.fixture(autouse=True)
def termination_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Replace signals and configuration file; return the termination log."""
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setattr(shutdown, "stop", lambda: None)
    monkeypatch.setattr(shutdown, "begin_run", lambda: None)
    monkeypatch.setattr(watcher_module, "load_config", lambda: CONFIG)
    monkeypatch.setattr(watcher_module, "TERMINATION_LOG", log)
    return log


def source_that(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> list[Exception]:
    """Each watch of OPS fails with the next error, the last one again and again; returns what is left."""
    left = list(errors)

    def changes(_: SourceWatch, __: Source) -> Iterator[str]:
        raise left.pop(0) if len(left) > 1 else left[0]
        yield

    monkeypatch.setattr(SourceWatch, "changes", changes)
    return left


def test_a_missing_permission_ends_it_with_its_name(
    monkeypatch: pytest.MonkeyPatch, termination_log: Path
) -> None:
    """After three consecutive 403 responses the exit status is 1, and the termination log has the error."""
    twice, thrice = [FORBIDDEN] * (MAX_FORBIDDEN - 1), [FORBIDDEN] * MAX_FORBIDDEN
    left = source_that(monkeypatch, *twice, LOST, *thrice, ValueError("the end"))
    records = Records()
    assert Watcher(None, 0, records, TIMINGS).run() == 1
    assert termination_log.read_text() == str(FORBIDDEN)
    assert len(left) == 1
    assert records.closed_after == [TIMINGS.record_shutdown]


def test_an_unexpected_error_in_a_thread_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1, and the log names the error's type without its text."""
    source_that(monkeypatch, ValueError("a key"))
    assert Watcher(None, 0, Records(), TIMINGS).run() == 1
    written = capsys.readouterr().out
    assert "a defect of tls-sync ended the watcher (ValueError)" in written
    assert "a key" not in written


def test_a_replica_that_loses_the_lease_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1, and the new leader's Lease is not released."""
    source_that(monkeypatch, LOST)
    lease = Elected(calls=3)
    assert Watcher(lease, 0, Records(), TIMINGS).run() == 1
    assert not lease.released
    assert "another replica is the leader now" in capsys.readouterr().out


def test_a_stop_while_waiting_for_the_lease_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standby that is stopped has exit status 0, and has not watched OPS."""
    source_that(monkeypatch, ValueError("never"))
    watcher = Watcher(Elected(calls=0), 0, Records(), TIMINGS)
    watcher.stop()
    assert watcher.run() == 0


def test_a_leader_that_is_stopped_releases_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit status is 0, and the next replica does not have to wait."""
    lease = Elected(calls=1_000_000)
    watcher = Watcher(lease, 0, Records(), TIMINGS)

    def stop(_: SourceWatch, __: Source) -> Iterator[str]:
        watcher.stop()
        yield from ()

    monkeypatch.setattr(SourceWatch, "changes", stop)
    assert watcher.run() == 0
    assert lease.released
