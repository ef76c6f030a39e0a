"""JSON over HTTP with the standard library: the hooks need no more, and start at once."""

import json
import ssl
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from deployments.hook.errors import HookError, Unreachable
from tasks.domain.names import without_user

SECONDS = 15.0
SILENCE_SECONDS = 60.0
"""Of silence, after which nothing is asked again."""
MOST_BYTES = 32 * 1024 * 1024
"""Of an answer."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
BUSY = frozenset({429, 502, 503})
"""Worth asking again, as Prefect's own client does: its server says 503 while its database is locked."""


class Refused(HookError):
    """An answer that is an error."""

    def __init__(self, status: int, call: str) -> None:
        super().__init__(f"{call}: HTTP {status}")
        self.status = status


class Rest:
    def __init__(self, base: str, headers: dict[str, str], trust: ssl.SSLContext | None = None) -> None:
        self.base, self.shown = base, without_user(base)
        self._headers = {"Accept": "application/json", "Content-Type": "application/json", **headers}
        self._trust = trust

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer, None where it is empty. Raises Refused or Unreachable.

        A server that is busy, or says nothing, is asked again, with half a minute of pauses: Prefect's waits
        up to 60 s for a locked database. So what is asked has to be something that may be done twice.
        """
        end = time.monotonic() + SILENCE_SECONDS
        for pause in PAUSES:
            try:
                return self.call_once(method, path, body)
            except Refused as error:
                if error.status not in BUSY:
                    raise
            except Unreachable:
                if time.monotonic() > end:
                    raise
            time.sleep(pause)
        return self.call_once(method, path, body)

    def call_once(self, method: str, path: str, body: Any = None) -> Any:
        """As `call`, for those who ask again themselves."""
        data = None if body is None else json.dumps(body).encode()
        try:
            request = urllib.request.Request(  # noqa: S310  the chart's own address
                self.base + path, method=method, headers=self._headers, data=data
            )
            with urllib.request.urlopen(request, timeout=SECONDS, context=self._trust) as answer:  # noqa: S310
                content = answer.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, f"{method} {self.shown}{path}") from None
        except HTTPException as error:  # no port, a blank in it, or an answer that is no HTTP
            raise Unreachable(f"{self.shown}: no HTTP ({type(error).__name__})") from None
        except (OSError, ValueError) as error:  # refused, no such host, no answer in time, no http address
            reason = getattr(error, "reason", error)
            raise Unreachable(f"{self.shown}: {reason}") from None
        if len(content) > MOST_BYTES:
            raise Unreachable(f"{self.shown}: the answer is too large, so this is not Prefect's API")
        try:
            return json.loads(content) if content else None
        except (ValueError, RecursionError):
            raise Unreachable(f"{self.shown}: the answer is not JSON, so this is not Prefect's API") from None

    def found(self, path: str) -> Any:
        """The object at a path, None where there is none."""
        return self._if_there("GET", path)

    def delete(self, path: str, options: Any = None) -> None:
        """What is gone already is no error: the answer to an earlier try can have been lost."""
        self._if_there("DELETE", path, options)

    def _if_there(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return self.call(method, path, body)
        except Refused as error:
            if error.status == 404:
                return None
            raise
