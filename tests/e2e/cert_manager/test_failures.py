"""What goes wrong on OPS: copies stay as they are, and what cert-manager issues in the end arrives.

As in test_life.py, each test runs twice, and the recorder judges.
"""

from datetime import UTC, datetime

import pytest

from deployments.sandbox.cert_manager import resources
from deployments.sandbox.cert_manager.acme import REFUSED
from deployments.sandbox.cert_manager.rights import ACCOUNT
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.domain.models import Issuance
from tasks.domain.reasons import Reason
from tests.e2e.cert_manager.life import ABSENT, CA, NAME, ROOT, Life, is_temporary
from tests.support.clusters import Manifest
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TEMPORARY = {"cert-manager.io/issue-temporary-certificate": "true"}
RIGHTS = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{ACCOUNT}"
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/certificates.cert-manager.io"
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}/roles/tls-sync"


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


def test_cert_manager_without_a_right(life: Life) -> None:
    """Copies stay while cert-manager may not write Secrets, and the sandbox names what it may not."""
    first = life.issue(NAME)
    life.await_copies(first)
    role = life.world.ops.get(RIGHTS)
    life.world.ops.patch(RIGHTS, {"rules": [read_only(rule) for rule in role["rules"]]})
    try:
        resources.renew(life.world.ops, NAME)
        until("the sentence", lambda: "cert-manager may not create secrets" in explanation(life))
        life.settle()
        assert life.is_copied(first)
    finally:
        life.world.ops.patch(RIGHTS, {"rules": role["rules"]})
    life.await_copies(life.issued(NAME, after=first))


def explanation(life: Life) -> str:
    return life.issuing.cert_manager.explain()


def read_only(rule: Manifest) -> Manifest:
    if "secrets" not in rule["resources"]:
        return rule
    return rule | {"verbs": ["get", "list", "watch"]}


def test_certificates_of_another_version(life: Life) -> None:
    """Copies stay while OPS serves no cert-manager.io/v1, a run says so, and the next renewal arrives."""
    first = life.issue(NAME)
    life.await_copies(first)
    crd = life.world.ops.get(DEFINITION)
    (version,) = crd["spec"]["versions"]
    later = {**version, "name": "v2", "storage": False}
    life.world.ops.patch(DEFINITION, {"spec": {"versions": [{**version, "served": False}, later]}})
    try:
        until("v2 alone", lambda: not is_served(life))
        missing = "OPS does not serve Certificate in cert-manager's version"
        until("the sentence", lambda: missing in explanation(life))
        life.settle()
        assert life.is_copied(first)
        assert any("unknown to OPS" in text for text in life.world.snapshot().warnings)
    finally:
        life.world.ops.patch(DEFINITION, {"spec": {"versions": [version]}})
        until("v1", lambda: is_served(life))
    life.await_copies(life.renew(first))


def is_served(life: Life) -> bool:
    return life.world.ops.found(resources.path_of(NAME)) is not None
