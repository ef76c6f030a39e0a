"""Records the requests of tls-sync, so that the floor can send the same.

They are recorded in urllib3, with the method, query, headers and body that are sent. They contain keys and
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

from urllib3.connectionpool import HTTPConnectionPool


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
    send: Callable[..., Any] = HTTPConnectionPool.urlopen

    def urlopen(pool: HTTPConnectionPool, method: str, url: str, *given: Any, **options: Any) -> Any:
        body = options.get("body", given[0] if given else None) or b""
        headers = options.get("headers", given[1] if len(given) > 1 else None) or {}
        content = body.encode() if isinstance(body, str) else bytes(body)
        taken.append(Request(method, f"https://{pool.host}:{pool.port}{url}", dict(headers), content))
        return send(pool, method, url, *given, **options)

    with patch.object(HTTPConnectionPool, "urlopen", urlopen):
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
