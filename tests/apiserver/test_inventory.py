"""Reading OPS, on a real API server."""

import pytest

from deployments.sandbox.world import certificate_resource, unfit
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.reasons import Reason
from tests.support.clusters import World

pytestmark = pytest.mark.apiserver

ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/certificates-ops/roles/tls-sync"


def test_everything_on_ops_is_either_fit_or_rejected_with_its_reason(world: World) -> None:
    """Each tls Secret is in the snapshot once; staged keys and other types are left out."""
    issuer, names = world.issuer, ["web.example.org"]
    world.issue("web-tls", key="rsa")
    world.put(unfit.staged_key(issuer, "web-tls"))
    world.put(unfit.opaque(issuer, "smtp"))
    expected = {
        "authority-tls": (unfit.authority(issuer, "authority-tls"), Reason.IS_CA),
        "encrypted-tls": (unfit.encrypted_key(issuer, "encrypted-tls", names), Reason.ENCRYPTED_KEY),
        "expired-tls": (unfit.expired(issuer, "expired-tls", names), Reason.EXPIRED),
        "future-tls": (unfit.not_yet_valid(issuer, "future-tls", names), Reason.NOT_YET_VALID),
        "mismatch-tls": (unfit.mismatched_key(issuer, "mismatch-tls", names), Reason.KEY_MISMATCH),
        "new-tls": (unfit.not_issued(issuer, "new-tls", names), Reason.MISSING_DATA),
        "reversed-tls": (unfit.reversed_chain(issuer, "reversed-tls", names), Reason.IS_CA),
        "temporary-tls": (unfit.temporary(issuer, "temporary-tls", names), Reason.TEMPORARY),
        "weak-tls": (unfit.weak_key(issuer, "weak-tls", names), Reason.WEAK_KEY),
    }
    for secret, _ in expected.values():
        world.put(secret)
    snapshot = world.snapshot()
    assert [c.ref.name for c in snapshot.certificates] == ["web-tls"]
    assert {r.ref.name: r.reason for r in snapshot.rejections} == {
        name: reason for name, (_, reason) in expected.items()
    }


def test_cert_managers_staged_tls_key_is_left_out(world: World) -> None:
    """A Secret labelled as a staged key is left out even if it has the type and content of a certificate."""
    world.issue("web-tls", labels={"cert-manager.io/next-private-key": "true"})
    assert world.snapshot().certificates == ()


def test_a_cluster_without_cert_manager_is_said_once(world: World) -> None:
    """Without cert-manager's resource the Secrets alone decide, and one warning says so."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    assert len(snapshot.certificates) == 1
    assert [w for w in snapshot.warnings if "cert-manager" in w] == list(snapshot.warnings)
    assert len(snapshot.warnings) == 1


def test_certificates_that_may_not_be_read_are_said_once(cert_manager: World) -> None:
    """Without the right to read Certificates the run goes on, and one warning says so."""
    cert_manager.issue("web-tls")
    role = cert_manager.ops.get(ROLE)
    cert_manager.ops.patch(ROLE, {"rules": role["rules"][:1]})
    snapshot = cert_manager.snapshot()
    assert len(snapshot.certificates) == 1
    assert len(snapshot.warnings) == 1
    assert "no right" in snapshot.warnings[0]


@pytest.mark.parametrize(
    "reason", ["InvalidKeyPair", "IncorrectCertificate", "IncorrectIssuer", "SecretMismatch", "MissingData"]
)
def test_cert_manager_may_call_a_secret_wrong(cert_manager: World, reason: str) -> None:
    """A Certificate that is not ready because its Secret is wrong rejects that Secret."""
    (secret,) = cert_manager.issue("web-tls")
    condition = certificate_resource.certificate(secret, ready=False, reason=reason)
    certificate_resource.put(cert_manager.ops, condition)
    (rejection,) = cert_manager.snapshot().rejections
    assert (rejection.reason, rejection.detail) == (Reason.NOT_READY, reason)


def test_any_other_trouble_of_a_certificate_is_a_warning(cert_manager: World) -> None:
    """A Certificate that is being issued anew does not keep its present Secret from being sent."""
    (secret,) = cert_manager.issue("web-tls")
    condition = certificate_resource.certificate(secret, ready=False, reason="Issuing")
    certificate_resource.put(cert_manager.ops, condition)
    snapshot = cert_manager.snapshot()
    assert len(snapshot.certificates) == 1
    assert snapshot.warnings == ("web-tls: cert-manager says that it is not ready (Issuing)",)


def test_ready_certificates_are_no_news(cert_manager: World) -> None:
    """A ready Certificate leaves no trace."""
    (secret,) = cert_manager.issue("web-tls")
    certificate_resource.put(cert_manager.ops, certificate_resource.certificate(secret))
    assert cert_manager.snapshot().warnings == ()


def test_an_empty_source_is_said(world: World) -> None:
    """An OPS without certificates gives an empty snapshot and a warning."""
    snapshot = world.snapshot()
    assert snapshot.certificates == ()
    assert "OPS holds no certificate" in snapshot.warnings[0]


def test_a_selector_narrows_the_list(world: World) -> None:
    """Only Secrets with the configured labels are looked at."""
    world.issue("web-tls", labels={"team": "web"})
    world.issue("api-tls")
    text = world.config_path.read_text()
    world.config_path.write_text(
        text.replace("context: cluster-ops", "context: cluster-ops\n  selector: {team: web}")
    )
    assert [c.ref.name for c in world.snapshot().certificates] == ["web-tls"]


def test_a_source_that_may_not_be_listed_is_an_error_with_its_name(world: World) -> None:
    """Without the right to list Secrets there is no snapshot, and the error names what is missing."""
    world.ops.patch(ROLE, {"rules": []})
    with pytest.raises(ClusterError) as caught:
        world.snapshot()
    failure = caught.value.failure
    assert (failure.code, failure.what) == (FailureCode.FORBIDDEN, "list secrets in certificates-ops")
