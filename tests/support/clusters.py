"""Real clusters for one test, which are emptied before it and configured by it."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.rest import Rest
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.world.invariants import Oracle
from deployments.sandbox.world.kubeconfig import context_name, write_kubeconfig
from deployments.sandbox.world.oracle import ACCOUNT, without_note
from tasks.config.load import load_config
from tasks.config.schema import SyncConfig
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Change, ClusterReport, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import connect
from tasks.plan.requests import granted
from tasks.plan.spec import RunMemory, SyncSpec
from tasks.source.read import list_source, read_source
from tasks.target.sync import sync
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.secret_scan import found_in

CLUSTERS = ("ops", "dev", "rct", "prd")
TARGETS = CLUSTERS[1:]
NAMESPACES = ("app-a", "app-b")
ROUTES = [{"certificates": ["web-*"], "namespaces": ["app-a"]}]

Manifest = dict[str, Any]


def codes(report: ClusterReport) -> list[FailureCode]:
    return [failure.code for failure in report.failures]


class World:
    def __init__(self, sandbox: Sandbox, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox, self.directory = sandbox, directory
        self.targets = tuple(name for name in TARGETS if name in sandbox.names)
        self.issuer = Issuer()
        self._issued: list[Manifest] = []
        self.config_path = directory / "tls-sync.yaml"
        self.kubeconfig = directory / "kubeconfig"
        self._empty()
        write_kubeconfig(sandbox, self.kubeconfig, dict.fromkeys(self.targets, NAMESPACES))
        monkeypatch.setenv("KUBECONFIG", str(self.kubeconfig))
        monkeypatch.setenv("TLS_SYNC_CONFIG", str(self.config_path))
        self.configure()

    @property
    def ops(self) -> Admin:
        return self.admin("ops")

    def admin(self, cluster: str = "dev") -> Admin:
        return self.sandbox.cluster(cluster).admin

    def configure(
        self,
        routes: Sequence[Mapping[str, Any]] = ROUTES,
        clusters: Sequence[str] = (),
        **settings: Any,
    ) -> SyncConfig:
        """Set the same routes for all clusters, or for these; `settings` are further keys of each cluster."""
        entries = [
            {
                "name": name,
                "context": context_name(name),
                "clusterId": self.admin(name).cluster_id(),
                "hostnames": ["*.example.org"],
                "routes": list(routes),
                **settings,
            }
            for name in clusters or self.targets
        ]
        source = {"namespace": SOURCE_NAMESPACE, "context": "cluster-ops", "clusterId": self.ops.cluster_id()}
        document = {"owner": "ops", "source": source, "clusters": entries}
        self.config_path.write_text(yaml.safe_dump(document))
        return load_config()

    def edit_config(self, change: Callable[[Manifest], object]) -> None:
        """Change the configuration by a function of the parsed document."""
        document = yaml.safe_load(self.config_path.read_text())
        change(document)
        self.config_path.write_text(yaml.safe_dump(document))

    @contextmanager
    def down(self, cluster: str = "dev") -> Iterator[None]:
        """Stop this cluster's API server for the duration of a block."""
        server = self.sandbox.cluster(cluster)
        server.stop()
        try:
            yield
        finally:
            server.start()

    def account(self, cluster: str = "dev") -> Rest:
        """Return a client with tls-sync's credential for this cluster."""
        users = yaml.safe_load(self.kubeconfig.read_text())["users"]
        (token,) = (user["user"]["token"] for user in users if user["name"] == context_name(cluster))
        server = self.sandbox.cluster(cluster)
        return Rest(*server.admin.address, server.ca_pem, token)

    def edit_kubeconfig(self, section: str, cluster: str, /, **changes: str) -> None:
        """Change a cluster's entry in one section of the kubeconfig: `clusters`, `users` or `contexts`."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        (entry,) = (entry for entry in document[section] if entry["name"] == context_name(cluster))
        entry[section.removesuffix("s")].update(changes)
        self.kubeconfig.write_text(yaml.safe_dump(document))

    @contextmanager
    def proxy(self, cluster: str = "dev") -> Iterator[FaultProxy]:
        """Route tls-sync's requests to this cluster through a proxy that can inject faults."""
        server = self.sandbox.cluster(cluster)
        with fault_proxy(server, self.sandbox.authority) as proxy, self.reached_at(proxy.url, cluster):
            yield proxy

    @contextmanager
    def reached_at(self, url: str, cluster: str = "dev") -> Iterator[None]:
        """Set this address for a cluster in the kubeconfig, for the duration of a block."""
        self.edit_kubeconfig("clusters", cluster, server=url)
        try:
            yield
        finally:
            self.edit_kubeconfig("clusters", cluster, server=self.sandbox.cluster(cluster).url)

    def issue(self, *names: str, **options: Any) -> list[Manifest]:
        """Create certificates on OPS, named after the first label of their DNS name."""
        secrets = [self.issuer.secret(name, [f"{name}.example.org"], **options) for name in names]
        for secret in secrets:
            self.put(secret)
        return secrets

    def put(self, secret: Manifest, cluster: str = "ops") -> Manifest:
        """Create a Secret, or replace it."""
        namespace, name = secret["metadata"]["namespace"], secret["metadata"]["name"]
        admin = self.admin(cluster)
        if cluster == "ops":
            self._issued.append(secret)
        exists = admin.secret(namespace, name) is not None
        return admin.replace(secret) if exists else admin.create(secret)

    def renew(self, secret: Manifest) -> Manifest:
        return self.put(self.issuer.renew(secret))

    def oracle(self, namespaces: Sequence[str] = ("app-a",), clusters: Sequence[str] = ()) -> Oracle:
        """Return an oracle of what changes from now on, in these routed namespaces of these clusters."""
        return Oracle(self.sandbox, dict.fromkeys(clusters or self.targets, namespaces), lambda: self._issued)

    def shown(self, text: str) -> set[str]:
        """Return the Secrets of OPS whose private key is in a text, in any encoding."""
        keys = {
            f"{secret['metadata']['name']} {number}": base64.b64decode(secret["data"]["tls.key"])
            for number, secret in enumerate(self._issued)
        }
        return found_in(text.encode(), keys)

    def add_neighbours(self, cluster: str = "dev") -> None:
        """Create Secrets of others, in routed namespaces and elsewhere."""
        ours = {"app.kubernetes.io/managed-by": "tls-sync"}
        for namespace, name, labels in (
            ("app-a", "neighbour", {}),
            ("app-a", "web-of-stage-tls", ours | {"tls-sync.io/owner": "stage"}),
            ("app-b", "not-routed", ours | {"tls-sync.io/owner": "ops"}),
        ):
            secret = self.issuer.secret(name, [f"{name}.example.org"])
            secret["metadata"] = {"name": name, "namespace": namespace, "labels": labels}
            self.put(secret, cluster)

    def copy(self, name: str, cluster: str = "dev", namespace: str = "app-a") -> Manifest | None:
        return self.admin(cluster).secret(namespace, name)

    def is_everywhere(self, secret: Manifest, namespace: str = "app-a") -> bool:
        """Tell whether each target has the data of this Secret of OPS."""
        name = secret["metadata"]["name"]
        copies = [self.copy(name, cluster, namespace) for cluster in self.targets]
        return all(copy is not None and copy["data"] == secret["data"] for copy in copies)

    def snapshot(self) -> SourceSnapshot:
        """Read and check all of OPS, as a run does that verifies."""
        return self._read(read_source)

    def listed(self) -> SourceSnapshot:
        """List the metadata of OPS, as a run does."""
        return self._read(list_source)

    @staticmethod
    def _read(read: Callable[..., SourceSnapshot]) -> SourceSnapshot:
        config = load_config()
        source, asks = config.source, bool(config.self_service)
        with ClusterClient("ops", connect("ops", source.context), time.monotonic() + 60) as client:
            return read(client, source, datetime.now(UTC), with_requests=asks)

    def sync(
        self,
        cluster: str = "dev",
        snapshot: SourceSnapshot | None = None,
        seconds: float = 60,
        **options: Any,
    ) -> ClusterReport:
        """Do what the flow's task does for one cluster, without Prefect, within that many seconds."""
        return sync(self.spec(cluster, snapshot, **options), time.monotonic() + seconds)

    def spec(self, cluster: str = "dev", snapshot: SourceSnapshot | None = None, **options: Any) -> SyncSpec:
        """Return the arguments of that task."""
        found = snapshot or self.snapshot()
        config, found = granted(load_config(), found)
        chosen = next(one for one in config.clusters if one.name == cluster)
        narrowed = {name: options.pop(name) for name in ("dry_run", "certificate") if name in options}
        return SyncSpec(config, chosen, found, RunParameters(**narrowed), **options)

    def run(self, seconds: float = 60) -> dict[str, ClusterReport]:
        """Do what a run does, without Prefect: list OPS, then sync all clusters concurrently."""
        snapshot, memory = self.listed(), RunMemory()
        with ThreadPoolExecutor(len(self.targets)) as pool:
            reports = pool.map(lambda name: self.sync(name, snapshot, seconds, memory=memory), self.targets)
            return dict(zip(self.targets, reports, strict=True))

    def row(self, name: str, cluster: str = "dev", **options: Any) -> Change:
        """Sync, and return the row of the report about a target Secret."""
        report = self.sync(cluster, **options)
        assert not report.failures, report.failures
        (row,) = [change for change in report.changes if change.target.name == name]
        return row

    def versions(self, cluster: str = "dev") -> dict[str, str]:
        """Return the state of each Secret in the routed namespaces, without what its note says."""
        return {
            f"{namespace}/{secret['metadata']['name']}": json.dumps(without_note(secret), sort_keys=True)
            for namespace in NAMESPACES
            for secret in self.admin(cluster).secrets(namespace)
        }

    def requests(self, cluster: str, since: int = 0) -> list[Manifest]:
        """Return tls-sync's requests in a cluster's audit log, from a position on."""
        log = self.sandbox.cluster(cluster).audit()[since:]
        return [e for e in log if e["user"]["username"] == ACCOUNT and e["stage"] == "ResponseComplete"]

    def log_position(self, cluster: str) -> int:
        return len(self.sandbox.cluster(cluster).audit())

    def _empty(self) -> None:
        for cluster in ("ops", *self.targets):
            admin = self.admin(cluster)
            for namespace in (SOURCE_NAMESPACE,) if cluster == "ops" else NAMESPACES:
                for secret in admin.secrets(namespace):
                    path = f"/api/v1/namespaces/{namespace}/secrets/{secret['metadata']['name']}"
                    if secret["metadata"].get("finalizers"):
                        admin.patch(path, {"metadata": {"finalizers": None}})
                admin.delete(f"/api/v1/namespaces/{namespace}/secrets")
