"""Notes are written in a quiet moment, some at a time."""

import pytest

from tasks.watch import pending_notes
from tasks.watch.pending_notes import PendingNotes
from tasks.watch.timings import WatchTimings


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its only element is the time."""
    now = [100.0]
    monkeypatch.setattr("tasks.watch.pending_notes.time.monotonic", lambda: now[0])
    return now


def test_notes_are_due_once_nothing_has_changed_for_a_while(clock: list[float]) -> None:
    """Each change begins the wait anew; a name is due once, however often it has changed."""
    pending = PendingNotes(WatchTimings(note_delay=10))
    assert pending.due() == []
    pending.changed("a-tls")
    clock[0] += 9
    pending.changed("b-tls")
    pending.changed("a-tls")
    clock[0] += 9
    assert pending.due() == []
    clock[0] += 1
    assert pending.due() == ["a-tls", "b-tls"]
    assert pending.due() == []


def test_many_notes_are_due_some_at_a_time(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of failed clusters come in between."""
    monkeypatch.setattr(pending_notes, "MAX_NAMES", 2)
    pending = PendingNotes(WatchTimings(note_delay=0))
    for name in "abc":
        pending.changed(name)
    assert [pending.due(), pending.due(), pending.due()] == [["a", "b"], ["c"], []]
