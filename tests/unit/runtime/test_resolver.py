"""A name server that hangs costs its own name's time, and no more."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.runtime import resolver
from tasks.runtime.resolver import LookupTimeout, Stopped, connect, lookup
from tests.support.name_server import ADDRESS, NAME, NameServer, hanging
from tests.support.scripts import printed

PATIENT = 60.0


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with hanging(monkeypatch) as server:
        yield server


def soon() -> float:
    return time.monotonic() + 0.2


def later() -> float:
    return time.monotonic() + PATIENT


def test_a_lookup_that_hangs_ends_with_the_time(name_server: NameServer) -> None:
    """Who asks goes on when the time is up, whatever the name server does."""
    with pytest.raises(LookupTimeout):
        lookup((NAME, 443), soon())
    assert not name_server.go.is_set()


def test_a_stop_ends_the_wait_for_a_name(name_server: NameServer) -> None:
    """Who asks is not held by a name server while the run is told to stop."""
    stopped = threading.Event()
    threading.Timer(0.2, stopped.set).start()
    with pytest.raises(Stopped):
        lookup((NAME, 443), later(), stopped)
    assert not name_server.go.is_set()


def test_a_lookup_under_way_is_joined(name_server: NameServer) -> None:
    """However often and from how many threads a name is asked for that hangs, one thread waits for it."""
    for _ in range(3):
        with pytest.raises(LookupTimeout):
            lookup((NAME, 443), soon())
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(lookup((NAME, 443), later()))) for _ in range(5)]
    for thread in threads:
        thread.start()
    with pytest.raises(LookupTimeout):
        lookup(("another.example.org", 443), soon())
    name_server.go.set()
    for thread in threads:
        thread.join()
    assert found == [ADDRESS] * 5
    assert sorted(name_server.asked) == ["another.example.org", NAME]


def test_a_lookup_that_hangs_for_ever_is_not_joined_for_ever(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the name server is back, the next lookup is answered; of one name a few hang at most."""
    monkeypatch.setattr(resolver, "SECONDS", 0.2)
    for _ in range(2 * resolver.MOST_OF_ONE):
        with pytest.raises(LookupTimeout):
            lookup((NAME, 443), later())
    assert name_server.asked == [NAME] * resolver.MOST_OF_ONE
    monkeypatch.setattr(resolver, "MOST_OF_ONE", resolver.MOST_OF_ONE + 1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ADDRESS)
    assert lookup((NAME, 443), later()) == ADDRESS


def test_a_name_is_looked_up_anew_for_each_connection(name_server: NameServer) -> None:
    """An answer is not kept: a name may lead elsewhere by now."""
    name_server.go.set()
    for count in (1, 2):
        assert lookup((NAME, 443), later()) == ADDRESS
        assert len(name_server.asked) == count


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("too long")])
def test_what_a_name_server_says_is_heard(name_server: NameServer, error: Exception) -> None:
    """The lookup's error reaches each who waits for it."""

    def fail() -> None:
        raise error

    name_server.answer = fail
    name_server.go.set()
    with pytest.raises(type(error)) as raised:
        lookup((NAME, 443), later())
    assert raised.value.args == error.args


def test_no_more_lookups_hang_than_there_is_room_for(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a thousand names on a name server that hangs, threads have an end; with room again, they go on."""
    monkeypatch.setattr(resolver, "_room", threading.BoundedSemaphore(2))
    for number in range(5):
        with pytest.raises(LookupTimeout):
            lookup((f"n{number}.example.org", 443), soon())
    assert len(name_server.asked) == 2
    name_server.go.set()
    assert lookup(("n9.example.org", 443), later()) == ADDRESS


def test_without_a_thread_for_it_a_lookup_fails_and_leaves_nothing(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started the lookup fails, and a later one is made as ever."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(resolver, "_room", threading.BoundedSemaphore(1))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(BlockingIOError, match="no thread"):
            lookup((NAME, 443), later())
    name_server.go.set()
    assert lookup((NAME, 443), later()) == ADDRESS


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "[::1]"])
def test_an_address_needs_no_thread(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """An address is not looked up."""
    monkeypatch.setattr(threading, "Thread", None)
    assert lookup((address, 443), later())[0][4][:2] == (address.strip("[]"), 443)


def test_a_forked_process_waits_for_no_thread_of_its_parent(name_server: NameServer) -> None:
    """A lookup that is under way where a process is forked never ends in the child: there it begins anew."""
    with pytest.raises(LookupTimeout):
        lookup((NAME, 443), soon())
    child = os.fork()
    if not child:
        name_server.go = threading.Event()
        name_server.go.set()
        os._exit(0 if lookup((NAME, 443), later()) == ADDRESS else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_first_address_that_takes_a_connection_is_taken(name_server: NameServer) -> None:
    """Each of a name's addresses has its share of the time, and none more than `each` seconds."""
    name_server.go.set()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as closed:
        alive, dead = server.getsockname(), closed.getsockname()
        closed.close()
        name_server.answer = lambda: [(*ADDRESS[0][:4], dead), (*ADDRESS[0][:4], alive)]
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        with connect((NAME, 443), later(), each=30, options=options) as made:
            assert made.getpeername() == alive
            assert 0 < (made.gettimeout() or 0) <= 30
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        name_server.answer = lambda: [(*ADDRESS[0][:4], dead)]
        with pytest.raises(ConnectionRefusedError):
            connect((NAME, 443), later())


def test_a_process_ends_though_a_lookup_hangs() -> None:
    """The thread that waits for the name server holds up nobody at the end."""
    script = (
        "import socket, time; from tasks.runtime.resolver import lookup, LookupTimeout\n"
        "socket.getaddrinfo = lambda *_, **__: time.sleep(1000)\n"
        "try: lookup(('api.example.org', 443), time.monotonic() + 0.2)\n"
        "except LookupTimeout: print('late')"
    )
    assert printed(script) == "late"
