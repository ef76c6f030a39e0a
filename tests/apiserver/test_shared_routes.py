"""Routes and hostnames for several clusters, on real servers: who gets what, and how it is explained."""

import sys
from typing import Any

import pytest

from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tests.support.cli_user import Operator
from tests.support.clusters import World

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900)]

LABELS = {"dev": {"env": "dev"}, "rct": {"env": "rct"}, "prd": {"env": "prd", "region": "eu"}}


def shared(world: World, *routes: dict[str, Any]) -> None:
    """Take routes and hostnames out of the entries; all may have *.example.org."""

    def change(document: dict[str, Any]) -> None:
        for cluster in document["clusters"]:
            del cluster["routes"], cluster["hostnames"]
            cluster["labels"] = LABELS[cluster["name"]]
        document["routes"] = list(routes)
        document["hostnames"] = [{"clusters": ["*"], "names": ["*.example.org"]}]

    world.configure()
    world.edit_config(change)


def route(certificate: str, **selection: Any) -> dict[str, Any]:
    return {"certificates": [certificate], "namespaces": ["app-a"], **selection}


def holders(world: World, name: str) -> set[str]:
    return {cluster for cluster in world.targets if world.copy(name, cluster)}


def test_each_route_reaches_the_clusters_that_it_selects(world: World) -> None:
    """By a name, a glob and a label; and no other cluster has a copy."""
    world.issue("web-a-tls", "web-b-tls", "web-c-tls", "web-d-tls")
    shared(
        world,
        route("web-a-tls", clusters=["rct"]),
        route("web-b-tls", clusters=["*d*"]),
        route("web-c-tls", labels={"env": "prd"}),
        route("web-d-tls", clusters=["*"]),
    )
    assert all(one.ok for one in world.run().values())
    assert holders(world, "web-a-tls") == {"rct"}
    assert holders(world, "web-b-tls") == {"dev", "prd"}
    assert holders(world, "web-c-tls") == {"prd"}
    assert holders(world, "web-d-tls") == {"dev", "rct", "prd"}


def test_a_cluster_that_loses_its_label_keeps_its_copy(world: World) -> None:
    """The copy is told as no longer routed, as where a route is removed, and is not written."""
    world.issue("web-a-tls", "web-b-tls")
    shared(world, route("web-a-tls", labels={"env": "prd"}), route("web-b-tls", clusters=["*"]))
    world.run()
    before = world.copy("web-a-tls", "prd")
    world.edit_config(lambda document: document["clusters"][2].update(labels={"env": "lab"}))
    row = world.row("web-a-tls", "prd")
    assert (row.action, row.reason) == (Action.KEEP, Reason.NO_LONGER_ROUTED)
    assert world.copy("web-a-tls", "prd") == before


def test_without_hostnames_nothing_is_copied(world: World) -> None:
    """Default deny: a route for all clusters reaches none that no rule for hostnames is for."""
    world.issue("web-a-tls")
    shared(world, route("web-a-tls", clusters=["*"]))
    rules = [{"labels": {"env": "dev"}, "names": ["*.example.org"]}]
    world.edit_config(lambda document: document.update(hostnames=rules))
    reports = world.run()
    assert holders(world, "web-a-tls") == {"dev"}
    assert {name: one.ok for name, one in reports.items()} == {"dev": True, "rct": False, "prd": False}
    assert {row.reason for row in reports["prd"].changes} == {Reason.HOSTNAME_NOT_ALLOWED}


@pytest.mark.usefixtures("prefect_server")
def test_the_plan_explains_itself(world: World, operator: Operator) -> None:
    """First what the configuration says, then what a run would do with this copy."""
    world.issue("web-a-tls")
    shared(world, route("web-a-*", labels={"env": "prd"}), route("web-b-tls", clusters=["*"]))
    command = (sys.executable, "-m", "flows.cli", "plan", "--config", str(world.config_path), "--explain")
    operator.environment["KUBECONFIG"] = str(world.kubeconfig)
    done = operator.run(*command, "prd/web-a-tls")
    assert done.status == 0, done
    assert done.output.startswith(
        "web-a-tls on prd:\n"
        "  routes[0] sends it, by 'web-a-*', to app-a/web-a-tls\n"
        "  its DNS names must be among *.example.org\n"
    )
    assert "nothing written: create 1" in done.errors
    refused = operator.run(*command, "dev/web-a-tls")
    assert refused.status == 1
    assert refused.output == (
        "web-a-tls on dev:\n"
        "  no route of dev sends it, so it is not copied there\n"
        "  routes[0] sends it, but not here: it is for clusters with env=prd; dev has env=dev\n"
    )
    assert refused.errors == ""
    wrong = operator.run(*command, "prd/web-a-tls", "--cluster", "prd")
    assert wrong.status == 2
    assert "--explain goes with none of" in wrong.errors
