"""A server that throttles delays all threads and clients, and not for ever."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.kube import throttle
from tasks.kube.throttle import (
    MAX_REFUSALS,
    MAX_RETRY_AFTER,
    Throttle,
    retry_after_seconds,
    throttle_of,
)

FOREVER = float("inf")
NOT_STOPPED = threading.Event()


def test_a_pause_demanded_of_one_request_delays_all() -> None:
    """Requests that come during the pause wait for its end; later ones do not wait."""
    one = Throttle()
    with one.slot(FOREVER, NOT_STOPPED) as started:
        assert one.record_response(started, 0.3, throttled=True)
    paused = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        times = list(pool.map(lambda _: _send(one), range(3)))
    assert all(moment - paused >= 0.29 for moment in times)
    assert _send(one) - time.monotonic() < 0.1


def _send(one: Throttle) -> float:
    with one.slot(FOREVER, NOT_STOPPED) as started:
        return started


def test_a_refusal_halves_the_requests_that_run_at_a_time() -> None:
    """Of four requests one is refused: then two run at a time, and four again after CALM_SECONDS."""
    one, together, peak = Throttle(), threading.Barrier(4), 0
    lock, running = threading.Lock(), 0

    def request(first: bool) -> None:
        nonlocal peak, running
        with one.slot(FOREVER, NOT_STOPPED) as started:
            with lock:
                running += 1
                peak = max(peak, running)
            if first:
                together.wait()
                one.record_response(started, 0.0, throttled=True)
            time.sleep(0.05)
            with lock:
                running -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(request, [True] * 4))
        assert peak == 4
        peak = 0
        list(pool.map(request, [False] * 8))
        assert peak == 2
        one._calm = 0.0
        peak = 0
        list(pool.map(request, [False] * 8))
        assert peak == 4


def test_a_request_is_not_repeated_after_too_many_refusals_in_a_row() -> None:
    """MAX_REFUSALS refusals one after the other are enough; another response in between resets the count."""
    one = Throttle()

    def refused() -> bool:
        with one.slot(FOREVER, NOT_STOPPED) as started:
            return one.record_response(started, 0.0, throttled=True)

    assert [refused() for _ in range(MAX_REFUSALS - 1)] == [True] * (MAX_REFUSALS - 1)
    with one.slot(FOREVER, NOT_STOPPED) as started:
        assert not one.record_response(started, 1.0, throttled=False)
    assert [refused() for _ in range(MAX_REFUSALS)] == [*[True] * (MAX_REFUSALS - 1), False]


def test_refusals_of_simultaneous_requests_count_once() -> None:
    """Ten requests that are refused together count as one refusal, and halve the limit once."""
    one = Throttle()
    with one.slot(FOREVER, NOT_STOPPED) as started:
        assert all(one.record_response(started, 0.1, throttled=True) for _ in range(10))
    assert one._refusals == 1


def test_no_request_waits_beyond_its_deadline_or_a_stop() -> None:
    """The wait then ends, and the caller says why it sends nothing."""
    one = Throttle()
    with one.slot(FOREVER, NOT_STOPPED) as started:
        one.record_response(started, 30.0, throttled=True)
    began = time.monotonic()
    with one.slot(began + 0.2, NOT_STOPPED):
        assert 0.1 < time.monotonic() - began < 2
    stopped = threading.Event()
    stopped.set()
    with one.slot(FOREVER, stopped):
        assert time.monotonic() - began < 4


def test_clients_of_one_server_share_a_throttle() -> None:
    """Servers are told apart by their addresses; a throttle that no client uses is dropped."""
    one = throttle_of("https://a.example.org")
    assert throttle_of("https://a.example.org") is one
    assert throttle_of("https://b.example.org") is not one
    del one
    assert "https://a.example.org" not in throttle._throttles


def test_no_retry_after_of_an_api_server_is_cut_short() -> None:
    """API Priority and Fairness doubles Retry-After up to 32 seconds."""
    assert MAX_RETRY_AFTER >= 32


@pytest.fixture(autouse=True)
def _short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "STEP_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 1),
        ("86400", MAX_RETRY_AFTER),
        ("9" * 400, 1),
        ("-1", 1),
        ("1.5", 1),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1),
        ("٣", 1),
        ("soon", 1),
        ("", 1),
        (None, 1),
    ],
)
def test_a_pause_is_what_was_asked_for_within_reason(said: str | None, seconds: float) -> None:
    """Whole seconds up to a limit; a second where the header says nothing of use."""
    assert retry_after_seconds(said) == seconds
