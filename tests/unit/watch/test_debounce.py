"""Which names come at once, and which come together."""

import threading
import time

import pytest

from tasks.watch.debounce import Debouncer
from tasks.watch.timings import WatchTimings


@pytest.fixture
def debouncer() -> Debouncer:
    return Debouncer(WatchTimings(debounce_window=0.2))


def test_the_first_name_comes_alone_and_the_rest_together(debouncer: Debouncer) -> None:
    """A thousand renewals are two batches, and each name is once in one of them."""
    names = [f"web-{number}-tls" for number in range(1000)]
    debouncer.add(*names, *names[1:])
    debouncer.close()
    assert list(debouncer.batches()) == [frozenset(names[:1]), frozenset(names[1:])]


def test_after_a_quiet_window_the_next_name_comes_at_once(debouncer: Debouncer) -> None:
    """A name that follows a quiet window is not delayed to be grouped with later ones."""
    batches = debouncer.batches()
    debouncer.add("web-a-tls")
    assert next(batches) == {"web-a-tls"}
    threading.Timer(0.5, debouncer.add, ["web-b-tls", "web-c-tls"]).start()
    assert next(batches) == {"web-b-tls"}
    assert next(batches) == {"web-c-tls"}


def test_a_stream_slower_than_the_window_never_waits() -> None:
    """Each name comes alone: the window begins with the batch before, not with the name."""
    debouncer = Debouncer(WatchTimings(debounce_window=0.1))
    batches = debouncer.batches()
    for number in range(5):
        name = f"web-{number}-tls"
        debouncer.add(name)
        assert next(batches) == {name}
        time.sleep(0.15)


def test_the_names_of_a_window_come_together_at_its_end() -> None:
    """A name in the middle of the window does not begin another one."""
    debouncer = Debouncer(WatchTimings(debounce_window=2.0))
    batches = debouncer.batches()
    debouncer.add("web-a-tls")
    assert next(batches) == {"web-a-tls"}
    began = threading.Timer(1.5, debouncer.add, ["web-b-tls"])
    late = threading.Timer(2.5, debouncer.add, ["web-c-tls"])
    began.start()
    late.start()
    assert next(batches) == {"web-b-tls"}
    late.cancel()


def test_a_name_that_is_added_while_its_batch_is_handled_comes_again(debouncer: Debouncer) -> None:
    """A second renewal of one certificate right after the first one is not lost."""
    batches = debouncer.batches()
    debouncer.add("web-tls")
    assert next(batches) == {"web-tls"}
    debouncer.add("web-tls")
    assert next(batches) == {"web-tls"}


def test_names_added_before_the_end_are_returned(debouncer: Debouncer) -> None:
    """Closing the queue drops no name that was added before."""
    batches = debouncer.batches()
    debouncer.add("web-a-tls")
    next(batches)
    debouncer.add("web-b-tls")
    debouncer.close()
    assert list(batches) == [{"web-b-tls"}]
