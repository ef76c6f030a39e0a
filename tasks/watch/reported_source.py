"""What the watcher's reports say of OPS; it is computed again only where OPS or the configuration changed."""

from collections.abc import Iterable
from typing import NamedTuple

from tasks.config.schema import SyncConfig
from tasks.domain.models import Certificate, ClusterReport, ListedSecret, SourceSnapshot
from tasks.plan.described import described, with_entries_read
from tasks.plan.spec import RunMemory
from tasks.plan.unrouted import without_unrouted


class _Shown(NamedTuple):
    config: SyncConfig
    snapshot: SourceSnapshot
    without_unrouted: SourceSnapshot


class ReportedSource:
    """Reports also say what was known of a Secret when all was copied, while it has not changed since."""

    def __init__(self) -> None:
        self._described = SourceSnapshot()
        """As of the last time that all was copied."""
        self._shown: _Shown | None = None

    def describe(self, snapshot: SourceSnapshot, memory: RunMemory, reports: Iterable[ClusterReport]) -> None:
        """Note what is known after all was copied."""
        self._described = described(snapshot, memory, reports)

    def of(self, config: SyncConfig, snapshot: SourceSnapshot, memory: RunMemory) -> SourceSnapshot:
        """Return what reports say: only what a route of this configuration, or a request, names."""
        shown = self._shown
        if shown is None or shown.config is not config or shown.snapshot is not snapshot:
            told = with_entries_read(snapshot, memory, ()).corrected(self._known_of(snapshot.listed))
            shown = self._shown = _Shown(config, snapshot, without_unrouted(told, config))
        return shown.without_unrouted

    def _known_of(self, listed: Iterable[ListedSecret]) -> dict[str, Certificate]:
        """What was known of Secrets after all of OPS was copied, where they are still the same."""
        known = self._described.by_name
        found = ((one, known.get(one.ref.name)) for one in listed)
        return {
            one.ref.name: certificate
            for one, certificate in found
            if certificate and certificate.resource_version == one.resource_version
        }
