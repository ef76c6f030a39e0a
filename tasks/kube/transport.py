"""One HTTP request to an API server, with every limit that it needs. What is asked is client.py's business.

No redirect is followed (it could carry a key elsewhere), nothing is sent twice unless the server said that it
did nothing, every wait has an end, and no text of a server's or a library's leaves.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlencode, urlsplit

from urllib3 import BaseHTTPResponse, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from tasks.domain.annotations import FIELD_MANAGER
from tasks.domain.failure_codes import FailureCode
from tasks.kube.deadline import ConnectionDeadline
from tasks.kube.request_counts import Counted
from tasks.kube.responses import ResponseError, parse_answer, parse_date, unpack
from tasks.kube.throttle import pace_of, pause_asked_for
from tasks.kubeconfig.sdk import ApiClient, ApiException
from tasks.runtime import shutdown
from tasks.runtime.resolver import LookupTimeout, Stopped

CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0
OBJECT_BYTES = 2 * 1024 * 1024
CAUSES = ((ssl.SSLCertVerificationError, FailureCode.TLS_FAILED), (Stopped, FailureCode.INTERRUPTED))
"""What is at the bottom of an error, and stays so however often it is tried."""


class TransportError(Exception):
    def __init__(self, problem: ResponseError) -> None:
        super().__init__(problem)
        self.problem = problem


class Request(NamedTuple):
    """What varies from request to request."""

    method: str
    path: str
    accept: str
    query: dict[str, str] | None = None
    body: dict[str, Any] | None = None
    kind: str = "application/json"
    """Content type of the body."""
    max_bytes: int = OBJECT_BYTES
    """Bytes of an answer, packed and unpacked."""
    read: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Takes what counts from a large answer; of these, one at a time is whole in memory."""


class Response(NamedTuple):
    status: int
    content: dict[str, Any]
    size: int
    date: datetime | None = None
    """When the server answered, by its own clock, to the second; None where it did not say."""


_whole = threading.Lock()


def _read(ask: Request, response: BaseHTTPResponse, packed: bytearray) -> Response | ResponseError:
    """Where much is to be read, by turns: until then, an answer waits as it came.

    A page of 500 Secrets comes as 60 KiB. Its text is 600, its dictionaries 3 MiB, what is read of it 300.
    """
    if ask.read is None:
        return _parse(ask, response, packed)
    with _whole:  # costs no time: Python would parse them by turns
        parsed = _parse(ask, response, packed)
        return (
            parsed if isinstance(parsed, ResponseError) else parsed._replace(content=ask.read(parsed.content))
        )


def _parse(ask: Request, response: BaseHTTPResponse, packed: bytearray) -> Response | ResponseError:
    answer = unpack(packed, response.headers.get("Content-Encoding", ""), ask.max_bytes)
    if isinstance(answer, ResponseError):
        return answer
    parsed = parse_answer(response.status, answer)
    if isinstance(parsed, ResponseError):
        return parsed
    return Response(response.status, parsed, len(answer), parse_date(response.headers.get("Date")))


class Transport:
    """To one API server until a deadline. Usable from several threads; connections are kept."""

    def __init__(self, api: ApiClient, deadline: float) -> None:
        """`deadline` is a moment of time.monotonic(), after which every request fails."""
        self._api, self._deadline = api, deadline
        manager, host = api.rest_client.pool_manager, api.configuration.host
        self._pace, self._path = pace_of(host), urlsplit(host).path
        stop = shutdown.current()
        self._stopped = stop.asked
        self._watchdog = ConnectionDeadline(
            manager, deadline, stop.asked
        )  # first: it says what pools are made of
        # Its pool itself: the manager would look for it at each request.
        self._pool = Counted(manager.connection_from_url(host))
        stop.register(self._watchdog)

    def until(self, deadline: float) -> None:
        """From now on, this is the deadline; the connections stay."""
        self._deadline = deadline
        self._watchdog.wait_until(deadline)

    def close(self) -> None:
        self._watchdog.stop()
        self._api.close()  # type: ignore[no-untyped-call]  # library

    def request(self, ask: Request) -> Response:
        """The JSON object of a 200 or 201; TransportError for everything else."""
        content = None if ask.body is None else json.dumps(ask.body, separators=(",", ":")).encode()
        shown_again = False
        while True:
            with self._pace.turn(self._deadline, self._stopped) as begun:
                response, answer = self._exchange(ask, content)
                pause, throttled = self._hear(response, begun)
            parsed = _read(ask, response, answer)
            if not isinstance(parsed, ResponseError):
                return parsed
            renewed = parsed.code is FailureCode.UNAUTHORIZED and not shown_again  # just now, perhaps
            if not (throttled or renewed) or pause > self._deadline - time.monotonic():
                raise TransportError(parsed)
            if renewed:
                shown_again = True
                self._stopped.wait(pause)

    def _hear(self, response: BaseHTTPResponse, begun: float) -> tuple[float, bool]:
        """The pause that the server asks for, and whether it refused the request and may be asked again."""
        pause = pause_asked_for(response.headers.get("Retry-After"))
        return pause, self._pace.heard(begun, pause, refused=response.status == HTTPStatus.TOO_MANY_REQUESTS)

    def follow(self, ask: Request) -> Iterator[bytes]:
        """The lines of an answer that goes on until the server ends it. Raises TransportError."""
        try:
            with self._pace.turn(self._deadline, self._stopped) as begun:
                response = self._open(ask, None, encoding="identity")
                self._hear(response, begun)
            try:
                if response.status == HTTPStatus.OK:
                    yield from self._lines(response, ask.max_bytes)
                    return
                parsed = _parse(ask, response, self._drain(response, ask.max_bytes))
            finally:
                response.close()
        except (HTTPError, ApiException, OSError, ValueError) as error:
            raise TransportError(self._unanswered(error)) from None
        raise TransportError(
            parsed if isinstance(parsed, ResponseError) else ResponseError(FailureCode.PROTOCOL)
        )

    def _lines(self, response: BaseHTTPResponse, max_bytes: int) -> Iterator[bytes]:
        rest = bytearray()
        while piece := response.read1(65536):
            *lines, last = (rest + piece).split(b"\n")
            yield from (bytes(line) for line in lines if line.strip())
            rest = last
            if len(rest) > max_bytes:
                self._fail(FailureCode.TOO_MUCH)
        if time.monotonic() > self._deadline:
            self._fail(FailureCode.DEADLINE)

    def _exchange(self, ask: Request, content: bytes | None) -> tuple[BaseHTTPResponse, bytearray]:
        try:
            response = self._open(ask, content)
            return response, self._drain(response, ask.max_bytes)
        except (HTTPError, ApiException, OSError, ValueError) as error:
            raise TransportError(self._unanswered(error)) from None

    def _open(self, ask: Request, content: bytes | None, encoding: str = "gzip") -> BaseHTTPResponse:
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._fail(FailureCode.DEADLINE)
        if self._stopped.is_set():
            self._fail(FailureCode.INTERRUPTED)
        target = self._path + ask.path + (f"?{urlencode(ask.query)}" if ask.query else "")
        headers = {"Accept": ask.accept, "User-Agent": FIELD_MANAGER, "Accept-Encoding": encoding}
        if content is not None:
            headers["Content-Type"] = ask.kind
        self._api.update_params_for_auth(headers, [], ["BearerToken"], ask.path, ask.method, content)
        return self._pool.request(
            ask.method,
            target,
            body=content,
            headers=headers,
            timeout=Timeout(connect=min(CONNECT_SECONDS, left), read=min(READ_SECONDS, left)),
            retries=False,
            redirect=False,
            preload_content=False,
        )

    def _drain(self, response: BaseHTTPResponse, max_bytes: int) -> bytearray:
        """Read to the end, so that the connection is kept; cut what is too long or too slow. Still packed."""
        content = bytearray()
        while piece := response.read1(65536, decode_content=False):  # returns after each recv
            content += piece
            if len(content) > max_bytes:
                response.close()
                self._fail(FailureCode.TOO_MUCH)
        if time.monotonic() > self._deadline:  # cut by the watchdog, so this is not all
            self._fail(FailureCode.DEADLINE)
        return content

    def _unanswered(self, error: Exception) -> ResponseError:
        """No complete answer came. The library's text may hold a token or an address: it stays here."""
        for cause, code in CAUSES:
            if _stems_from(error, cause):
                return ResponseError(code)
        if time.monotonic() > self._deadline:  # the watchdog cut the connection
            return ResponseError(FailureCode.DEADLINE)
        if isinstance(error, ReadTimeoutError):
            return ResponseError(FailureCode.TIMEOUT, transient=True)
        hung_up = _stems_from(error, ssl.SSLEOFError)
        if isinstance(error, NewConnectionError | ConnectTimeoutError | SSLError) and not hung_up:
            return ResponseError(FailureCode.UNREACHABLE, _why_no_address(error), transient=True)
        if isinstance(error, ValueError):
            return ResponseError(FailureCode.KUBECONFIG, "the credential does not fit a request")
        return ResponseError(FailureCode.CONNECTION_LOST, transient=True)

    @staticmethod
    def _fail(code: FailureCode) -> NoReturn:
        raise TransportError(ResponseError(code))


def _why_no_address(error: Exception) -> str:
    """Empty where the name has been looked up, or was an address."""
    if _stems_from(error, LookupTimeout):
        return "no name server answered"
    return "its name can't be resolved" if isinstance(error, NameResolutionError) else ""


def _stems_from(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether an error of this kind is at the bottom of another one."""
    while error:
        if any(isinstance(one, kind) for one in (error, *error.args)):
            return True
        error = error.__context__
    return False
