"""A small TLS server that presents a copy as it was when the server last loaded it, as an ingress does."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.demo.handshake import server_context

_SECONDS = 10


class CopyServer:
    """It listens from its creation on, and closes each connection until it has loaded a copy."""

    def __init__(self, read: Callable[[], Manifest | None]) -> None:
        """`read` returns the copy that the cluster has now."""
        self._read = read
        self._context: ssl.SSLContext | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def reload(self) -> None:
        secret = self._read()
        self._context = server_context(secret) if secret else None

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        self.connections += 1
        context = self._context
        if context:
            connection.settimeout(_SECONDS)
            with context.wrap_socket(connection, server_side=True) as encrypted:
                encrypted.recv(1)
