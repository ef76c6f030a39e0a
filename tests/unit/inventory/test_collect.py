"""The inventory of several clusters."""

from datetime import datetime

import pytest

from tasks.domain.errors import ClusterError
from tasks.domain.models import ClusterReport
from tasks.inventory import collect
from tasks.plan.observed import ObservedState
from tasks.plan.spec import SyncSpec
from tasks.target import identity
from tests.support.factories import OPS_ID, snapshot, unpinned_clusters

UID = "0d0c9a52-5a4e-4f0e-9d0b-6f1f0c6f2b22"
CONFIG = unpinned_clusters("dev", "prd")


def preview(spec: SyncSpec, _: float) -> tuple[ClusterReport, ObservedState]:
    """Verify the identity of a cluster that says that it is UID, and read nothing else."""
    try:
        identity.verify_identity(None, spec, datetime.now().astimezone())  # type: ignore[arg-type]  # never asked
    except ClusterError as error:
        return ClusterReport(cluster=spec.cluster.name, failures=(error.failure,)), ObservedState()
    return ClusterReport(cluster=spec.cluster.name), ObservedState()


def test_two_entries_for_one_cluster_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inventory says that a second entry leads to the same cluster, without a clusterId, too."""
    monkeypatch.setattr(identity, "identify", lambda *_: (UID, []))
    monkeypatch.setattr(collect, "preview", preview)
    monkeypatch.setattr(collect, "contexts", list)
    monkeypatch.setattr(collect, "_read_ops", lambda _: snapshot(cluster_id=OPS_ID))
    found = collect.collect_inventory(CONFIG)
    said = [failure.detail for one in found.clusters for failure in one.failures]
    assert len(said) == 1
    assert said[0].startswith("it is the cluster of ")
