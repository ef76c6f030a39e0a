"""Three hundred clusters, then the same with thirty black holes among them.

One real API server serves them all: each cluster has a namespace of its own there, and an address of its
own, where a proxy gives the server another identity (the uid of kube-system). Both runs pay for the proxies.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox.control_plane import Sandbox
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.kubeconfig import SOURCE_CLUSTER, context_name, write_kubeconfig
from deployments.sandbox.prefect_server import ROOT
from deployments.sandbox.progress import Say
from tasks.retry import CLUSTER_SECONDS
from tests.benchmarks.memory import MIB, Peak
from tests.benchmarks.results import Result
from tests.benchmarks.world import SETTLE_SECONDS, World, certificates
from tests.fault_proxy import Answer, Forward, Request, fault_proxy
from tests.tcp_proxy import black_hole

CLUSTERS, BLACK_HOLES = 300, 30
SERVER = "dev"
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Fleet:
    """The files that a run is given, and the namespaces that are to fill."""

    sandbox: Sandbox
    directory: Path
    names: Sequence[str]

    def run(self) -> tuple[float, float]:
        """Seconds of `python -m flows` from its start to its exit, and its peak in MiB."""
        self._empty()
        environment = {"TLS_SYNC_CONFIG": str(self.config), "KUBECONFIG": str(self.kubeconfig)}
        peak, begin = Peak(), time.perf_counter()
        with (self.directory / "fleet.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows"],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
            )
            while process.poll() is None:
                peak.look(process.pid, deeply=False)
                time.sleep(LOOK_SECONDS)
        return round(time.perf_counter() - begin, 1), round(max(peak.processes_kib.values()) / MIB, 1)

    @property
    def config(self) -> Path:
        return self.directory / "fleet.yaml"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "fleet.kubeconfig"

    @property
    def copies(self) -> int:
        admin = self.sandbox.cluster(SERVER).admin
        return sum(len(admin.secrets(name)) for name in self.names)

    def _empty(self) -> None:
        admin = self.sandbox.cluster(SERVER).admin
        for name in self.names:
            admin.delete(f"/api/v1/namespaces/{name}/secrets")
        time.sleep(SETTLE_SECONDS)


def with_black_holes(world: World, say: Say) -> list[Result]:
    """How much longer a run takes, and whether everybody else is served."""
    with _fleet(world, say) as (fleet, addresses):
        say(f"fleet: {CLUSTERS} clusters")
        healthy, peak = fleet.run()
        if fleet.copies != CLUSTERS:
            raise SandboxError(f"{fleet.copies} of {CLUSTERS} clusters were served; see {fleet.directory}")
        say(f"fleet: {healthy} s; now with {BLACK_HOLES} black holes")
        with black_hole() as nowhere:
            every = CLUSTERS // BLACK_HOLES
            _write(fleet, {**addresses, **dict.fromkeys(fleet.names[::every], nowhere)}, world)
            holes, _ = fleet.run()
        served = fleet.copies
    return [
        Result(
            key="fleet_black_holes_s",
            what=f"{CLUSTERS} clusters, {BLACK_HOLES} of them black holes: longer by",
            value=round(holes - healthy, 1),
            unit=" s",
            ours=f"{holes} s",
            other=f"{healthy} s",
            demand=f"at most {CLUSTER_SECONDS:g} s, {CLUSTERS - BLACK_HOLES} served",
            met=holes - healthy <= CLUSTER_SECONDS and served == CLUSTERS - BLACK_HOLES,
            details={"served": served, "peak_flow_mib": peak, "healthy_s": healthy, "black_holes_s": holes},
        )
    ]


@contextmanager
def _fleet(world: World, say: Say) -> Iterator[tuple[Fleet, dict[str, str]]]:
    """A fleet, and the address of each of its clusters."""
    fleet = Fleet(world.sandbox, world.directory, [f"fleet-{number:03}" for number in range(CLUSTERS)])
    say(f"fleet: {CLUSTERS} namespaces, proxies and contexts")
    write_kubeconfig(world.sandbox, fleet.kubeconfig, {SERVER: fleet.names})
    server, authority = world.sandbox.cluster(SERVER), world.sandbox.authority
    with ExitStack() as stack:
        addresses = {}
        for name in fleet.names:
            proxy = stack.enter_context(fault_proxy(server, authority))
            proxy.fault = _called(identity(name))
            addresses[name] = proxy.url
        _write(fleet, addresses, world)
        yield fleet, addresses


def identity(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _called(uid: str) -> Any:
    """The server's answers, with this uid for kube-system."""

    def fault(request: Request, forward: Forward) -> Answer:
        answer = forward()
        if not request.path.endswith("/namespaces/kube-system"):
            return answer
        namespace = json.loads(answer.body)
        namespace["metadata"]["uid"] = uid
        return Answer(answer.status, json.dumps(namespace).encode(), answer.headers)

    return fault


def _write(fleet: Fleet, addresses: dict[str, str], world: World) -> None:
    """The configuration and the kubeconfig, each context at its address."""
    document = yaml.safe_load(world.kubeconfig.read_text())
    entries = {one["name"]: one for one in document["clusters"]}
    user = {one["name"]: one for one in document["users"]}[context_name(SERVER)]["user"]
    ops = context_name(SOURCE_CLUSTER)
    sections = ("clusters", "users", "contexts")
    kept = {section: [one for one in document[section] if one["name"] == ops] for section in sections}
    cluster = entries[context_name(SERVER)]["cluster"]
    kept["clusters"] += [{"name": n, "cluster": {**cluster, "server": url}} for n, url in addresses.items()]
    kept["users"].append({"name": SERVER, "user": user})
    kept["contexts"] += [{"name": n, "context": {"cluster": n, "user": SERVER}} for n in addresses]
    fleet.kubeconfig.write_text(json.dumps({**document, **kept}))
    sent = list(certificates())
    clusters = [
        {
            "name": name,
            "context": name,
            "clusterId": identity(name),
            "hostnames": ["*.example.org"],
            "routes": [{"certificates": [sent[number % len(sent)]], "namespaces": [name]}],
        }
        for number, name in enumerate(addresses)
    ]
    configuration = yaml.safe_load(world.config_file.read_text()) | {"clusters": clusters}
    fleet.config.write_text(json.dumps(configuration))
