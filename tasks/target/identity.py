"""Whether a cluster is the one that the configuration means.

Two entries that lead to one cluster would write there under each other's rules. Those with a clusterId can't
be mixed up. For those without one, what this process has seen is remembered: pin them.
"""

from datetime import datetime

from tasks.config.schema import Cluster
from tasks.domain.errors import ClusterError
from tasks.kube.client import ClusterClient
from tasks.kube.identity import identify, wrong_cluster
from tasks.plan.spec import SyncSpec

_seen: dict[tuple[str, str], str] = {}
"""(owner, cluster) -> uid of its kube-system, as last seen."""


def verify_identity(target: ClusterClient, order: SyncSpec, now: datetime) -> list[str]:
    """Warnings. Raises ClusterError: WrongCluster, or what `identify` raises."""
    found, warnings = identify(target, now)
    cluster = order.cluster
    if trouble := _trouble(order, found):
        raise ClusterError(wrong_cluster(cluster.name, trouble))
    return (
        warnings if cluster.cluster_id else [f"clusterId is not pinned; this cluster's is {found}", *warnings]
    )


def _trouble(order: SyncSpec, found: str) -> str:
    """What is wrong with a cluster of this uid; empty where nothing is."""
    cluster = order.cluster
    _seen[order.config.owner, cluster.name] = found
    if cluster.cluster_id not in (None, found):
        return f"pinned {cluster.cluster_id}, found {found}"
    if found == order.inventory.cluster_id:
        return "it is OPS itself"
    if cluster.cluster_id:
        return ""  # the configuration has no clusterId twice
    same = [one.name for one in order.config.clusters if one != cluster and _uid_of(one, order) == found]
    return f"it is the cluster of {', '.join(same)}, too" if same else ""


def _uid_of(cluster: Cluster, order: SyncSpec) -> str | None:
    return cluster.cluster_id or _seen.get((order.config.owner, cluster.name))
