"""A TCP proxy in front of a real API server, exact to the byte. It does not decrypt TLS."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset


@dataclass
class TcpProxy:
    port: int
    cut_up_after: int | None = None
    """Number of bytes from the client after which the connection is reset."""
    cut_down_after: int | None = None
    """Number of bytes from the server after which the connection is reset."""
    delay: float = 0.0
    """Seconds before each piece from the server."""
    swallow: bool = False
    """Accept and read, and forward nothing."""
    healthy_from: int = 10**9
    """Number of the first connection, counted from 0, that has no fault."""
    keep: bool = False
    """Record all bytes in `kept`, for connections without TLS."""
    kept: bytearray = field(default_factory=bytearray, init=False, repr=False)
    connections: int = field(default=0, init=False)
    _clients: list[socket.socket] = field(default_factory=list, init=False)
    _listener: socket.socket = field(init=False)

    def start(self) -> str:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self.url

    @property
    def url(self) -> str:
        """Where it listens, once it has been started."""
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection
        self._listener.close()

    def hang_up(self) -> None:
        """Close all connections, as a load balancer does with idle ones."""
        while self._clients:
            with suppress(OSError):
                self._clients.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                faulty = self.connections < self.healthy_from
                self.connections += 1
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client, faulty), daemon=True).start()

    def _serve(self, client: socket.socket, faulty: bool) -> None:
        server = socket.create_connection(("127.0.0.1", self.port))
        up = self.cut_up_after if faulty else None
        down = self.cut_down_after if faulty else None
        threading.Thread(target=self._pump, args=(client, server, up, faulty), daemon=True).start()
        self._pump(server, client, down, faulty, delay=self.delay if faulty else 0)

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        limit: int | None,
        faulty: bool,
        delay: float = 0.0,
    ) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(65536):
                if self.keep:
                    self.kept += piece
                time.sleep(delay)
                if faulty and self.swallow:
                    continue
                room = len(piece) if limit is None else limit - passed
                sink.sendall(piece[:room])
                passed += len(piece)
                if limit is not None and passed >= limit:
                    for end in (source, sink):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    break
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the other direction, which reads from it
            end.close()


@contextmanager
def tcp_proxy(proxy: TcpProxy) -> Iterator[str]:
    """Run the proxy and yield its address."""
    url = proxy.start()
    try:
        yield url
    finally:
        proxy.stop()


@contextmanager
def black_hole() -> Iterator[str]:
    """Yield an address that accepts no connection, because its queue is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(3):
        one = socket.socket()
        one.settimeout(0)
        with suppress(BlockingIOError):
            one.connect(listener.getsockname())
        waiting.append(one)
    time.sleep(0.2)
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for one in (*waiting, listener):
            one.close()
