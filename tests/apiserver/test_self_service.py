"""Copies that Certificates ask for, within the limits of the configuration, on real servers."""

import sys
from typing import Any

import pytest

from deployments.sandbox.world import certificate_resource
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from flows.tls_sync import tls_sync
from tasks.config.load import load_config
from tasks.domain.annotations import REQUEST
from tasks.domain.models import Action, ClusterReport
from tasks.domain.reasons import Reason
from tasks.inventory import table
from tasks.inventory.collect import collect_inventory
from tasks.preflight.probe import preflight
from tasks.runtime import shutdown
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.apiserver.test_flow import artifacts
from tests.support.cli_user import Operator
from tests.support.clusters import World

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900)]

NAME = "team-tls"
LIMIT = {
    "clusters": ["dev", "prd"],
    "certificates": ["team-*"],
    "namespaces": ["app-b"],
    "hostnames": ["team.example.org", "team-tls.example.org"],
}
CERTIFICATES = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates"
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}/roles/tls-sync"


@pytest.fixture
def ops(cert_manager: World) -> World:
    """Routes send web-* to app-a; Certificates may ask that team-* be copied to app-b on DEV and PRD."""
    cert_manager.edit_config(lambda document: document.update(selfService=[LIMIT]))
    cert_manager.issue("web-tls")
    shutdown.begin_run()
    return cert_manager


def issue(world: World, name: str = NAME, to: str | None = None) -> dict[str, Any]:
    """Issue a certificate; its Certificate asks for copies as its team has written."""
    (secret,) = world.issue(name)
    resource = certificate_resource.certificate(secret)
    resource["metadata"]["name"] = f"of-{name}"
    certificate_resource.put(world.ops, resource)
    if to is not None:
        ask(world, to, name)
    return secret


def ask(world: World, to: str | None, name: str = NAME) -> None:
    """Change the annotation in the Certificate; cert-manager copies it to the Secret, as here."""
    template = {"spec": {"secretTemplate": {"annotations": {REQUEST: to}}}}
    world.ops.patch(f"{CERTIFICATES}/of-{name}", template)
    on_secret = {"metadata": {"annotations": {REQUEST: to}}}
    world.ops.patch(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{name}", on_secret)


def holders(world: World, name: str = NAME, namespace: str = "app-b") -> set[str]:
    return {cluster for cluster in world.targets if world.copy(name, cluster, namespace)}


def rows(reports: dict[str, ClusterReport], name: str = NAME) -> dict[str, tuple[Action, Reason]]:
    return {
        cluster: (row.action, row.reason)
        for cluster, report in reports.items()
        for row in report.changes
        if row.certificate == name
    }


def test_a_team_asks_and_withdraws(ops: World) -> None:
    """What it asks for is copied and renewed; once it asks no more, the copy stays, and is told."""
    secret = issue(ops, to="dev/app-b, prd/app-b")
    assert all(one.ok for one in ops.run().values())
    assert holders(ops) == {"dev", "prd"}
    renewed = ops.renew(secret)
    ops.run()
    assert ops.copy(NAME, "prd", "app-b")["data"] == renewed["data"]  # type: ignore[index]
    ask(ops, "dev/app-b")
    kept, reports = ops.copy(NAME, "prd", "app-b"), ops.run()
    assert rows(reports) == {
        "dev": (Action.KEEP, Reason.IN_SYNC),
        "prd": (Action.KEEP, Reason.NO_LONGER_ROUTED),
    }
    assert all(one.ok for one in reports.values())
    assert ops.copy(NAME, "prd", "app-b") == kept


def test_default_deny(ops: World) -> None:
    """Without `selfService` the annotation is nothing: no copy, no row, and no request more."""
    ops.edit_config(lambda document: document.pop("selfService"))
    ops.run()
    ops.run()  # which writes notes

    def asked() -> list[tuple[str, str]]:
        since = {name: ops.log_position(name) for name in ("ops", "dev")}
        assert rows(ops.run()) == {}
        requests = (one for name in since for one in ops.requests(name, since[name]))
        return sorted((one["verb"], one["requestURI"]) for one in requests)

    idle = asked()
    issue(ops, to="dev/app-b, nowhere/app-b")
    assert asked() == idle
    assert holders(ops) == set()
    assert collect_inventory(load_config()).snapshot.refused_requests == ()


def test_only_the_certificate_asks(ops: World) -> None:
    """An annotation on the Secret asks for nothing, and none of a team's annotations travels to a copy."""
    issue(ops)
    on_secret = {"metadata": {"annotations": {REQUEST: "dev/app-b"}}}
    path = f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{NAME}"
    ops.ops.patch(path, on_secret)
    assert rows(ops.run()) == {}
    ask(ops, "dev/app-b")
    ops.run()
    copy = ops.copy(NAME, "dev", "app-b")
    assert copy
    assert REQUEST not in copy["metadata"]["annotations"]


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_what_goes_beyond_the_limits_fails_neither_the_run_nor_a_wave(ops: World) -> None:
    """PRD is served after DEV; the report names the Certificate and the limit, and what is sound is done."""

    def in_waves(document: dict[str, Any]) -> None:
        for number, cluster in enumerate(document["clusters"], start=1):
            cluster["wave"] = number

    ops.edit_config(in_waves)
    issue(ops, to="prd/app-b, prd/app-a, rct/app-b, prod/app-b")
    issue(ops, "team-typo-tls", "dev:app-b")
    state = tls_sync(return_state=True)
    assert (state.name, state.message) == (
        "Completed",
        "3 clusters: create 4; 2 asked for beyond selfService",
    )
    assert holders(ops) == {"prd"}
    told = artifacts(state)["tls-sync"]
    assert "- **RequestBeyondLimits** (OPS: team-tls): correct the annotation" in told
    assert "- **RequestInvalid** (OPS: team-typo-tls): write cluster/namespace" in told
    assert "Certificate of-team-tls: prd/app-a: this namespace is not allowed by selfService" in told
    assert "rct/app-b: this cluster is not allowed by selfService" in told
    assert "prod/app-b: the configuration has no such cluster" in told
    alone = tls_sync(certificate=NAME, cluster="dev", return_state=True)
    assert alone.is_completed()


def test_a_certificate_with_other_names_is_not_sent(ops: World) -> None:
    """What counts are the names in the certificate itself; a copy of it stays as it was."""
    secret = issue(ops, to="dev/app-b")
    ops.run()
    before = ops.copy(NAME, "dev", "app-b")
    other = ops.issuer.secret(NAME, ["other.example.org"])
    ops.put(other)
    report = ops.run()["dev"]
    (row,) = [one for one in report.changes if one.certificate == NAME]
    assert (row.action, row.reason) == (Action.KEEP, Reason.REQUEST_BEYOND_LIMITS)
    assert row.detail == "Certificate of-team-tls: selfService[0] does not allow other.example.org"
    assert report.ok
    assert ops.copy(NAME, "dev", "app-b") == before
    ops.put(secret)
    assert ops.row(NAME).reason is Reason.IN_SYNC


def test_two_certificates_with_one_secret_get_nothing(ops: World) -> None:
    """Whose Secret it is, nobody can tell; each is named."""
    secret = issue(ops, to="dev/app-b")
    second = certificate_resource.certificate(secret)
    second["metadata"]["name"] = "of-somebody-else"
    certificate_resource.put(ops.ops, second)
    assert rows(ops.run()) == {}
    (told,) = collect_inventory(load_config()).snapshot.refused_requests
    assert told.reason is Reason.REQUEST_CONFLICT
    assert told.detail.startswith("Certificates of-somebody-else, of-team-tls write the same Secret")


def test_certificates_that_can_not_be_read_are_a_failure_of_what_was_asked_for(ops: World) -> None:
    """The copy stays; nobody is told to delete it, and the run does not say that all is well."""
    issue(ops, to="dev/app-b")
    ops.run()
    role = ops.ops.get(ROLE)
    ops.ops.patch(ROLE, {"rules": role["rules"][:1]})
    reports = ops.run()
    assert rows(reports) == {"dev": (Action.KEEP, Reason.SOURCE_UNREAD)}
    assert [name for name, one in reports.items() if not one.ok] == ["dev"]
    problems = [one.name for one in preflight(load_config()).ops.problems]
    ops.ops.patch(ROLE, {"rules": role["rules"]})
    assert problems == ["Forbidden"]
    assert rows(ops.run()) == {"dev": (Action.KEEP, Reason.IN_SYNC)}


def test_the_watcher_serves_what_is_asked_for(ops: World) -> None:
    """A renewal at once, and with the event of the Secret also what its Certificate asks for by then."""
    secret = issue(ops, to="dev/app-b")
    reconciler = Reconciler()
    assert reconciler.reconcile(RESYNC)
    renewed = ops.renew(secret)
    report = reconciler.reconcile(NAME)
    assert report
    assert [one.cluster for one in report.clusters] == ["dev"]
    assert ops.copy(NAME, "dev", "app-b")["data"] == renewed["data"]  # type: ignore[index]
    ask(ops, "dev/app-b, prd/app-b")
    reconciler.reconcile(NAME)
    assert holders(ops) == {"dev", "prd"}
    ask(ops, None)
    assert reconciler.reconcile(NAME) is None
    issue(ops, "team-new-tls", "prd/app-b")
    limits = [{**LIMIT, "hostnames": ["*.example.org"]}]
    ops.edit_config(lambda document: document.update(selfService=limits))
    reconciler.reconcile("team-new-tls")
    assert holders(ops, "team-new-tls") == {"prd"}
    reconciler.close()


def test_the_inventory_shows_what_was_not_granted(ops: World) -> None:
    """It is no failure of a copy."""
    issue(ops, to="dev/app-b, dev/app-a")
    ops.run()
    found = collect_inventory(load_config())
    assert found.ok
    assert "not granted: team-tls: RequestBeyondLimits: " in table.render(found)


@pytest.mark.usefixtures("prefect_server")
def test_the_plan_explains_requests(ops: World, operator: Operator) -> None:
    """That a request granted it, or which limit keeps it away; before any copy is planned."""
    issue(ops, to="dev/app-b, rct/app-b")
    command = (sys.executable, "-m", "flows.cli", "plan", "--config", str(ops.config_path), "--explain")
    operator.environment["KUBECONFIG"] = str(ops.kubeconfig)
    done = operator.run(*command, f"dev/{NAME}")
    assert done.status == 0, done
    assert done.output.startswith(
        "team-tls on dev:\n"
        "  Certificate of-team-tls asks for it, and selfService[0] grants it, to app-b/team-tls\n"
    )
    refused = operator.run(*command, f"rct/{NAME}")
    assert refused.status == 1
    assert (
        "Certificate of-team-tls: rct/app-b: this cluster is not allowed by selfService[0]" in refused.output
    )
