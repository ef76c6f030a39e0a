"""Records the requests of tls-sync, so that the floor can send the same.

They are recorded as they are given to a connection: method, query, headers and body. They contain keys and
tokens: the file is in the benchmark's own folder (mode 0700) and is deleted with it.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tasks.kube.connections import Connections, OpenResponse


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@contextmanager
def recording() -> Iterator[list[Request]]:
    """All requests of this process during the `with`."""
    taken: list[Request] = []
    send: Callable[..., OpenResponse] = Connections.request

    def request(connections: Connections, method: str, target: str, **options: Any) -> OpenResponse:
        pool, content = connections._pool, options["body"] or b""
        url = f"https://{pool.host}:{pool.port}{target}"
        taken.append(Request(method, url, dict(options["headers"]), content))
        return send(connections, method, target, **options)

    with patch.object(Connections, "request", request):
        yield taken


def write(requests: list[Request], path: Path) -> Path:
    """One JSON object per line, for floor/main.go."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        for request in requests:
            body = base64.b64encode(request.body).decode()
            line = {"method": request.method, "url": request.url, "headers": request.headers, "body": body}
            file.write(json.dumps(line) + "\n")
    return path
