"""What the watcher knows of OPS: its last list, corrected by events, and what is granted of it.

Granting looks at all that Certificates ask for, so it is done again only where something has changed that it
depends on.
"""

import threading

from tasks.config.schema import SyncConfig
from tasks.domain.models import CopyRequest, SourceSnapshot
from tasks.kube.client import ClusterClient
from tasks.plan.requests import granted
from tasks.source.changed import Changed
from tasks.source.known_certificates import KnownCertificates
from tasks.source.statuses import read_statuses


class KnownSource:
    """Usable from several threads; each change is visible as a whole."""

    def __init__(self) -> None:
        self.certificates = KnownCertificates()
        self._lock = threading.Lock()
        self._snapshot: SourceSnapshot | None = None
        self._granted: tuple[SyncConfig, SyncConfig] | None = None
        """The configuration, and the same with what Certificates ask for; None where that has changed."""

    @property
    def snapshot(self) -> SourceSnapshot | None:
        """None until OPS was listed once."""
        with self._lock:
            return self._snapshot

    def replace(self, snapshot: SourceSnapshot) -> None:
        """Note a new list of OPS."""
        with self._lock:
            self._snapshot, self._granted = snapshot, None

    def with_requests(self, config: SyncConfig) -> SyncConfig:
        """Return the configuration with what Certificates ask for; note in the snapshot what is refused."""
        with self._lock:
            known = self._granted
            if self._snapshot is None:
                return config
            if known is None or known[0] is not config:
                now, self._snapshot = granted(config, self._snapshot)
                known = self._granted = config, now
            return known[1]

    def correct(self, config: SyncConfig, name: str, found: Changed) -> None:
        """Note what OPS has under this name, and what its Certificate asks for; nothing if that is unread."""
        with self._lock:
            assert self._snapshot
            known = self._snapshot
            self._snapshot = known.corrected({name: found.entry})
            is_unread = bool(config.self_service and found.secret is not None and found.requests is None)
            same = tuple(one for one in known.requests if one.secret == name)
            if is_unread or found.requests not in (None, same):
                others = (one for one in known.requests if one.secret != name)
                asked = _sorted(*others, *(found.requests or ()))
                unread = known.requests_unread or is_unread
                self._snapshot = self._snapshot.changed(requests=asked, requests_unread=unread)
                self._granted = None
            elif (name in known.entries) != (name in self._snapshot.entries):
                self._granted = None  # a route may write now what a Certificate asks for

    def read_requests(self, config: SyncConfig, client: ClusterClient) -> None:
        """Note what all Certificates ask for now. What is read of single ones meanwhile is newer.

        OPS was listed once. Raises ClusterError.
        """
        before = self.snapshot
        assert before
        statuses = read_statuses(client, config.source, self.certificates, with_requests=True)
        with self._lock:
            assert self._snapshot
            known = self._snapshot
            newer = {one.secret for one in {*before.requests} ^ {*known.requests}}
            listed = (one for one in statuses.requests.found() if one.secret not in newer)
            single = (one for one in known.requests if one.secret in newer)
            asked = _sorted(*listed, *single)
            if (asked, statuses.is_unread) != (known.requests, known.requests_unread):
                self._snapshot = known.changed(requests=asked, requests_unread=statuses.is_unread)
                self._granted = None


def _sorted(*requests: CopyRequest) -> tuple[CopyRequest, ...]:
    return tuple(sorted(requests, key=lambda one: one.secret))
