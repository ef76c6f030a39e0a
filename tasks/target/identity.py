"""Whether a cluster is the one that the configuration means.

Two entries that lead to one cluster would write there under each other's rules. Entries with a clusterId
can't be mixed up. For those without one, and for discovered ones, two of which may be pinned alike, the run
remembers which cluster it found where.
"""

from concurrent.futures import Executor
from datetime import datetime

from tasks.config.discovered import (
    ADDRESS_DIFFERS,
    CORRECT_IT,
    DiscoveredCluster,
    address_difference,
    pinned_id,
)
from tasks.config.schema import Cluster
from tasks.domain.errors import ClusterError
from tasks.kube.client import ClusterClient
from tasks.kube.identity import identify, wrong_cluster
from tasks.plan.spec import SyncSpec


def verify_identity(
    target: ClusterClient, spec: SyncSpec, now: datetime, executor: Executor | None = None
) -> list[str]:
    """Warnings. Raises ClusterError: WrongCluster, or what `identify` raises."""
    found, warnings = identify(target, now, executor)
    cluster = spec.cluster
    is_discovered = isinstance(cluster, DiscoveredCluster)
    pinned = pinned_id(cluster, target.pin if is_discovered else "")
    if mismatch := _mismatch(spec, pinned, found):
        raise ClusterError(wrong_cluster(cluster.name, mismatch))
    if difference := is_discovered and address_difference(cluster, target.server):
        warnings = [f"{ADDRESS_DIFFERS}: {difference}: {CORRECT_IT}", *warnings]
    return warnings if pinned else [f"clusterId is not pinned; this cluster's is {found}", *warnings]


def _mismatch(spec: SyncSpec, pinned: str | None, found: str) -> str:
    """Why a cluster of this uid is the wrong one; empty where it is right."""
    cluster = spec.cluster
    spec.memory.cluster_ids[cluster.name] = found
    if pinned not in (None, found):
        whose = [one.name for one in spec.config.clusters if one.cluster_id == found]
        return f"pinned {pinned}, found {found}" + "".join(f", which is {one}" for one in whose)
    if found == spec.snapshot.cluster_id:
        return "it is OPS itself"
    if cluster.cluster_id:
        return ""  # the configuration has no clusterId twice
    # All clusters are compared for each unpinned one: the cheap comparison goes first.
    alike = [one.name for one in spec.config.clusters if _uid_of(one, spec) == found]
    same = [one for one in alike if one != cluster.name]
    return f"it is the cluster of {', '.join(same)}, too" if same else ""


def _uid_of(cluster: Cluster, spec: SyncSpec) -> str | None:
    return cluster.cluster_id or spec.memory.cluster_ids.get(cluster.name)
