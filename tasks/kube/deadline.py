"""Ends connections at a deadline: during the lookup of a name, and while a server drips.

A server that sends a byte now and then outlasts every read timeout.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from tasks.runtime import resolver


class ConnectionDeadline:
    """The deadline of all connections that a pool opens from now on."""

    def __init__(self, pool: PoolManager, deadline: float, stopped: threading.Event | None = None) -> None:
        """`deadline` is a time.monotonic() value. Once `stopped` is set, no name lookup is waited for."""
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()
        self._deadline, self._stopped = deadline, stopped
        pool.pool_classes_by_scheme = self._pool_classes()
        _timer.schedule(self, deadline)

    def set(self, deadline: float) -> None:
        """Replace the deadline."""
        self._deadline = deadline
        _timer.schedule(self, deadline)

    def cancel(self) -> None:
        _timer.cancel(self)

    def abort(self) -> None:
        """Shut down the connections now."""
        with self._lock:
            for one in self._sockets:
                _cut(one)

    def _add(self, one: socket.socket) -> None:
        with self._lock:
            self._sockets.add(one)

    def _connect(self, connection: HTTPConnection) -> socket.socket:
        """Connect as urllib3 does and raise its errors, but within the deadline."""
        host = connection._dns_host  # noqa: SLF001  `host` lacks a trailing dot
        timeout = connection.timeout
        per_address = timeout if isinstance(timeout, int | float) else resolver.LOOKUP_SECONDS
        try:
            return resolver.connect(
                (host, connection.port or 0),
                self._deadline,
                per_address=per_address,
                stopped=self._stopped,
                options=connection.socket_options or (),
            )
        except socket.gaierror as error:
            raise NameResolutionError(host, connection, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(connection, "no connection") from error

    def _pool_classes(self) -> dict[str, type[HTTPConnectionPool]]:
        connect, add = self._connect, self._add

        class Plain(HTTPConnection):
            duplicate: socket.socket | None = None
            held: bytearray | None = None

            @contextmanager
            def sending_at_once(self) -> Iterator[None]:
                """Inside the block, hold back what is sent, and send it together at its end."""
                held = self.held = bytearray()
                try:
                    yield
                finally:
                    self.held = None
                super().send(held)

            def send(self, data: Any) -> None:
                if self.held is None:
                    super().send(data)
                else:
                    self.held += data

            def connect(self) -> None:
                """Add the socket itself: a response may outlive its connection, but not its socket."""
                try:
                    super().connect()
                    add(self.sock)
                finally:
                    if self.duplicate:
                        self.duplicate.close()

            def _new_conn(self) -> socket.socket:
                """Add a duplicate for the TLS handshake, which can drip, too, and detaches the original."""
                connection = connect(self)
                self.duplicate = connection.dup()
                add(self.duplicate)
                return connection

        class Encrypted(Plain, HTTPSConnection):
            pass

        class PlainPool(HTTPConnectionPool):
            ConnectionCls: Any = Plain

        class Pool(HTTPSConnectionPool):
            ConnectionCls: Any = Encrypted

        return {"http": PlainPool, "https": Pool}


def _cut(one: socket.socket) -> None:
    """Shut down the TCP connection. SSLSocket's own method would take TLS from a thread that reads."""
    with suppress(OSError):  # it is closed
        socket.socket.shutdown(one, socket.SHUT_RDWR)


class _Timer:
    """Aborts connections at their deadlines, in one thread: a run has two of them per cluster."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[ConnectionDeadline, float] = {}
        self._thread: threading.Thread | None = None

    def schedule(self, one: ConnectionDeadline, deadline: float) -> None:
        with self._changed:
            self._due[one] = deadline
            if self._thread is None or not self._thread.is_alive():  # a forked process has no threads
                self._thread = threading.Thread(target=self._run, name="connection-deadlines", daemon=True)
                self._thread.start()
            self._changed.notify()

    def cancel(self, one: ConnectionDeadline) -> None:
        with self._changed:
            self._due.pop(one, None)

    def _run(self) -> None:
        while True:
            for one in self._pop_overdue():
                one.abort()

    def _pop_overdue(self) -> list[ConnectionDeadline]:
        """Remove and return what is overdue. If nothing is, wait for the first deadline or a change."""
        with self._changed:
            now = time.monotonic()
            overdue = [one for one, deadline in self._due.items() if deadline <= now]
            for one in overdue:
                del self._due[one]
            if not overdue:
                first = min(self._due.values(), default=None)
                self._changed.wait(None if first is None else first - now)
            return overdue


_timer = _Timer()
