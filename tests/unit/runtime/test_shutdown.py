"""The stop signal of this process is set by SIGINT and SIGTERM."""

import signal
from collections.abc import Iterator

import pytest

from tasks.runtime import shutdown


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)
    shutdown.requested.clear()


class Interrupted(BaseException):
    """Stands for what the handlers of Python and Prefect raise."""


def raise_it(*_: object) -> None:
    raise Interrupted


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_requests_a_stop_even_if_its_exception_is_lost(number: signal.Signals) -> None:
    """An exception in a finalizer is ignored by Python."""
    signal.signal(number, raise_it)
    shutdown.begin_run()

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(number)

    Finalized()
    assert shutdown.requested.is_set()


def test_a_signal_still_calls_its_former_handler(number: signal.Signals) -> None:
    """The handler is called once, however often a run has begun."""
    called: list[int] = []
    signal.signal(number, lambda given, _: called.append(given))
    for _ in range(3):
        shutdown.begin_run()
    signal.raise_signal(number)
    assert called == [number]
    assert shutdown.requested.is_set()
    shutdown.begin_run()
    assert not shutdown.requested.is_set()
