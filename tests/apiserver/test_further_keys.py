"""Combined formats and keystores on real servers: only where a route names them, and the right ones."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.apiserver.test_renewal import TIMINGS, all_requests, issue, written
from tests.support.clusters import Manifest, World
from tests.support.formats import with_formats
from tests.support.policies import policies

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

PATH = "/api/v1/namespaces/app-a/secrets/web-tls"
DER_PEM = ("key.der", "tls-combined.pem")
IN_SYNC, KEYS_CHANGED = (Action.KEEP, Reason.IN_SYNC), (Action.UPDATE, Reason.KEYS_CHANGED)
OTHER = base64.b64encode(b"edited by hand").decode()


def send(world: World, *keys: str) -> None:
    """Let the routes of all clusters send these keys."""
    route: dict[str, Any] = {"certificates": ["web-*"], "namespaces": ["app-a"]}
    world.configure([{**route, "keys": list(keys), "unverified": "keystore.p12" in keys}])


@pytest.fixture
def sending(world: World) -> Iterator[World]:
    """The targets' policies allow all keys of this test."""
    send(world, *DER_PEM, "keystore.p12")
    with policies(world):
        yield world


def formatted(world: World, secret: Manifest) -> Manifest:
    """What cert-manager writes on OPS with additionalOutputFormats and a keystore."""
    return world.put({**secret, "data": with_formats(secret["data"])})


def outcome(world: World) -> tuple[Action, Reason]:
    """Run, by what is listed alone where it can; return what became of the copy."""
    row = world.row("web-tls", snapshot=world.listed())
    assert row.applied is row.writes
    return row.action, row.reason


def data(world: World) -> dict[str, str]:
    copy = world.copy("web-tls")
    assert copy is not None
    found: dict[str, str] = copy["data"]
    return found


def wanted(secret: Manifest, *keys: str) -> dict[str, str]:
    return with_formats({key: secret["data"][key] for key in ("tls.crt", "tls.key")}, keys)


def test_a_copy_has_the_keys_that_its_route_names_now(sending: World) -> None:
    """With its creation, after each change of the route, and no longer than the route names them."""
    (secret,) = sending.issue("web-tls")
    formatted(sending, secret)
    send(sending, *DER_PEM)
    assert outcome(sending) == (Action.CREATE, Reason.MISSING_ON_TARGET)
    assert data(sending) == wanted(secret, *DER_PEM)
    for keys in ((), ("key.der",), ("keystore.p12", "tls-combined.pem")):
        assert outcome(sending) == outcome(sending) == IN_SYNC
        send(sending, *keys)
        assert outcome(sending) == KEYS_CHANGED
        assert data(sending) == wanted(secret, *keys)
    assert outcome(sending) == IN_SYNC
    renewed = formatted(sending, sending.renew(secret))
    assert outcome(sending) == (Action.UPDATE, Reason.CERTIFICATE_RENEWED)
    assert data(sending) == wanted(renewed, "keystore.p12", "tls-combined.pem")


EDITS: dict[str, dict[str, Any]] = {
    "a value": {"data": {"key.der": OTHER}},
    "no value": {"data": {"tls-combined.pem": None}},
    "another key": {"data": {"keystore.p12": OTHER}},
    "the record": {"metadata": {"annotations": {"tls-sync.io/keys": None}}},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_someone_changes_is_put_back(sending: World, edit: dict[str, Any]) -> None:
    """It is found in the list of metadata, whatever the note says; the next run has nothing to do."""
    (secret,) = sending.issue("web-tls")
    formatted(sending, secret)
    send(sending, *DER_PEM)
    for _ in range(2):
        outcome(sending)
    sending.admin().patch(PATH, edit)
    assert outcome(sending) == (Action.UPDATE, Reason.DRIFTED)
    assert data(sending) == wanted(secret, *DER_PEM)
    assert outcome(sending) == IN_SYNC


def test_a_format_that_does_not_fit_costs_its_route_alone(sending: World) -> None:
    """The copy stays what it was, the report names the key; a route without it gets the certificate."""
    (secret,) = sending.issue("web-tls")
    formatted(sending, secret)
    send(sending, *DER_PEM)
    outcome(sending)
    before, renewed = data(sending), sending.renew(secret)
    sending.put({**renewed, "data": with_formats(renewed["data"]) | {"key.der": before["key.der"]}})
    row = sending.row("web-tls", snapshot=sending.listed())
    assert (row.action, row.reason, row.detail) == (Action.REFUSE, Reason.FORMAT_MISMATCH, "key.der")
    assert data(sending) == before
    send(sending, "tls-combined.pem")
    assert outcome(sending) == (Action.UPDATE, Reason.CERTIFICATE_RENEWED)
    assert data(sending) == wanted(renewed, "tls-combined.pem")


def test_a_key_that_ops_does_not_have_is_named(sending: World) -> None:
    """Nothing is written, and the run is Failed, until cert-manager writes it or the route drops it."""
    (secret,) = sending.issue("web-tls")
    send(sending, *DER_PEM)
    report = sending.sync(snapshot=sending.listed())
    assert not report.ok
    (row,) = report.changes
    assert (row.action, row.reason, row.detail) == (
        Action.REFUSE,
        Reason.MISSING_KEY,
        "key.der, tls-combined.pem",
    )
    assert sending.copy("web-tls") is None
    formatted(sending, secret)
    assert outcome(sending) == (Action.CREATE, Reason.MISSING_ON_TARGET)


def test_keystores_are_told_in_each_report(sending: World) -> None:
    """Nobody can verify them."""
    (secret,) = sending.issue("web-tls")
    formatted(sending, secret)
    told = "copied without verification, as the routes say (unverified: true): keystore.p12 of web-*"
    for _ in range(2):
        assert told in sending.sync().warnings
    send(sending, *DER_PEM)
    assert told not in sending.sync().warnings


def test_without_the_policy_for_its_keys_nothing_is_written(world: World) -> None:
    """A target's owner allows each key, by applying what `tls-sync rights manifests` prints."""
    (secret,) = world.issue("web-tls")
    formatted(world, secret)
    send(world, *DER_PEM)
    report = world.sync(snapshot=world.listed())
    assert [str(one.code) for one in report.failures] == ["Forbidden"]
    assert world.copy("web-tls") is None


@pytest.fixture
def with_certificates(cert_manager: World) -> Iterator[World]:
    send(cert_manager, "key.der", "keystore.p12")
    with policies(cert_manager):
        yield cert_manager


def test_the_watcher_copies_them_at_once(with_certificates: World) -> None:
    """Two round trips for a renewal, and for a keystore that is made anew."""
    world = with_certificates
    (secret,) = issue(world, "web-tls")
    formatted(world, secret)
    reconciler = Reconciler(TIMINGS)
    try:
        with all_requests(world) as requests:
            assert reconciler.reconcile(RESYNC)
            for number in range(2):
                secret = formatted(world, world.renew(secret))
                requests.expect(*((2, 3) if number else ()))
                assert written(reconciler.reconcile("web-tls")) == dict.fromkeys(world.targets, Action.UPDATE)
                assert data(world) == wanted(secret, "key.der", "keystore.p12")
            world.put({**secret, "data": secret["data"] | {"keystore.p12": OTHER}})
            requests.expect(2, 3)
            assert written(reconciler.reconcile("web-tls")) == dict.fromkeys(world.targets, Action.UPDATE)
    finally:
        reconciler.close()
    assert data(world)["keystore.p12"] == OTHER
