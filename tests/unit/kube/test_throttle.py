"""How a server that asks to slow down is heeded: by all threads and clients, and not for ever."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.kube import throttle
from tasks.kube.throttle import LONGEST_PAUSE, REFUSALS, Pace, pace_of

FOREVER = float("inf")
GOES_ON = threading.Event()


def test_a_pause_that_one_request_was_asked_for_holds_for_all() -> None:
    """Whoever comes while the pause lasts waits to its end; who comes after it does not wait."""
    one = Pace()
    with one.turn(FOREVER, GOES_ON) as begun:
        assert one.heard(begun, 0.3, refused=True)
    told = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        began = list(pool.map(lambda _: _go(one), range(3)))
    assert all(moment - told >= 0.29 for moment in began)
    assert _go(one) - time.monotonic() < 0.1


def _go(one: Pace, seconds: float = 0.0) -> float:
    with one.turn(FOREVER, GOES_ON) as begun:
        time.sleep(seconds)
    return begun


def test_half_of_those_under_way_go_on_at_a_time() -> None:
    """Four were under way when one was refused: then two go at a time; after some calm, all again."""
    one, together, most = Pace(), threading.Barrier(4), 0
    lock, under_way = threading.Lock(), 0

    def request(first: bool) -> None:
        nonlocal most, under_way
        with one.turn(FOREVER, GOES_ON) as begun:
            with lock:
                under_way += 1
                most = max(most, under_way)
            if first:
                together.wait()
                one.heard(begun, 0.0, refused=True)
            time.sleep(0.05)
            with lock:
                under_way -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(request, [True] * 4))
        assert most == 4
        most = 0
        list(pool.map(request, [False] * 8))
        assert most == 2
        one._calm = 0.0
        most = 0
        list(pool.map(request, [False] * 8))
        assert most == 4


def test_a_server_that_answers_nothing_is_left_in_peace() -> None:
    """So many refusals in a row, one after the other, are enough; an answer in between begins anew."""
    one = Pace()

    def refused() -> bool:
        with one.turn(FOREVER, GOES_ON) as begun:
            return one.heard(begun, 0.0, refused=True)

    assert [refused() for _ in range(REFUSALS - 1)] == [True] * (REFUSALS - 1)
    with one.turn(FOREVER, GOES_ON) as begun:
        assert not one.heard(begun, 1.0, refused=False)
    assert [refused() for _ in range(REFUSALS)] == [*[True] * (REFUSALS - 1), False]


def test_those_that_were_under_way_say_nothing_new() -> None:
    """Ten requests that are refused together are one refusal, and halve once."""
    one = Pace()
    with one.turn(FOREVER, GOES_ON) as begun:
        assert all(one.heard(begun, 0.1, refused=True) for _ in range(10))
    assert one._refusals == 1


def test_nobody_waits_beyond_the_deadline_nor_when_told_to_stop() -> None:
    """Then the request goes, and what makes requests says why it can't."""
    one = Pace()
    with one.turn(FOREVER, GOES_ON) as begun:
        one.heard(begun, 30.0, refused=True)
    begun = time.monotonic()
    with one.turn(begun + 0.2, GOES_ON):
        assert 0.1 < time.monotonic() - begun < 2
    told = threading.Event()
    told.set()
    with one.turn(FOREVER, told):
        assert time.monotonic() - begun < 4


def test_clients_of_one_server_keep_one_pace() -> None:
    """By its address; another server has another one, and nothing is kept once nobody needs it."""
    one = pace_of("https://a.example.org")
    assert pace_of("https://a.example.org") is one
    assert pace_of("https://b.example.org") is not one
    del one
    assert "https://a.example.org" not in throttle._known


def test_the_longest_pause_is_what_an_api_server_asks_for_at_most() -> None:
    """API Priority and Fairness doubles Retry-After up to 32 seconds: none is cut short."""
    assert LONGEST_PAUSE >= 32


@pytest.fixture(autouse=True)
def _short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "STEP_SECONDS", 0.05)
