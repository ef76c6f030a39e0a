"""Many clusters: one real API server behind many addresses, each with a namespace of its own there."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.progress import Say
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name, write_kubeconfig
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.fronts import Front, Fronts, fronts, identity
from tests.benchmarks.world import NAMESPACES, SETTLE_SECONDS, World, count_secrets
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

SERVER = "dev"


@dataclass(frozen=True)
class Fleet:
    world: World
    names: Sequence[str]
    fronts: Fronts
    ops: TcpProxy
    everything: bool
    """Whether each cluster has every certificate, or one."""

    def flow(self, clusters: int, unserved: Mapping[str, str] | None = None) -> FlowProcess:
        """A run over the first `clusters`; `unserved` has addresses at which some get no answer."""
        names, unserved = self.names[:clusters], unserved or {}
        config, kubeconfig = (self.world.directory / name for name in ("fleet.yaml", "fleet.kubeconfig"))
        addresses = {**{name: self.fronts.addresses[name] for name in names}, **unserved}
        kubeconfig.write_text(json.dumps(_kubeconfig(self.world, self.ops.url, addresses)))
        config.write_text(json.dumps(self._configuration(names)))
        environment = {"TLS_SYNC_CONFIG": str(config), "KUBECONFIG": str(kubeconfig)}
        copies = (clusters - len(unserved)) * (len(self.world.certificates) if self.everything else 1)
        copied, succeeds = (lambda: self.count(names) == copies), not unserved
        return FlowProcess(self.world, environment, copied, succeeds, self.ops)

    def count(self, names: Sequence[str]) -> int:
        """The copies in these clusters."""
        return sum(count_secrets(self._admin, name) for name in names)

    def empty(self) -> None:
        for name in self.names:
            self._admin.delete(f"/api/v1/namespaces/{name}/secrets")
        time.sleep(SETTLE_SECONDS)

    @property
    def _admin(self) -> Admin:
        return self.world.sandbox.cluster(SERVER).admin

    def _configuration(self, names: Sequence[str]) -> dict[str, Any]:
        clusters = [
            {
                "name": name,
                "context": name,
                "clusterId": identity(name),
                "hostnames": ["*.example.org"],
                "routes": [{"certificates": self._routed(number), "namespaces": [name]}],
            }
            for number, name in enumerate(names)
        ]
        return {**yaml.safe_load(self.world.config_file.read_text()), "clusters": clusters}

    def _routed(self, number: int) -> list[str]:
        names = self.world.certificates
        return [f"{ns}-*" for ns in NAMESPACES] if self.everything else [names[number % len(names)]]


@contextmanager
def fleet(world: World, clusters: int, say: Say, *, everything: bool = False) -> Iterator[Fleet]:
    """Clusters without a copy."""
    names = [f"fleet-{number:03}" for number in range(clusters)]
    say(f"fleet: {clusters} namespaces, addresses and contexts")
    write_kubeconfig(world.sandbox, world.directory / "admin.kubeconfig", {SERVER: names})
    ops = TcpProxy(world.ops.address[1])
    served = [Front(name, SERVER, identity(name)) for name in names]
    with fronts(world, served) as behind, tcp_proxy(ops):
        one = Fleet(world, names, behind, ops, everything)
        one.empty()
        yield one


def _kubeconfig(world: World, ops: str, addresses: Mapping[str, str]) -> dict[str, Any]:
    """OPS at that address, and a context for each of the others, all with the same account."""
    document: dict[str, Any] = yaml.safe_load(world.kubeconfig.read_text())
    sections = ("clusters", "users", "contexts")
    found = {section: {one["name"]: one for one in document[section]} for section in sections}
    new = {section: [found[section][context_name(SOURCE_CLUSTER)]] for section in sections}
    source, cluster = (found["clusters"][context_name(name)]["cluster"] for name in (SOURCE_CLUSTER, SERVER))
    source["server"] = ops
    user = found["users"][context_name(SERVER)]["user"]
    new["clusters"] += [{"name": n, "cluster": {**cluster, "server": url}} for n, url in addresses.items()]
    new["users"].append({"name": SERVER, "user": user})
    new["contexts"] += [{"name": n, "context": {"cluster": n, "user": SERVER}} for n in addresses]
    return {**document, **new}
