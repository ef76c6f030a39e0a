"""Reads the data of Secrets on OPS that were listed, once for all clusters of a run."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.config.limits import CLUSTER_SECONDS
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure, ListedSecret, SourceEntry
from tasks.kube.pool import client_of_source
from tasks.plan.spec import KnownEntry, SyncSpec
from tasks.source.read import read_listed

MAX_AGE = 300.0
"""Seconds for which what was read serves other clusters."""


def read_entries(spec: SyncSpec, names: Sequence[str], deadline: float) -> dict[str, SourceEntry | None]:
    """Return what OPS has under these names. Raises ClusterError.

    Of several clusters that need a Secret, the first reads it, while the others wait. `deadline` is a
    time.monotonic() value.
    """
    memory, listed = spec.memory, spec.snapshot.entries
    if not memory.reading.acquire(timeout=max(0.0, min(deadline - time.monotonic(), CLUSTER_SECONDS))):
        raise ClusterError(_too_late(spec))
    try:
        found = (listed[name] for name in names if not _is_known(spec, name))
        missing = [one for one in found if isinstance(one, ListedSecret)]
        if missing:
            with client_of_source(spec.config.source, deadline) as client:
                size, now = spec.snapshot.size, datetime.now(UTC)
                read = read_listed(client, spec.config.source, missing, size, now)
            for one in missing:
                entry = read[one.ref.name]
                if not isinstance(entry, ListedSecret):
                    memory.entries[one.ref.name] = KnownEntry(one, entry, time.monotonic())
        return {name: memory.entries[name].entry for name in names}
    finally:
        memory.reading.release()


def _is_known(spec: SyncSpec, name: str) -> bool:
    """Whether the Secret was read after it was listed with this very metadata, and not long ago.

    The checks of validity periods depend on the time: a watcher runs for weeks.
    """
    known = spec.memory.entries.get(name)
    is_same = known is not None and known.listed == spec.snapshot.entries[name]
    return known is not None and is_same and time.monotonic() - known.at <= MAX_AGE


def _too_late(spec: SyncSpec) -> Failure:
    what = f"wait for another cluster's reading of secrets in {spec.config.source.namespace}"
    return Failure(code=FailureCode.DEADLINE, cluster=spec.config.source.label, what=what)
