"""Follows the certificates of OPS: which ones are others now. An event is a trigger, and never the truth."""

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
"""In place of a name: nothing is known yet, so all may have changed."""


class Watch:
    """What has changed on OPS since it was last asked. One thread at a time."""

    def __init__(self, alive: Callable[[], None], timings: WatchTimings = DEFAULT) -> None:
        """`alive` is called at each event or bookmark, and where a request ends as it should."""
        self._alive, self._timings = alive, timings
        self.failures = 0
        """How often following has failed since the last sign of life; counted by who calls `changes`."""
        self._known: dict[str, str] | None = None
        """Name -> resourceVersion, as last seen."""

    def changes(self, source: Source) -> Iterator[str]:
        """Names, as they change, from a fresh list on; the first time RESYNC. Raises ClusterError.

        What changed while nobody looked is found by comparing that list with what was seen last.
        """
        with client_of_source(source, time.monotonic() + self._timings.list_timeout) as client:
            version, now = client.tls_versions(source.namespace, source.selector)
        before, self._known = self._known, now
        if before is None:
            yield RESYNC
        else:
            yield from sorted(name for name in before | now if before.get(name) != now.get(name))
        while True:
            begun = time.monotonic()
            lasts = self._timings.watch_duration + self._timings.watch_margin
            with client_of_source(source, begun + lasts) as client:
                for event in self._events(client, source, version):
                    version = event.version
                    yield from (event.name,) if event.name else ()
            self._check_end(source, time.monotonic() - begun)

    def _events(self, client: ClusterClient, source: Source, version: str) -> Iterator[Event]:
        known = self._known if self._known is not None else {}
        seconds = self._timings.watch_duration
        for event in client.watch_tls_secrets(source.namespace, source.selector, version, seconds):
            self._live()
            if event.gone:
                known.pop(event.name, None)
            elif event.name:
                known[event.name] = event.version
            yield event

    def _check_end(self, source: Source, seconds: float) -> None:
        """A server that goes away, or a proxy, ends it before its time: then what follows is unknown."""
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
        self._live()

    def _live(self) -> None:
        self.failures = 0
        self._alive()
