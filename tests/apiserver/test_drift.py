"""Edits of a copy by hand, on a real API server: found without reading data, and repaired."""

import base64
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from deployments.sandbox.clusters.admin import Admin
from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tests.support.clusters import Manifest, World

pytestmark = pytest.mark.apiserver

PATH = "/api/v1/namespaces/app-a/secrets/web-tls"
OTHER = base64.b64encode(b"edited by hand").decode()


def replace(admin: Admin, copy: Manifest) -> None:
    edited = deepcopy(copy)
    edited["data"]["tls.crt"] = OTHER
    admin.put(PATH, edited)


def patch(admin: Admin, _: Manifest) -> None:
    admin.patch(PATH, {"data": {"tls.crt": OTHER, "tls.key": OTHER}})


def apply(admin: Admin, copy: Manifest) -> None:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "type": copy["type"]}
    body |= {"metadata": {"name": "web-tls"}, "data": {"tls.crt": OTHER, "tls.key": OTHER}}
    admin.apply(PATH, body, "kubectl", force=True)


def edit_one_key(admin: Admin, _: Manifest) -> None:
    admin.patch(
        PATH, [{"op": "replace", "path": "/data/tls.key", "value": OTHER}], "application/json-patch+json"
    )


def add_a_key(admin: Admin, _: Manifest) -> None:
    admin.patch(PATH, {"data": {"keystore.jks": OTHER}})


def blank_a_value(admin: Admin, _: Manifest) -> None:
    admin.patch(PATH, {"data": {"tls.key": ""}})


def blank_the_certificate(admin: Admin, _: Manifest) -> None:
    admin.patch(PATH, {"data": {"tls.crt": ""}})


def delete(admin: Admin, _: Manifest) -> None:
    admin.delete(PATH)


def drop_ca(admin: Admin, _: Manifest) -> None:
    admin.patch(PATH, {"data": {"ca.crt": None}})


def edit_our_annotation(admin: Admin, _: Manifest) -> None:
    admin.patch(PATH, {"metadata": {"annotations": {"tls-sync.io/not-before": "2099-01-01T00:00:00+00:00"}}})


EDITS: dict[str, Callable[[Admin, Manifest], None]] = {
    "replace with its labels kept": replace,
    "patch": patch,
    "apply": apply,
    "edit one key": edit_one_key,
    "add a key": add_a_key,
    "blank a value": blank_a_value,
    "blank the certificate": blank_the_certificate,
    "delete": delete,
    "drop ca.crt": drop_ca,
    "edit one of our annotations": edit_our_annotation,
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_every_edit_by_hand_is_found_and_repaired(
    world: World, edit: Callable[[Admin, Manifest], None]
) -> None:
    """Whatever was edited, one run puts back OPS's content exactly, and the next one has nothing to do."""
    (secret,) = world.issue("web-tls", ca_crt=True)
    world.sync()
    before = world.copy("web-tls")
    assert before is not None
    edit(world.admin(), before)
    row = world.row("web-tls")
    expected = Reason.MISSING_ON_TARGET if edit is delete else Reason.DRIFTED
    assert (row.reason, row.applied) == (expected, True)
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == secret["data"]
    assert world.row("web-tls").action is Action.KEEP


def test_a_dry_run_finds_the_edit_and_leaves_it(world: World) -> None:
    """A dry run plans the repair and writes nothing."""
    world.issue("web-tls")
    world.sync()
    before = world.copy("web-tls")
    assert before is not None
    patch(world.admin(), before)
    edited = world.versions()
    row = world.row("web-tls", dry_run=True)
    assert (row.action, row.reason, row.applied) == (Action.UPDATE, Reason.DRIFTED, False)
    assert world.versions() == edited


def test_drift_is_found_without_reading_data(world: World) -> None:
    """Only the one copy that was edited is read, and only in the run that repairs it."""
    world.issue("web-tls", "web-2-tls")
    world.sync()
    start = world.log_position("dev")
    world.sync()
    assert not [
        r
        for r in world.requests("dev", start)
        if r["objectRef"]["resource"] == "secrets" and r["verb"] == "get"
    ]
    before = world.copy("web-tls")
    assert before is not None
    patch(world.admin(), before)
    start = world.log_position("dev")
    world.sync()
    reads = [r["objectRef"]["name"] for r in world.requests("dev", start) if r["verb"] == "get"]
    assert reads == ["kube-system", "web-tls"]


def test_a_shared_key_with_our_value_is_not_drift(world: World) -> None:
    """Another manager may own a key beside us as long as the value is ours: nothing is written."""
    (secret,) = world.issue("web-tls")
    world.sync()
    body = {"apiVersion": "v1", "kind": "Secret", "type": secret["type"], "data": secret["data"]}
    world.admin().apply(PATH, body | {"metadata": {"name": "web-tls"}}, "kubectl")
    assert world.row("web-tls").reason is Reason.IN_SYNC
