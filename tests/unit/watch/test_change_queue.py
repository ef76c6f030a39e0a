"""Which names are handed out, to whom, and in which order."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tasks.watch.change_queue import ChangeQueue
from tasks.watch.source_watch import RESYNC
from tests.support.waiting import until

SECONDS = 30.0


@pytest.fixture
def queue() -> ChangeQueue:
    return ChangeQueue()


def taken(queue: ChangeQueue) -> list[str | None]:
    """Handle what waits, until the queue has nothing more to hand out."""
    names = []
    while queue._next() is not None:
        names.append(queue.take())
    return names


def test_names_come_one_by_one_in_their_order_and_each_once(queue: ChangeQueue) -> None:
    """A first name waits for no other, and a name that waits already is not added again."""
    queue.add("web-b-tls", "web-a-tls", "web-b-tls")
    queue.add("web-c-tls", "web-a-tls")
    assert taken(queue) == ["web-b-tls", "web-a-tls", "web-c-tls"]


def test_a_name_that_is_handled_comes_again_afterwards(queue: ChangeQueue) -> None:
    """It is never handled by two threads at a time; other names do not wait for it."""
    queue.add("web-tls")
    assert queue.take() == "web-tls"
    queue.add("web-tls", "api-tls", "web-tls")
    assert taken(queue) == ["api-tls"]
    queue.done("web-tls")
    assert taken(queue) == ["web-tls"]


def test_everything_comes_first_and_alone(queue: ChangeQueue) -> None:
    """RESYNC waits for what is handled, includes what waits, and nothing is handled beside it."""
    queue.add("web-a-tls", "web-b-tls")
    assert queue.take() == "web-a-tls"
    queue.add(RESYNC)
    assert taken(queue) == []
    queue.done("web-a-tls")
    assert queue.take() == RESYNC
    queue.add("web-c-tls")
    assert taken(queue) == []
    queue.done(RESYNC)
    assert taken(queue) == ["web-c-tls"]


def test_a_thread_waits_for_a_name_and_for_the_end(queue: ChangeQueue) -> None:
    """It gets a name that is added later; once the queue is closed it gets none, though one waits."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.take)
        queue.add("web-tls")
        assert waiting.result(SECONDS) == "web-tls"
        waiting = pool.submit(queue.take)
        threading.Timer(0.05, queue.close).start()
        assert waiting.result(SECONDS) is None
    queue.add("web-tls")
    assert queue.take() is None


def takers(queue: ChangeQueue, pool: ThreadPoolExecutor, number: int) -> list[Future[str | None]]:
    """Threads that wait for a name."""
    futures = [pool.submit(queue.take) for _ in range(number)]
    until_waiting(queue, number)
    return futures


def until_waiting(queue: ChangeQueue, number: int) -> None:
    """Until so many threads wait, also after they were woken in vain."""
    until("all wait", lambda: len(queue._changed._waiters) == number)  # type: ignore[attr-defined]


def test_names_that_come_at_once_are_handled_side_by_side(queue: ChangeQueue) -> None:
    """Each wakes a thread of its own."""
    with ThreadPoolExecutor(2) as pool:
        found = takers(queue, pool, 2)
        queue.add("web-a-tls", "web-b-tls")
        assert sorted(str(one.result(SECONDS)) for one in found) == ["web-a-tls", "web-b-tls"]


def test_names_that_come_during_a_sync_of_all_are_handled_side_by_side(queue: ChangeQueue) -> None:
    """Its end wakes every thread."""
    queue.add(RESYNC)
    assert queue.take() == RESYNC
    with ThreadPoolExecutor(2) as pool:
        found = takers(queue, pool, 2)
        queue.add("web-a-tls", "web-b-tls")
        until_waiting(queue, 2)
        queue.done(RESYNC)
        assert sorted(str(one.result(SECONDS)) for one in found) == ["web-a-tls", "web-b-tls"]


@pytest.mark.parametrize("name", ["web-tls", RESYNC], ids=["the same name", "a sync of all"])
def test_a_thread_that_waits_for_the_end_of_a_name_is_woken(queue: ChangeQueue, name: str) -> None:
    """The thread that has handled it may be busy with its report."""
    queue.add("web-tls")
    assert queue.take() == "web-tls"
    with ThreadPoolExecutor(1) as pool:
        (found,) = takers(queue, pool, 1)
        queue.add(name)
        until_waiting(queue, 1)
        queue.done("web-tls")
        assert found.result(SECONDS) == name


def test_no_name_is_lost_or_handled_twice_at_once(queue: ChangeQueue) -> None:
    """Eight threads that take thousands of events handle the last one of each name."""
    under_way, handled, lock = set[str](), dict[str, int](), threading.Lock()
    latest = dict[str, int]()

    def work() -> None:
        while (name := queue.take()) is not None:
            with lock:
                assert name not in under_way
                under_way.add(name)
                number = latest[name]
            with lock:
                under_way.remove(name)
                handled[name] = number
            queue.done(name)

    with ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(work) for _ in range(8)]
        for number in range(5000):
            name = f"web-{number % 7}-tls"
            with lock:
                latest[name] = number
            queue.add(name)
        while True:
            with queue._changed:
                if not queue._waiting and not queue._handled:
                    break
        queue.close()
        for worker in workers:
            worker.result(SECONDS)
    assert handled == latest
