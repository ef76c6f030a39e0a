"""The configuration of the watcher, with the clusters that are announced on OPS: read again now and then."""

import threading
import time

from tasks.config.discovered import Discovered
from tasks.config.reload import ReloadedConfig
from tasks.config.schema import SyncConfig
from tasks.kube.discovery import Listed, list_profiles, with_listed
from tasks.watch.timings import WatchTimings


class AnnouncedConfig:
    """Usable from several threads. As long as nothing has changed, the configuration is one object."""

    def __init__(self, timings: WatchTimings) -> None:
        self._file, self._timings = ReloadedConfig(), timings
        self._lock = threading.Lock()
        self._base: SyncConfig | None = None
        self._listed, self._listed_at = Listed(), float("-inf")
        self._found: Discovered | None = None

    def load(self) -> SyncConfig:
        """Return the configuration as it is now, with the clusters that were announced last.

        Raises ConfigError.
        """
        return self.discovered().config

    def discovered(self) -> Discovered:
        """Return what `load` returns, and what is known of others. Raises ConfigError."""
        with self._lock:
            base = self._file.load()
            if self._found is None or base is not self._base:
                self._take(list_profiles(base))
                self._base, self._found = base, with_listed(base, self._listed)
            return self._found

    def refresh(self, *, now: bool = False) -> bool:
        """Ask OPS again where the answer is old, or at once with `now`; return whether clusters have changed.

        Raises ConfigError.
        """
        before, known = self.discovered(), self._listed
        is_old = time.monotonic() - self._listed_at > self._timings.discover_interval
        base = self._base
        if base is None or base.discover is None or not (now or is_old):
            return False
        found = list_profiles(base)  # nobody waits for it
        with self._lock:
            self._take(found)
            if self._base is not base or self._listed == known:
                return False
            self._found = with_listed(base, self._listed)
            return self._found.config.clusters != before.config.clusters

    def _take(self, found: Listed) -> None:
        """Remember an answer; after a failure, the known profiles stay. The caller holds the lock."""
        self._listed_at = time.monotonic()
        self._listed = found if found.failure is None else Listed(self._listed.profiles, found.failure)
