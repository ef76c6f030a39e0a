"""What `tls-sync plan --explain` says first: the routes, and what OPS's Certificates ask for."""

import time
from datetime import UTC, datetime

from tasks.config.explain import explain
from tasks.config.limits import CLUSTER_SECONDS
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ClusterError
from tasks.domain.models import SourceSnapshot
from tasks.kube.pool import client_of_source
from tasks.plan.requests import granted
from tasks.source.read import list_source


def explained(config: SyncConfig, cluster: str, certificate: str) -> tuple[list[str], bool]:
    """Return lines for people, and whether a route sends the certificate, or may: then a run says more.

    OPS is read only where the configuration has `selfService`. Raises ConfigError if the cluster is unknown.
    """
    config.named(cluster)
    found = _list_ops(config) if config.self_service else SourceSnapshot()
    now, found = granted(config, found)
    lines = explain(now, cluster, certificate, found.refused_requests)
    (target,) = now.named(cluster)
    if found.failure:
        lines.append(f"  what its Certificate asks for is not known: {found.failure}")
        return lines, target.may_get(certificate)
    return lines, target.routes_certificate(certificate)


def _list_ops(config: SyncConfig) -> SourceSnapshot:
    source = config.source
    try:
        with client_of_source(source, time.monotonic() + CLUSTER_SECONDS) as client:
            return list_source(client, source, datetime.now(UTC), with_requests=True)
    except ClusterError as error:
        return SourceSnapshot(failure=error.failure)
