"""Runs as people start them, by the README's commands, and runs that fail."""

import pytest

from deployments.sandbox.world import oracle
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from deployments.sandbox.world.oracle import Evidence, Place
from deployments.sandbox.world.renewal import renew
from tests.e2e.machine import Machine
from tests.e2e.prefect_api import PrefectAPI

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_HOMARR = {name: Place(name, f"homarr-{name}", f"homarr-{name}-tls") for name in ("dev", "rct", "prd")}


def _run(prefect: PrefectAPI, parameter: str) -> tuple[int, str]:
    """Run the README's command; return its exit status and output."""
    return prefect.command("deployment", "run", "tls-sync/ops", "-p", parameter, "--watch")


def _renew(machine: Machine, *clusters: str) -> None:
    for name in clusters:
        renew(machine.ops, _HOMARR[name].name)


def test_a_run_for_one_cluster_touches_that_one_alone(machine: Machine, prefect: PrefectAPI) -> None:
    """`-p cluster=dev --watch` exits with 0; RCT and PRD get no request, though they have work to do."""
    _renew(machine, "dev", "rct", "prd")
    before = oracle.look(machine.sandbox)
    status, said = _run(prefect, "cluster=dev")
    after = oracle.look(machine.sandbox)
    evidence = Evidence(before, after)
    assert status == 0, said
    assert evidence.updated == {_HOMARR["dev"]}
    assert evidence.created == set()
    assert evidence.asked == {"dev", SOURCE_CLUSTER}


def test_a_dry_run_writes_nothing(machine: Machine, prefect: PrefectAPI) -> None:
    """`-p dry_run=true` plans the two renewals that are due, and no Secret changes anywhere."""
    before = oracle.look(machine.sandbox)
    status, said = _run(prefect, "dry_run=true")
    evidence = Evidence(before, oracle.look(machine.sandbox))
    assert status == 0, said
    assert evidence.updated | evidence.created == set()
    assert {"rct", "prd"} <= evidence.asked


def test_an_unknown_cluster_is_refused_by_name(machine: Machine, prefect: PrefectAPI) -> None:
    """The command fails, the run's message names it and the known ones, and no target gets a request."""
    before = oracle.look(machine.sandbox)
    status, said = _run(prefect, "cluster=dve")
    (run,) = [run for run in prefect.runs() if run.whole["parameters"]["cluster"] == "dve"]
    assert status == 1, said
    assert "dve" in run.message
    assert all(name in run.message for name in _HOMARR), run.message
    assert Evidence(before, oracle.look(machine.sandbox)).asked == set()


def test_a_renewal_is_everywhere_after_the_next_run(machine: Machine, prefect: PrefectAPI) -> None:
    """The run writes what is due, and nothing else."""
    _renew(machine, "dev")
    before = oracle.look(machine.sandbox)
    run = prefect.carry_out()
    evidence = Evidence(before, oracle.look(machine.sandbox))
    assert run.state == "Completed", run
    assert evidence.objections(set(_HOMARR.values())) == []


def test_a_stopped_cluster_fails_by_name_and_heals(machine: Machine, prefect: PrefectAPI) -> None:
    """The run is Failed and names RCT, and the others are in sync; once RCT is back, a run completes it."""
    _renew(machine, "dev", "rct", "prd")
    rct = machine.sandbox.cluster("rct")
    before = oracle.look(machine.sandbox)
    rct.stop(grace=0)
    try:
        run = prefect.carry_out()
        after = oracle.look(machine.sandbox)
    finally:
        rct.start()
    assert run.state == "ClustersFailed", run
    assert "rct" in run.message
    assert "dev" not in run.message
    others = {_HOMARR["dev"], _HOMARR["prd"]}
    alive = oracle.Snapshot(
        {place: secret for place, secret in before.secrets.items() if place.cluster != "rct"},
        {name: count for name, count in before.requests.items() if name != "rct"},
    )
    assert Evidence(alive, after).objections(others) == []

    before = oracle.look(machine.sandbox)
    run = prefect.carry_out()
    evidence = Evidence(before, oracle.look(machine.sandbox))
    assert run.state == "Completed", run
    assert evidence.objections({_HOMARR["rct"]}) == []
