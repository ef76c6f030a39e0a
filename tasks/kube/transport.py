"""Sends one HTTP request to an API server, within limits of time and size. client.py defines the requests.

It follows no redirect (which could carry a key elsewhere), repeats a request only if the server said that it
did nothing, and never waits without a limit. No text of a server or a library leaves this module.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlencode

from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from tasks.domain.failure_codes import FailureCode
from tasks.kube.connection_errors import classify
from tasks.kube.connections import Connections, OpenResponse
from tasks.kube.deadline import ConnectionDeadline
from tasks.kube.request_counts import CountedConnections
from tasks.kube.responses import ResponseError, decompress, parse_date, parse_response
from tasks.kube.throttle import retry_after_seconds, throttle_of
from tasks.kubeconfig.sdk import ApiClient, ApiException
from tasks.runtime import shutdown

USER_AGENT = "tls-sync"
USER_AGENT_OF_DATA = "tls-sync/data"
"""Of requests that are answered with private keys, so that an audit log shows them."""
CONNECT_SECONDS = 3.0
"""Maximum seconds for a TCP connection to open."""
READ_SECONDS = 30.0
"""Maximum seconds between two reads of a response."""
OBJECT_BYTES = 2 * 1024 * 1024
"""Maximum number of bytes of one object; a Secret has at most 1 MiB of data."""

NO_RESPONSE = (HTTPError, HTTPException, ApiException, OSError, ValueError)
"""The exceptions of a request without a complete response. ValueError: the credential fits no header."""

Extract = Callable[[dict[str, Any]], dict[str, Any]]


class TransportError(Exception):
    def __init__(self, error: ResponseError) -> None:
        super().__init__(error)
        self.error = error


class Request(NamedTuple):
    method: str
    path: str
    accept: str
    query: dict[str, str] | None = None
    body: dict[str, Any] | None = None
    content_type: str = "application/json"
    """Of the body."""
    max_bytes: int = OBJECT_BYTES
    """Maximum number of bytes of the response, compressed and decompressed."""
    user_agent: str = USER_AGENT
    extract: Extract | None = None
    """Reduces a large response to what is needed. Only one such response at a time is parsed in memory."""


class Response(NamedTuple):
    status: int
    content: dict[str, Any]
    size: int
    date: datetime | None = None
    """When the server answered, by its own clock, to the second; None without a Date header."""


_parse_lock = threading.Lock()


def _parse(request: Request, response: OpenResponse, body: bytes) -> Response | ResponseError:
    """Parse large responses one at a time; until its turn, a response stays compressed.

    A page of 500 Secrets is 60 KiB on the wire, 600 KiB as text, 3 MiB as dictionaries, and 300 KiB once
    reduced.
    """
    if request.extract is None:
        return _parse_whole(request, response, body)
    with _parse_lock:  # costs no time: the GIL lets only one thread parse
        parsed = _parse_whole(request, response, body)
        if isinstance(parsed, ResponseError):
            return parsed
        return parsed._replace(content=request.extract(parsed.content))


def _parse_whole(request: Request, response: OpenResponse, body: bytes) -> Response | ResponseError:
    text = decompress(body, response.headers.get("Content-Encoding", ""), request.max_bytes)
    if isinstance(text, ResponseError):
        return text
    parsed = parse_response(response.status, text)
    if isinstance(parsed, ResponseError):
        return parsed
    return Response(response.status, parsed, len(text), parse_date(response.headers.get("Date")))


class Transport:
    """Connections to one API server until a deadline. Usable from several threads."""

    def __init__(self, api: ApiClient, deadline: float) -> None:
        """`deadline` is a time.monotonic() value, after which every request fails."""
        self._api, self._deadline = api, deadline
        manager, host = api.rest_client.pool_manager, api.configuration.host
        self._throttle, self._path = throttle_of(host), parse_url(host).path or ""
        stop = shutdown.current()
        self._stopped = stop.requested
        # Before the pool is created: it replaces the classes that the pool is made of.
        self._connection_deadline = ConnectionDeadline(manager, deadline, stop.requested)
        # The pool itself, because the manager would look it up for each request.
        self._connections = CountedConnections(Connections(manager.connection_from_url(host)))
        stop.register(self._connection_deadline)

    def set_deadline(self, deadline: float) -> None:
        """Replace the deadline. Connections stay open."""
        self._deadline = deadline
        self._connection_deadline.set(deadline)

    def close(self) -> None:
        self._connection_deadline.cancel()
        self._connections.close()
        self._api.close()  # type: ignore[no-untyped-call]  # library

    def request(self, request: Request) -> Response:
        """Return the JSON object of a 200 or 201. Raises TransportError for everything else."""
        content = None if request.body is None else json.dumps(request.body, separators=(",", ":")).encode()
        reauthenticated = False
        while True:
            with self._throttle.slot(self._deadline, self._stopped) as started:
                response, body = self._exchange(request, content)
                pause, throttled = self._record(response, started)
            parsed = _parse(request, response, body)
            if not isinstance(parsed, ResponseError):
                return parsed
            # A token file may have been rotated between reading it and the request: read it once more.
            reauthenticate = parsed.code is FailureCode.UNAUTHORIZED and not reauthenticated
            if not (throttled or reauthenticate) or pause > self._deadline - time.monotonic():
                raise TransportError(parsed)
            if reauthenticate:
                reauthenticated = True
                self._stopped.wait(pause)

    def _record(self, response: OpenResponse, started: float) -> tuple[float, bool]:
        """Return the seconds of Retry-After, and whether a throttled request may be repeated."""
        pause = retry_after_seconds(response.headers.get("Retry-After"))
        throttled = response.status == HTTPStatus.TOO_MANY_REQUESTS
        return pause, self._throttle.record_response(started, pause, throttled=throttled)

    def stream(self, request: Request) -> Iterator[bytes]:
        """Yield the lines of a response until the server ends it. Raises TransportError."""
        try:
            with ExitStack() as stack:
                with self._throttle.slot(self._deadline, self._stopped) as started:
                    response = stack.enter_context(closing(self._open(request, None, encoding="identity")))
                    self._record(response, started)
                if response.status == HTTPStatus.OK:
                    yield from self._lines(response, request.max_bytes)
                    return
                parsed = _parse_whole(request, response, self._read_body(response, request.max_bytes))
        except NO_RESPONSE as error:
            raise TransportError(self._classify(error)) from None
        raise TransportError(
            parsed if isinstance(parsed, ResponseError) else ResponseError(FailureCode.PROTOCOL)
        )

    def _lines(self, response: OpenResponse, max_bytes: int) -> Iterator[bytes]:
        rest = bytearray()
        while piece := response.read1(65536):
            *lines, last = (rest + piece).split(b"\n")
            yield from (bytes(line) for line in lines if line.strip())
            rest = last
            if len(rest) > max_bytes:
                self._fail(FailureCode.TOO_MUCH)
        if time.monotonic() > self._deadline:
            self._fail(FailureCode.DEADLINE)

    def _exchange(self, request: Request, content: bytes | None) -> tuple[OpenResponse, bytes]:
        try:
            with closing(self._open(request, content)) as response:
                return response, self._read_body(response, request.max_bytes)
        except NO_RESPONSE as error:
            raise TransportError(self._classify(error)) from None

    def _open(self, request: Request, content: bytes | None, encoding: str = "gzip") -> OpenResponse:
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._fail(FailureCode.DEADLINE)
        if self._stopped.is_set():
            self._fail(FailureCode.INTERRUPTED)
        target = self._path + request.path + (f"?{urlencode(request.query)}" if request.query else "")
        headers = {"Accept": request.accept, "User-Agent": request.user_agent, "Accept-Encoding": encoding}
        if content is not None:
            headers["Content-Type"] = request.content_type
        self._api.update_params_for_auth(headers, [], ["BearerToken"], request.path, request.method, content)
        return self._connections.request(
            request.method,
            target,
            headers=headers,
            body=content,
            connect_seconds=min(CONNECT_SECONDS, left),
            read_seconds=min(READ_SECONDS, left),
        )

    def _read_body(self, response: OpenResponse, max_bytes: int) -> bytes:
        """Return the body, still compressed, read to its end, so that the connection can be reused."""
        body = response.read(max_bytes)
        if len(body) > max_bytes:
            self._fail(FailureCode.TOO_MUCH)
        if time.monotonic() > self._deadline:  # the connection was aborted, so the body is incomplete
            self._fail(FailureCode.DEADLINE)
        return body

    def _classify(self, error: Exception) -> ResponseError:
        return classify(error, overdue=time.monotonic() > self._deadline)

    @staticmethod
    def _fail(code: FailureCode) -> NoReturn:
        raise TransportError(ResponseError(code))
