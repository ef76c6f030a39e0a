"""The steps of the demo: what happens before each run, and the result that is expected."""

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo import verified
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from deployments.sandbox.world.oracle import COPIES, Place
from deployments.sandbox.world.renewal import renew

TARGETS = ("dev", "rct", "prd")


def _nothing(_: Sandbox) -> None:
    pass


@dataclass(frozen=True)
class Step:
    title: str
    explanation: str
    prepare: Callable[[Sandbox], None] = _nothing
    parameters: Mapping[str, Any] = field(default_factory=dict)
    progress: str = "running the flow"
    state: str = "Completed"
    written: frozenset[Place] = frozenset()
    copies: Mapping[Place, str] = field(default_factory=dict)
    """What the example world has beyond oracle.COPIES by then."""
    left_alone: frozenset[str] = frozenset()
    """Clusters that must not get any request."""
    waiting: frozenset[Place] = frozenset()
    """Copies that keep their former content, though OPS has another one."""


def prepare(sandbox: Sandbox) -> None:
    """Create on each target a Secret that belongs to an application."""
    for cluster in TARGETS:
        metadata = {"name": "homarr-settings", "namespace": f"homarr-{cluster}"}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "data": {"token": _encoded("own")},
        }
        sandbox.cluster(cluster).admin.create(secret)


def _renew(*names: str) -> Callable[[Sandbox], None]:
    def act(sandbox: Sandbox) -> None:
        for name in names:
            renew(sandbox.cluster(SOURCE_CLUSTER).admin, name)

    return act


def _edit_by_hand(sandbox: Sandbox) -> None:
    path = "/api/v1/namespaces/homarr-dev/secrets/homarr-dev-tls"
    sandbox.cluster("dev").admin.patch(path, {"data": {"tls.crt": _encoded("edited by hand")}})


def _stop_rct(sandbox: Sandbox) -> None:
    _renew("homarr-dev-tls", "homarr-rct-tls", "homarr-prd-tls")(sandbox)
    sandbox.cluster("rct").stop(grace=0)


def _start_rct(sandbox: Sandbox) -> None:
    sandbox.cluster("rct").start()


LIMIT = {
    "clusters": ["dev"],
    "certificates": ["headlamp-*"],
    "namespaces": ["homarr-dev"],
    "hostnames": ["headlamp.dev.example.org"],
}
ASKED = Place("dev", "homarr-dev", "headlamp-dev-tls")


def _ask(sandbox: Sandbox) -> None:
    """Set a limit in the configuration, and ask for a copy within it, and for one beyond it."""
    file = Path(os.environ["TLS_SYNC_CONFIG"])
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump({**config, "selfService": [LIMIT]}, sort_keys=False), encoding="utf-8")
    places = "dev/homarr-dev, prd/homarr-prd"
    template = {"spec": {"secretTemplate": {"annotations": {"tls-sync.io/to": places}}}}
    path = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates/{ASKED.name}"
    sandbox.cluster(SOURCE_CLUSTER).admin.patch(path, template)


def _serve_dev(sandbox: Sandbox) -> None:
    verified.serve(sandbox, _homarr("dev"))
    _renew("homarr-dev-tls", "homarr-prd-tls")(sandbox)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _homarr(cluster: str) -> Place:
    return Place(cluster, f"homarr-{cluster}", f"homarr-{cluster}-tls")


STEPS = (
    Step(
        "The first run creates every copy",
        "OPS has seven certificates that are fit to be sent, and the clusters have none of them. Look at the "
        "rows of each cluster: the wildcard goes to two namespaces, under another name. The end of the "
        "report says that OPS has one more that has expired, and one that is not issued yet.",
        progress="loading Prefect and the flow, and running it",
        written=frozenset(COPIES),
    ),
    Step(
        "The second run has nothing to do",
        "Nothing has changed since, so look for `keep` and zeros: such a run writes nothing.",
    ),
    Step(
        "A certificate is renewed on OPS",
        "cert-manager has renewed headlamp-prd-tls: another key, a later date. Only its copy moves, and the "
        "row shows the old and the new version.",
        prepare=_renew("headlamp-prd-tls"),
        written=frozenset({Place("prd", "headlamp-prd", "headlamp-prd-tls")}),
    ),
    Step(
        "A run for one cluster only, after an edit by hand",
        "Someone has edited the copy of homarr-dev-tls on DEV. A run with cluster=dev finds the edit without "
        "reading any other copy and repairs it (Drifted); the other clusters get no request.",
        prepare=_edit_by_hand,
        parameters={"cluster": "dev"},
        progress="running the flow with cluster=dev",
        written=frozenset({_homarr("dev")}),
        left_alone=frozenset({"rct", "prd"}),
    ),
    Step(
        "One cluster is down",
        "RCT has stopped, and one certificate for each cluster has been renewed. DEV and PRD get theirs, and "
        "the run is Failed and names RCT and the reason.",
        prepare=_stop_rct,
        progress="running the flow; RCT is tried four times, which takes about 20 s by design",
        state="ClustersFailed",
        written=frozenset({_homarr("dev"), _homarr("prd")}),
    ),
    Step(
        "It is back, and the next run repairs it",
        "RCT has started again. Nobody has to repeat anything: the next run sends what RCT has missed, and "
        "only that.",
        prepare=_start_rct,
        written=frozenset({_homarr("rct")}),
    ),
    Step(
        "A team asks for copies in its own Certificate",
        "selfService allows headlamp's team the namespace homarr-dev on DEV. Its Certificate asks for that, "
        "which is granted, and for PRD, which is refused: the end of the report says by which limit, and the "
        "run is Completed all the same.",
        prepare=_ask,
        written=frozenset({ASKED}),
        copies={ASKED: ASKED.name},
    ),
    Step(
        "PRD waits for what DEV serves",
        "With waves.verify: served, PRD's wave waits until DEV's server presents what is stored there. A "
        "small TLS server has loaded DEV's copy, as an ingress does. Two certificates have been renewed. DEV "
        "gets its copy, its server goes on with the old one, and PRD is NotServed: look who presents what.",
        prepare=_serve_dev,
        progress="running the flow; it looks for 4 s, and not for two minutes as other runs do",
        state="ClustersFailed",
        written=frozenset({_homarr("dev")}),
        copies={ASKED: ASKED.name},
        waiting=frozenset({_homarr("prd")}),
    ),
    Step(
        "It has reloaded, and PRD gets its copy",
        "The server has loaded the new copy. The next run looks again: DEV serves what it has, and PRD "
        "follows.",
        prepare=verified.reload,
        written=frozenset({_homarr("prd")}),
        copies={ASKED: ASKED.name},
    ),
)
