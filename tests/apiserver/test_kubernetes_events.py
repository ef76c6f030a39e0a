"""Kubernetes Events on OPS: what `kubectl describe certificate` shows, and what they cost when they fail."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import context_name
from flows.tls_sync import tls_sync
from tasks.config.load import load_config
from tasks.domain.annotations import REQUEST
from tasks.preflight.model import Check, CheckStatus
from tasks.preflight.probe import preflight
from tasks.runtime import shutdown
from tests.support.cli_user import Operator
from tests.support.clusters import Manifest, World
from tests.support.waiting import until
from tests.support.watcher_process import may_watch, watcher

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900)]

NAME = "web-tls"
EVENTS = f"/api/v1/namespaces/{SOURCE_NAMESPACE}/events"
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}/roles/tls-sync"
CERTIFICATE = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates/web"


@pytest.fixture
def ops(cert_manager: World, operator: Operator) -> Iterator[World]:
    """OPS with a Certificate, a configuration that asks for Events, and the rights for these."""
    role = cert_manager.ops.get(ROLE)
    cert_manager.configure()
    cert_manager.edit_config(lambda document: document["source"].update(events=True))
    shown = operator.target("manifests", "--ops")
    assert operator.apply("ops", shown.output, "--force-conflicts").status == 0
    cert_manager.issue(NAME)
    manifest = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "web", "namespace": SOURCE_NAMESPACE},
        "spec": {"secretName": NAME, "issuerRef": {"name": "letsencrypt-prod"}},
    }
    cert_manager.ops.apply(CERTIFICATE, manifest, "a-person", force=True)
    until("the right", lambda: not preflight_warnings())
    shutdown.begin_run()
    yield cert_manager
    cert_manager.ops.delete(EVENTS)
    cert_manager.ops.patch(ROLE, {"rules": role["rules"]})


def preflight_warnings() -> list[str]:
    found = preflight(load_config()).ops.findings
    return [one.text for one in found if one.check is Check.RIGHTS and one.status is CheckStatus.WARNING]


def events(world: World) -> list[Manifest]:
    return sorted(world.ops.list(EVENTS), key=lambda one: str(one["firstTimestamp"]))


def run(**parameters: Any) -> State[Any]:
    state: State[Any] = tls_sync(return_state=True, **parameters)
    return state


@pytest.mark.usefixtures("prefect_server")
def test_describe_shows_what_was_copied(ops: World, operator: Operator) -> None:
    """One Event for a certificate and a run that changed something; none for one that did not, or is dry."""
    run(dry_run=True)
    assert events(ops) == []
    assert run().is_completed()
    run()
    run(verify=True)
    (event,) = events(ops)
    assert event["message"].startswith(
        "Copied to dev app-a/web-tls, rct app-a/web-tls, prd app-a/web-tls; expires "
    )
    told = operator.run(
        *f"kubectl --context={context_name('ops')} -n {SOURCE_NAMESPACE} describe certificate web".split()
    )
    (line,) = [one for one in told.output.splitlines() if "Copied to dev" in one]
    assert line.split()[:2] == ["Normal", "Copied"]
    assert " tls-sync " in line


@pytest.mark.usefixtures("prefect_server")
def test_a_refused_copy_makes_it_a_warning(ops: World) -> None:
    """Where one cluster has a Secret of somebody else, the Event of the others' copies says so."""
    foreign = ops.issuer.secret(NAME, ["web-tls.example.org"])
    foreign["metadata"] = {"name": NAME, "namespace": "app-a"}
    ops.admin("rct").create(foreign)
    assert run().is_failed()
    (event,) = events(ops)
    assert (event["type"], event["reason"]) == ("Warning", "CopiedInPart")
    assert "; not to rct app-a/web-tls (OwnedByOther); " in event["message"]
    run()
    assert len(events(ops)) == 1  # the refusal lasts


@pytest.mark.usefixtures("prefect_server")
def test_a_team_sees_why_its_request_is_refused(ops: World, operator: Operator) -> None:
    """`kubectl describe certificate` says it once, however many runs find it, until the request is right."""
    limit = {
        "clusters": ["dev"],
        "certificates": [NAME],
        "namespaces": ["app-b"],
        "hostnames": ["*.example.org"],
    }
    ops.edit_config(lambda document: document.update(selfService=[limit]))
    template = {"spec": {"secretTemplate": {"annotations": {REQUEST: "dev/app-c"}}}}
    ops.ops.patch(CERTIFICATE, template)
    assert run().is_completed()
    assert run().is_completed()
    (event,) = [one for one in events(ops) if one["reason"] != "Copied"]
    assert (event["type"], event["reason"]) == ("Warning", "RequestBeyondLimits")
    assert "(Certificate web: dev/app-c: this namespace is not allowed by selfService[0])" in event["message"]
    context = context_name("ops")
    told = operator.run(
        *f"kubectl --context={context} -n {SOURCE_NAMESPACE} describe certificate web".split()
    )
    assert event["message"] in told.output
    template["spec"]["secretTemplate"]["annotations"][REQUEST] = "dev/app-b"
    ops.ops.patch(CERTIFICATE, template)
    ops.ops.delete(EVENTS)
    assert run().is_completed()
    assert [one["reason"] for one in events(ops)] == ["Copied"]


@pytest.mark.usefixtures("prefect_server")
def test_a_failure_costs_nothing(ops: World, caplog: pytest.LogCaptureFixture) -> None:
    """Without the right everything is copied, the log has a sentence, and the preflight names the right."""
    rules = [one for one in ops.ops.get(ROLE)["rules"] if one["resources"] != ["events"]]
    ops.ops.patch(ROLE, {"rules": rules})
    until("the lack of the right", preflight_warnings)
    assert preflight_warnings() == [f"{SOURCE_NAMESPACE}: create on events missing"]
    state = run()
    assert state.is_completed()
    assert (state.name, ops.copy(NAME) is not None) == ("Completed", True)
    (said,) = [one.message for one in caplog.records if "Kubernetes Events" in one.message]
    assert f"Forbidden: create events in {SOURCE_NAMESPACE}: " in said
    assert events(ops) == []


@pytest.mark.usefixtures("prefect_server")
def test_without_the_key_nothing_is_asked_for(ops: World) -> None:
    """The default: no Event, and no request for one."""
    ops.edit_config(lambda document: document["source"].pop("events"))
    since = ops.log_position("ops")
    assert run().is_completed()
    assert not [one for one in ops.requests("ops", since) if "events" in one["requestURI"]]


def test_the_watcher_creates_them_without_prefect(ops: World, tmp_path: Any) -> None:
    """A renewal has its own Event, whether or not Prefect's API answers."""
    (secret,) = ops.issue(NAME)
    with may_watch(ops.ops), watcher(tmp_path, PREFECT_API_URL="http://127.0.0.1:9/api"):
        until("the start", lambda: len(events(ops)) == 1)
        until("the copy", lambda: ops.is_everywhere(secret))
        renewed = ops.renew(secret)
        until("the renewal", lambda: ops.is_everywhere(renewed))
        until("its Event", lambda: len(events(ops)) == 2)
    assert all(one["involvedObject"]["name"] == "web" for one in events(ops))


@pytest.mark.usefixtures("prefect_server")
def test_an_event_holds_no_key(ops: World) -> None:
    """What is written on OPS has names, a reason and a date."""
    run()
    (event,) = events(ops)
    text = json.dumps(event)
    assert "BEGIN" not in text
    assert not any(one in text for one in ops.ops.secret(SOURCE_NAMESPACE, NAME)["data"].values())  # type: ignore[index]  # it is there
