"""Connections are aborted at their deadline, by one thread for all."""

import threading
import time
from typing import Any

import pytest
from urllib3 import PoolManager

from tasks.kube import deadline

LATER = 3600.0


class Recorded(deadline.ConnectionDeadline):
    """Records that it was aborted."""

    def __init__(self, seconds: float) -> None:
        self.aborted = threading.Event()
        super().__init__(PoolManager(), time.monotonic() + seconds)

    def abort(self) -> None:
        self.aborted.set()


@pytest.fixture(autouse=True)
def timer(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(deadline, "_timer", deadline._Timer())


def test_each_connection_is_aborted_at_its_own_deadline() -> None:
    """Deadlines may be set in any order; one that is cancelled or postponed does not abort."""
    late, cancelled, postponed, soon, overdue = (
        Recorded(LATER),
        Recorded(0.3),
        Recorded(0.3),
        Recorded(0.2),
        Recorded(-1.0),
    )
    cancelled.cancel()
    postponed.set(time.monotonic() + LATER)
    assert overdue.aborted.wait(60)
    assert soon.aborted.wait(60)
    after = Recorded(0.3)  # once this one is aborted, the others of its time would be, too
    assert after.aborted.wait(60)
    assert not any(one.aborted.is_set() for one in (late, cancelled, postponed))
    late.set(time.monotonic())
    assert late.aborted.wait(60)


def test_one_thread_serves_all_deadlines() -> None:
    """A run has two deadlines per cluster, and a thread takes 80 KiB."""
    before = threading.active_count()
    pending = [Recorded(LATER) for _ in range(100)]
    assert threading.active_count() == before + 1
    assert not any(one.aborted.is_set() for one in pending)


def test_a_thread_that_has_ended_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was forked from a run has none of its threads."""
    ended = threading.Thread()
    ended.start()
    ended.join()
    monkeypatch.setattr(deadline._timer, "_thread", ended)
    assert Recorded(0.0).aborted.wait(60)
