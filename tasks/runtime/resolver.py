"""Looks up names and connects within a deadline, so that a name server that hangs delays its own names only.

The system's lookup blocks in C and can't be cancelled. So a thread does it. Callers wait for it until their
deadline, or until the run is stopped, and then abandon it; as a daemon it keeps no process from exiting.
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

LOOKUP_SECONDS = 30.0
"""Maximum seconds for one name. If the first of two name servers is down, the system's lookup takes five
seconds for each domain of its search list."""
MAX_LOOKUPS = 512
"""Maximum number of lookups at a time. Each that hangs occupies a thread."""
MAX_LOOKUPS_PER_NAME = 4
"""Maximum number of lookups of one name and port at a time. One that has hung for LOOKUP_SECONDS is not
joined, because the next one may be answered."""
STEP_SECONDS = 0.1
"""Maximum seconds before a stop is noticed."""

HostPort = tuple[str, int]
Addresses = Sequence[tuple[Any, ...]]
"""The result of socket.getaddrinfo."""
SocketOptions = Iterable[tuple[int, int, int | bytes]]


class LookupTimeout(TimeoutError):
    """No name server answered in time."""


class Stopped(OSError):
    """The run was stopped before the name was resolved."""


class _Lookup:
    def __init__(self, place: HostPort) -> None:
        self._place, self._started = place, time.monotonic()
        self.done = threading.Event()
        self.found: Addresses = ()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, name="lookup", daemon=True)

    def _run(self) -> None:
        try:
            self.found = _resolve(self._place)
        except Exception as error:  # noqa: BLE001  raised again in the threads that wait
            self.error = error
        with _lock:
            _running[self._place].remove(self)
            if not _running[self._place]:
                del _running[self._place]
            _free.release()
        self.done.set()

    @property
    def hangs(self) -> bool:
        return time.monotonic() - self._started >= LOOKUP_SECONDS

    def result(self) -> Addresses:
        if self.error:  # a new exception for each thread that waits
            raise type(self.error)(*self.error.args) from None
        return self.found


_running: dict[HostPort, list[_Lookup]] = {}
"""The lookups of each name and port, oldest first."""
_lock = threading.Lock()
_free = threading.BoundedSemaphore(MAX_LOOKUPS)


def _reset() -> None:
    """Forget all lookups in a forked process, which has none of the threads."""
    global _lock, _free  # one of the threads may have held the lock
    _lock, _free = threading.Lock(), threading.BoundedSemaphore(MAX_LOOKUPS)
    _running.clear()


os.register_at_fork(after_in_child=_reset)


def lookup(place: HostPort, deadline: float, stopped: threading.Event | None = None) -> Addresses:
    """Return the addresses of a host. Raises LookupTimeout, Stopped, or what socket.getaddrinfo raises.

    `deadline` is a time.monotonic() value. Threads that look up the same name share one lookup if it does not
    hang.
    """
    if _is_address(place[0]):
        return _resolve(place)
    until = min(deadline, time.monotonic() + LOOKUP_SECONDS)
    one = _find(place)
    if one is None:
        _wait(_free.acquire, until, stopped)
        one = _find_or_start(place)
    _wait(one.done.wait, until, stopped)
    return one.result()


def connect(
    place: HostPort,
    deadline: float,
    *,
    per_address: float = LOOKUP_SECONDS,
    stopped: threading.Event | None = None,
    options: SocketOptions = (),
) -> socket.socket:
    """Connect to the first address that accepts. Raises what `lookup` raises, or OSError.

    Each address gets an equal share of the time that is left, and at most `per_address` seconds.
    """
    found = lookup(place, deadline, stopped)
    last_error: OSError = TimeoutError()
    for tried, address in enumerate(found):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            return _connect(address, min(per_address, left / (len(found) - tried)), options)
        except OSError as error:
            last_error = error
    raise last_error


def _connect(address: tuple[Any, ...], seconds: float, options: SocketOptions) -> socket.socket:
    family, kind, protocol, _, where = address
    connection = socket.socket(family, kind, protocol)
    try:
        for option in options:
            connection.setsockopt(*option)
        connection.settimeout(seconds)
        connection.connect(where)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _resolve(place: HostPort) -> Addresses:
    host, port = place[0].strip("[]"), place[1]
    return socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)


def _find(place: HostPort) -> _Lookup | None:
    """Return a lookup to wait for, or None if a new one is needed."""
    with _lock:
        return _joinable(place)


def _joinable(place: HostPort) -> _Lookup | None:
    found = _running.get(place, [])
    return found[-1] if found and (not found[-1].hangs or len(found) >= MAX_LOOKUPS_PER_NAME) else None


def _find_or_start(place: HostPort) -> _Lookup:
    """Start a lookup, for which `_free` has been acquired, unless another thread has started one."""
    with _lock:
        one = _joinable(place)
        if one is None:
            one = _Lookup(place)
            try:
                one.thread.start()
            except RuntimeError:
                _free.release()
                raise OSError(errno.EAGAIN, "no thread is left for a lookup") from None
            _running.setdefault(place, []).append(one)
        else:
            _free.release()
        return one


def _wait(wait_for: Callable[..., bool], until: float, stopped: threading.Event | None) -> None:
    while not wait_for(timeout=min(STEP_SECONDS, max(0.0, until - time.monotonic()))):
        if stopped and stopped.is_set():
            raise Stopped
        if time.monotonic() >= until:
            raise LookupTimeout
