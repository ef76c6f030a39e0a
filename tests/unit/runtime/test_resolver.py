"""A name server that hangs delays the lookups of its own names only."""

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

TIMEOUT = 60.0


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with hanging(monkeypatch) as server:
        yield server


def soon() -> float:
    return time.monotonic() + 0.2


def later() -> float:
    return time.monotonic() + TIMEOUT


def test_a_lookup_that_hangs_is_abandoned_at_the_deadline(name_server: NameServer) -> None:
    """The caller continues, whatever the name server does."""
    with pytest.raises(LookupTimeout):
        lookup((NAME, 443), soon())
    assert not name_server.go.is_set()


def test_a_stop_ends_the_wait_for_a_lookup(name_server: NameServer) -> None:
    """A caller does not wait for a name server once the run is stopped."""
    stopped = threading.Event()
    threading.Timer(0.2, stopped.set).start()
    with pytest.raises(Stopped):
        lookup((NAME, 443), later(), stopped)
    assert not name_server.go.is_set()


def test_a_running_lookup_is_shared(name_server: NameServer) -> None:
    """Any number of callers and threads that look up the same name share one thread."""
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


def test_a_lookup_that_hangs_is_not_shared_for_ever(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new lookup succeeds once the name server is back; only a few lookups of one name hang at a time."""
    monkeypatch.setattr(resolver, "LOOKUP_SECONDS", 0.2)
    for _ in range(2 * resolver.MAX_LOOKUPS_PER_NAME):
        with pytest.raises(LookupTimeout):
            lookup((NAME, 443), later())
    assert name_server.asked == [NAME] * resolver.MAX_LOOKUPS_PER_NAME
    monkeypatch.setattr(resolver, "MAX_LOOKUPS_PER_NAME", resolver.MAX_LOOKUPS_PER_NAME + 1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ADDRESS)
    assert lookup((NAME, 443), later()) == ADDRESS


def test_a_name_is_looked_up_again_for_each_connection(name_server: NameServer) -> None:
    """A result is not cached, because the addresses of a name may change."""
    name_server.go.set()
    for count in (1, 2):
        assert lookup((NAME, 443), later()) == ADDRESS
        assert len(name_server.asked) == count


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("too long")])
def test_the_error_of_a_lookup_is_raised(name_server: NameServer, error: Exception) -> None:
    """It is raised in each thread that waits."""

    def fail() -> None:
        raise error

    name_server.answer = fail
    name_server.go.set()
    with pytest.raises(type(error)) as raised:
        lookup((NAME, 443), later())
    assert raised.value.args == error.args


def test_the_number_of_lookups_is_limited(name_server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lookups beyond the limit wait, and run once others have ended."""
    monkeypatch.setattr(resolver, "_free", threading.BoundedSemaphore(2))
    for number in range(5):
        with pytest.raises(LookupTimeout):
            lookup((f"n{number}.example.org", 443), soon())
    assert len(name_server.asked) == 2
    name_server.go.set()
    assert lookup(("n9.example.org", 443), later()) == ADDRESS


def test_a_lookup_without_a_thread_fails_and_leaves_nothing(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no thread can be started, the lookup fails, and a later one works."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(resolver, "_free", threading.BoundedSemaphore(1))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(BlockingIOError, match="no thread"):
            lookup((NAME, 443), later())
    name_server.go.set()
    assert lookup((NAME, 443), later()) == ADDRESS


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "[::1]"])
def test_an_address_needs_no_thread(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """An IP address is not looked up."""
    monkeypatch.setattr(threading, "Thread", None)
    assert lookup((address, 443), later())[0][4][:2] == (address.strip("[]"), 443)


def test_a_forked_process_waits_for_no_thread_of_its_parent(name_server: NameServer) -> None:
    """A lookup that runs during a fork has no thread in the child, which starts a new one."""
    with pytest.raises(LookupTimeout):
        lookup((NAME, 443), soon())
    child = os.fork()
    if not child:
        name_server.go = threading.Event()
        name_server.go.set()
        os._exit(0 if lookup((NAME, 443), later()) == ADDRESS else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_first_address_that_accepts_is_used(name_server: NameServer) -> None:
    """Each address has an equal share of the time, and at most `per_address` seconds."""
    name_server.go.set()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as closed:
        alive, dead = server.getsockname(), closed.getsockname()
        closed.close()
        name_server.answer = lambda: [(*ADDRESS[0][:4], dead), (*ADDRESS[0][:4], alive)]
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        with connect((NAME, 443), later(), per_address=30, options=options) as connection:
            assert connection.getpeername() == alive
            assert 0 < (connection.gettimeout() or 0) <= 30
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        name_server.answer = lambda: [(*ADDRESS[0][:4], dead)]
        with pytest.raises(ConnectionRefusedError):
            connect((NAME, 443), later())


def test_a_process_exits_while_a_lookup_hangs() -> None:
    """The thread of the lookup does not delay the exit."""
    script = (
        "import socket, time; from tasks.runtime.resolver import lookup, LookupTimeout\n"
        "socket.getaddrinfo = lambda *_, **__: time.sleep(1000)\n"
        "try: lookup(('api.example.org', 443), time.monotonic() + 0.2)\n"
        "except LookupTimeout: print('late')"
    )
    assert printed(script) == "late"
