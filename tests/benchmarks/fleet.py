"""Many clusters: one real API server behind many addresses, each with a namespace of its own there."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import yaml

from deployments.sandbox.progress import Say
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name, write_kubeconfig
from tasks.plan.spec import SyncSpec
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.fronts import Fronts, fronts, identity
from tests.benchmarks.world import NAMESPACES, SETTLE_SECONDS, World, count_secrets

SERVER = "dev"


@dataclass(frozen=True)
class Fleet:
    """Clusters by name, and a run over the first so many of them."""

    world: World
    names: Sequence[str]
    fronts: Fronts
    everything: bool
    """Each cluster has every certificate; else one."""

    def flow(self, clusters: int, elsewhere: Mapping[str, str] | None = None) -> FlowProcess:
        """A run over the first so many; `elsewhere` has other addresses for some, which are not served."""
        names, elsewhere = self.names[:clusters], elsewhere or {}
        self._write({name: self.fronts.addresses[name] for name in names} | dict(elsewhere))
        expected = (clusters - len(elsewhere)) * self._each
        environment = {"TLS_SYNC_CONFIG": str(self._config), "KUBECONFIG": str(self._kubeconfig)}
        succeeds = not elsewhere
        return FlowProcess(self.world, environment, lambda: self.copies == expected, succeeds=succeeds)

    @contextmanager
    def orders(
        self, clusters: int, elsewhere: Mapping[str, str] | None = None
    ) -> Iterator[tuple[SyncSpec, ...]]:
        """As `flow`, for the clusters' part in this process, as long as the `with` lasts."""
        names, elsewhere = self.names[:clusters], elsewhere or {}
        self._write({name: self.fronts.addresses[name] for name in names} | dict(elsewhere))
        with patch.dict(os.environ, {"KUBECONFIG": str(self._kubeconfig)}):
            yield self.world.orders(self._config)

    @property
    def copies(self) -> int:
        return sum(count_secrets(self._admin, name) for name in self.names)

    def empty(self) -> None:
        for name in self.names:
            self._admin.delete(f"/api/v1/namespaces/{name}/secrets")
        time.sleep(SETTLE_SECONDS)

    @property
    def _each(self) -> int:
        return len(self.world.certificates) if self.everything else 1

    @property
    def _admin(self) -> Any:
        return self.world.sandbox.cluster(SERVER).admin

    @property
    def _config(self) -> Any:
        return self.world.directory / "fleet.yaml"

    @property
    def _kubeconfig(self) -> Any:
        return self.world.directory / "fleet.kubeconfig"

    def _write(self, addresses: Mapping[str, str]) -> None:
        """The configuration and the kubeconfig, each context at its address."""
        self._kubeconfig.write_text(json.dumps(_kubeconfig(self.world, addresses)))
        clusters = [
            {
                "name": name,
                "context": name,
                "clusterId": identity(name),
                "hostnames": ["*.example.org"],
                "routes": [{"certificates": self._sent(number), "namespaces": [name]}],
            }
            for number, name in enumerate(addresses)
        ]
        configuration = yaml.safe_load(self.world.config_file.read_text()) | {"clusters": clusters}
        self._config.write_text(json.dumps(configuration))

    def _sent(self, number: int) -> list[str]:
        names = self.world.certificates
        return [f"{ns}-*" for ns in NAMESPACES] if self.everything else [names[number % len(names)]]


@contextmanager
def fleet(
    world: World, clusters: int, say: Say, *, everything: bool = False, latency: float = 0.0
) -> Iterator[Fleet]:
    """Empty; the clusters have no copy."""
    names = [f"fleet-{number:03}" for number in range(clusters)]
    say(f"fleet: {clusters} namespaces, addresses and contexts")
    write_kubeconfig(world.sandbox, world.directory / "admin.kubeconfig", {SERVER: names})
    with fronts(world, SERVER, names, latency) as behind:
        one = Fleet(world, names, behind, everything)
        one.empty()
        yield one


def _kubeconfig(world: World, addresses: Mapping[str, str]) -> dict[str, Any]:
    """OPS as it is, and a context per cluster, with the same account at different addresses."""
    document: dict[str, Any] = yaml.safe_load(world.kubeconfig.read_text())
    sections = ("clusters", "users", "contexts")
    found = {section: {one["name"]: one for one in document[section]} for section in sections}
    kept = {section: [found[section][context_name(SOURCE_CLUSTER)]] for section in sections}
    cluster = found["clusters"][context_name(SERVER)]["cluster"]
    user = found["users"][context_name(SERVER)]["user"]
    kept["clusters"] += [{"name": n, "cluster": {**cluster, "server": url}} for n, url in addresses.items()]
    kept["users"].append({"name": SERVER, "user": user})
    kept["contexts"] += [{"name": n, "context": {"cluster": n, "user": SERVER}} for n in addresses]
    return {**document, **kept}
