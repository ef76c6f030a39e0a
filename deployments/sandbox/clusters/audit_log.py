"""Reads what a cluster's audit log got from a moment on."""

import http.client
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from deployments.sandbox.clusters.admin import AdminError
from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.errors import SandboxError

SETTLE_SECONDS = 60

Entry = dict[str, Any]


class AuditLog:
    def __init__(self, server: ApiServer) -> None:
        self._server, self._path = server, server.directory / "audit.log"
        self._position, self._rest, self.entries = 0, b"", list[Entry]()

    def begin(self) -> None:
        """Forget everything up to now."""
        self._position, self._rest = self._path.stat().st_size, b""
        self.settle()
        self.entries.clear()

    def settle(self) -> None:
        """Read until the log has all requests that were answered before.

        A request of our own marks that point; SandboxError after SETTLE_SECONDS.
        """
        mark = f"/version?oracle={uuid.uuid4()}"
        self._send(mark)
        deadline = time.monotonic() + SETTLE_SECONDS
        while not any(entry["requestURI"] == mark for entry in self._more()):
            if time.monotonic() > deadline:
                raise SandboxError(f"the audit log of {self._server.name} does not go on")
            time.sleep(0.02)

    def of(self, user: str) -> Iterator[Entry]:
        return (e for e in self.entries if e["user"].get("username") == user and e["stage"] != "Panic")

    def _send(self, path: str) -> None:
        for _ in range(100):  # a server that was just started may need a moment
            try:
                self._server.admin.get(path)
            except (OSError, http.client.HTTPException, AdminError):
                time.sleep(0.1)
            else:
                return
        self._server.admin.get(path)

    def _more(self) -> list[Entry]:
        with self._path.open("rb") as file:
            file.seek(self._position)
            content = file.read()
        self._position += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        found = [json.loads(line) for line in lines if line]
        self.entries += found
        return found
