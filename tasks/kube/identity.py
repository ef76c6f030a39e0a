"""Which cluster answers: its UID, and whether it is the one that the configuration names."""

from datetime import datetime

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.expiry import warn_of_end


def identify(client: ClusterClient, now: datetime) -> tuple[str, list[str]]:
    """The uid of a cluster, and warnings. Raises ClusterError; Unauthorized where it takes us for nobody."""
    client.whoami()
    return client.cluster_id(), warn_of_end(client.credential_ends, now)


def identify_ops(client: ClusterClient, source: Source, now: datetime) -> tuple[str, list[str]]:
    """As `identify`; WrongCluster where OPS is another cluster than the pinned one."""
    found, warnings = identify(client, now)
    if source.cluster_id not in (None, found):
        detail = f"pinned {source.cluster_id}, found {found}"
        raise ClusterError(wrong_cluster(source.label, detail))
    if source.cluster_id is None:
        warnings = [f"source.clusterId is not pinned; that of {source.label} is {found}", *warnings]
    return found, warnings


def wrong_cluster(cluster: str, detail: str) -> Failure:
    return Failure(code=FailureCode.WRONG_CLUSTER, cluster=cluster, what="verify clusterId", detail=detail)
