"""What serves a copy to users, as an ingress does: it presents what it has loaded, until it reloads."""

import base64
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deployments.sandbox.demo.copy_server import CopyServer
from deployments.sandbox.programs import packages
from tests.support.tls_programs import NGINX
from tests.support.waiting import until

Read = Callable[[], dict[str, Any] | None]
"""Returns the copy, as the API server has it now."""


def pair(secret: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return key and chain of a Secret."""
    data = secret["data"]
    return base64.b64decode(data["tls.key"]), base64.b64decode(data["tls.crt"])


class Ingress(CopyServer):
    """It can reload by itself."""

    reloads_after: int | None = None
    """It does so during that connection, which still gets the former certificate."""

    @property
    def handshakes(self) -> int:
        return self.connections

    def serve(self, connection: socket.socket) -> None:
        super().serve(connection)
        if self.reloads_after is not None and self.connections >= self.reloads_after:
            self.reload()


@contextmanager
def ingress(read: Read) -> Iterator[Ingress]:
    found = Ingress(read)
    try:
        yield found
    finally:
        found.close()


class Nginx:
    """Debian's nginx on a port of its own, with the copy as its files."""

    def __init__(self, folder: Path, port: int, read: Read) -> None:
        self._folder, self._read = folder, read
        self.address = f"127.0.0.1:{port}"
        (folder / "nginx.conf").write_text(NGINX.format(port=port, crt="tls.crt", key="tls.key"))
        self.write()
        command = [packages.path_of("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
        self._command = command
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until("nginx to listen", self._listens)

    def write(self) -> None:
        """Put the copy into the files, as a mounted Secret does; nginx does not look at them."""
        found = self._read()
        assert found is not None
        key, chain = pair(found)
        for name, content in (("tls.key", key), ("tls.crt", chain)):
            (self._folder / name).touch(mode=0o600)
            (self._folder / name).write_bytes(content)

    def reload(self) -> None:
        subprocess.run([*self._command, "-s", "reload"], check=True, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        for name in ("tls.key", "tls.crt"):
            (self._folder / name).unlink()

    def _listens(self) -> bool:
        host, _, port = self.address.partition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=5):
            return True
        return False


@contextmanager
def nginx(folder: Path, read: Read) -> Iterator[Nginx]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = Nginx(folder, port, read)
    try:
        yield found
    finally:
        found.close()
