"""What this process does when it is told to stop."""

import signal
from collections.abc import Iterator

import pytest

from tasks.runtime import shutdown


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)
    shutdown.asked.clear()


class Told(BaseException):
    """What Python and Prefect raise."""


def raise_it(*_: object) -> None:
    raise Told


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_stops_even_where_its_exception_is_lost(number: signal.Signals) -> None:
    """In a finalizer an exception goes nowhere; no write begins all the same."""
    signal.signal(number, raise_it)
    shutdown.begin()

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(number)

    Finalized()
    assert shutdown.asked.is_set()


def test_a_signal_still_does_what_it_did(number: signal.Signals) -> None:
    """However often a run has begun, the handler that was there is called once."""
    called: list[int] = []
    signal.signal(number, lambda given, _: called.append(given))
    for _ in range(3):
        shutdown.begin()
    signal.raise_signal(number)
    assert called == [number]
    assert shutdown.asked.is_set()
    shutdown.begin()
    assert not shutdown.asked.is_set()
