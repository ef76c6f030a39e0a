"""What OPS holds, from the answers of its API: facts, rejections, and what could not be known."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.sandbox import pki, unfit
from deployments.sandbox.cert_manager import Issuer, leaf_of
from tasks.chain import ALONE
from tasks.cluster import ClusterClient
from tasks.config import Source
from tasks.errors import ClusterError
from tasks.inventory import take_inventory
from tasks.models import Failure, Inventory
from tasks.reasons import Code, Reason
from tests.factories import NOW, SOURCE_NAMESPACE, rejection

ISSUER = Issuer(now=NOW)
NAMES = ["homarr.dev.example.org"]
SOURCE = Source.model_validate({"namespace": SOURCE_NAMESPACE, "selector": {"team": "web"}})
OPS_ID = "6f1f0c6f-0000-4000-8000-000000000001"
EMPTY = "OPS holds no certificate; nothing is sent"

Object = dict[str, Any]


class Ops(ClusterClient):
    """OPS's API, reduced to its identity and the two lists that are read from it."""

    credential_ends = None

    def __init__(self, *secrets: Object, certificates: list[Object] | Failure | None = None) -> None:
        self._secrets, self._certificates = secrets, certificates or []

    def require_identity(self) -> str:
        return "somebody"

    def cluster_id(self) -> str:
        return OPS_ID

    def tls_secrets(self, namespace: str, selector: dict[str, str]) -> Iterator[list[Object]]:
        """One Secret per page, to whoever asks for the right ones."""
        if (namespace, selector) == (SOURCE.namespace, SOURCE.selector):
            yield from ([secret] for secret in self._secrets)

    def certificates(self, namespace: str) -> Iterator[list[Object]]:
        if isinstance(self._certificates, Failure):
            raise ClusterError(self._certificates)
        if namespace == SOURCE.namespace:
            yield from ([certificate] for certificate in self._certificates)


def fit(name: str) -> Object:
    return ISSUER.secret(name, NAMES)


def waiting(secret: str, reason: object = "Issuing", status: str = "False", kind: str = "Ready") -> Object:
    """A Certificate with one condition."""
    conditions = [{"type": "Issuing", "status": "False"}, {"type": kind, "status": status, "reason": reason}]
    return {"spec": {"secretName": secret}, "status": {"conditions": conditions}}


def take(
    *secrets: Object, certificates: list[Object] | Failure | None = None, source: Source = SOURCE
) -> Inventory:
    return take_inventory(Ops(*secrets, certificates=certificates), source, NOW)


def test_a_list_of_ops_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit all are examined; one beyond, OPS counts as unread, and no later page is asked for."""
    monkeypatch.setattr("tasks.inventory.MOST_CERTIFICATES", 2)
    monkeypatch.setattr("tasks.limits.MOST_CERTIFICATES", 2)
    secrets = [fit(f"web-{number}-tls") for number in range(5)]
    assert len(take(*secrets[:2]).certificates) == 2
    ops = Ops(*secrets)
    pages = ops.tls_secrets(SOURCE.namespace, SOURCE.selector)
    monkeypatch.setattr(ops, "tls_secrets", lambda *_: pages)
    with pytest.raises(ClusterError) as error:
        take_inventory(ops, SOURCE, NOW)
    failure = error.value.failure
    assert (failure.code, failure.transient) == (Code.TOO_MANY, False)
    assert (failure.what, failure.detail) == ("list secrets in certificates-ops", "more than 2 TLS Secrets")
    assert len(list(pages)) == 2


def names(found: Inventory) -> tuple[list[str], list[tuple[str, Reason]]]:
    return (
        [one.ref.name for one in found.certificates],
        [(one.ref.name, one.reason) for one in found.rejections],
    )


def test_inventory_tells_what_is_odd_about_a_fit_certificate() -> None:
    """A leaf alone is fit, and its certificate carries the warning that reports show."""
    alone = fit("a")
    alone["data"]["tls.crt"] = base64.b64encode(pki.pem(leaf_of(alone))).decode()
    found = take(alone, fit("b"))
    assert names(found) == (["a", "b"], [])
    assert found.all_warnings == (f"a: {ALONE}",)


def test_inventory_sorts_what_is_fit_and_what_is_not() -> None:
    """All pages count, each Secret once, sorted by name; what is unfit says why."""
    found = take(
        fit("b"), unfit.expired(ISSUER, "d", NAMES), fit("a"), unfit.mismatched_key(ISSUER, "c", NAMES)
    )
    assert names(found) == (["a", "b"], [("c", Reason.KEY_MISMATCH), ("d", Reason.EXPIRED)])
    assert (found.warnings, found.failure) == ((), None)


def test_inventory_is_the_same_whatever_the_order_of_the_list() -> None:
    """The same Secrets in another order are the same inventory, with the same digest."""
    secrets = [fit("a"), unfit.expired(ISSUER, "b", NAMES), fit("c")]
    one, other = take(*secrets), take(*reversed(secrets))
    assert (one, one.digest) == (other, other.digest)


def test_inventory_holds_no_key() -> None:
    """Of the keys that the list brought along nothing is left, whether fit or not."""
    secrets = [fit("a"), unfit.weak_key(ISSUER, "b", NAMES), unfit.mismatched_key(ISSUER, "c", NAMES)]
    told = take(*secrets).model_dump_json()
    assert not any(secret["data"]["tls.key"][100:140] in told for secret in secrets)


def test_inventory_of_nothing_says_so() -> None:
    """An empty OPS is no failure, but nobody overlooks it."""
    assert take() == Inventory(warnings=(EMPTY,), cluster_id=OPS_ID)


@pytest.mark.parametrize("name", ["..", "", "a/../b", "Upper", "a\nb", None, 5])
def test_inventory_leaves_out_what_has_no_name(name: object) -> None:
    """A Secret whose name is none is not even mentioned: no such object can exist."""
    hostile = fit("x")
    hostile["metadata"]["name"] = name
    assert names(take(hostile, fit("a"))) == (["a"], [])


def test_inventory_goes_by_the_sources_policy() -> None:
    """The policy reaches the checks, and the namespace is the source's, whatever a Secret says."""
    lenient = SOURCE.model_copy(update={"allow_self_signed": True})
    ca = unfit.authority(ISSUER, "ca")
    stranger = fit("a")
    stranger["metadata"]["namespace"] = "kube-system"
    found = take(ca, stranger, source=lenient)
    assert found.rejections == (rejection("ca", Reason.IS_CA, ""),)
    assert [str(one.ref) for one in found.certificates] == ["certificates-ops/a"]


WRONG = ["InvalidKeyPair", "IncorrectCertificate", "IncorrectIssuer", "SecretMismatch", "MissingData"]


@pytest.mark.parametrize("reason", WRONG)
def test_inventory_believes_cert_manager_that_a_secret_is_wrong(reason: str) -> None:
    """Where cert-manager says that the Secret does not fit its Certificate, the Secret stays at home."""
    found = take(fit("a"), fit("b"), certificates=[waiting("a", reason)])
    assert found.rejections == (rejection("a", Reason.NOT_READY, reason),)
    assert (names(found)[0], found.warnings) == (["b"], ())


def test_inventory_warns_when_a_renewal_fails() -> None:
    """A Certificate that is not ready for another reason is a warning: its old Secret may be good still."""
    found = take(fit("a"), fit("b"), certificates=[waiting("b", "Issuing"), waiting("a", "Failed")])
    assert names(found) == (["a", "b"], [])
    assert found.warnings == (
        "a: cert-manager says that it is not ready (Failed)",
        "b: cert-manager says that it is not ready (Issuing)",
    )


def test_inventory_keeps_its_own_reason_for_what_is_unfit_anyway() -> None:
    """A Secret that a check refuses is told once, by the check's reason."""
    found = take(unfit.expired(ISSUER, "a", NAMES), fit("b"), certificates=[waiting("a", "InvalidKeyPair")])
    assert names(found) == (["b"], [("a", Reason.EXPIRED)])
    assert found.warnings == ()


def test_inventory_warns_of_a_certificate_without_secret() -> None:
    """A Certificate that never got its Secret is mentioned, though there is nothing to send."""
    warning = "x: cert-manager says that it is not ready (DoesNotExist)"
    assert take(fit("a"), certificates=[waiting("x", "DoesNotExist")]).warnings == (warning,)
    assert take(certificates=[waiting("x", "DoesNotExist")]).warnings == (EMPTY, warning)


@pytest.mark.parametrize("reason", ["a sentence with blanks", "", "x" * 65, "a\nb", None, ["x"]])
def test_inventory_does_not_repeat_a_reason_that_is_none(reason: object) -> None:
    """A reason that is not one CamelCase word could be anything, and is not repeated."""
    (warning,) = take(fit("a"), certificates=[waiting("a", reason)]).warnings
    expected = "None" if reason is None else "unknown reason"
    assert warning == f"a: cert-manager says that it is not ready ({expected})"


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param(waiting("a", "InvalidKeyPair", status="True"), id="it is ready"),
        pytest.param(waiting("a", "InvalidKeyPair", status="Unknown"), id="nobody knows"),
        pytest.param(waiting("a", "InvalidKeyPair", kind="Issuing"), id="another condition is false"),
        pytest.param({}, id="it is empty"),
        pytest.param({"spec": {"secretName": "a"}, "status": None}, id="it has no status yet"),
        pytest.param({"spec": None, "status": waiting("a")["status"]}, id="it names no Secret"),
    ],
)
def test_inventory_has_nothing_to_say_when(certificate: Object) -> None:
    """Only a condition Ready that is False, of a Certificate with a Secret, says anything."""
    assert take(fit("a"), certificates=[certificate]).warnings == ()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (Code.API_MISSING, "unknown here"),
        (Code.FORBIDDEN, "not for us to read (no right)"),
        (Code.SERVER_ERROR, "unreadable (ServerError)"),
    ],
)
def test_inventory_goes_on_without_cert_managers_word(code: Code, why: str) -> None:
    """Where Certificates can't be read the Secrets alone decide, and that is said."""
    found = take(fit("a"), certificates=Failure(code=code, cluster="ops", what="list"))
    assert names(found) == (["a"], [])
    assert found.warnings == (f"cert-manager's Certificates are {why}; the Secrets alone decide",)


@pytest.mark.parametrize("code", [Code.UNREACHABLE, Code.TIMEOUT, Code.DEADLINE], ids=str)
def test_inventory_is_not_taken_when_ops_fails(code: Code) -> None:
    """Where OPS does not answer, nothing is known."""
    failure = Failure(code=code, cluster="ops", what="list")
    with pytest.raises(ClusterError) as error:
        take(fit("a"), certificates=failure)
    assert error.value.failure == failure
