"""The shipped ApplicationSet and `git push`: each test goes on where the last one stopped."""

import time
from typing import Any

import pytest

from deployments.sandbox.world import oracle
from deployments.sandbox.world.oracle import Evidence, Place
from tests.e2e.argo_cd.git_ops import GitOps
from tests.e2e.argo_cd.installed import CONFIG_MAPS, DEPLOYMENTS, operations_of, release_objects
from tests.e2e.machine import Machine
from tests.e2e.release import EVERY_MINUTE, YEARLY
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_NEW = Place("rct", "homarr-rct", "start-tls")
_QUIET_SECONDS = 60
_WORKER = f"{DEPLOYMENTS}/tls-sync-worker"
_CONFIG = f"{CONFIG_MAPS}/tls-sync-config"


def test_synced_and_healthy(git_ops: GitOps) -> None:
    """All objects of the chart are Synced, those that have a health are Healthy, and the hook has run."""
    resources = [one for one in git_ops.application()["status"]["resources"] if not one.get("hook")]
    assert {(one["kind"], one["name"]) for one in resources} >= {
        ("Deployment", "tls-sync-server"),
        ("Deployment", "tls-sync-worker"),
        ("ConfigMap", "tls-sync-registration"),
    }
    assert {one["status"] for one in resources} == {"Synced"}
    assert {one["health"]["status"] for one in resources if "health" in one} == {"Healthy"}
    assert git_ops.prefect.crons() == [EVERY_MINUTE]


def test_no_secret_in_git(git_ops: GitOps) -> None:
    """Argo CD manages no Secret of the release, and would delete none."""
    assert "Secret" not in {one["kind"] for one in git_ops.application()["status"]["resources"]}


def test_copies_arrive(machine: Machine, git_ops: GitOps) -> None:
    """The schedule's first run copies everything."""
    until("a scheduled run", lambda: any(run.state == "Completed" for run in git_ops.prefect.runs()))
    seen = oracle.look(machine.sandbox)
    assert oracle.Evidence(seen, seen).objections(()) == []


def test_schedule_and_route_by_git(machine: Machine, git_ops: GitOps) -> None:
    """A pushed schedule is Prefect's when the sync is over, and the next run writes the new route's copy."""
    config, routes = git_ops.routes_of("rct")
    routes.append({"certificates": ["headlamp-rct-tls"], "namespaces": [_NEW.namespace], "name": _NEW.name})
    git_ops.push(schedule=YEARLY, config=config)
    assert git_ops.prefect.crons() == [YEARLY]
    git_ops.prefect.await_rest()
    before = oracle.look(machine.sandbox)
    assert git_ops.prefect.carry_out().state == "Completed"
    evidence = Evidence(before, oracle.look(machine.sandbox))
    written = set() if _NEW in before.secrets else {_NEW}
    assert evidence.objections(written) == []
    assert _NEW in evidence.after.secrets


def test_self_heal(machine: Machine, git_ops: GitOps) -> None:
    """A deleted Deployment and a ConfigMap that somebody changed are as in git again."""
    config = machine.ops.get(_CONFIG)["data"]
    worker = machine.ops.get(_WORKER)
    machine.ops.delete(_WORKER)
    machine.ops.patch(_CONFIG, {"data": {"tls-sync.yaml": "owner: somebody\n"}})
    git_ops.await_("the ConfigMap of git", lambda: machine.ops.get(_CONFIG)["data"] == config)

    def is_new() -> bool:
        found = machine.ops.found(_WORKER)
        return found is not None and found["metadata"]["uid"] != worker["metadata"]["uid"]

    git_ops.await_("a new worker", is_new)
    git_ops.await_deployed()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schedul": YEARLY}, "schedul"),
        ({"config": {}}, "tlsSync.config"),
    ],
    ids=["unknown key", "no configuration"],
)
def test_values_that_the_chart_refuses(
    machine: Machine, git_ops: GitOps, changes: dict[str, Any], said: str
) -> None:
    """The Application names the value, and nothing on OPS changes."""
    before = release_objects(machine)
    git_ops.push_unfit(**changes)
    git_ops.await_("the Application to name the value", lambda: said in git_ops.conditions())
    assert release_objects(machine) == before
    git_ops.push_back()


def test_suspend_by_git(git_ops: GitOps) -> None:
    """`suspend: true` leaves no active schedule, and `false` brings it back."""
    git_ops.push(suspend=True)
    assert git_ops.prefect.crons() == []
    git_ops.push(suspend=False)
    assert git_ops.prefect.crons() == [YEARLY]


def test_upgrade(machine: Machine, git_ops: GitOps) -> None:
    """Another version of the chart is deployed, its hook runs, and the next run writes nothing."""
    registered = git_ops.prefect.deployment()["updated"]
    git_ops.push_chart("99.0.0")
    worker = machine.ops.get(_WORKER)
    assert worker["metadata"]["labels"]["helm.sh/chart"] == "tls-sync-99.0.0"
    assert git_ops.prefect.deployment()["updated"] > registered
    before = oracle.look(machine.sandbox)
    assert git_ops.prefect.carry_out().state == "Completed"
    assert Evidence(before, oracle.look(machine.sandbox)).objections(()) == []


def test_stays_synced(git_ops: GitOps) -> None:
    """Argo CD has nothing to do for a minute: what runs and Kubernetes write is no difference to git."""
    before = operations_of(git_ops.application())
    deadline = time.monotonic() + _QUIET_SECONDS
    while time.monotonic() < deadline:
        git_ops.refresh()
        time.sleep(5)
        assert git_ops.application()["status"]["sync"]["status"] == "Synced"
    assert operations_of(git_ops.application()) == before
