"""How long a run looks at what addresses present."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from tasks.domain.models import ClusterReport
from tasks.runtime import shutdown
from tasks.served import look
from tasks.served.compare import ProbeResults, TLSProbe
from tests.unit.served.test_awaited import PROBE, found, leaf, report

Rounds = list[frozenset[TLSProbe]]


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    monkeypatch.setattr(look, "PAUSE_SECONDS", 0.0)
    return []


def answering(monkeypatch: pytest.MonkeyPatch, rounds: Rounds, answer: Callable[[int], ProbeResults]) -> None:
    def probe_all(probes: Iterable[TLSProbe]) -> ProbeResults:
        rounds.append(frozenset(probes))
        return answer(len(rounds))

    monkeypatch.setattr(look, "probe_all", probe_all)


def reports() -> tuple[ClusterReport, ...]:
    return (report(*found()), ClusterReport(cluster="rct"))


def test_it_looks_until_each_address_has_reloaded(monkeypatch: pytest.MonkeyPatch, rounds: Rounds) -> None:
    """Three rounds, where the third finds the new certificate; and none after it."""
    answering(monkeypatch, rounds, lambda number: {PROBE: leaf() if number == 3 else leaf("bb", "1", 70)})
    dev, rct = look.wait_until_served(reports())
    assert rounds == [{PROBE}] * 3
    assert dev.served[0].matches
    assert rct == ClusterReport(cluster="rct")


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_without_time_it_looks_once(monkeypatch: pytest.MonkeyPatch, rounds: Rounds, seconds: float) -> None:
    """Within the time of the run: beyond it, one round tells what to report."""
    answering(monkeypatch, rounds, lambda _: {PROBE: "connection refused"})
    dev, _ = look.wait_until_served(reports(), datetime.now(UTC) + timedelta(seconds=seconds))
    assert len(rounds) == 1
    assert dev.served[0].served is not None
    assert not dev.served[0].matches


def test_an_address_that_is_dead_is_given_up(monkeypatch: pytest.MonkeyPatch, rounds: Rounds) -> None:
    """After the time for it, here none, also where the run has hours left."""
    monkeypatch.setattr(look, "SECONDS", 0.0)
    answering(monkeypatch, rounds, lambda _: {PROBE: "connection refused"})
    look.wait_until_served(reports(), datetime.now(UTC) + timedelta(hours=1))
    assert len(rounds) == 1


def test_a_stop_signal_ends_the_wait(monkeypatch: pytest.MonkeyPatch, rounds: Rounds) -> None:
    """The round in progress ends, and no other begins."""
    monkeypatch.setattr(look, "PAUSE_SECONDS", 3600.0)
    answering(monkeypatch, rounds, lambda _: {PROBE: "connection refused"})
    shutdown.requested.set()
    try:
        thread = threading.Thread(target=look.wait_until_served, args=(reports(),), daemon=True)
        thread.start()
        thread.join(60)
    finally:
        shutdown.requested.clear()
    assert not thread.is_alive()
    assert len(rounds) == 1


def test_what_can_not_be_asked_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, rounds: Rounds) -> None:
    """Nobody can load a certificate for a name that there is not."""
    answering(monkeypatch, rounds, lambda _: {})
    (one,) = found()
    nameless = one.model_copy(update={"name": ""})
    (told,) = look.wait_until_served([report(nameless)])
    assert rounds == [frozenset()]
    assert not told.served[0].matches
