"""The Secrets and Certificates that the sandbox makes have the form that cert-manager writes."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cryptography.x509.oid import NameOID

from deployments.sandbox.cert_manager import resources
from deployments.sandbox.cert_manager.source import Source
from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.world import certificate_resource, unfit
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.world.scenario import CERTIFICATES, TEMPORARY, Wanted
from tests.e2e.cert_manager.life import emptied
from tests.e2e.cert_manager.recorder import Event, leaf_of, recorder
from tests.support.clusters import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

COMMON_NAME = "cert-manager.io/common-name"

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")


@pytest.fixture(scope="module")
def ops(sandbox: Sandbox, issuing: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """OPS with the example's certificates, issued by cert-manager."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        directory = tmp_path_factory.mktemp("world")
        world = emptied(lambda: World(sandbox, directory, monkeypatch), issuing)
        issuing.fill(world.ops)
        issuing.await_filled(world.ops)
        yield world.ops


def form(secret: Manifest) -> dict[str, Any]:
    """Return all that does not differ between two issuances of one Certificate.

    Whether a certificate has a common name is the CA's decision (Let's Encrypt's profile classic gives it
    one, pebble does not); cert-manager annotates what it finds there.
    """
    data = {key: base64.b64decode(value) for key, value in secret["data"].items()}
    annotations = dict(secret["metadata"].get("annotations", {}))
    if COMMON_NAME in annotations:
        found = leaf_of(secret["data"]).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert annotations.pop(COMMON_NAME) == "".join(str(one.value) for one in found)
    return {
        "type": secret["type"],
        "keys": sorted(data),
        "blocks": {key: _BLOCK.findall(value) for key, value in data.items()},
        "labels": secret["metadata"].get("labels"),
        "annotations": annotations,
    }


@pytest.mark.parametrize("wanted", CERTIFICATES, ids=lambda one: one.name)
def test_a_made_secret_has_the_form(ops: Admin, wanted: Wanted) -> None:
    """Type, keys, PEM blocks, labels and annotations are those of the Secret that cert-manager wrote."""
    written = ops.secret(SOURCE_NAMESPACE, wanted.name)
    assert written is not None
    made = Issuer().secret(wanted.name, wanted.dns_names, key=wanted.key, key_format=wanted.key_format)
    assert form(made) == form(written)


def test_a_made_temporary_certificate_has_the_form(ops: Admin) -> None:
    """So does the Secret with a certificate that cert-manager signed itself."""
    written = ops.secret(SOURCE_NAMESPACE, TEMPORARY.name)
    assert written is not None
    assert form(unfit.temporary(Issuer(), TEMPORARY.name, TEMPORARY.dns_names)) == form(written)


def fields(value: Any) -> Any:
    """Return the names of all fields, nested."""
    if isinstance(value, Mapping):
        return {name: fields(nested) for name, nested in value.items()}
    if isinstance(value, list):
        return [fields(one) for one in value]
    return None


def test_a_made_certificate_has_the_fields(ops: Admin) -> None:
    """Spec and status of a made Certificate have fields that cert-manager's have, and its condition."""
    wanted = CERTIFICATES[0]
    written = ops.get(resources.path_of(wanted.name))
    made = certificate_resource.certificate(Issuer().secret(wanted.name, wanted.dns_names))
    assert fields(made["status"]) == fields(written["status"])
    assert set(made["spec"]) <= set(written["spec"])
    (condition,), (real,) = made["status"]["conditions"], written["status"]["conditions"]
    same = ("type", "status", "reason", "message", "observedGeneration")
    assert {key: condition[key] for key in same} == {key: real[key] for key in same}


def test_a_renewal_has_the_order_of_writes(ops: Admin, issuing: Source) -> None:
    """cert-manager writes the next key, then the Secret once and whole, and then says so."""
    name = CERTIFICATES[1].name
    before = ops.secret(SOURCE_NAMESPACE, name)
    with recorder(ops, {}, "") as seen:
        seen.objections()  # all of now is recorded
        resources.renew(ops, name)
        issuing.await_for("the renewal", lambda: _is_renewed(ops, name, before))
        seen.objections()
    new = [e for e in seen.of("ops") if e.type != "DELETED" and int(version(e)) > int(version_of(before))]
    staged = [e for e in new if "cert-manager.io/next-private-key" in e.object["metadata"].get("labels", {})]
    written = [e for e in new if e.name == name]
    said = [e for e in seen.of("ops", "Certificate", name) if e.object.get("status", {}).get("revision") == 2]
    assert len(written) == 1
    assert int(version(staged[0])) < int(version(written[0])) < int(version(said[0]))
    made = unfit.staged_key(Issuer(), name)
    assert form(made)["labels"] == form(dict(staged[0].object))["labels"]
    assert form(made)["blocks"] == form(dict(staged[0].object))["blocks"]


def _is_renewed(ops: Admin, name: str, before: Manifest | None) -> bool:
    secret = ops.secret(SOURCE_NAMESPACE, name)
    changed = secret is not None and before is not None and secret["data"] != before["data"]
    return changed and resources.is_ready(ops.get(resources.path_of(name)))


def version(event: Event) -> str:
    return str(event.object["metadata"]["resourceVersion"])


def version_of(secret: Manifest | None) -> str:
    assert secret is not None
    return str(secret["metadata"]["resourceVersion"])
