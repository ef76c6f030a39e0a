"""What cert-manager issues, renews and leaves: each copy is OPS's, byte for byte, or what it was before.

Each test runs twice: copied by runs, and by the watcher. After each, a recorder of all versions judges (see
recorder.py): no copy was ever temporary, half, older than before, or anything that OPS did not have.
"""

import base64
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from deployments.sandbox.cert_manager import resources
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.domain.annotations import REQUEST
from tests.e2e.cert_manager.life import ABSENT, CA, NAME, Life, copied
from tests.e2e.cert_manager.recorder import leaf_of
from tests.support.clusters import Manifest
from tests.support.policies import policies
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RSA = {"algorithm": "RSA", "size": 2048}
EC = {"algorithm": "ECDSA", "size": 256}


def test_first_issuance(life: Life) -> None:
    """Before the ACME server has issued it, nothing is written; then it arrives everywhere."""
    life.order(NAME, issuer={"kind": "ClusterIssuer", "name": ABSENT})
    life.settle()
    assert life.copies() == set()
    secret = life.issue(NAME)
    assert leaf_of(secret["data"]).issuer.rfc4514_string().startswith("CN=Pebble Intermediate CA")
    life.await_copies(secret)


def test_renewal_by_hand(life: Life) -> None:
    """What `cmctl renew` starts arrives, with another key."""
    first = life.issue(NAME)
    life.await_copies(first)
    second = life.renew(first)
    assert second["data"]["tls.key"] != first["data"]["tls.key"]
    life.await_copies(second)


def test_renewal_by_time(life: Life) -> None:
    """A certificate of two minutes that is due after ten seconds is renewed, and each renewal arrives."""
    first = life.issue(NAME, issuer=CA, duration="2m", renewBefore="1m50s")
    life.await_copies(first)
    for _ in range(2):
        second = life.issued(NAME, after=first)
        life.await_newest_copy(NAME)
        first = second


CHANGES: dict[str, dict[str, Any]] = {
    "another name": {"dnsNames": [f"{NAME}.example.org", "second.example.org"]},
    "another algorithm": {"privateKey": RSA},
    "another issuer": {"issuerRef": CA},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_of_spec(life: Life, change: dict[str, Any]) -> None:
    """A Certificate that is changed is issued anew, and what is issued arrives."""
    first = life.issue(NAME, privateKey=EC)
    life.await_copies(first)
    life.order(NAME, **({"privateKey": EC} | change))
    second = life.issued(NAME, after=first)
    leaf = leaf_of(second["data"])
    assert isinstance(
        leaf.public_key(), rsa.RSAPublicKey if change.get("privateKey") == RSA else ec.EllipticCurvePublicKey
    )
    life.await_copies(second)


def test_change_of_encoding(life: Life) -> None:
    """cert-manager issues nothing anew for another encoding; the next renewal has it, and arrives."""
    first = life.issue(NAME, privateKey=EC)
    life.await_copies(first)
    life.order(NAME, privateKey=EC | {"encoding": "PKCS8"})
    second = life.renew(first)
    assert b"BEGIN PRIVATE KEY" in base64.b64decode(second["data"]["tls.key"])
    life.await_copies(second)


@pytest.mark.parametrize("policy", ["Always", "Never"])
def test_rotation_policy(life: Life, policy: str) -> None:
    """With Never the certificate is renewed with the same key, and the copy is renewed, too."""
    first = life.issue(NAME, privateKey=EC | {"rotationPolicy": policy})
    life.await_copies(first)
    second = life.renew(first)
    assert (second["data"]["tls.key"] == first["data"]["tls.key"]) == (policy == "Never")
    life.await_copies(second)


def test_deleted_secret(life: Life) -> None:
    """Copies stay while cert-manager issues anew, and get what it has issued."""
    first = life.issue(NAME)
    life.await_copies(first)
    life.delete_secret(NAME)
    second = life.issued(NAME, after=first)
    life.await_copies(second)


def test_deleted_certificate(life: Life) -> None:
    """The Secret stays without its Certificate, and so do its copies."""
    secret = life.issue(NAME)
    life.await_copies(secret)
    life.delete_certificate(NAME)
    life.settle()
    assert life.is_copied(secret)


def issue_formats(life: Life) -> Manifest:
    """Issue a certificate with all that cert-manager writes on request."""
    password = {"name": "keystore-password", "key": "password"}
    life.world.ops.ensure(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": password["name"], "namespace": SOURCE_NAMESPACE},
            "stringData": {"password": "of the keystores"},
        }
    )
    store = {"create": True, "passwordSecretRef": password}
    secret = life.issue(
        NAME,
        issuer=CA,
        keystores={"pkcs12": store, "jks": store},
        additionalOutputFormats=[{"type": "DER"}, {"type": "CombinedPEM"}],
    )
    assert {"keystore.p12", "keystore.jks", "key.der", "tls-combined.pem"} <= set(secret["data"])
    return secret


def test_keystores_and_combined_formats(life: Life) -> None:
    """They stay on OPS: a copy has the certificate, the key and the CA."""
    secret = issue_formats(life)
    life.await_copies(secret)
    copy = life.world.copy(NAME)
    assert copy is not None
    assert set(copy["data"]) == {"tls.crt", "tls.key", "ca.crt"}


def test_keystores_and_combined_formats_that_a_route_sends(life: Life) -> None:
    """cert-manager's own bytes pass the comparison, and each renewal brings new ones."""
    keys = ["key.der", "tls-combined.pem", "keystore.p12"]
    route = {"certificates": ["web-*"], "namespaces": ["app-a"], "keys": keys, "unverified": True}
    life.world.edit_config(lambda document: [one.update(routes=[route]) for one in document["clusters"]])
    with policies(life.world):
        secret = issue_formats(life)
        for _ in range(2):
            until("all keys", partial(life.has_keys, NAME, keys))
            secret = life.renew(secret)


STRANGE_LABELS = {
    "argocd.argoproj.io/instance": "someone",
    "app.kubernetes.io/managed-by": "Helm",
    "tls-sync.io/owner": "stage",
}
STRANGE_ANNOTATIONS = {
    "argocd.argoproj.io/tracking-id": "someone:/Secret:certificates-ops/web-tls",
    "meta.helm.sh/release-name": "someone",
    "reflector.v1.k8s.emberstack.com/reflection-allowed": "true",
    "tls-sync.io/source": "ops/other",
}


def test_secret_template(life: Life) -> None:
    """Labels and annotations of other programs stay on OPS; ours there change nothing on a target."""
    secret = life.issue(NAME, secretTemplate={"labels": STRANGE_LABELS, "annotations": STRANGE_ANNOTATIONS})
    assert secret["metadata"]["labels"].items() >= STRANGE_LABELS.items()
    life.await_copies(secret)
    copy = life.world.copy(NAME)
    assert copy is not None
    told = copy["metadata"]["labels"] | copy["metadata"]["annotations"]
    foreign = (STRANGE_LABELS | STRANGE_ANNOTATIONS).items() & told.items()
    assert not foreign


def test_what_a_certificate_asks_for(life: Life) -> None:
    """cert-manager takes a changed annotation over to the Secret, so the watcher serves it at once."""
    limit = {"clusters": ["*"], "certificates": ["team-*"], "namespaces": ["app-a"]}
    allowed = [{**limit, "hostnames": ["*.example.org"]}]
    life.world.edit_config(lambda document: document.update(selfService=allowed))
    secret = life.issue("team-tls")
    life.settle()
    assert life.copies() == set()
    places = ", ".join(f"{name}/app-a" for name in life.world.targets)
    life.order("team-tls", secretTemplate={"annotations": {REQUEST: places}})
    life.await_copies(secret)
    on_ops, copy = life.world.ops.secret(SOURCE_NAMESPACE, "team-tls"), life.world.copy("team-tls")
    assert on_ops is not None
    assert copy is not None
    assert on_ops["metadata"]["annotations"][REQUEST] == places
    assert REQUEST not in copy["metadata"]["annotations"]
    life.await_copies(life.renew(secret))


def test_authority_of_an_issuer(life: Life) -> None:
    """The root of a CA issuer is a TLS Secret that a glob matches, and goes nowhere; what it signs does."""
    life.world.ops.ensure(resources.issuer("itself", selfSigned={}))
    itself = {"kind": "ClusterIssuer", "name": "itself"}
    root = life.issue("web-root-tls", issuer=itself, isCA=True, commonName="life test root")
    life.world.ops.ensure(resources.issuer("of-root", "Issuer", ca={"secretName": "web-root-tls"}))
    leaf = life.issue(NAME, issuer={"kind": "Issuer", "name": "of-root"})
    life.await_copies(leaf)
    life.settle()
    assert life.copies() == {NAME}
    assert copied(leaf)["ca.crt"] == root["data"]["tls.crt"]
