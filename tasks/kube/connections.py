"""The connections of one client to its API server: urllib3 keeps them, http.client sends requests on them.

urllib3 connects, verifies the server, and finds the connections that the server has closed meanwhile. Its own
requests and responses are not used: they take nearly as much CPU again as the http.client below.
"""

import errno
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool

ANSWERED_EARLY = frozenset({errno.EPIPE, errno.ECONNRESET, errno.EPROTOTYPE})
"""Errors of sending to a server that has answered and hung up before it had the whole request."""


class OpenResponse:
    """A response whose body is still to be read. `close` must be called in any case."""

    def __init__(self, response: HTTPResponse, connection: Any, pool: HTTPConnectionPool) -> None:
        self.status, self.headers = response.status, response.headers
        self._response, self._connection, self._pool = response, connection, pool

    def read(self, max_bytes: int) -> bytes:
        """Return the body; one byte more than `max_bytes` of a larger one. HTTPException if it breaks off."""
        body = self._response.read(max_bytes + 1)
        if len(body) <= max_bytes:
            self._require_end()
        return body

    def read1(self, size: int) -> bytes:
        """Return what has come, once there is something; empty at the end. HTTPException if it breaks off."""
        piece = self._response.read1(size)
        if not piece:
            self._require_end()
        return piece

    def _require_end(self) -> None:
        if self._response.length:  # http.client raises IncompleteRead only where the length was not announced
            raise IncompleteRead(b"", self._response.length)

    def close(self) -> None:
        """Keep the connection for the next request if the body was read to its end.

        What follows an informational response, of which http.client knows only 100, is another response.
        The last response of a connection has its socket for itself.
        """
        if not self._response.isclosed() or self.status < HTTPStatus.OK:
            self._response.close()
            self._connection.close()
        self._pool._put_conn(self._connection)  # noqa: SLF001  see Connections


class Connections:
    """Sends requests. Usable from several threads, each of which gets a connection of its own.

    It takes connections from the pool and returns them as the pool's own `urlopen` does.
    """

    def __init__(self, pool: HTTPConnectionPool) -> None:
        self._pool = pool

    def close(self) -> None:
        """Close idle connections now, and those in use once they are returned."""
        self._pool.close()

    def request(  # noqa: PLR0913  the parts of a request
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        connect_seconds: float,
        read_seconds: float,
    ) -> OpenResponse:
        """Return the response, once its headers are there. It follows no redirect, and repeats nothing.

        Raises what the connection's `connect` raises, OSError, HTTPException, or ValueError for a header that
        can't be sent.
        """
        connection: Any = self._pool._get_conn()  # noqa: SLF001
        try:
            connection.timeout = connect_seconds
            if connection.is_closed:
                connection.connect()
            connection.sock.settimeout(connect_seconds)
            _send(connection, method, target, headers, body)
            connection.sock.settimeout(read_seconds)
            return OpenResponse(HTTPConnection.getresponse(connection), connection, self._pool)
        except BaseException:
            connection.close()
            self._pool._put_conn(connection)  # noqa: SLF001
            raise


def _send(connection: Any, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> None:
    """Send headers and body at once: http.client would make two TLS records and two packets of them."""
    try:
        with connection.sending_at_once():
            HTTPConnection.request(connection, method, target, body, headers)
    except OSError as error:
        if error.errno not in ANSWERED_EARLY:
            raise
