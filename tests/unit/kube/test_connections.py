"""Connections are used again after whole responses only, and what breaks off is never taken for whole."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest
from urllib3 import PoolManager

from tasks.kube.connections import Connections, OpenResponse
from tasks.kube.deadline import ConnectionDeadline
from tests.support.open_response import open_response

CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "length": ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", b"body"),
    "empty": ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "chunked": (f"{CHUNKED}2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", b"body"),
}
BROKEN_OFF = {
    "length": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody",
    "chunk": f"{CHUNKED}9\r\nbody",
    "last chunk": f"{CHUNKED}4\r\nbody\r\n",
}


class Server:
    """Gives each request the same answer, and may hang up then. Counts its connections."""

    def __init__(self, answer: str, *, hang_up: bool) -> None:
        self._answer, self._hang_up = answer.encode(), hang_up
        self.connections, self.received = 0, list[bytes]()
        self.hung_up = threading.Event()
        """Set once the client has closed a connection."""
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:  # the test is over
                return
            self.connections += 1
            with connection:
                while received := connection.recv(65536):
                    self.received.append(received)
                    connection.sendall(self._answer)
                    if self._hang_up:
                        break
                else:
                    self.hung_up.set()


@contextmanager
def connected(answer: str, *, hang_up: bool = False) -> Iterator[tuple[Server, Connections]]:
    server, manager = Server(answer, hang_up=hang_up), PoolManager()
    deadline = ConnectionDeadline(manager, time.monotonic() + 60)
    host, port = server.listening.getsockname()
    with closing(server.listening):
        yield server, Connections(manager.connection_from_url(f"http://{host}:{port}"))
    deadline.cancel()
    manager.clear()


def ask(connections: Connections, body: bytes | None = None, **headers: str) -> OpenResponse:
    return connections.request("PATCH", "/", headers=headers, body=body, connect_seconds=30, read_seconds=30)


def test_a_connection_is_closed_after_an_informational_response() -> None:
    """What follows it is the response, which the next request must not take for its own."""
    answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with connected(answer) as (server, connections):
        for _ in range(2):
            with closing(ask(connections)) as response:
                assert response.status == 103
        assert server.connections == 2


@pytest.mark.parametrize("kind", WHOLE)
def test_a_connection_is_used_again_after_a_whole_response(kind: str) -> None:
    """However the server marks the end of the body: a new connection is a TLS handshake."""
    answer, body = WHOLE[kind]
    with connected(answer) as (server, connections):
        for _ in range(3):
            with closing(ask(connections)) as response:
                assert response.read(100) == body
        assert server.connections == 1


def test_a_connection_is_not_used_again_after_part_of_a_response() -> None:
    """The rest of the body would be taken for the next response."""
    answer, body = WHOLE["length"]
    with connected(answer) as (server, connections):
        with closing(ask(connections)) as response:
            assert response.read(2) == body[:3]  # one byte more than allowed: it is too large
        with closing(ask(connections)):
            pass  # nothing of it is read
        with closing(ask(connections)) as response:
            assert response.read(4) == body
        assert server.connections == 3


def test_a_response_that_is_not_read_is_hung_up_on() -> None:
    """At once, also the last one of a connection, which http.client leaves to its response alone."""
    with connected("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n") as (
        server,
        connections,
    ):
        response = ask(connections)
        response.close()
        assert server.hung_up.wait(30)
        assert response.status == 200  # it is still there: the socket was not just forgotten


@pytest.mark.parametrize("kind", BROKEN_OFF)
def test_a_body_that_breaks_off_is_an_error(kind: str) -> None:
    """Also where what has come could be parsed: it is never taken for the whole."""
    with connected(BROKEN_OFF[kind], hang_up=True) as (_, connections):
        with closing(ask(connections)) as response, pytest.raises(HTTPException):
            response.read(100)
        with closing(ask(connections)) as response, pytest.raises(HTTPException):
            b"".join(iter(lambda: response.read1(100), b""))


def test_headers_and_body_are_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is one write: so one TLS record and one packet, where it is small enough."""
    writes = list[bytes]()
    send = HTTPConnection.send

    def recorded(connection: HTTPConnection, data: Any) -> None:
        writes.append(bytes(data))
        send(connection, data)

    monkeypatch.setattr(HTTPConnection, "send", recorded)
    with connected(WHOLE["empty"][0]) as (_, connections):
        ask(connections, b"body", Accept="application/json").close()
    (written,) = writes
    assert written.startswith(b"PATCH / HTTP/1.1\r\n")
    assert written.endswith(b"Accept: application/json\r\n\r\nbody")


def test_the_answer_of_a_server_that_hangs_up_early_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may refuse a request before it has read it, and say why; sending the rest fails then."""
    send = HTTPConnection.send

    def broken(connection: HTTPConnection, data: Any) -> None:
        send(connection, data)
        raise BrokenPipeError(32, "any")

    monkeypatch.setattr(HTTPConnection, "send", broken)
    with connected("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n") as (_, connections):
        response = ask(connections)
        response.close()
    assert response.status == 413


def test_a_header_that_can_not_be_sent_is_an_error_and_nothing_is_sent() -> None:
    """A token with a line break would add a header of its own."""
    with connected(WHOLE["length"][0]) as (server, connections):
        with pytest.raises(ValueError, match="Invalid header value"):
            ask(connections, Authorization="Bearer a\r\nImpersonate-User: root")
        with closing(ask(connections)) as response:
            assert response.read(100) == b"body"
        assert len(server.received) == 1


def test_a_whole_body_without_a_length_ends_with_its_connection() -> None:
    """HTTP/1.0 marks its end so; it is not an error."""
    assert open_response(200, {}, b"body").read(100) == b"body"
