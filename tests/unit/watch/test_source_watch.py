"""Which names a watch of OPS brings, and what counts as activity."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.kube.responses import Event
from tasks.watch import source_watch
from tasks.watch.source_watch import RESYNC, SourceWatch
from tasks.watch.timings import WatchTimings
from tests.support.factories import failure

SOURCE = Source(context="cluster-ops", namespace="certificates-ops")
LOST = ClusterError(failure(FailureCode.CONNECTION_LOST, "OPS"))
ENDED_IN_TIME = WatchTimings(watch_duration=0)


class Ops:
    """Lists these resourceVersions; one watch request brings these events, and the next one fails."""

    def __init__(self) -> None:
        self.listed: dict[str, str] = {}
        self.events: list[Event] = []
        self.watched_from: list[str] = []

    def tls_versions(self, *_: object) -> tuple[str, dict[str, str]]:
        return "100", dict(self.listed)

    def watch_tls_secrets(self, _namespace: str, _selector: object, version: str, _: int) -> Iterator[Event]:
        self.watched_from.append(version)
        if len(self.watched_from) % 2 == 0:
            raise LOST
        yield from self.events


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Ops:
    ops = Ops()
    monkeypatch.setattr(source_watch, "client_of_source", lambda *_: nullcontext(ops))
    return ops


def changes(watch: SourceWatch) -> list[str]:
    """The names until the watch fails."""
    names: list[str] = []
    with pytest.raises(ClusterError):
        names.extend(watch.changes(SOURCE))
    return names


def test_the_first_list_is_a_resync_and_events_follow(ops: Ops) -> None:
    """Each event brings its name, a bookmark none, and the next request begins after the last event."""
    ops.listed = {"web-tls": "1"}
    ops.events = [Event("101", "web-tls"), Event("105"), Event("107", "api-tls", deleted=True)]
    assert changes(SourceWatch(lambda: None, ENDED_IN_TIME)) == [RESYNC, "web-tls", "api-tls"]
    assert ops.watched_from == ["100", "107"]


def test_what_changed_between_two_watches_is_found_by_the_list(ops: Ops) -> None:
    """New, renewed and deleted Secrets are named, and those that the events already named are not."""
    ops.listed = {"kept-tls": "1", "old-tls": "1", "gone-tls": "1", "seen-tls": "1"}
    ops.events = [Event("101", "seen-tls")]
    watch = SourceWatch(lambda: None, ENDED_IN_TIME)
    changes(watch)
    ops.listed = {"kept-tls": "1", "old-tls": "2", "new-tls": "1", "seen-tls": "101"}
    ops.events = []
    assert changes(watch) == ["gone-tls", "new-tls", "old-tls"]


def test_events_and_a_due_end_are_activity(ops: Ops) -> None:
    """Each event, each bookmark and the end of a request in time are counted, and reset the failures."""
    calls: list[None] = []
    ops.events = [Event("101", "web-tls"), Event("105")]
    watch = SourceWatch(lambda: calls.append(None), ENDED_IN_TIME)
    watch.failures = 3
    changes(watch)
    assert (len(calls), watch.failures) == (3, 0)


def test_a_watch_that_ends_early_is_a_lost_connection(ops: Ops) -> None:
    """A request that ends before half of its time is no activity, and its failures go on counting."""
    calls: list[None] = []
    watch = SourceWatch(lambda: calls.append(None), WatchTimings(watch_duration=1000))
    watch.failures = 3
    with pytest.raises(ClusterError) as caught:
        list(watch.changes(SOURCE))
    assert caught.value.failure.code is FailureCode.CONNECTION_LOST
    assert (calls, watch.failures, len(ops.watched_from)) == ([], 3, 1)
