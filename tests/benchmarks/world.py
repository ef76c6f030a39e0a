"""Certificates on OPS, each routed to DEV, RCT and PRD: what the benchmarks copy."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.world import certificate_resource
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name, write_kubeconfig
from tasks.config.load import load_config
from tasks.config.schema import SyncConfig
from tasks.domain.parameters import RunParameters
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import connect
from tasks.plan.requests import granted
from tasks.plan.spec import SyncSpec, specs_for
from tasks.source.read import list_source
from tasks.target.notes import MAX_NOTES

TARGETS = ("dev", "rct", "prd")
NAMESPACES = tuple(f"team-{number}" for number in range(4))
RSA_EVERY, RSA_AMONG = 5, 1000
"""Of the first thousand, one key in five is RSA: larger, and slower to check, and slower to make."""
SETTLE_SECONDS = 0.3
CONCURRENCY = 6
"""Requests at a time that fill OPS."""

_CERTIFICATES = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates"


@dataclass(frozen=True)
class Copy:
    """One Secret that one target must have."""

    certificate: str
    cluster: str
    namespace: str


class World:
    """The clusters, and tls-sync's files."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox, self.directory = sandbox, directory
        self.config_file, self.kubeconfig = directory / "tls-sync.yaml", directory / "kubeconfig"
        self.certificates: tuple[str, ...] = ()
        """Names of those on OPS now."""
        self._issuer = Issuer()

    @property
    def environment(self) -> dict[str, str]:
        return {"TLS_SYNC_CONFIG": str(self.config_file), "KUBECONFIG": str(self.kubeconfig)}

    @property
    def ca(self) -> Path:
        """The CA of all API servers."""
        return self.directory / "ca.pem"

    @property
    def ops(self) -> Admin:
        return self.sandbox.cluster(SOURCE_CLUSTER).admin

    def build(self) -> None:
        """Write tls-sync's files; OPS and the targets stay empty."""
        write_kubeconfig(self.sandbox, self.kubeconfig, dict.fromkeys(TARGETS, NAMESPACES))
        self.config_file.write_text(yaml.safe_dump(self._configuration(), sort_keys=False))
        os.environ.update(self.environment)  # for tls-sync in this process
        self.ca.write_bytes(self.sandbox.cluster(SOURCE_CLUSTER).ca_pem)
        certificate_resource.install(self.ops)

    def resize(self, number: int, names: Sequence[str] = ()) -> None:
        """Create or delete certificates on OPS until there are `number`; without one, its copies go, too.

        `names` are theirs, in place of the usual ones.
        """
        wanted = [*enumerate(names or map(certificate_name, range(number)))]
        gone = set(self.certificates) - {name for _, name in wanted}
        with ThreadPoolExecutor(CONCURRENCY) as pool:  # in lists, so that errors are raised
            list(pool.map(self._remove, gone))
            list(pool.map(self._put, (one for one in wanted if one[1] not in self.certificates)))
        self.certificates = tuple(name for _, name in wanted)
        if gone:
            self.empty()

    def _put(self, one: tuple[int, str]) -> None:
        index, name = one
        is_rsa = index % RSA_EVERY == 0 and index < RSA_AMONG
        secret = self._issuer.secret(name, [f"{name}.example.org"], key="rsa" if is_rsa else "ec")
        self.ops.create(secret)
        certificate_resource.put(self.ops, certificate_resource.certificate(secret))

    def _remove(self, name: str) -> None:
        self.ops.delete(f"{_CERTIFICATES}/{name}")
        self.ops.delete(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{name}")

    def renew(self, name: str) -> None:
        """Replace one certificate, as cert-manager does every 60 days."""
        (secret,) = filter(None, [self.ops.secret(SOURCE_NAMESPACE, name)])
        self.ops.replace(self._issuer.renew(secret))

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
        source = {
            "namespace": SOURCE_NAMESPACE,
            "context": context_name(SOURCE_CLUSTER),
            "clusterId": self.ops.cluster_id(),
        }
        return {"owner": SOURCE_CLUSTER, "source": source, "clusters": clusters}

    def specs(self) -> tuple[SyncSpec, ...]:
        """List OPS, and return what the flow passes to each cluster's task."""
        config: SyncConfig = load_config(str(self.config_file))
        source = config.source
        client = ClusterClient(source.label, connect(source.label, source.context), time.monotonic() + 300)
        with client:
            snapshot = list_source(client, source, datetime.now(UTC), with_requests=bool(config.self_service))
        config, snapshot = granted(config, snapshot)
        clusters = config.select(RunParameters())
        return specs_for(config, clusters, snapshot, RunParameters())

    def empty(self) -> None:
        """Delete all copies as the targets' administrators, and let the servers settle."""
        with ThreadPoolExecutor(len(TARGETS)) as pool:
            list(pool.map(_empty, (self.sandbox.cluster(name).admin for name in TARGETS)))
        time.sleep(SETTLE_SECONDS)

    @property
    def copies(self) -> tuple[Copy, ...]:
        """All that the targets must have after a sync."""
        return tuple(
            Copy(certificate, cluster, certificate.rpartition("-web-")[0])
            for cluster in TARGETS
            for certificate in sorted(self.certificates)
        )

    @property
    def server_version(self) -> str:
        return str(self.ops.get("/version")["gitVersion"])

    def count_copies(self) -> int:
        admins = [self.sandbox.cluster(name).admin for name in TARGETS]
        return sum(count_secrets(admin, namespace) for admin in admins for namespace in NAMESPACES)


def noting_runs(copies: int) -> int:
    """Return how many runs write the notes of so many copies in each cluster."""
    return -(-copies // MAX_NOTES)


def certificate_name(index: int) -> str:
    return f"{NAMESPACES[index % len(NAMESPACES)]}-web-{index // len(NAMESPACES):03}"


def count_secrets(admin: Admin, namespace: str) -> int:
    """Without reading them all."""
    page = admin.get(f"/api/v1/namespaces/{namespace}/secrets?limit=1")
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))


def _empty(admin: Admin) -> None:
    for namespace in NAMESPACES:
        admin.delete(f"/api/v1/namespaces/{namespace}/secrets")
