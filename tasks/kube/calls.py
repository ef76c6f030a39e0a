"""Makes one call to a Kubernetes API, checks its response, and raises ClusterError for every failure.

client.py defines the requests; transport.py sends them.
"""

from collections.abc import Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.responses import matches_object
from tasks.kube.transport import USER_AGENT, Extract, Request, Response, Transport, TransportError
from tasks.kubeconfig.reader import Access

PAGE_BYTES = 16 * 1024 * 1024
"""Maximum number of bytes of one page."""
LIST_BYTES = 16 * PAGE_BYTES
"""Maximum number of bytes of all pages of a list."""
OTHER_KIND = "the response is about something else"
"""It has another kind, name or namespace: for example a proxy's answer."""
OTHER_OBJECT = "the response is about another object"
"""It has another uid: the object was deleted and created again, for example."""


class Listing(NamedTuple):
    """How to request a list."""

    kind: str
    accept: str
    page_size: int
    """Objects on a page."""
    extract: Extract | None = None
    """See Request."""
    user_agent: str = USER_AGENT


class Calls:
    """Calls to one cluster during one task. Usable from several threads."""

    server_time: datetime | None = None
    """The Date of the last response, to the second; None if it had none."""
    credential_version: tuple[object, ...] = ()
    """See Access.version."""

    def __init__(self, cluster: str, access: Access, deadline: float) -> None:
        """`deadline` is a time.monotonic() value, after which every call fails."""
        self._cluster, self.deadline = cluster, deadline
        self.credential_expires_at, self.credential_version = access.expires_at, access.version
        self.pin, self.server = access.pin, str(access.api.configuration.host)
        self._transport = Transport(access.api, deadline)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def set_deadline(self, deadline: float) -> None:
        """Prepare for the next task, which has this deadline. Connections stay open."""
        self.deadline, self.server_time = deadline, None
        self._transport.set_deadline(deadline)

    def _require(self, valid: bool, expected: str) -> None:
        if not valid:
            raise self._error(FailureCode.INVALID, "build a request", detail=f"expected {expected}")

    def _stream(self, operation: str, request: Request) -> Iterator[bytes]:
        try:
            yield from self._transport.stream(request)
        except TransportError as error:
            code, detail, transient = error.error
        else:
            return
        raise self._error(code, operation, detail=detail, transient=transient)

    def _pages(
        self, path: str, operation: str, listing: Listing, query: dict[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of one list, all of one resourceVersion."""
        version: str | None = None
        query, left = {"limit": str(listing.page_size)} | (query or {}), LIST_BYTES
        while True:
            max_bytes = min(PAGE_BYTES, left)
            request = Request(
                "GET",
                path,
                listing.accept,
                query,
                max_bytes=max_bytes,
                user_agent=listing.user_agent,
                extract=listing.extract,
            )
            _, page, size, _ = self._page(operation, request)
            self._expect(operation, page, kind=listing.kind)
            metadata = page["metadata"]
            if version not in (None, metadata.get("resourceVersion")):
                raise self._error(FailureCode.LIST_EXPIRED, operation, transient=True)
            version, left = str(metadata.get("resourceVersion")), left - size
            yield page
            if not metadata.get("continue"):
                return
            token = str(metadata["continue"])
            if token == query.get("continue"):
                raise self._error(FailureCode.PROTOCOL, operation, detail="the same page again")
            query["continue"] = token

    def _page(self, operation: str, request: Request) -> Response:
        """Return one page. If it is too large, lower the limit of this page and the following ones."""
        query = request.query or {}
        while True:
            try:
                return self._call(operation, request)
            except ClusterError as error:
                limit = int(query["limit"]) // 4
                if error.failure.code is not FailureCode.TOO_MUCH or not limit:
                    raise
                query["limit"] = str(limit)

    def _call(self, operation: str, request: Request) -> Response:
        try:
            response = self._transport.request(request)
        except TransportError as error:
            code, detail, transient = error.error
        else:
            self.server_time = response.date
            return response
        raise self._error(code, operation, detail=detail, transient=transient)

    def _get(self, operation: str, request: Request) -> dict[str, Any] | None:
        try:
            return self._call(operation, request).content
        except ClusterError as error:
            if error.failure.code is FailureCode.NOT_FOUND:
                return None
            raise

    def _expect(
        self, operation: str, found: dict[str, Any], *, kind: str, name: str = "", namespace: str = ""
    ) -> None:
        if not matches_object(found, kind, name, namespace):
            raise self._error(FailureCode.PROTOCOL, operation, detail=OTHER_KIND)

    def _error(
        self, code: FailureCode, operation: str, *, detail: str = "", transient: bool = False
    ) -> ClusterError:
        return ClusterError(
            Failure(code=code, cluster=self._cluster, what=operation, detail=detail, transient=transient)
        )
