"""Whatever a Secret on OPS holds, or a target's API server lists of one, it costs itself alone."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.world import certificate_resource
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from flows.tls_sync import tls_sync
from tasks.config.load import load_config
from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tasks.inventory.collect import collect_inventory
from tasks.inventory.model import Status
from tasks.preflight.probe import preflight
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.support.clusters import TARGETS, World
from tests.support.fault_proxy import Answer, Forward, Request
from tests.support.spoilt import spoilt_secrets

DEEP = 3000

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]


def fill(world: World) -> tuple[list[dict[str, Any]], set[str]]:
    """The sound ones, and the names of the spoilt ones."""
    spoilt = spoilt_secrets(world)
    for secret in spoilt:
        world.put(secret)
    return world.issue("web-a-tls", "web-b-tls"), {one["metadata"]["name"] for one in spoilt}


def routed(names: set[str]) -> set[str]:
    """Those that the world's route takes in; of the others, a report has the number alone."""
    return {name for name in names if name.startswith("web-")}


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_a_spoilt_secret_costs_a_run_nothing_else(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is a rejection, named where it is routed; every other certificate is served in the same run."""
    sound, spoilt = fill(world)
    state = tls_sync(return_state=True)
    assert all(map(world.is_everywhere, sound))
    assert state.is_completed()  # what a glob finds, and is unfit, was not asked for by its name
    snapshot = world.snapshot()
    assert {one.ref.name for one in snapshot.rejections} == spoilt
    assert {one.reason for one in snapshot.rejections} <= {
        Reason.INVALID_KEY,
        Reason.KEY_MISMATCH,
        Reason.WEAK_KEY,
        Reason.BROKEN_KEY,
    }
    listed = routed(spoilt)
    assert {name for name in spoilt if name in caplog.text} == listed
    uncounted = len(spoilt) - len(listed)
    assert f", {uncounted} not checked)" in caplog.text
    assert tls_sync(verify=True, return_state=True).is_completed()
    assert f"{uncounted} Secrets on OPS are not fit to be sent and are not routed" in caplog.text


def test_a_spoilt_secret_costs_the_watcher_nothing_else(world: World) -> None:
    """At the start and when it changes: the watcher goes on, and serves what changes beside it."""
    sound, spoilt = fill(world)
    reconciler = Reconciler()
    try:
        report = reconciler.reconcile(RESYNC)
        assert report
        assert {one.ref.name for one in report.snapshot.rejections} == routed(spoilt)
        assert report.snapshot.unchecked == len(spoilt) - len(routed(spoilt))
        renewed = world.renew(sound[0])
        for name in ("web-bad-0-tls", "web-a-tls"):
            again = reconciler.reconcile(name)
            assert again
            assert again.snapshot.failure is None
    finally:
        reconciler.close()
    assert world.is_everywhere(renewed)
    assert world.is_everywhere(sound[1])


@contextmanager
def nested(admin: Admin, namespace: str, name: str) -> Iterator[None]:
    """Meanwhile a Secret has managedFields that are nested deeper than Python's parser goes.

    A server takes them from anyone. The Secret is deleted at last, or other tests could read no list.
    """
    nest(admin, namespace, name)
    try:
        yield
    finally:
        admin.delete(f"/api/v1/namespaces/{namespace}/secrets/{name}")


def nest(admin: Admin, namespace: str, name: str) -> None:
    secret = admin.secret(namespace, name)
    assert secret
    fields = b'{"f:a":' * DEEP + b"{}" + b"}" * DEEP
    entry = {"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    secret["metadata"]["managedFields"] = [
        *secret["metadata"]["managedFields"],
        {**entry, "time": "2026-01-01T00:00:00Z", "fieldsV1": "HERE"},
    ]
    body = json.dumps(secret).encode().replace(b'"HERE"', fields)
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    connection = http.client.HTTPSConnection(*admin.address, context=admin._tls, timeout=30)
    connection.request("PUT", path, body, {**admin._headers, "Content-Type": "application/json"})
    assert connection.getresponse().status == http.client.OK
    connection.close()


def test_metadata_nested_without_measure_costs_itself(world: World) -> None:
    """On OPS and on a target: the lists are read all the same, and every certificate is served."""
    old = world.issue("web-a-tls", "web-b-tls")
    world.add_neighbours()
    assert world.sync().ok
    target = world.admin()
    with (
        nested(world.ops, SOURCE_NAMESPACE, "web-a-tls"),
        nested(target, "app-a", "neighbour"),
        nested(target, "app-a", "web-a-tls"),
    ):
        renewed = world.renew(old[1])
        report = world.sync()
    assert report.ok, report.failures
    copy = world.copy("web-b-tls")
    assert copy
    assert copy["data"] == renewed["data"]


def spoil_row(request: Request, forward: Forward) -> Answer:
    """The row of web-a-tls in a target's table is malformed."""
    answer = forward()
    if "/namespaces/app-a/secrets" not in request.path or b'"Table"' not in answer.body:
        return answer
    table = json.loads(answer.body)
    for row in table["rows"]:
        if row["object"]["metadata"]["name"] == "web-a-tls":
            row["object"]["metadata"]["managedFields"] = "nonsense"
    return replace(answer, body=json.dumps(table).encode())


def test_a_row_that_can_not_be_read_costs_itself(world: World) -> None:
    """Its Secret is named and not written to; all others of the namespace are served."""
    old = world.issue("web-a-tls", "web-b-tls")
    assert world.sync().ok
    renewed = [world.renew(one) for one in old]

    with world.proxy() as proxy:
        proxy.fault = spoil_row
        report = world.sync()
    (refused,) = [row for row in report.changes if row.action is Action.REFUSE]
    assert (refused.target.name, refused.reason) == ("web-a-tls", Reason.UNREADABLE)
    copies = [world.copy(name) for name in ("web-a-tls", "web-b-tls")]
    assert [copy and copy["data"] for copy in copies] == [old[0]["data"], renewed[1]["data"]]
    assert world.sync().ok


def test_the_inventory_tells_everything_else(world: World) -> None:
    """Beside spoilt Secrets and a row that can't be read, each other copy has its status."""
    _, spoilt = fill(world)
    world.run()
    with world.proxy() as proxy:
        proxy.fault = spoil_row
        found = collect_inventory(load_config())
    told = {(one.cluster, one.certificate): one for one in found.copies}
    assert {one.ref.name for one in found.snapshot.rejections} == routed(spoilt)
    assert found.snapshot.unrouted_rejections == len(spoilt) - len(routed(spoilt))
    in_sync = {place for place, one in told.items() if one.status is Status.IN_SYNC}
    sound = {(cluster, name) for cluster in TARGETS for name in ("web-a-tls", "web-b-tls")}
    assert in_sync == sound - {("dev", "web-a-tls")}
    assert told["dev", "web-a-tls"].reason == Reason.UNREADABLE


def odd_certificate(world: World) -> None:
    """A Certificate whose fields are of other types than cert-manager writes."""
    sound = world.issuer.secret("web-odd-tls", ["web-odd.example.org"])
    manifest = certificate_resource.certificate(sound)
    spec = {"secretName": ["web-odd-tls"], "dnsNames": 7, "issuerRef": "none"}
    certificate_resource.put(world.ops, manifest | {"spec": spec, "status": {"conditions": "nonsense"}})


def test_a_certificate_that_can_not_be_parsed_costs_the_preflight_nothing(cert_manager: World) -> None:
    """The preflight reports that OPS and each cluster are ready."""
    cert_manager.issue("web-a-tls")
    odd_certificate(cert_manager)
    found = preflight(load_config())
    assert [trouble for one in (found.ops, *found.clusters) for trouble in one.problems] == []


def test_what_can_not_be_parsed_costs_the_watcher_nothing_else(cert_manager: World) -> None:
    """Metadata nested without measure and a Certificate of other types: each renewal beside them arrives."""
    old = cert_manager.issue("web-a-tls", "web-b-tls")
    odd_certificate(cert_manager)
    reconciler = Reconciler()
    try:
        with nested(cert_manager.ops, SOURCE_NAMESPACE, "web-a-tls"):
            assert reconciler.reconcile(RESYNC)
            renewed = cert_manager.renew(old[1])
            for name in ("web-a-tls", "web-b-tls"):
                report = reconciler.reconcile(name)
                assert report
                assert report.snapshot.failure is None
            assert cert_manager.is_everywhere(renewed)
    finally:
        reconciler.close()
