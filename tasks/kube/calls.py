"""One call to a Kubernetes API: made, its answer checked, and whatever goes wrong told as a ClusterError.

What is asked is client.py's business, how a request travels transport.py's.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.responses import matches_object
from tasks.kube.transport import Request, Response, Transport, TransportError
from tasks.kubeconfig.reader import Access

PAGE_BYTES = 16 * 1024 * 1024
LIST_BYTES = 16 * PAGE_BYTES


class Listing(NamedTuple):
    """How a list is asked for."""

    kind: str
    accept: str
    page: int
    """Objects at a time."""
    read: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """See Ask."""


class Calls:
    """To one cluster for the length of one task. Usable from several threads."""

    server_time: datetime | None = None
    """What the API server's clock said with its last answer, to the second; None where it did not say."""

    def __init__(self, cluster: str, access: Access, deadline: float) -> None:
        """`deadline` is a moment of time.monotonic(), after which every call fails."""
        self._cluster, self.credential_ends, self.deadline = cluster, access.ends, deadline
        self._transport = Transport(access.api, deadline)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def until(self, deadline: float) -> None:
        """Use it for another task, which has this deadline; its connections stay."""
        self.deadline, self.server_time = deadline, None
        self._transport.until(deadline)

    def _lines(self, what: str, ask: Request) -> Iterator[bytes]:
        try:
            yield from self._transport.follow(ask)
        except TransportError as error:
            code, detail, transient = error.problem
        else:
            return
        raise self._error(code, what, detail=detail, transient=transient)

    def _require(self, holds: bool, kind: str) -> None:
        if not holds:
            raise self._error(FailureCode.INVALID, "build a request", detail=f"what was given is not {kind}")

    def _pages(
        self, path: str, what: str, listing: Listing, query: dict[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The pages of one list, all as of one resourceVersion."""
        version: str | None = None
        following, left = {"limit": str(listing.page)} | (query or {}), LIST_BYTES
        while True:
            max_bytes = min(PAGE_BYTES, left)
            ask = Request("GET", path, listing.accept, following, max_bytes=max_bytes, read=listing.read)
            _, page, size, _ = self._page(what, ask)
            self._expect(what, page, kind=listing.kind)
            metadata = page["metadata"]
            if version not in (None, metadata.get("resourceVersion")):
                raise self._error(FailureCode.LIST_EXPIRED, what, transient=True)
            version, left = str(metadata.get("resourceVersion")), left - size
            yield page
            if not metadata.get("continue"):
                return
            mark = str(metadata["continue"])
            if mark == following.get("continue"):
                raise self._error(FailureCode.PROTOCOL, what, detail="the same page again")
            following["continue"] = mark

    def _page(self, what: str, ask: Request) -> Response:
        """One page, of fewer objects from here on where they are large."""
        query = ask.query or {}
        while True:
            try:
                return self._call(what, ask)
            except ClusterError as error:
                limit = int(query["limit"]) // 4
                if error.failure.code is not FailureCode.TOO_MUCH or not limit:
                    raise
                query["limit"] = str(limit)

    def _call(self, what: str, ask: Request) -> Response:
        try:
            reply = self._transport.request(ask)
        except TransportError as error:
            code, detail, transient = error.problem
        else:
            self.server_time = reply.date
            return reply
        raise self._error(code, what, detail=detail, transient=transient)

    def _get(self, what: str, ask: Request) -> dict[str, Any] | None:
        try:
            return self._call(what, ask).content
        except ClusterError as error:
            if error.failure.code is FailureCode.NOT_FOUND:
                return None
            raise

    def _expect(
        self, what: str, answer: dict[str, Any], *, kind: str, name: str = "", namespace: str = ""
    ) -> None:
        if not matches_object(answer, kind, name, namespace):
            raise self._error(FailureCode.PROTOCOL, what, detail="the answer is about something else")

    def _error(
        self, code: FailureCode, what: str, *, detail: str = "", transient: bool = False
    ) -> ClusterError:
        return ClusterError(
            Failure(code=code, cluster=self._cluster, what=what, detail=detail, transient=transient)
        )
