"""What is gathered into one, and what is done at once."""

import threading

import pytest

from tasks.watch.debounce import Debouncer
from tasks.watch.timings import WatchTimings


@pytest.fixture
def waiting() -> Debouncer:
    return Debouncer(WatchTimings(debounce_window=0.2))


def test_the_first_comes_alone_and_what_follows_as_one(waiting: Debouncer) -> None:
    """A thousand renewals are two batches, and each name is in one of them, once."""
    names = [f"web-{number}-tls" for number in range(1000)]
    waiting.add(*names, *names[1:])
    waiting.close()
    assert list(waiting.batches()) == [frozenset(names[:1]), frozenset(names[1:])]


def test_after_a_quiet_second_the_next_comes_at_once(waiting: Debouncer) -> None:
    """It does not wait for more to come, as one in a stream does."""
    batches = waiting.batches()
    waiting.add("web-a-tls")
    assert next(batches) == {"web-a-tls"}
    threading.Timer(0.5, waiting.add, ["web-b-tls", "web-c-tls"]).start()
    assert next(batches) == {"web-b-tls"}
    assert next(batches) == {"web-c-tls"}


def test_a_name_that_comes_while_it_is_dealt_with_comes_again(waiting: Debouncer) -> None:
    """A second renewal of one certificate, just behind the first, is not lost."""
    batches = waiting.batches()
    waiting.add("web-tls")
    assert next(batches) == {"web-tls"}
    waiting.add("web-tls")
    assert next(batches) == {"web-tls"}


def test_nothing_is_lost_at_the_end(waiting: Debouncer) -> None:
    """What came before the end is still handed out."""
    batches = waiting.batches()
    waiting.add("web-a-tls")
    next(batches)
    waiting.add("web-b-tls")
    waiting.close()
    assert list(batches) == [{"web-b-tls"}]
