"""The watcher in pods: it copies a renewal without a scheduled run, and every end of it is reported."""

from urllib.parse import quote

import pytest

from deployments.sandbox.clusters.manifests import Manifest, Manifests
from deployments.sandbox.node import cgroups
from deployments.sandbox.world import oracle
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from deployments.sandbox.world.oracle import Evidence, Place
from deployments.sandbox.world.renewal import renew
from tests.e2e import records as measured
from tests.e2e.machine import NAMESPACE, Machine
from tests.e2e.prefect_api import PrefectAPI
from tests.e2e.release import Release
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

DEV, RCT = (Place(name, f"homarr-{name}", f"homarr-{name}-tls") for name in ("dev", "rct"))
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/tls-sync-watch"
OF_THEM = "app.kubernetes.io/component=watch"
ROLES = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}/roles"
_MIB = 2**20
ROLE = f"{ROLES}/tls-sync-watch:{NAMESPACE}:tls-sync"


@pytest.fixture(scope="module")
def watched(machine: Machine, release: Release, prefect: PrefectAPI) -> Machine:
    """A watcher with two replicas, which stays until the uninstall."""
    prefect.await_rest()
    release.change(watch={"enabled": True, "replicas": 2})
    until("somebody who acts", lambda: holder(machine))
    return machine


def holder(machine: Machine) -> str:
    """Return the name of the leader's pod."""
    identity = machine.ops.get(LEASE).get("spec", {}).get("holderIdentity") or ""
    return str(identity).rpartition("_")[0]


def watchers(machine: Machine) -> Manifests:
    return machine.ops.list(f"{PODS}?labelSelector={quote(OF_THEM)}")


def records(prefect: PrefectAPI) -> dict[str, str]:
    """Return name and message of each run of the watcher in Prefect."""
    found = prefect.post("flow_runs/filter", {"flows": {"name": {"any_": ["tls-sync-watch"]}}})
    return {run["name"]: run["state"]["message"] for run in found if run["state_type"] == "COMPLETED"}


def renewed(machine: Machine, place: Place) -> None:
    """Renew a certificate on OPS, and wait until the target has it, byte for byte."""
    secret = renew(machine.ops, place.name)
    admin = machine.sandbox.cluster(place.cluster).admin

    def is_there() -> bool:
        copy = admin.secret(place.namespace, place.name)
        return copy is not None and bool(copy["data"] == secret["data"])

    until(f"{place.name} on {place.cluster}", is_there)


def test_a_renewal_is_everywhere_without_a_run(watched: Machine, prefect: PrefectAPI) -> None:
    """Only its copies are written, no scheduled run starts, and Prefect has a record."""
    runs = {run.id for run in prefect.runs()}
    before = oracle.look(watched.sandbox)
    renewed(watched, DEV)
    evidence = Evidence(before, oracle.look(watched.sandbox))
    assert evidence.objections({DEV, Place(SOURCE_CLUSTER, SOURCE_NAMESPACE, DEV.name)}) == []
    assert {run.id for run in prefect.runs() if run.state != "Scheduled"} <= runs
    until("the record", lambda: any(f"{DEV.name} changed" in name for name in records(prefect)))


def test_the_pods_that_stay_need_what_the_chart_requests(watched: Machine) -> None:
    """Worker and watcher use no more memory than the scheduler keeps for them; their peaks are recorded."""
    group, peaks = watched.node.cgroup, dict[str, float]()
    for component in ("worker", "watch"):
        for pod in watched.ops.list(f"{PODS}?labelSelector=app.kubernetes.io/component%3D{component}"):
            (container,), uid = pod["spec"]["containers"], pod["metadata"]["uid"]
            requested = int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
            assert 0 < cgroups.working_set(group, uid) / _MIB <= requested, component
            peaks[component] = round(max(peaks.get(component, 0), cgroups.peak(group, uid) / _MIB), 1)
    assert {*peaks} == {"worker", "watch"}
    measured.write("memory_of_pods_that_stay_mib", peaks)


def test_another_pod_takes_over(watched: Machine) -> None:
    """When the leader's pod is killed, a renewal meanwhile is not missed."""
    first = holder(watched)
    watched.kubectl("delete", "pod", first, "--namespace", NAMESPACE, "--grace-period=0", "--force")
    renewed(watched, RCT)
    until("the takeover", lambda: holder(watched) not in ("", first))


def test_a_missing_right_shows_in_describe(watched: Machine) -> None:
    """Without the right to watch, it exits with 1, and `kubectl describe` names the missing right."""
    ours = ("--namespace", NAMESPACE, "--selector", OF_THEM)
    rules = watched.ops.get(ROLE)["rules"]
    watched.ops.patch(ROLE, {"rules": []})
    try:
        watched.kubectl("delete", "pods", *ours)
        words = f"Forbidden: watch secrets in {SOURCE_NAMESPACE}"
        (ended,) = until("its end", lambda: [one for pod in watchers(watched) for one in ends(pod)][:1])
        assert (ended["exitCode"], words in ended["message"]) == (1, True), ended
        described = watched.kubectl("describe", "pods", *ours)
        assert words in described
    finally:
        watched.ops.patch(ROLE, {"rules": rules})
    renewed(watched, DEV)


def ends(pod: Manifest) -> list[Manifest]:
    """Return how its container ended, each time."""
    statuses = pod["status"].get("containerStatuses", [])
    states = [one[kind] for one in statuses for kind in ("state", "lastState") if kind in one]
    return [state["terminated"] for state in states if "terminated" in state]
