"""Identifies the cluster that answers by its uid, and compares it with the clusterId of the configuration."""

from concurrent.futures import Executor
from datetime import datetime

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.expiry import expiry_warnings


def identify(client: ClusterClient, now: datetime, executor: Executor | None = None) -> tuple[str, list[str]]:
    """Return the uid of a cluster, and warnings. Raises ClusterError; UNAUTHORIZED for an anonymous user.

    With an executor, the two requests are side by side.
    """
    found = executor.submit(client.cluster_id) if executor else None
    client.whoami()
    uid = found.result() if found else client.cluster_id()
    return uid, expiry_warnings(client.credential_expires_at, now)


def identify_ops(client: ClusterClient, source: Source, now: datetime) -> tuple[str, list[str]]:
    """Like `identify`, for OPS. WRONG_CLUSTER if its uid is not the pinned clusterId."""
    found, warnings = identify(client, now)
    if source.cluster_id not in (None, found):
        detail = f"pinned {source.cluster_id}, found {found}"
        raise ClusterError(wrong_cluster(source.label, detail))
    if source.cluster_id is None:
        warnings = [f"source.clusterId is not pinned; that of {source.label} is {found}", *warnings]
    return found, warnings


def wrong_cluster(cluster: str, detail: str) -> Failure:
    return Failure(code=FailureCode.WRONG_CLUSTER, cluster=cluster, what="verify clusterId", detail=detail)
