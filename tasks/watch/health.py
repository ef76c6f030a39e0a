"""Whether the watcher is alive, and its metrics, over HTTP: what kubelet and Prometheus ask."""

import errno
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from tasks.domain.errors import ConfigError
from tasks.watch.timings import DEFAULT, WatchTimings


class Heartbeat:
    """The last sign of life: an event or a bookmark of OPS; of one who waits, a look at the Lease."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self.timings = timings
        self._last = time.monotonic()

    def sign(self) -> None:
        self._last = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since."""
        return time.monotonic() - self._last


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    """Many at once are no reason to let kubelet wait."""

    @classmethod
    def at(cls, port: int, handler: type[BaseHTTPRequestHandler]) -> "_Server":
        """IPv6 and IPv4, where this machine has IPv6."""
        try:
            return _DualStackServer(("::", port), handler)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise
            return cls(("", port), handler)

    def server_bind(self) -> None:
        """As a plain server: Python's would ask a name server who we are, and wait for the answer."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """Nothing: who asked has gone away."""


class _DualStackServer(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(port: int, liveness: Heartbeat, metrics: Callable[[], tuple[bytes, str]]) -> ThreadingHTTPServer:
    """`/healthz` and `/metrics` (a text and its content type), on all addresses; port 0 takes a free one.

    Raises ConfigError where the port can't be had.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = liveness.timings.http_timeout
        server_version, sys_version = "tls-sync", ""

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(HTTPStatus.OK, *metrics())
            elif self.path == "/healthz":
                silence = liveness.silence
                status = (
                    HTTPStatus.OK
                    if silence < liveness.timings.max_silence
                    else HTTPStatus.SERVICE_UNAVAILABLE
                )
                self._answer(status, f"last sign of life {silence:.0f} s ago\n".encode())
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"/healthz and /metrics are here\n")

        def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: kubelet asks every few seconds."""

    try:
        server = _Server.at(port, Handler)
    except OSError as error:
        raise ConfigError(f"port {port}: {error.strerror}; choose another (--port)") from None
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
