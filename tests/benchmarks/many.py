"""1,000 clusters that announce themselves, and 10,000 certificates: reading the configuration, and a run.

One real API server stands behind all clusters, which share a namespace there per route. So the copies are
made by a run for one cluster of each route. What is measured is a run that finds all clusters in sync, and
that of one group of a fleet.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox.progress import Say
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name, write_kubeconfig
from tasks.config.discovered import expand
from tasks.config.load import load_config
from tasks.domain.annotations import PIN
from tasks.fleet.groups import groups_by_wave
from tests.benchmarks.fleet import SERVER
from tests.benchmarks.flow_process import SELDOM_IN_POD, FlowProcess, Run, median_facts
from tests.benchmarks.fronts import Front, fronts, identity
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import Size
from tests.benchmarks.world import CONCURRENCY, World
from tests.support import cluster_profiles, many_clusters

LINES, LOAD_S = 200, 1.0
EACH = "000*"
"""Of the certificates of each route, the first ten."""


@dataclass(frozen=True)
class Many:
    world: World
    names: Sequence[str]
    config: Path
    environment: dict[str, str]
    addresses: Mapping[str, str]
    account: tuple[dict[str, Any], dict[str, Any]]

    def announce(self, names: Sequence[str]) -> None:
        """Create what a cluster manager and a person create: a ClusterProfile, and a Secret with its pin."""
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            list(pool.map(self._announce, names))

    def _announce(self, name: str) -> None:
        ops, labels = self.world.ops, many_clusters.labels_of(self.names.index(name))
        cluster_profiles.announce(ops, name, labels, self.addresses[name])
        server, user = self.account
        document = {
            "clusters": [{"name": name, "cluster": {**server, "server": self.addresses[name]}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
        metadata = {
            "name": f"tls-sync-kubeconfig-{name}",
            "namespace": many_clusters.CREDENTIALS,
            "annotations": {PIN: identity(name)},
        }
        data = {"config": b64encode(json.dumps(document).encode()).decode()}
        ops.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})

    def flow(self, **parameters: str) -> FlowProcess:
        return FlowProcess(self.world, self.environment, lambda: True, parameters=parameters)


def many(world: World, size: Size, say: Say) -> list[Result]:
    world.resize(size.many_certificates, many_clusters.certificate_names(size.many_certificates))
    with _announced(world, size.many_clusters, say) as all_of_them:
        found = [_lines(all_of_them), _load(all_of_them)]
        places = all_of_them.names[: len(many_clusters.PLACES)]
        all_of_them.announce(places)
        say(f"many: first sync of {len(places)} clusters, one of each route; then {len(all_of_them.names)}")
        for _ in range(2):  # the second writes the notes
            all_of_them.flow().run_in_pod()
        all_of_them.announce(all_of_them.names[len(places) :])
        return [*found, *_runs(all_of_them, size, say)]


@contextmanager
def _announced(world: World, clusters: int, say: Say) -> Iterator[Many]:
    """Addresses, and files that name no cluster; nothing is announced yet."""
    names = many_clusters.cluster_names(clusters)
    namespaces = [f"{team}-{env}" for team, env in many_clusters.PLACES]
    say(f"many: {clusters} addresses, {len(namespaces)} namespaces")
    write_kubeconfig(world.sandbox, world.directory / "admin.kubeconfig", {SERVER: namespaces})
    cluster_profiles.install(world.ops)
    world.ops.namespace(many_clusters.CREDENTIALS)
    _grant(world)
    config = world.directory / "many.yaml"
    config.write_text("\n".join(many_clusters.lines(f"context: {context_name(SOURCE_CLUSTER)}", EACH)) + "\n")
    environment = {"TLS_SYNC_CONFIG": str(config), "KUBECONFIG": str(world.kubeconfig)}
    with fronts(world, [Front(name, SERVER, identity(name)) for name in names]) as behind:
        yield Many(world, names, config, environment, behind.addresses, _account(world))
    world.ops.delete(f"/api/v1/namespaces/{many_clusters.CREDENTIALS}/secrets")
    cluster_profiles.remove(world.ops)


def _grant(world: World) -> None:
    """What `tls-sync rights manifests --ops` prints for the configuration, to the account of the runs."""
    for namespace, group, resource, verbs in (
        (many_clusters.CREDENTIALS, "", "secrets", ["get"]),
        (many_clusters.NAMESPACE, cluster_profiles.GROUP, "clusterprofiles", ["get", "list"]),
    ):
        rules = [{"apiGroups": [group], "resources": [resource], "verbs": verbs}]
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": "many", "namespace": namespace},
        }
        subject = {"kind": "ServiceAccount", "name": "tls-sync", "namespace": "tls-sync"}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "many"}
        world.ops.ensure({**role, "kind": "Role", "rules": rules})
        world.ops.ensure({**role, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]})


def _account(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return cluster and user of the one real API server, with the account that all of them have."""
    given = yaml.safe_load(world.kubeconfig.read_text())
    (server,) = (one["cluster"] for one in given["clusters"] if one["name"] == context_name(SERVER))
    (user,) = (one["user"] for one in given["users"] if one["name"] == context_name(SERVER))
    return server, user


def _lines(all_of_them: Many) -> Result:
    count = len(all_of_them.config.read_text().splitlines())
    what = f"lines of a configuration for {len(all_of_them.names)} clusters"
    demand = f"under {LINES}"
    return Result("many_lines", what, count, ours=str(count), demand=demand, met=count < LINES)


def _load(all_of_them: Many) -> Result:
    """CPU of what a run does with file and profiles, without imports."""
    count = len(all_of_them.names)
    profiles = many_clusters.profiles(count)
    before = time.process_time()
    found = expand(load_config(str(all_of_them.config)), profiles)
    seconds = round(time.process_time() - before, 3)
    assert len(found.config.clusters) == count
    return Result(
        key="many_load_cpu_s",
        what=f"{count} clusters: CPU to read and validate the configuration",
        value=seconds,
        unit=" s",
        ours=f"{seconds} s",
        demand=f"at most {LOAD_S:g} s",
        met=seconds <= LOAD_S,
    )


def _runs(all_of_them: Many, size: Size, say: Say) -> list[Result]:
    """An unchanged run of all clusters, and that of the fleet's first group."""
    config = expand(
        load_config(str(all_of_them.config)), many_clusters.profiles(len(all_of_them.names))
    ).config
    group = groups_by_wave(config.clusters)[0][0]
    clusters, certificates = len(all_of_them.names), size.many_certificates
    whole, part = all_of_them.flow(), all_of_them.flow(group=group.name)
    say(f"many: unchanged, {clusters} clusters; then group {group.name}, {len(group.clusters)} of them")
    runs = [
        (whole, "many_run", f"{clusters} clusters"),
        (part, "many_group", f"a group of {len(group.clusters)}"),
    ]
    return [
        _run(
            key,
            f"{what}, {certificates} certificates on OPS, unchanged: a pod",
            flow.counted(_in_pod(flow, say)),
        )
        for flow, key, what in runs
    ]


def _in_pod(flow: FlowProcess, say: Say) -> Callable[[], Run]:
    return lambda: flow.run_in_pod(SELDOM_IN_POD, say)


def _run(key: str, what: str, run: Run) -> Result:
    taken = f"{run.seconds} s, {run.cpu} s of CPU, {run.peak.mib:.0f} MiB"
    return Result(f"{key}_s", what, run.seconds, unit=" s", ours=taken, details=median_facts([run]))
