"""One etcd, of one or several members, for the API servers of a sandbox.

etcd has no passwords here, so it listens on sockets in a directory that only this user can enter. Their paths
are relative, since a socket's path may have no more than about 100 characters.
"""

import http.client
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from deployments.sandbox import processes
from deployments.sandbox.errors import SandboxError

_START_SECONDS = 60
_FLAGS = (
    "--advertise-client-urls=http://localhost:2379",  # required, and unused
    "--unsafe-no-fsync",
    "--quota-backend-bytes=8000000000",
    "--log-level=warn",
)


class Etcd:
    """An etcd that is stopped until `start`, and keeps its data when members are restarted."""

    def __init__(self, program: Path, directory: Path, name: str = "etcd", members: int = 1) -> None:
        self._program, self._directory, self._name = program, directory, name
        self.members = tuple(f"{name}-{number}" for number in range(members)) if members > 1 else (name,)
        self._running: dict[str, processes.Process] = {}

    @property
    def endpoints(self) -> str:
        """URLs for an API server, whose working directory must be that of the sockets."""
        return ",".join(f"unix://{member}.sock" for member in self.members)

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(process.pid for process in self._running.values())

    def start(self, members: Sequence[str] = ()) -> None:
        """Start these members, or all, and wait until they listen."""
        wanted = tuple(members) or self.members
        for member in wanted:
            (self._directory / f"{member}.sock").unlink(missing_ok=True)
            command: list[str | Path] = [self._program, *self._flags(member), *_FLAGS]
            self._running[member] = processes.spawn(command, self._log(member), self._directory)
        deadline = time.monotonic() + _START_SECONDS
        for member in wanted:
            while not (self._directory / f"{member}.sock").exists():
                if self._running[member].poll() is not None or time.monotonic() > deadline:
                    log = self._log(member)
                    raise SandboxError(f"etcd did not start:\n{processes.tail(log)}\nThe whole log is {log}.")
                time.sleep(0.05)

    def stop(self, members: Sequence[str] = ()) -> None:
        """Kill these members, or all."""
        for member in tuple(members) or self.members:
            if process := self._running.pop(member, None):
                processes.stop(process)

    def leader(self) -> str:
        """Wait for a leader, and return it."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            for member in self._running:
                if "etcd_server_is_leader 1" in self._metrics(member):
                    return member
            time.sleep(0.1)
        raise SandboxError(f"{self._name} has no leader after {_START_SECONDS} s")

    def save(self, where: Path) -> None:
        """Copy the data of all members, which must be stopped."""
        for member in self.members:
            shutil.copytree(self._directory / member, where / member)

    def restore(self, where: Path) -> None:
        """Replace the data by what `save` copied; all members must be stopped."""
        for member in self.members:
            shutil.rmtree(self._directory / member)
            shutil.copytree(where / member, self._directory / member)

    def _metrics(self, member: str) -> list[str]:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self._directory / f"{member}.sock"))
                client = http.client.HTTPConnection("localhost")
                client.sock = connection
                client.request("GET", "/metrics")
                return client.getresponse().read().decode().splitlines()
        except (OSError, http.client.HTTPException):
            return []

    def _log(self, member: str) -> Path:
        return self._directory / f"{member}.log"

    def _flags(self, member: str) -> list[str]:
        peers = {one: f"unix://{self._name}:{number}" for number, one in enumerate(self.members)}
        return [
            f"--name={member}",
            f"--data-dir={member}",
            f"--listen-client-urls=unix://{member}.sock",
            f"--listen-peer-urls={peers[member]}",
            f"--initial-advertise-peer-urls={peers[member]}",
            f"--initial-cluster={','.join(f'{one}={peer}' for one, peer in peers.items())}",
        ]
