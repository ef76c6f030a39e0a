"""Watches the certificates of OPS and names those that changed; an event is a trigger, nothing more."""

import time
from collections.abc import Callable, Iterator

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.client import ClusterClient
from tasks.kube.pool import client_of_source
from tasks.kube.responses import Event
from tasks.watch.timings import DEFAULT, WatchTimings

RESYNC = ""
"""In place of a name: nothing is known yet, so every certificate may have changed."""


class SourceWatch:
    """Remembers the last known resourceVersions between two watches. For one thread at a time."""

    def __init__(self, on_activity: Callable[[], None], timings: WatchTimings = DEFAULT) -> None:
        """`on_activity` is called at each event or bookmark, and when a watch request ends as it should."""
        self._on_activity, self._timings = on_activity, timings
        self.failures = 0
        """Consecutive failures since the last activity; the caller of `changes` counts them."""
        self._versions: dict[str, str] | None = None
        """Name -> resourceVersion, as last seen."""

    def changes(self, source: Source) -> Iterator[str]:
        """List, then watch; yield RESYNC the first time, then each name that changes. Raises ClusterError.

        Changes from between two calls are found by comparing the list with the last known versions.
        """
        with client_of_source(source, time.monotonic() + self._timings.list_timeout) as client:
            version, listed = client.tls_versions(source.namespace, source.selector)
        before, self._versions = self._versions, listed
        if before is None:
            yield RESYNC
        else:
            yield from sorted(name for name in before | listed if before.get(name) != listed.get(name))
        while True:
            started = time.monotonic()
            deadline = started + self._timings.watch_duration + self._timings.watch_margin
            with client_of_source(source, deadline) as client:
                for event in self._events(client, source, version):
                    version = event.version
                    yield from (event.name,) if event.name else ()
            self._check_end(source, time.monotonic() - started)

    def _events(self, client: ClusterClient, source: Source, version: str) -> Iterator[Event]:
        versions = self._versions if self._versions is not None else {}
        seconds = self._timings.watch_duration
        for event in client.watch_tls_secrets(source.namespace, source.selector, version, seconds):
            self._record_activity()
            if event.deleted:
                versions.pop(event.name, None)
            elif event.name:
                versions[event.name] = event.version
            yield event

    def _check_end(self, source: Source, seconds: float) -> None:
        """Raise if the server or a proxy ended the watch early: events may be missing then."""
        if seconds < self._timings.watch_duration / 2:
            what, detail = f"watch secrets in {source.namespace}", "it was ended before its time"
            failure = Failure(
                code=FailureCode.CONNECTION_LOST,
                cluster=source.label,
                what=what,
                detail=detail,
                transient=True,
            )
            raise ClusterError(failure)
        self._record_activity()

    def _record_activity(self) -> None:
        self.failures = 0
        self._on_activity()
