"""Threads that reach a point at about the same time meet there, and wait for nobody for long."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tasks.runtime.gathering import Gathering
from tests.support.waiting import until

LONG, TO_COME = 60.0, ["a", "b", "c"]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(len(TO_COME)) as threads:
        yield threads


def join(gathering: Gathering, name: str, seconds: float = LONG) -> list[str]:
    members: list[str] = gathering.join(name, name, list, seconds)
    return members


def test_who_is_expected_is_waited_for(pool: ThreadPoolExecutor) -> None:
    """All that come while one is expected get the same object, made once of all of them."""
    gathering = Gathering()
    with ExitStack() as stack:
        for name in TO_COME:
            stack.enter_context(gathering.expecting(name))
        found = list(pool.map(lambda name: join(gathering, name), TO_COME))
    assert sorted(found[0]) == TO_COME
    assert all(one is found[0] for one in found)


def test_who_does_not_come_any_more_is_not_waited_for(pool: ThreadPoolExecutor) -> None:
    """A cluster that failed, or has nothing to write, ends the wait."""
    gathering = Gathering()
    with gathering.expecting("a"):
        with gathering.expecting("b"):
            one: Future[list[str]] = pool.submit(join, gathering, "a")
        assert one.result(LONG) == ["a"]


def test_who_does_not_come_in_time_is_in_the_next_group() -> None:
    """The wait for a cluster that hangs is bounded, and whoever comes later waits for nobody's end."""
    gathering = Gathering()
    with gathering.expecting("late"):
        assert join(gathering, "a", 0.0) == ["a"]
        assert join(gathering, "late") == ["late"]


def test_who_is_expected_only_later_is_not_waited_for(pool: ThreadPoolExecutor) -> None:
    """Where clusters begin one after the other, each group has an end: it takes them if they come in time."""
    gathering = Gathering()
    with gathering.expecting("b"):
        one: Future[list[str]] = pool.submit(join, gathering, "a")
        until("a group is open", lambda: gathering._open)
        with gathering.expecting("c"):
            gathering.drop("b")
            assert one.result(LONG) == ["a"]


def test_nobody_waits_where_nobody_is_expected() -> None:
    """One cluster alone goes on at once."""
    assert join(Gathering(), "a") == ["a"]
