"""A fleet: the scheduled run starts one run per group of clusters, each in its own pod."""

import copy
from collections.abc import Iterator

import pytest

from deployments.sandbox.world import oracle
from deployments.sandbox.world.oracle import Evidence, Place
from deployments.sandbox.world.renewal import renew
from tests.e2e import records
from tests.e2e.machine import Machine
from tests.e2e.prefect_api import PrefectAPI, Run
from tests.e2e.release import YEARLY, Release
from tests.e2e.witness import Witness

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_FLEET, _GROUP = "tls-sync-fleet/ops", "tls-sync/group"
_STOPPED = ("Cancelled", "Crashed")
"""States of a cancelled run: Crashed, where that came before Cancelled."""
_GROUPS = {"dev": "eu", "rct": "us", "prd": "us"}
_HOMARR = {Place(name, f"homarr-{name}", f"homarr-{name}-tls") for name in _GROUPS}


@pytest.fixture(scope="module")
def fleet(machine: Machine, release: Release, prefect: PrefectAPI, witness: Witness) -> Iterator[Release]:
    """The chart with two groups and a fleet; restored at the end."""
    before = copy.deepcopy(release.values["tlsSync"])
    config = copy.deepcopy(before["config"])
    for cluster in config["clusters"]:
        cluster["group"] = _GROUPS[cluster["name"]]
    release.upgrade(schedule=YEARLY)
    prefect.await_rest()
    release.upgrade(config=config, fleet={"enabled": True})
    assert prefect.carry_out().state == "Completed"  # all is in sync, also where this is the first run
    yield release
    release.change(tlsSync=before)


def _children(prefect: PrefectAPI, parent: Run) -> dict[str, Run]:
    """Return the runs by group."""
    asked = {"flow_runs": {"parent_flow_run_id": {"any_": [parent.id]}}}
    found = prefect.post("flow_runs/filter", asked)
    return {one["parameters"]["group"]: prefect.run(one["id"]) for one in found}


def test_the_schedule_is_the_fleets_alone(prefect: PrefectAPI, fleet: Release) -> None:
    """Exactly one schedule is active, or each cluster would be synced twice."""
    active = {
        name: [one["active"] for one in prefect.deployment(name)["schedules"]]
        for name in ("tls-sync/ops", _GROUP, _FLEET)
    }
    assert {name: any(flags) for name, flags in active.items()} == {
        "tls-sync/ops": False,
        _GROUP: False,
        _FLEET: True,
    }
    assert sum(active[_FLEET]) == 1, "the schedule of runs that verify is off in these tests"


def test_two_groups_are_two_pods_side_by_side(
    machine: Machine, prefect: PrefectAPI, fleet: Release, witness: Witness
) -> None:
    """Parent and children each have a pod; copies are written, and the parent is Completed with a report."""
    for place in _HOMARR:
        renew(machine.ops, place.name)
    before = oracle.look(machine.sandbox)
    parent = prefect.finish(prefect.start(_FLEET))
    evidence = Evidence(before, oracle.look(machine.sandbox))
    assert (parent.state, parent.message) == ("Completed", "2 groups: all Completed"), parent
    assert evidence.objections(_HOMARR) == []
    children = _children(prefect, parent)
    assert {group: run.state for group, run in children.items()} == {"eu": "Completed", "us": "Completed"}
    pods = [witness.pods[run.id] for run in (parent, *children.values())]
    names = {pod.manifest["metadata"]["name"] for seen in pods for pod in seen}
    assert len(names) == 3
    # When their pods start is up to Prefect's worker, which may take seconds between two.
    asked, ended = ([one.whole[when] for one in children.values()] for when in ("created", "end_time"))
    assert max(asked) < min(ended), "one after the other"
    (page,) = (one for one in prefect.artifacts(parent.id) if one["key"] == "tls-sync-fleet")
    assert "| eu | 1 | 1 | Completed |" in page["data"]
    assert "| us | 1 | 2 | Completed |" in page["data"]
    took = {name: one.whole["total_run_time"] for name, one in [("fleet", parent), *children.items()]}
    records.write("a_fleet_of_two_groups_seconds", took)
    memory = {run.id: max(pod.peak_bytes for pod in witness.pods[run.id]) for run in (parent,)}
    records.write("memory_of_a_fleets_parent_mib", round(memory[parent.id] / 2**20, 1))


def test_a_cancelled_fleet_cancels_its_groups(prefect: PrefectAPI, fleet: Release) -> None:
    """A fleet that is cancelled while its groups' pods are starting stops all of its runs."""
    parent = prefect.await_run(prefect.start(_FLEET), lambda run: len(_children(prefect, run)) == 2)
    state = {"state": {"type": "CANCELLING"}}
    prefect.post(f"flow_runs/{parent.id}/set_state", state)
    assert prefect.finish(parent.id).state in _STOPPED
    for child in _children(prefect, parent).values():
        assert prefect.finish(child.id).state in _STOPPED
    prefect.await_log(parent.id, "stop requested: cancelling the groups' runs")


def test_without_the_fleet_the_schedule_is_back(prefect: PrefectAPI, fleet: Release) -> None:
    """Without the value, the schedule starts runs of tls-sync again."""
    fleet.upgrade(fleet={"enabled": False})
    assert prefect.crons() == [YEARLY]
    assert not any(one["active"] for one in prefect.deployment(_FLEET)["schedules"])
