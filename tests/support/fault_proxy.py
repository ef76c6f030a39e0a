"""A TLS proxy in front of a real API server, for faults that a real one does not produce on demand.

Without a fault it forwards everything, and the ordinary tests of a delivery pass through it, too.
"""

import http.client
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.clusters.pki import Authority

PASSED_BACK = ("Content-Type", "Date")
PASSED_ON = ("Authorization", "Accept", "Content-Type", "User-Agent")


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    seconds_per_byte: float = 0.0
    """If set, the body is sent byte by byte, with this pause after each."""


LONG = 40
"""Number of bytes or headers after which a drip counts as long."""
LOST = None
"""Instead of an Answer: the connection is closed without one."""

Forward = Callable[[], Answer]
Fault = Callable[[Request, Forward], Answer | None]


def no_fault(_: Request, forward: Forward) -> Answer:
    return forward()


class SlowWrites:
    """A fault: each write waits this many seconds before it is forwarded."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.begun = Event()
        """Set by the first write."""
        self.paths: list[str] = []

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.method == "PATCH":
            self.paths.append(request.path)
            self.begun.set()
            time.sleep(self._seconds)
        return forward()


class FaultProxy:
    """Answers with what `fault` returns, which may forward to the real server. Records all `requests`."""

    def __init__(self, server: ApiServer, authority: Authority, directory: Path) -> None:
        self.fault: Fault = no_fault
        self.drip_headers = False
        self.dripped = Event()
        """Set when a response has dripped for long, and is not complete."""
        self.requests: list[Request] = []
        self._upstream = urlsplit(server.url).port
        self._trust = ssl.create_default_context(cadata=server.ca_pem.decode())
        self._front = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._front.socket = self._context(authority, directory).wrap_socket(
            self._front.socket, server_side=True
        )
        self._thread = Thread(target=self._front.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._front.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._front.shutdown()
        self._front.socket.close()

    def forward(self, request: Request) -> Answer:
        upstream = http.client.HTTPSConnection("127.0.0.1", self._upstream, context=self._trust, timeout=60)
        upstream.request(request.method, request.path, request.body or None, request.headers)
        response = upstream.getresponse()
        body, passed = response.read(), {name: response.getheader(name, "") for name in PASSED_BACK}
        upstream.close()
        return Answer(response.status, body, passed)

    def note(self, drops: int) -> None:
        if drops == LONG:
            self.dripped.set()

    def answer(self, request: Request) -> Answer | None:
        self.requests.append(request)
        return self.fault(request, lambda: self.forward(request))

    @staticmethod
    def _context(authority: Authority, directory: Path) -> ssl.SSLContext:
        key, certificate = authority.serving()
        pair = directory / "proxy.pem"
        pair.write_bytes(key + certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        return context

    def _handler(self) -> type[BaseHTTPRequestHandler]:  # noqa: C901  the class refers to its proxy
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
                answer = proxy.answer(Request(self.command, self.path, headers, body))
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)
                if proxy.drip_headers:
                    self.drip()
                own = {"Date": self.date_time_string(), "Content-Length": str(len(answer.body))}
                for name, value in (own | answer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.send_body(answer)

            def drip(self) -> None:
                for number in range(100):
                    self.send_header(f"X-Drip-{number}", "drop")
                    with suppress(OSError):
                        self.flush_headers()
                    time.sleep(0.1)
                    proxy.note(number)

            do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815  the library's names

            def send_body(self, answer: Answer) -> None:
                pieces = [answer.body]
                if answer.seconds_per_byte:
                    pieces = [answer.body[at : at + 1] for at in range(len(answer.body))]
                try:
                    for number, piece in enumerate(pieces):
                        self.wfile.write(piece)
                        time.sleep(answer.seconds_per_byte)
                        proxy.note(number)
                except OSError:  # the client closed the connection
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def fault_proxy(server: ApiServer, authority: Authority) -> Iterator[FaultProxy]:
    with TemporaryDirectory() as directory, FaultProxy(server, authority, Path(directory)) as proxy:
        yield proxy
