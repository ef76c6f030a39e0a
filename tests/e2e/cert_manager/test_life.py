"""From the first issuance to the deletion: each copy is OPS's, byte for byte, or what it was before.

Each test runs twice: copied by runs, and by the watcher. After each, a recorder of all versions judges (see
recorder.py): no copy was ever temporary, half, older than before, or anything that OPS did not have.
"""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from deployments.sandbox.cert_manager import resources
from deployments.sandbox.cert_manager.acme import REFUSED
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.domain.models import Issuance
from tasks.domain.reasons import Reason
from tests.e2e.cert_manager.life import CA, ROOT, Life, copied, is_temporary
from tests.e2e.cert_manager.recorder import leaf_of
from tests.support.clusters import Manifest
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NAME = "web-tls"
RSA = {"algorithm": "RSA", "size": 2048}
EC = {"algorithm": "ECDSA", "size": 256}
TEMPORARY = {"cert-manager.io/issue-temporary-certificate": "true"}
ABSENT = "absent"
"""An issuer that does not exist."""
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}/roles/tls-sync"


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


@pytest.mark.parametrize("kind", ["Issuer", "ClusterIssuer"])
@pytest.mark.parametrize("annotations", [{}, TEMPORARY], ids=["nothing meanwhile", "temporary meanwhile"])
def test_failed_issuance(life: Life, kind: str, annotations: dict[str, str]) -> None:
    """What the ACME server refuses is copied nowhere, and neither is the temporary certificate."""
    reference = {"kind": kind, "name": resources.ACME_ISSUER}
    life.order(NAME, REFUSED, issuer=reference, annotations=annotations)
    until("the failure", lambda: has_failed(life))
    life.settle()
    secret = life.world.ops.secret(SOURCE_NAMESPACE, NAME)
    assert (secret is not None and is_temporary(secret)) == bool(annotations)
    assert life.copies() == set()
    found = life.world.snapshot().entries[NAME]
    assert isinstance(found, Issuance)
    assert found.reason(datetime.now(UTC)) is Reason.ISSUANCE_LATE


def has_failed(life: Life) -> bool:
    status = life.world.ops.get(resources.path_of(NAME)).get("status", {})
    return int(status.get("failedIssuanceAttempts", 0)) > 0


def test_failed_renewal(life: Life) -> None:
    """A renewal that the ACME server refuses leaves the copies as they are."""
    first = life.issue(NAME)
    life.await_copies(first)
    life.order(NAME, f"{NAME}.example.org", REFUSED)
    until("the failure", lambda: has_failed(life))
    life.settle()
    assert life.is_copied(first)


@pytest.mark.parametrize("kind", ["Issuer", "ClusterIssuer"])
def test_temporary_then_issued(life: Life, kind: str) -> None:
    """The temporary certificate goes nowhere; the real one, once its issuer exists, arrives."""
    name = f"late-{kind.lower()}"
    life.order(NAME, issuer={"kind": kind, "name": name}, annotations=TEMPORARY)
    until("the temporary certificate", lambda: life.world.ops.secret(SOURCE_NAMESPACE, NAME))
    life.settle()
    assert life.copies() == set()
    life.world.ops.ensure(resources.issuer(name, kind, ca={"secretName": ROOT}))
    life.await_copies(life.issued(NAME))


def test_sixty_temporary_certificates(life: Life) -> None:
    """None of them goes anywhere, in a burst either; all arrive once they are issued."""
    several = [f"web-{number:02}-tls" for number in range(60)]
    for name in several:
        life.order(name, issuer={"kind": "ClusterIssuer", "name": ABSENT}, annotations=TEMPORARY)
    until("the temporary certificates", lambda: len(secrets_of(life, several)) == len(several))
    assert all(map(is_temporary, secrets_of(life, several)))
    life.settle()
    assert life.copies() == set()
    for name in several:
        life.order(name, issuer=CA, annotations=TEMPORARY)
    life.await_copies(*(life.issued(name) for name in several))


def secrets_of(life: Life, names: list[str]) -> list[Manifest]:
    found = (life.world.ops.secret(SOURCE_NAMESPACE, name) for name in names)
    return [secret for secret in found if secret is not None]


def test_keystores_and_combined_formats(life: Life) -> None:
    """They stay on OPS: a copy has the certificate, the key and the CA."""
    password = {"name": "keystore-password", "key": "password"}
    life.world.ops.create(
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
    life.await_copies(secret)
    copy = life.world.copy(NAME)
    assert copy is not None
    assert set(copy["data"]) == {"tls.crt", "tls.key", "ca.crt"}


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


def test_restart_in_a_renewal(life: Life) -> None:
    """cert-manager is killed during a renewal and finishes it after its restart."""
    first = life.issue(NAME)
    life.await_copies(first)
    with life.issuing.acme.hanging():  # else the renewal might be over before cert-manager is killed
        begin_renewal(life)
        life.issuing.cert_manager.stop(grace=0)
    life.settle()
    assert life.is_copied(first)
    life.issuing.cert_manager.start()
    life.await_copies(life.issued(NAME, after=first))


def begin_renewal(life: Life) -> None:
    resources.renew(life.world.ops, NAME)
    until("the next key", lambda: any(map(is_next_key, life.world.ops.secrets(SOURCE_NAMESPACE))))


def is_next_key(secret: Manifest) -> bool:
    return "cert-manager.io/next-private-key" in secret["metadata"].get("labels", {})


def test_acme_server_does_not_answer(life: Life) -> None:
    """Copies stay as they are while the ACME server hangs, and get the renewal after it."""
    first = life.issue(NAME)
    life.await_copies(first)
    with life.issuing.acme.hanging():
        begin_renewal(life)
        life.settle()
        assert life.is_copied(first)
    life.await_copies(life.issued(NAME, after=first))


def test_without_the_right_to_read_certificates(life: Life) -> None:
    """A temporary certificate is known by itself, and what is issued arrives."""
    secret = life.issue(NAME)
    life.await_copies(secret)
    role = life.world.ops.get(ROLE)
    rules = [rule for rule in role["rules"] if "certificates" not in rule["resources"]]
    assert rules != role["rules"]
    life.world.ops.patch(ROLE, {"rules": rules})
    try:
        absent = {"kind": "Issuer", "name": ABSENT}
        life.order("web-second-tls", issuer=absent, annotations=TEMPORARY)
        until("the temporary one", lambda: life.world.ops.secret(SOURCE_NAMESPACE, "web-second-tls"))
        life.settle()
        assert life.copies() == {NAME}
        life.await_copies(life.renew(secret))
    finally:
        life.world.ops.patch(ROLE, {"rules": role["rules"]})
