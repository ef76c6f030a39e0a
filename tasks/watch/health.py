"""Serves the watcher's health to kubelet and its metrics to Prometheus, over HTTP."""

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
    """Time of the last sign of life: OPS answered a watch or, on a standby replica, a check of the Lease."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self.timings = timings
        self._last_beat = time.monotonic()

    def beat(self) -> None:
        self._last_beat = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - self._last_beat


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    """Connections that wait to be accepted; with Python's default of 5, kubelet's may be refused."""

    @classmethod
    def bind(cls, port: int, handler: type[BaseHTTPRequestHandler]) -> "_Server":
        """Listen on IPv6 and IPv4, or on IPv4 alone where this machine has no IPv6."""
        try:
            return _DualStackServer(("::", port), handler)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise
            return cls(("", port), handler)

    def server_bind(self) -> None:
        """Bind as a plain TCP server: HTTPServer would look up this host's name, and wait for the answer."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """Log nothing: the client has closed its connection."""


class _DualStackServer(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(port: int, heartbeat: Heartbeat, metrics: Callable[[], tuple[bytes, str]]) -> ThreadingHTTPServer:
    """Serve `/healthz` and `/metrics` on all addresses, in a thread; port 0 takes a free port.

    `metrics` returns the body and the content type of `/metrics`. Raises ConfigError if the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = heartbeat.timings.http_timeout
        server_version, sys_version = "tls-sync", ""

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._respond(HTTPStatus.OK, *metrics())
            elif self.path == "/healthz":
                silence = heartbeat.silence
                is_alive = silence < heartbeat.timings.max_silence
                status = HTTPStatus.OK if is_alive else HTTPStatus.SERVICE_UNAVAILABLE
                self._respond(status, f"last sign of life {silence:.0f} s ago\n".encode())
            else:
                self._respond(HTTPStatus.NOT_FOUND, b"/healthz and /metrics are here\n")

        def _respond(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: kubelet sends a request every few seconds."""

    try:
        server = _Server.bind(port, Handler)
    except OSError as error:
        raise ConfigError(f"port {port}: {error.strerror}; choose another (--port)") from None
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
