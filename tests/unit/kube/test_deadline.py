"""Time that is up for one cluster, with one thread that looks after all."""

import threading
import time
from typing import Any

import pytest
from urllib3 import PoolManager

from tasks.kube import deadline

LATER = 3600.0


class Told(deadline.ConnectionDeadline):
    """Notes that it was woken."""

    def __init__(self, seconds: float) -> None:
        self.bitten = threading.Event()
        super().__init__(PoolManager(), time.monotonic() + seconds)

    def abort(self) -> None:
        self.bitten.set()


@pytest.fixture(autouse=True)
def keeper(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(deadline, "_keeper", deadline._Keeper())


def test_each_watchdog_bites_when_its_own_time_is_up() -> None:
    """In whatever order they come; one that is stopped never does, and one that waits longer not yet."""
    late, stopped, longer, soon, over = (
        Told(LATER),
        Told(0.3),
        Told(0.3),
        Told(0.2),
        Told(-1.0),
    )
    stopped.stop()
    longer.wait_until(time.monotonic() + LATER)
    assert over.bitten.wait(60)
    assert soon.bitten.wait(60)
    after = Told(0.3)  # those of the same time have had theirs, once this one has
    assert after.bitten.wait(60)
    assert not any(one.bitten.is_set() for one in (late, stopped, longer))
    late.wait_until(time.monotonic())
    assert late.bitten.wait(60)


def test_one_thread_looks_after_all_of_them() -> None:
    """A run has two per cluster, and a thread takes 80 KiB."""
    before = threading.active_count()
    kept = [Told(LATER) for _ in range(100)]
    assert threading.active_count() == before + 1
    assert not any(one.bitten.is_set() for one in kept)


def test_a_thread_that_is_gone_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was forked from a run has none of its threads."""
    gone = threading.Thread()
    gone.start()
    gone.join()
    monkeypatch.setattr(deadline._keeper, "_thread", gone)
    assert Told(0.0).bitten.wait(60)
