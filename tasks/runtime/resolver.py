"""Looks up names, and connects, within a deadline: a name server that hangs costs its own name's time alone.

The system's lookup blocks in C and can't be called off. So a thread does it, which is waited for until the
deadline, or until the run is told to stop, and then left behind: as a daemon it keeps no process from ending.
"""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from urllib3.util.connection import allowed_gai_family

SECONDS = 30.0
"""The most for one name. Where the first of two name servers is dead, the system takes five per domain of its
search list."""
MOST = 512
"""Lookups at a time: as many as hang take a thread each."""
MOST_OF_ONE = 4
"""Lookups of one place at a time. One that has hung for SECONDS is not joined: the next may be answered."""
STEP_SECONDS = 0.1
"""In which a stop is heard."""

Place = tuple[str, int]
"""A host and a port."""
Found = Sequence[tuple[Any, ...]]
"""As socket.getaddrinfo returns it."""


class LookupTimeout(TimeoutError):
    """No name server has answered in time."""


class Stopped(OSError):
    """The run was told to stop before the name was known."""


class _Lookup:
    def __init__(self, place: Place) -> None:
        self._place, self._begun = place, time.monotonic()
        self.done = threading.Event()
        self.found: Found = ()
        self.trouble: Exception | None = None
        self.thread = threading.Thread(target=self._run, name="lookup", daemon=True)

    def _run(self) -> None:
        try:
            self.found = _ask(self._place)
        except Exception as error:  # noqa: BLE001  raised again where it is waited for
            self.trouble = error
        with _lock:
            _under_way[self._place].remove(self)
            if not _under_way[self._place]:
                del _under_way[self._place]
            _room.release()
        self.done.set()

    @property
    def hangs(self) -> bool:
        return time.monotonic() - self._begun >= SECONDS

    def answer(self) -> Found:
        if self.trouble:  # of each who waits, an error of its own
            raise type(self.trouble)(*self.trouble.args) from None
        return self.found


_under_way: dict[Place, list[_Lookup]] = {}
"""Of each place, in the order in which they began."""
_lock = threading.Lock()
_room = threading.BoundedSemaphore(MOST)


def _forget() -> None:
    """In a process that was forked: the threads are its parent's."""
    global _lock, _room  # one of those could hold the lock
    _lock, _room = threading.Lock(), threading.BoundedSemaphore(MOST)
    _under_way.clear()


os.register_at_fork(after_in_child=_forget)


def lookup(place: Place, deadline: float, stopped: threading.Event | None = None) -> Found:
    """The addresses of a place. Raises LookupTimeout, Stopped, or what socket.getaddrinfo raises.

    `deadline` is a moment of time.monotonic(). A lookup of the same name that is under way is joined, unless
    it hangs.
    """
    if _is_address(place[0]):
        return _ask(place)
    until = min(deadline, time.monotonic() + SECONDS)
    one = _joined(place)
    if one is None:
        _wait(_room.acquire, until, stopped)
        one = _begun(place)
    _wait(one.done.wait, until, stopped)
    return one.answer()


def connect(
    place: Place,
    deadline: float,
    *,
    each: float = SECONDS,
    stopped: threading.Event | None = None,
    options: Iterable[tuple[int, int, int | bytes]] = (),
) -> socket.socket:
    """To the first of its addresses that takes a connection; raises what `lookup` does, or OSError.

    Each address has its share of the time that is left, and at most `each` seconds.
    """
    found = lookup(place, deadline, stopped)
    trouble: OSError = TimeoutError()
    for tried, address in enumerate(found):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            return _connected(address, min(each, left / (len(found) - tried)), options)
        except OSError as error:
            trouble = error
    raise trouble


def _connected(
    address: tuple[Any, ...], seconds: float, options: Iterable[tuple[int, int, int | bytes]]
) -> socket.socket:
    family, kind, protocol, _, where = address
    made = socket.socket(family, kind, protocol)
    try:
        for option in options:
            made.setsockopt(*option)
        made.settimeout(seconds)
        made.connect(where)
    except BaseException:
        made.close()
        raise
    return made


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _ask(place: Place) -> Found:
    host, port = place[0].strip("[]"), place[1]
    return socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)


def _joined(place: Place) -> _Lookup | None:
    with _lock:
        return _last(place)


def _last(place: Place) -> _Lookup | None:
    """The one to be joined; None where another one is to begin."""
    found = _under_way.get(place, [])
    return found[-1] if found and (not found[-1].hangs or len(found) >= MOST_OF_ONE) else None


def _begun(place: Place) -> _Lookup:
    """For who has a place in the room; the one that somebody else has begun meanwhile, if there is one."""
    with _lock:
        one = _last(place)
        if one is None:
            one = _Lookup(place)
            try:
                one.thread.start()
            except RuntimeError:
                _room.release()
                raise OSError(errno.EAGAIN, "no thread is left for a lookup") from None
            _under_way.setdefault(place, []).append(one)
        else:
            _room.release()
        return one


def _wait(has_come: Callable[..., bool], until: float, stopped: threading.Event | None) -> None:
    while not has_come(timeout=min(STEP_SECONDS, max(0.0, until - time.monotonic()))):
        if stopped and stopped.is_set():
            raise Stopped
        if time.monotonic() >= until:
            raise LookupTimeout
