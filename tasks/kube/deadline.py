"""Ends connections when time is up: while a name is looked up, and where a server drips.

A server that sends a byte now and then outlasts any read timeout.
"""

import socket
import threading
import time
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from tasks.runtime import resolver


class ConnectionDeadline:
    """Watches all connections that a pool makes from now on."""

    def __init__(self, pool: PoolManager, deadline: float, stopped: threading.Event | None = None) -> None:
        """`deadline` is a moment of time.monotonic(); with `stopped`, no name is waited for any more."""
        self._handles: WeakSet[_Handle] = WeakSet()
        self._lock = threading.Lock()
        self._deadline, self._stopped = deadline, stopped
        pool.pool_classes_by_scheme = self._pool_classes()
        _keeper.wake(self, deadline)

    def wait_until(self, deadline: float) -> None:
        """From now on, time is up at this moment."""
        self._deadline = deadline
        _keeper.wake(self, deadline)

    def stop(self) -> None:
        _keeper.forget(self)

    def abort(self) -> None:
        """Cut them now."""
        with self._lock:
            for handle in self._handles:
                handle.cut()

    def _watch(self, handle: "_Handle") -> None:
        with self._lock:
            self._handles.add(handle)

    def _connected(self, connection: HTTPConnection) -> socket.socket:
        """As urllib3 would make it, within our time; with its errors, whose texts go nowhere."""
        host = connection._dns_host  # noqa: SLF001  `host` lacks a last dot
        each = connection.timeout if isinstance(connection.timeout, int | float) else resolver.SECONDS
        try:
            return resolver.connect(
                (host, connection.port or 0),
                self._deadline,
                each=each,
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
        connected, watch = self._connected, self._watch

        class Plain(HTTPConnection):
            handle: _Handle | None = None

            def _new_conn(self) -> socket.socket:
                """Watched from here on, so that a handshake that drips has an end, too."""
                connection = connected(self)
                self.handle = _Handle(connection)
                watch(self.handle)
                return connection

            def close(self) -> None:
                if self.handle:
                    self.handle.close()
                super().close()

        class Encrypted(Plain, HTTPSConnection):
            pass

        class PlainPool(HTTPConnectionPool):
            ConnectionCls: Any = Plain

        class Pool(HTTPSConnectionPool):
            ConnectionCls: Any = Encrypted

        return {"http": PlainPool, "https": Pool}


class _Handle:
    """A second handle on a connection: wrapping one in TLS takes away the first."""

    def __init__(self, connection: socket.socket) -> None:
        self._duplicate = connection.dup()

    def cut(self) -> None:
        with suppress(OSError):
            self._duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._duplicate.close()


class _Keeper:
    """Wakes each watchdog when its time is up: one thread for all, as a run has two per cluster."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[ConnectionDeadline, float] = {}
        self._thread: threading.Thread | None = None

    def wake(self, watchdog: ConnectionDeadline, deadline: float) -> None:
        with self._changed:
            self._due[watchdog] = deadline
            if self._thread is None or not self._thread.is_alive():  # as in a process that was forked
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()

    def forget(self, watchdog: ConnectionDeadline) -> None:
        with self._changed:
            self._due.pop(watchdog, None)

    def _run(self) -> None:
        while True:
            for watchdog in self._over():
                watchdog.abort()

    def _over(self) -> list[ConnectionDeadline]:
        """Those whose time is up by now, or after a wait for the first of them."""
        with self._changed:
            now = time.monotonic()
            over = [watchdog for watchdog, deadline in self._due.items() if deadline <= now]
            for watchdog in over:
                del self._due[watchdog]
            if not over:
                first = min(self._due.values(), default=None)
                self._changed.wait(None if first is None else first - now)
            return over


_keeper = _Keeper()
