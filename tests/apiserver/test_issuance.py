"""Certificates that are yet to be issued, that nobody wants, or that end: what is told, on real servers."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.sandbox.world import certificate_resource, unfit
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from flows.tls_sync import tls_sync
from tasks.config.load import load_config
from tasks.domain.models import Action, Change, ClusterReport, RunReport
from tasks.domain.reasons import Reason
from tasks.inventory import document, table
from tasks.inventory.collect import collect_inventory
from tasks.inventory.model import Status
from tasks.plan.unrouted import without_unrouted
from tasks.preflight.model import CheckStatus
from tasks.preflight.probe import preflight
from tasks.report.verdict import expiring, run_verdict
from tasks.runtime import shutdown
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.apiserver.test_flow import artifacts
from tests.support.clusters import World

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900)]

NAME = "web-tls"
LITERAL = [{"certificates": [NAME, "web-b-tls"], "namespaces": ["app-a"]}]
SECRET = f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{NAME}"
CERTIFICATES = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates"
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}/roles/tls-sync"
HOUR = timedelta(hours=1)


@pytest.fixture
def ops(cert_manager: World) -> World:
    """OPS with cert-manager's Certificates, and with one of the two that the routes name literally."""
    cert_manager.configure(LITERAL)
    cert_manager.issue("web-b-tls")
    shutdown.begin_run()
    return cert_manager


def awaited(
    world: World, ago: timedelta | None = None, ready: str = "False", name: str = NAME, **status: Any
) -> None:
    """A Certificate, as cert-manager has it before its Secret is there; without a time, before any status."""
    spec = {"secretName": name, "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt-prod"}}
    manifest: dict[str, Any] = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": name, "namespace": SOURCE_NAMESPACE},
        "spec": spec,
    }
    world.ops.apply(f"{CERTIFICATES}/{name}", manifest, "a-person", force=True)
    if ago is not None:
        begun = f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%SZ}"
        condition = {"type": "Ready", "status": ready, "reason": "DoesNotExist", "lastTransitionTime": begun}
        issuing = {"type": "Issuing", "status": "True", "lastTransitionTime": f"{datetime.now(UTC):%FT%TZ}"}
        world.ops.patch(
            f"{CERTIFICATES}/{name}/status", {"status": {"conditions": [condition, issuing], **status}}
        )


def row_of(report: ClusterReport) -> Change:
    (row,) = [change for change in report.changes if change.certificate == NAME]
    return row


STATES: dict[str, tuple[dict[str, Any], Reason]] = {
    "before any status": ({}, Reason.ISSUANCE_PENDING),
    "for minutes": ({"ago": HOUR / 2}, Reason.ISSUANCE_PENDING),
    "ready this moment": ({"ago": timedelta(0), "ready": "True"}, Reason.ISSUANCE_PENDING),
    "for more than an hour": ({"ago": HOUR * 1.1}, Reason.ISSUANCE_LATE),
    "after a failed attempt": ({"ago": HOUR / 2, "failedIssuanceAttempts": 1}, Reason.ISSUANCE_LATE),
    "ready for long, with its Secret elsewhere": (
        {"ago": 9 * HOUR, "ready": "True"},
        Reason.MISSING_ON_SOURCE,
    ),
}


@pytest.mark.parametrize(("state", "reason"), STATES.values(), ids=STATES)
def test_a_certificate_without_secret_is_pending_until_it_is_late(
    ops: World, state: dict[str, Any], reason: Reason
) -> None:
    """A literal route to it fails the cluster only when it is late; the other certificates are served."""
    awaited(ops, **state)
    report = ops.sync()
    row = row_of(report)
    assert (row.action, row.reason) == (Action.NOTHING, reason)
    assert report.ok is (reason is Reason.ISSUANCE_PENDING)
    assert ops.copy("web-b-tls") is not None


@pytest.mark.parametrize("make", [unfit.temporary, unfit.not_issued], ids=["temporary", "empty"])
def test_what_is_there_until_the_issuance_is_pending_too(ops: World, make: Any) -> None:
    """A temporary certificate, or an empty tls.crt, is no failure before it is late; then it is."""
    ops.put(make(ops.issuer, NAME, [f"{NAME}.example.org"]))
    for ready in ("False", "True"):  # with a ClusterIssuer, and with an Issuer
        awaited(ops, HOUR / 2, ready)
        assert (row_of(ops.sync()).reason, ops.snapshot().rejections) == (Reason.ISSUANCE_PENDING, ())
    awaited(ops, HOUR * 1.1, "True")
    assert row_of(ops.sync()).reason is Reason.ISSUANCE_LATE
    ops.ops.delete(f"{CERTIFICATES}/{NAME}")
    assert row_of(ops.sync()).reason in (Reason.TEMPORARY, Reason.MISSING_DATA)


def test_a_copy_is_kept_while_its_certificate_is_issued_again(ops: World) -> None:
    """After its Secret was deleted, the copy stays and is no orphan, routed literally or by a glob."""
    (secret,) = ops.issue(NAME)
    ops.run()
    ops.ops.delete(SECRET)
    awaited(ops, timedelta(0))
    for routes in (LITERAL, [{"certificates": ["web-*"], "namespaces": ["app-a"]}]):
        ops.configure(routes)
        report = ops.sync()
        assert (row_of(report).action, row_of(report).reason) == (Action.KEEP, Reason.ISSUANCE_PENDING)
        assert report.ok
    assert ops.is_everywhere(secret)


def test_certificates_that_may_not_be_read_leave_it_missing(ops: World) -> None:
    """Without cert-manager's word it is as ever: a route names it, and it is not there."""
    awaited(ops)
    role = ops.ops.get(ROLE)
    ops.ops.patch(ROLE, {"rules": role["rules"][:1]})
    assert row_of(ops.sync()).reason is Reason.MISSING_ON_SOURCE


def test_a_selector_leaves_other_certificates_alone(ops: World) -> None:
    """What the selector would not take is not waited for."""
    awaited(ops)
    ops.edit_config(lambda config: config["source"].update(selector={"team": "web"}))
    assert row_of(ops.sync()).reason is Reason.MISSING_ON_SOURCE
    template = {"spec": {"secretTemplate": {"labels": {"team": "web"}}}}
    ops.ops.patch(f"{CERTIFICATES}/{NAME}", template)
    assert row_of(ops.sync()).reason is Reason.ISSUANCE_PENDING


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_a_run_waits_for_an_issuance_and_fails_when_it_is_late(ops: World) -> None:
    """While it is pending, runs are Completed and serve each wave; once it is late, they are Failed."""

    def in_waves(config: dict[str, Any]) -> None:
        for number, cluster in enumerate(config["clusters"], start=1):
            cluster["wave"] = number

    ops.edit_config(in_waves)
    awaited(ops, timedelta(minutes=1))
    state = tls_sync(return_state=True)
    assert (state.name, state.message) == ("Completed", "3 clusters: create 3, nothing 3; 1 not issued yet")
    told = artifacts(state)["tls-sync"]
    assert "IssuancePending" in told
    assert f"Certificate {NAME}, since 2" in told
    alone = tls_sync(certificate=NAME, cluster="dev", return_state=True)
    assert (alone.name, alone.message) == ("Completed", "1 cluster: nothing 1; 1 not issued yet")
    awaited(ops, HOUR / 2, failedIssuanceAttempts=2)
    state = tls_sync(return_state=True)
    assert state.name == "ClustersFailed"
    assert state.message is not None
    assert f"dev (IssuanceLate: app-a/{NAME}: " in state.message
    assert "cmctl status certificate" in artifacts(state)["tls-sync"]
    (secret,) = ops.issue(NAME)
    certificate_resource.put(ops.ops, certificate_resource.certificate(secret))
    assert tls_sync(return_state=True).message == "3 clusters: create 3, keep 3"
    assert ops.is_everywhere(secret)


def test_the_watcher_waits_for_an_issuance(ops: World) -> None:
    """The watcher fails neither at its start nor for a temporary certificate, and sends the real one."""
    awaited(ops, timedelta(0))
    reconciler = Reconciler()
    seen = [reconciler.reconcile(RESYNC)]
    ops.put(unfit.temporary(ops.issuer, NAME, [f"{NAME}.example.org"]))
    seen.append(reconciler.reconcile(NAME))
    for report in seen:
        assert report is not None
        assert run_verdict(report).ok
        assert [one.reason(report.now) for one in report.snapshot.issuances] == [Reason.ISSUANCE_PENDING]
        assert {row_of(one).reason for one in report.clusters} == {Reason.ISSUANCE_PENDING}
    (secret,) = ops.issue(NAME)
    told = reconciler.reconcile(NAME)
    assert told is not None
    assert told.snapshot.issuances == ()
    assert ops.is_everywhere(secret)
    ops.ops.delete(SECRET)
    told = reconciler.reconcile(NAME)
    assert told is not None
    assert {(row_of(one).action, row_of(one).reason) for one in told.clusters} == {
        (Action.KEEP, Reason.ISSUANCE_PENDING)
    }


def test_the_inventory_tells_what_is_pending(ops: World) -> None:
    """Status, verdict and document show it, and the inventory is not ok once it is late."""
    ops.run()
    awaited(ops, timedelta(minutes=1))
    found = collect_inventory(load_config())
    assert found.ok
    assert found.counts == {Status.PENDING: 3, Status.IN_SYNC: 3}
    text = table.render(found)
    assert text.startswith(
        "inventory: 6 copies of 2 certificates, 3 pending, the others in sync; 1 not issued"
    )
    assert f"not issued on OPS: {NAME}: IssuancePending: " in text
    (told,) = json.loads(json.dumps(document.document(found)))["issuances"]
    assert (told["name"], told["reason"], told["failedAttempts"]) == (NAME, "IssuancePending", 0)
    awaited(ops, HOUR * 2)
    assert not collect_inventory(load_config()).ok


def test_the_preflight_tells_what_is_pending(ops: World) -> None:
    """What cert-manager has yet to issue is no problem; what is late is to be looked at."""
    awaited(ops, timedelta(minutes=1))
    awaited(ops, timedelta(minutes=1), name="web-b-tls")
    awaited(ops, HOUR * 9, name="nobody-wants-it")

    def told() -> list[tuple[CheckStatus, str, str]]:
        return [
            (one.status, one.name, one.text)
            for one in preflight(load_config()).ops.findings
            if NAME in one.text
        ]

    ((mark, _, text),) = told()
    assert (mark, text.startswith(f"{NAME}: cert-manager has not issued it yet (")) == (CheckStatus.OK, True)
    awaited(ops, HOUR * 2)
    ((mark, name, _),) = told()
    assert (mark, name) == (CheckStatus.WARNING, "IssuanceLate")


def test_a_root_that_no_route_names_is_counted(ops: World) -> None:
    """It is counted in a run of one cluster, too, and listed where a glob of any cluster names it."""
    ops.put(unfit.authority(ops.issuer, "root-ca"))
    report = told_of(ops)
    assert (report.snapshot.rejections, report.snapshot.unrouted_rejections) == ((), 1)
    found = collect_inventory(load_config(), "dev")
    assert (found.snapshot.rejections, found.snapshot.unrouted_rejections) == ((), 1)
    assert "1 Secret on OPS is not fit to be sent and is not routed" in table.render(found)

    def on_prd(config: dict[str, Any]) -> None:
        config["clusters"][-1]["routes"].append({"certificates": ["root-*"], "namespaces": ["app-b"]})

    ops.edit_config(on_prd)
    assert [one.reason for one in told_of(ops).snapshot.rejections] == [Reason.IS_CA]
    assert [one.reason for one in collect_inventory(load_config(), "dev").snapshot.rejections] == [
        Reason.IS_CA
    ]


def told_of(world: World) -> RunReport:
    return RunReport(snapshot=without_unrouted(world.snapshot(), load_config()), now=datetime.now(UTC))


@pytest.mark.parametrize(
    ("age", "renewed", "level"),
    [(0.1, 3, None), (3.2, 3, None), (3.5, 3, "warning"), (5, 3, "urgent"), (5, 5, None)],
)
def test_a_short_life_is_judged_by_its_renewal(
    ops: World, age: float, renewed: float, level: str | None
) -> None:
    """A certificate of six days that is renewed after three is fine until cert-manager is late."""
    begin, day = datetime.now(UTC) - timedelta(days=age), timedelta(days=1)
    (secret,) = ops.issue(NAME, not_before=begin, not_after=begin + 6 * day)
    told = certificate_resource.certificate(secret)
    told["status"]["renewalTime"] = f"{begin + renewed * day:%Y-%m-%dT%H:%M:%SZ}"
    certificate_resource.put(ops.ops, told)
    report = told_of(ops)
    near_expiry = expiring(report.snapshot, report.now)
    found = [text.partition(":")[0] for one, text in near_expiry if one.ref.name == NAME]
    assert found == ([level] if level else [])
