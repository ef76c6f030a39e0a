"""Lists the data of OPS once for the clusters of a process that are about to write at the same time.

The clusters of a group take the pages in step. When all have written a page, the first of them to need the
next one reads it. So one page of private keys is in memory, however many clusters there are.
"""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from threading import Condition
from typing import Any

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.pool import client_of_source
from tasks.kube.responses import name_of
from tasks.plan.spec import SyncSpec

ARRIVAL_SECONDS = 1.0
"""Maximum seconds for which a cluster that is about to write waits for those that are still planning."""
PATIENCE_SECONDS = 3.0
"""Seconds for which the others wait for one cluster in all; then it reads alone."""

Page = list[dict[str, Any]]


class End(Enum):
    """Why there is no page."""

    LIST = "the list ended"
    ALONE = "the cluster reads the rest alone"


def shared_pages(
    spec: SyncSpec, names: tuple[str, ...], deadline: float
) -> Generator[Page, None, tuple[str, ...]]:
    """Yield pages of OPS's Secrets, and return the names that the caller is to read. Raises ClusterError.

    A name that no page has and that is not returned does not exist. `deadline` is a time.monotonic() value.
    """
    member, gathering = Member(spec.config.source, deadline), spec.memory.gathering
    seconds = min(ARRIVAL_SECONDS, deadline - time.monotonic())
    group: ListGroup = gathering.join(spec.cluster.name, member, ListGroup, seconds)
    left = dict.fromkeys(names)
    try:
        while left:
            page = group.next_page(member)
            if isinstance(page, End):
                return () if page is End.LIST else tuple(left)
            for name in map(name_of, page):  # no variable keeps a Secret
                left.pop(name, None)
            yield page
    finally:
        group.leave(member)
    return ()


@dataclass(eq=False)
class Member:
    """One cluster of a group."""

    source: Source
    deadline: float
    is_writing: bool = False
    written: int = 0
    """Pages."""
    delay: float = 0.0
    """Seconds for which others have waited for it."""


class ListGroup:
    """The clusters that take the pages of one list in step.

    A member of another source reads alone: a watcher's configuration may change between two clusters.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        source = members[0].source
        self._changed, self._members = Condition(), {one for one in members if one.source == source}
        self._list, self._page, self._read = _list(source), Page(), 0
        next(self._list)
        self._is_reading = False
        self._since: float | None = None
        """When the first cluster began to wait for others that write the page."""
        self._end = End.ALONE if len(self._members) < 2 else None
        self._failure: Failure | None = None

    def next_page(self, member: Member) -> Page | End:
        """Return the next page, for the caller to empty, once all have written the last.

        Raises ClusterError.
        """
        with self._changed:
            self._finish(member)
        while (found := self._found(member)) is None:
            self._read_page(member.deadline)
        return found

    def _found(self, member: Member) -> Page | End | None:
        """What there is for this cluster, after waiting for it; None if it is to read the next page."""
        with self._changed:
            while member in self._members and time.monotonic() < member.deadline:
                if self._failure:
                    raise ClusterError(self._failure)
                if self._end:
                    return self._end
                if member.written < self._read:
                    member.is_writing = True
                    return self._page.copy()
                if not self._is_reading and not self._busy():
                    self._is_reading = True
                    self._page.clear()  # `_list` holds the same object
                    return None
                self._wait(member.deadline)
            return End.ALONE

    def leave(self, member: Member) -> None:
        """Nobody waits for this one any more. The last one to leave closes the list."""
        with self._changed:
            self._members.discard(member)
            self._changed.notify_all()
            if not self._members:
                self._page.clear()
                self._list.close()

    def _busy(self) -> list[Member]:
        return [one for one in self._members if one.written < self._read]

    def _finish(self, member: Member) -> None:
        if member.is_writing:
            member.is_writing, member.written = False, member.written + 1
            member.delay += time.monotonic() - self._since if self._since else 0
            self._changed.notify_all()

    def _wait(self, deadline: float) -> None:
        """Wait for a change. Who has kept the others waiting for too long leaves."""
        now = time.monotonic()
        seconds = deadline - now
        if not self._is_reading:
            self._since = self._since or now
            for one in self._busy():
                left = PATIENCE_SECONDS - one.delay - (now - self._since)
                seconds = min(seconds, left)
                if left <= 0:
                    self._members.discard(one)
        self._changed.wait(max(0.0, seconds))

    def _read_page(self, deadline: float) -> None:
        page, failure = Page(), None
        end: End | None = End.ALONE
        try:
            page, end = self._list.send(deadline), None
        except StopIteration:
            end = End.LIST
        except ClusterError as error:
            # The deadline is this cluster's own: the others read alone.
            failure = None if error.failure.code is FailureCode.DEADLINE else error.failure
            raise
        finally:
            with self._changed:
                self._page, self._end, self._failure = page, end, failure
                self._is_reading, self._since, self._read = False, None, self._read + (end is None)
                self._changed.notify_all()


def _list(source: Source) -> Generator[Page, float, None]:
    """Yield pages. Each is asked for with the deadline of the cluster that waits for the response."""
    deadline = yield []
    with client_of_source(source, deadline) as client:
        for page in client.tls_secrets(source.namespace, source.selector):
            client.set_deadline((yield page))
