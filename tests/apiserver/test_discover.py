"""Clusters that announce themselves, on real servers: what each needs before anything is written there."""

import json
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.schemas.objects import State

from deployments.sandbox.clusters.admin import AdminError
from deployments.sandbox.world.kubeconfig import context_name
from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import RunReport
from tasks.inventory.collect import collect_inventory
from tasks.kube.discovery import discover
from tasks.kube.pool import reuse_clients
from tasks.preflight.model import CheckStatus
from tasks.preflight.probe import preflight
from tasks.runtime import shutdown
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.support import cluster_profiles
from tests.support.cli_user import Done, Operator
from tests.support.cluster_profiles import announce, withdraw
from tests.support.clusters import World
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900), pytest.mark.usefixtures("no_waiting")]

CREDENTIALS = "tls-sync-credentials"
SECRETS = f"/api/v1/namespaces/{CREDENTIALS}/secrets"
EDGE = {"env": "edge"}
CONTEXTS = [f"--context={name}={context_name(name)}" for name in ("dev", "rct", "prd")]


def discovering(document: dict[str, Any]) -> None:
    """Leave the entry of dev alone; rct and prd announce themselves, and dev, too."""
    document["clusters"] = [one for one in document["clusters"] if one["name"] == "dev"]
    document["credentials"] = {"namespace": CREDENTIALS}
    document["discover"] = {"clusterProfiles": {"namespace": cluster_profiles.NAMESPACE}}
    document["hostnames"] = [{"labels": EDGE, "names": ["*.example.org"]}]
    document["routes"] = [{"labels": EDGE, "certificates": ["web-*"], "namespaces": ["app-a"]}]


@pytest.fixture
def fleet(world: World, operator: Operator) -> Iterator[World]:
    """OPS announces dev, rct and prd; of these, dev has an entry in the configuration."""
    cluster_profiles.install(world.ops)
    world.edit_config(discovering)
    shown = operator.target("manifests", "--ops")
    assert operator.apply("ops", shown.output, "--force-conflicts").status == 0
    for name in ("dev", "rct", "prd"):
        announce(world.ops, name, EDGE, world.sandbox.cluster(name).url)
    until("the rights on OPS", lambda: may_list(world))
    shutdown.begin_run()
    yield world
    world.ops.delete(SECRETS)
    world.ops.delete(cluster_profiles.PATH)
    cluster_profiles.remove(world.ops)


def may_list(world: World) -> bool:
    try:
        world.account("ops").get(cluster_profiles.PATH)
        return world.account("ops").get(f"{SECRETS}/none") is None
    except AdminError as error:
        return error.status == 404


def give_credential(operator: Operator, cluster: str) -> Done:
    return operator.collect("--cluster", cluster, f"--context={cluster}={context_name(cluster)}")


def pin(operator: Operator, cluster: str, context: str = "") -> str:
    """Type what `rights pin` prints. The context may be that of another cluster, by mistake."""
    options = ("--ops-context", context_name("ops"), "--context", context_name(context or cluster))
    shown = operator.target("pin", cluster, *options)
    assert shown.status == 0, shown
    done = operator.run(*shlex.split(shown.output), "--overwrite")
    assert done.status == 0, done
    return shown.output


def run(**parameters: Any) -> tuple[State[Any], RunReport]:
    """Run the flow; return its state and its report."""
    from flows.tls_sync import tls_sync  # noqa: PLC0415  with Prefect
    from tasks.orchestration.publish import listeners  # noqa: PLC0415

    reports: list[RunReport] = []
    listeners.append(reports.append)
    try:
        state = tls_sync(**parameters, return_state=True)
    finally:
        listeners.remove(reports.append)
    return state, reports[0]


def lacks(report: RunReport) -> dict[str, FailureCode]:
    return {one.cluster: one.code for one in report.discovery.unserved}


@pytest.mark.usefixtures("prefect_server")
def test_a_cluster_is_served_once_a_person_has_been_there(fleet: World, operator: Operator) -> None:
    """Without a Secret, and without a pin, it has a row, and no request reaches it; the others are served."""
    (secret,) = fleet.issue("web-tls")
    since = fleet.log_position("rct")
    state, report = run()
    assert (state.is_completed(), [one.cluster for one in report.clusters]) == (True, ["dev"]), state
    assert lacks(report) == {"rct": FailureCode.NO_CREDENTIAL, "prd": FailureCode.NO_CREDENTIAL}
    assert "2 discovered clusters not served (NoCredential)" in str(state.message)
    assert give_credential(operator, "rct").status == 0
    state, report = run()
    assert lacks(report)["rct"] is FailureCode.NOT_PINNED
    assert (
        "`tls-sync rights pin rct`"
        in report.discovery.unserved[-1].detail + report.discovery.unserved[0].detail
    )
    assert fleet.log_position("rct") == since or not fleet.requests("rct", since)
    alone, _ = run(cluster="rct")
    assert (alone.is_failed(), alone.name) == (True, "ClustersFailed")
    assert pin(operator, "rct").startswith(
        f"kubectl --context cluster-ops --namespace {CREDENTIALS} annotate"
    )
    state, report = run()
    assert (state.is_completed(), lacks(report)) == (True, {"prd": FailureCode.NO_CREDENTIAL})
    copy = fleet.copy("web-tls", "rct")
    assert copy
    assert copy["data"] == secret["data"]
    assert fleet.copy("web-tls", "prd") is None


@pytest.mark.usefixtures("prefect_server")
def test_a_wrong_pin_gets_nothing(fleet: World, operator: Operator, caplog: pytest.LogCaptureFixture) -> None:
    """The Secret leads to another cluster than the pin says: the run is Failed, and no key is sent."""
    fleet.issue("web-tls")
    for name in ("rct", "prd"):
        assert give_credential(operator, name).status == 0
        pin(operator, name, "prd")
    state, report = run()
    assert state.is_failed()
    rct = next(one for one in report.clusters if one.cluster == "rct")
    assert [one.code for one in rct.failures] == [FailureCode.WRONG_CLUSTER]
    assert fleet.copy("web-tls", "rct") is None
    assert fleet.copy("web-tls", "prd") is not None


def test_two_profiles_of_one_cluster_get_nothing(fleet: World, operator: Operator) -> None:
    """Both are pinned to it: neither has more right to it than the other, or than an entry has."""
    announce(fleet.ops, "prd-again", EDGE)
    assert give_credential(operator, "prd").status == 0
    assert (
        operator.collect("--cluster", "prd-again", f"--context=prd-again={context_name('prd')}").status == 0
    )
    pin(operator, "prd")
    pin(operator, "prd-again", "prd")
    found = {one.cluster: one for one in preflight(load_config()).clusters}
    for name in ("prd", "prd-again"):
        assert [one.name for one in found[name].problems if one.status is CheckStatus.ERROR] == [
            "WrongCluster"
        ]


def test_another_address_is_told(fleet: World, operator: Operator) -> None:
    """The Secret's address is used: an announced one would be sent our token."""
    fleet.issue("web-tls")
    announce(fleet.ops, "rct", EDGE, "https://elsewhere.example.org:6443")
    assert give_credential(operator, "rct").status == 0
    pin(operator, "rct")
    config = discover(load_config()).config
    inventory = collect_inventory(load_config())
    (warned,) = [one.warnings for one in inventory.clusters if one.cluster == "rct"]
    assert any(one.startswith("AddressDiffers: its ClusterProfile has https://elsewhere") for one in warned)
    (readiness,) = preflight(load_config(), "rct").clusters
    assert [one.name for one in readiness.problems][:1] == ["AddressDiffers"]
    assert readiness.ready
    assert [one.name for one in config.clusters] == ["dev", "prd", "rct"]


def test_inventory_and_preflight_tell_what_is_lacking(fleet: World, operator: Operator) -> None:
    """They are fine with it, unless they are asked for that cluster by its name."""
    fleet.issue("web-tls")
    announce(fleet.ops, "lab", {"env": "lab"})
    announce(fleet.ops, "edge.7", EDGE)
    fleet.edit_config(
        lambda document: document["routes"][0].update(labels={}, clusters=["lab", "rct", "prd"])
    )
    found = preflight(load_config())
    assert {one.name for one in found.ops.problems} >= {"NoHostnames", "ProfileRefused"}
    assert {one.cluster: one.problems[0].name for one in found.clusters if one.cluster != "dev"} == {
        "prd": "NoCredential",
        "rct": "NoCredential",
    }
    assert all(one.ready for one in found.clusters)
    (named,) = preflight(load_config(), "rct").clusters
    assert not named.ready
    report = collect_inventory(load_config())
    assert {one.cluster: str(one.code) for one in report.discovery.unserved} == {
        "lab": "NoHostnames",
        "edge.7": "ProfileRefused",
        "rct": "NoCredential",
        "prd": "NoCredential",
    }
    assert {one.cluster for one in report.copies} <= {"dev"}
    with pytest.raises(ConfigError, match=r"cluster='lab': NoHostnames"):
        collect_inventory(load_config(), "lab")


@pytest.mark.usefixtures("prefect_server")
def test_a_cluster_that_is_gone_is_told_and_keeps_its_copies(fleet: World, operator: Operator) -> None:
    """Nothing is deleted there; when it comes back, it is served as before."""
    fleet.issue("web-tls")
    assert give_credential(operator, "rct").status == 0
    pin(operator, "rct")
    assert run()[0].is_completed()
    before = fleet.copy("web-tls", "rct")
    assert before
    withdraw(fleet.ops, "rct")
    for _ in range(2):  # until somebody has had time to see it
        state, report = run()
        assert lacks(report)["rct"] is FailureCode.PROFILE_GONE
        assert f"since {datetime.now(UTC):%Y-%m-}" in str(report.discovery.unserved)
        assert state.is_completed()
    assert fleet.copy("web-tls", "rct") == before
    announce(fleet.ops, "rct", EDGE)
    assert "rct" not in lacks(run()[1])


@pytest.mark.usefixtures("prefect_server")
def test_without_the_right_the_run_is_failed_and_entries_are_served(fleet: World, operator: Operator) -> None:
    """Nobody would notice that all discovered clusters are left out."""
    fleet.issue("web-tls")
    path = (
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{cluster_profiles.NAMESPACE}/roles/tls-sync-discover"
    )
    role = fleet.ops.get(path)
    fleet.ops.patch(path, {"rules": []})
    try:
        until("the lack of the right", lambda: not may_list(fleet))
        state, _ = run()
        found = preflight(load_config()).ops
        with pytest.raises(ConfigError, match=r"cluster='rct': Forbidden"):
            collect_inventory(load_config(), "rct")
    finally:
        fleet.ops.patch(path, {"rules": role["rules"]})
    assert state.is_failed()
    assert state.name == "ClustersNotDiscovered"
    assert "list clusterprofiles.multicluster.x-k8s.io in fleet" in str(state.message)
    assert fleet.copy("web-tls", "dev") is not None
    assert "Forbidden" in [one.name for one in found.problems]


def test_without_discover_nothing_is_asked(world: World) -> None:
    """A configuration without it costs no request for it."""
    since = world.log_position("ops")
    discover(load_config())
    collect_inventory(load_config())
    asked = world.requests("ops", since)
    assert asked
    assert not [one for one in asked if "multicluster.x-k8s.io" in one["requestURI"]]


def test_the_watcher_learns_of_a_cluster(fleet: World, operator: Operator) -> None:
    """At its next look at what is announced it has the cluster, and copies all to it."""
    (secret,) = fleet.issue("web-tls")
    for name in ("rct", "prd"):
        assert give_credential(operator, name).status == 0
        pin(operator, name)
    withdraw(fleet.ops, "prd")
    reconciler = Reconciler()
    with reuse_clients():
        first = reconciler.reconcile(RESYNC)
        assert first
        assert [one.cluster for one in first.clusters] == ["dev", "rct"]
        assert not reconciler._config.refresh(now=True)
        announce(fleet.ops, "prd", EDGE)
        assert reconciler._config.refresh(now=True)
        second = reconciler.reconcile(RESYNC)
    reconciler.close()
    assert second
    assert all(one.ok for one in second.clusters), second
    assert fleet.is_everywhere(secret)


WRONG = {
    "a cluster with an entry": (("dev",), "dev has an entry in the configuration: set clusterId there"),
    "OPS": (("rct", "--context", context_name("ops")), "leads to OPS"),
    "a cluster with another name": (("rct", "--context", context_name("dev")), "leads to dev"),
    "no name": (("Rct",), "'Rct' is not the name of a cluster"),
    "no context": (("rct",), "no context rct in your kubeconfig"),
}


@pytest.mark.parametrize(("given", "said"), WRONG.values(), ids=WRONG)
def test_a_pin_that_makes_no_sense_is_refused(
    fleet: World, operator: Operator, given: tuple[str, ...], said: str
) -> None:
    """Nothing is printed that somebody could paste."""
    done = operator.target("pin", *given, "--ops-context", context_name("ops"))
    assert (done.status, done.output) == (1, "")
    assert said in done.errors


def test_rights_are_printed_for_a_discovered_cluster(fleet: World, operator: Operator) -> None:
    """Its namespaces are those of the routes that are for its labels."""
    done = operator.target("manifests", "--cluster", "rct", "--ops-context", context_name("ops"))
    assert done.status == 0, done
    roles = [one for one in yaml.safe_load_all(done.output) if one["kind"] == "Role"]
    assert [one["metadata"]["namespace"] for one in roles] == ["app-a"]
    done = operator.target("manifests", "--cluster", "rct")
    assert done.status == 0, done  # source.context names OPS


def argo_secret(name: str, server: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return a cluster Secret as in Argo CD's manual, "Declarative Setup", "Clusters"."""
    config = {"bearerToken": "s3cr3t-of-argo", "tlsClientConfig": {"keyData": "czNjcjN0LWtleQ=="}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": f"cluster-{sum(map(ord, name))}",
            "namespace": "argocd",
            "labels": {"argocd.argoproj.io/secret-type": "cluster", **labels},
            "annotations": {"managed-by": "argocd.argoproj.io"},
        },
        "stringData": {"name": name, "server": server, "config": json.dumps(config)},
    }


def test_init_takes_clusters_from_argo_cd(world: World, operator: Operator, tmp_path: Path) -> None:
    """Names and labels, and the clusterId where the operator's kubeconfig has it; no credential is shown."""
    world.ops.namespace("argocd")
    edge = world.sandbox.cluster("rct").url
    for secret in (
        argo_secret("in-cluster", "https://kubernetes.default.svc", {}),
        argo_secret("Edge_EU", edge, {"env": "edge", "app.kubernetes.io/part-of": "x"}),
        argo_secret("edge-eu", "https://192.0.2.1:6443", {"env": "edge"}),
    ):
        world.ops.create(secret)
    file = tmp_path / "argo.yaml"
    given = ("init", "--from-argocd", "--ops-context", context_name("ops"), "--file", str(file))
    done = operator.run(sys.executable, "-m", "flows.cli", *given)
    world.ops.delete("/api/v1/namespaces/argocd/secrets")
    assert done.status == 0, done
    text = file.read_text()
    assert "s3cr3t" not in text + done.output + done.errors + operator.calls.read_text()
    assert "czNjcjN0LWtleQ" not in text + done.output + done.errors
    config = load_config(str(file))
    known = {one.name: one for one in config.clusters}
    assert list(known) == ["edge-eu", "edge-eu-2"]
    assert known["edge-eu"].cluster_id == world.admin("rct").cluster_id()
    assert (known["edge-eu"].labels, known["edge-eu-2"].labels) == ({"env": "edge"}, {"env": "edge"})
    assert known["edge-eu-2"].cluster_id is None
    assert "Edge_EU is called edge-eu: a cluster's name is a DNS label" in done.output
    assert "in-cluster is left out: it is Argo CD's own cluster, or OPS" in done.output
    assert "tls-sync rights kubeconfig --cluster NAME --context NAME=CONTEXT" in done.output
