"""Two entries of the configuration never lead to one cluster."""

from datetime import UTC, datetime

import pytest

from tasks.domain.errors import ClusterError
from tasks.plan.spec import RunMemory, SyncSpec
from tasks.target import identity
from tests.support.factories import OPS_ID, snapshot, unpinned_clusters

UID = "0d0c9a52-5a4e-4f0e-9d0b-6f1f0c6f2b22"
CONFIG = unpinned_clusters("dev", "prd")


def verify(name: str, memory: RunMemory, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Verify a cluster of which the API server says that it is UID."""
    monkeypatch.setattr(identity, "identify", lambda *_: (UID, []))
    (entry,) = CONFIG.named(name)
    spec = SyncSpec(CONFIG, entry, snapshot(cluster_id=OPS_ID), memory=memory)
    return identity.verify_identity(None, spec, datetime.now(UTC))  # type: ignore[arg-type]  # never asked


def test_a_second_entry_for_one_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a run, whichever comes first is served."""
    run = RunMemory()
    verify("prd", run, monkeypatch)
    with pytest.raises(ClusterError, match="it is the cluster of prd, too"):
        verify("dev", run, monkeypatch)


def test_a_run_does_not_depend_on_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cluster was in an earlier run of the same process decides nothing."""
    verify("prd", RunMemory(), monkeypatch)
    assert verify("dev", RunMemory(), monkeypatch) == [f"clusterId is not pinned; this cluster's is {UID}"]
