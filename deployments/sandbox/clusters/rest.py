"""REST calls to one API server over verified TLS, with the standard library alone.

No request is sent twice, so the audit log has exactly the requests that a caller made.
"""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from deployments.sandbox.clusters.manifests import Manifest, Manifests

_TIMEOUT_SECONDS = 30
_IDLE_SECONDS = 30  # the server closes a connection after 90 idle seconds


class AdminError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str = "") -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class _Connections(threading.local):
    """One thread's connection; `generation` counts the server's restarts before it."""

    connection: http.client.HTTPSConnection | None = None
    generation = 0
    last_used = 0.0


class Rest:
    """The methods, on paths such as /api/v1/namespaces/homarr-dev/secrets/wildcard-tls.

    Several threads can use it; each has its own connection.
    """

    def __init__(self, host: str, port: int, ca_pem: bytes, token: str) -> None:
        self.address = (host, port)
        self._tls = ssl.create_default_context(cadata=ca_pem.decode())
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._mine = _Connections()
        self._generation = 0

    def get(self, path: str) -> Manifest:
        return self._request("GET", path)

    def post(self, path: str, body: Manifest) -> Manifest:
        return self._request("POST", path, body)

    def put(self, path: str, body: Manifest) -> Manifest:
        return self._request("PUT", path, body)

    def patch(self, path: str, body: Any, content_type: str = "application/merge-patch+json") -> Manifest:
        return self._request("PATCH", path, body, content_type)

    def apply(self, path: str, body: Manifest, field_manager: str, *, force: bool = False) -> Manifest:
        """Send a server-side apply."""
        query = urlencode({"fieldManager": field_manager, "force": str(force).lower()})
        return self.patch(f"{path}?{query}", body, "application/apply-patch+yaml")

    def delete(self, path: str) -> Manifest:
        return self._request("DELETE", path)

    def list(self, path: str) -> Manifests:
        items: Manifests = self.get(path)["items"]
        return items

    def watch(self, path: str) -> Iterator[Manifest]:
        """Yield events, on a new connection, until the server ends it."""
        connection = self._new_connection(None)
        try:
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise AdminError(response.status, response.reason)
            yield from map(json.loads, response)
        finally:
            connection.close()

    def is_ready(self) -> bool:
        try:
            return self._exchange("GET", "/readyz", None, {})[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def reconnect(self) -> None:
        """Open new connections from now on: the server was restarted."""
        self._generation += 1

    def _request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Manifest:
        data = None if body is None else json.dumps(body).encode()
        status, answer = self._exchange(method, path, data, {"Content-Type": content_type})
        try:
            content: Manifest = json.loads(answer)
        except ValueError:
            content = {"message": answer.decode(errors="replace")}
        if status >= http.client.BAD_REQUEST:
            reason = content.get("reason") or http.client.responses.get(status, "")
            raise AdminError(status, reason, content.get("message", ""))
        return content

    def _exchange(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            connection.request(method, path, data, {**self._headers, **headers})
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()
            self._mine.connection = None
            raise
        self._mine.last_used = time.monotonic()
        return response.status, answer

    def _connection(self) -> http.client.HTTPSConnection:
        mine = self._mine
        fresh = time.monotonic() - mine.last_used < _IDLE_SECONDS
        if mine.connection and fresh and mine.generation == self._generation:
            return mine.connection
        if mine.connection:
            mine.connection.close()
        mine.generation = self._generation
        mine.connection = self._new_connection(_TIMEOUT_SECONDS)
        return mine.connection

    def _new_connection(self, timeout: float | None) -> http.client.HTTPSConnection:
        host, port = self.address
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
