"""100 certificates on OPS, each routed to DEV, RCT and PRD: what all the benchmarks copy."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox import certificate_resource
from deployments.sandbox.admin import Admin
from deployments.sandbox.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.control_plane import Sandbox
from deployments.sandbox.kubeconfig import SOURCE_CLUSTER, context_name, write_kubeconfig
from tasks.cluster import ClusterClient
from tasks.config import SyncConfig, load_config
from tasks.inventory import take_inventory
from tasks.kubeconfig import connect
from tasks.order import Order, orders_for

TARGETS = ("dev", "rct", "prd")
NAMESPACES = tuple(f"team-{number}" for number in range(4))
PER_NAMESPACE = 25
COPIES = len(TARGETS) * len(NAMESPACES) * PER_NAMESPACE
RSA_EVERY = 5
"""One key in five is RSA: larger, and slower to check."""
SETTLE_SECONDS = 0.3

_ACCOUNT = "system:serviceaccount:tls-sync:tls-sync"


@dataclass(frozen=True)
class Copy:
    """One Secret that one target is to have."""

    certificate: str
    cluster: str
    namespace: str


class World:
    """The clusters, tls-sync's files, and the harness's hand on both."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox, self.directory = sandbox, directory
        self.config_file, self.kubeconfig = directory / "tls-sync.yaml", directory / "kubeconfig"

    @property
    def environment(self) -> dict[str, str]:
        return {"TLS_SYNC_CONFIG": str(self.config_file), "KUBECONFIG": str(self.kubeconfig)}

    def build(self) -> None:
        """Fill OPS and write tls-sync's files; the targets stay empty."""
        write_kubeconfig(self.sandbox, self.kubeconfig, dict.fromkeys(TARGETS, NAMESPACES))
        self.config_file.write_text(yaml.safe_dump(self._configuration(), sort_keys=False))
        os.environ.update(self.environment)  # for what runs in this process
        admin, issuer = self.sandbox.cluster(SOURCE_CLUSTER).admin, Issuer()
        certificate_resource.install(admin)
        for number, name in enumerate(certificates()):
            secret = issuer.secret(name, [f"{name}.example.org"], key="ec" if number % RSA_EVERY else "rsa")
            admin.create(secret)
            certificate_resource.put(admin, certificate_resource.certificate(secret))

    def _configuration(self) -> dict[str, Any]:
        clusters = [
            {
                "name": name,
                "context": context_name(name),
                "clusterId": self.sandbox.cluster(name).admin.cluster_id(),
                "hostnames": ["*.example.org"],
                "routes": [{"certificates": [f"{ns}-*"], "namespaces": [ns]} for ns in NAMESPACES],
            }
            for name in TARGETS
        ]
        source = {"namespace": SOURCE_NAMESPACE, "context": context_name(SOURCE_CLUSTER)}
        return {"owner": SOURCE_CLUSTER, "source": source, "clusters": clusters}

    def orders(self) -> tuple[Order, ...]:
        """What the flow hands to the clusters' part, from an inventory taken now."""
        config: SyncConfig = load_config(str(self.config_file))
        source = config.source
        client = ClusterClient(source.label, connect(source.label, source.context), time.monotonic() + 300)
        with client:
            inventory = take_inventory(client, source, datetime.now(UTC))
        clusters = config.select(None, None)
        return orders_for(config, clusters, inventory, dry_run=False, certificate=None)

    def empty(self) -> None:
        """Take all copies off the targets, as their administrators, and let the servers come to rest."""
        with ThreadPoolExecutor(len(TARGETS)) as pool:
            list(pool.map(_empty, (self.sandbox.cluster(name).admin for name in TARGETS)))
        time.sleep(SETTLE_SECONDS)

    @property
    def server_version(self) -> str:
        return str(self.sandbox.cluster(SOURCE_CLUSTER).admin.get("/version")["gitVersion"])

    def count_copies(self) -> int:
        admins = [self.sandbox.cluster(name).admin for name in TARGETS]
        return sum(len(admin.secrets(namespace)) for admin in admins for namespace in NAMESPACES)

    def count_requests(self) -> int:
        """All that tls-sync has asked of the four API servers so far, by their audit logs."""
        entries = (entry for name in self.sandbox.names for entry in self.sandbox.cluster(name).audit())
        return sum(entry["user"]["username"] == _ACCOUNT for entry in entries)


def certificates() -> Iterator[str]:
    for namespace in NAMESPACES:
        yield from (f"{namespace}-web-{number:02}" for number in range(PER_NAMESPACE))


def copies() -> tuple[Copy, ...]:
    """All that must lie on the targets after a sync."""
    return tuple(
        Copy(certificate, cluster, certificate.rpartition("-web-")[0])
        for cluster in TARGETS
        for certificate in certificates()
    )


def _empty(admin: Admin) -> None:
    for namespace in NAMESPACES:
        admin.delete(f"/api/v1/namespaces/{namespace}/secrets")
