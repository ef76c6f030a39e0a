"""TLS servers for tests, each on a port of its own, and servers that speak no TLS."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

Serve = Callable[[socket.socket], None]


@contextmanager
def listening(serve: Serve) -> Iterator[str]:
    """Run a server that calls `serve` with each connection, and yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    def handle(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            serve(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def tls_server(directory: Path, pairs: Mapping[str, tuple[bytes, bytes]], default: str) -> Serve:
    """Serve key and certificate chain by the server name of the client, as an ingress does."""
    contexts = {name: _context(directory, key, chain) for name, (key, chain) in pairs.items()}

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name in contexts:
            connection.context = contexts[name]

    contexts[default].sni_callback = choose

    def serve(connection: socket.socket) -> None:
        connection.settimeout(30)
        with contexts[default].wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)

    return serve


def answering(directory: Path, key: bytes, chain: bytes, body: str) -> Serve:
    """Answer each request of a connection with this JSON, over HTTP and TLS."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    answer = f"{head}\r\n\r\n{body}".encode()

    def serve(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(answer)

    return over_tls(directory, key, chain, serve)


def over_tls(directory: Path, key: bytes, chain: bytes, serve: Serve) -> Serve:
    """Call `serve` after the handshake, with what is encrypted."""
    context = _context(directory, key, chain)

    def serve_encrypted(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            serve(encrypted)

    return serve_encrypted


def _context(directory: Path, key: bytes, chain: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = directory / "pair.pem"
    file.write_bytes(key + chain)
    context.load_cert_chain(file)
    file.unlink()
    return context


def never_answers(connection: socket.socket) -> None:
    """Read, and send nothing until the client closes the connection."""
    while connection.recv(65536):
        pass


def plaintext(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def hangs_up(connection: socket.socket) -> None:
    connection.recv(1)


def drips(connection: socket.socket) -> None:
    """Send a TLS record that is never complete, a byte at a time."""
    connection.recv(65536)
    connection.sendall(b"\x16\x03\x03\x40\x00")
    wait = threading.Event()
    while not wait.wait(0.05):
        connection.sendall(b"\x00")
