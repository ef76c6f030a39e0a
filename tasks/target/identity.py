"""Whether a cluster is the one that the configuration means.

Two entries that lead to one cluster would write there under each other's rules. Those with a clusterId can't
be mixed up. For those without one, what this process has seen is remembered: pin them.
"""

from datetime import datetime

from tasks.config.schema import Cluster, Source
from tasks.domain.errors import ClusterError
from tasks.domain.models import Failure
from tasks.domain.reasons import Code
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.expiry import warn_of_end
from tasks.plan.spec import Order

_seen: dict[tuple[str, str], str] = {}
"""(owner, cluster) -> uid of its kube-system, as last seen."""


def identify(client: ClusterClient, now: datetime) -> tuple[str, list[str]]:
    """The uid of a cluster, and warnings. Raises ClusterError; Unauthorized where it takes us for nobody."""
    client.require_identity()
    return client.cluster_id(), warn_of_end(client.credential_ends, now)


def identify_ops(client: ClusterClient, source: Source, now: datetime) -> tuple[str, list[str]]:
    """As `identify`; WrongCluster where OPS is another cluster than the pinned one."""
    found, warnings = identify(client, now)
    if source.cluster_id not in (None, found):
        detail = f"pinned {source.cluster_id}, found {found}"
        raise ClusterError(_wrong_cluster(source.label, detail))
    if source.cluster_id is None:
        warnings = [f"source.clusterId is not pinned; that of {source.label} is {found}", *warnings]
    return found, warnings


def verify_identity(target: ClusterClient, order: Order, now: datetime) -> list[str]:
    """Warnings. Raises ClusterError: WrongCluster, or what `identify` raises."""
    found, warnings = identify(target, now)
    cluster = order.cluster
    if trouble := _trouble(order, found):
        raise ClusterError(_wrong_cluster(cluster.name, trouble))
    return (
        warnings if cluster.cluster_id else [f"clusterId is not pinned; this cluster's is {found}", *warnings]
    )


def _wrong_cluster(cluster: str, detail: str) -> Failure:
    return Failure(code=Code.WRONG_CLUSTER, cluster=cluster, what="verify clusterId", detail=detail)


def _trouble(order: Order, found: str) -> str:
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


def _uid_of(cluster: Cluster, order: Order) -> str | None:
    return cluster.cluster_id or _seen.get((order.config.owner, cluster.name))
