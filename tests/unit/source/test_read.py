"""The snapshot of OPS from the responses of its API: facts, rejections, issuances and warnings."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from deployments.sandbox.clusters import pki
from deployments.sandbox.world import unfit
from deployments.sandbox.world.cert_manager import Issuer, leaf_of
from deployments.sandbox.world.certificate_resource import certificate
from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure, Issuance, ListedSecret, SecretRef, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.kube.client import ClusterClient
from tasks.runtime.shutdown import StopSignal, task_scope
from tasks.source.chain import NO_ISSUER
from tasks.source.checks import CHECKS, Policy
from tasks.source.read import read_listed, read_source
from tasks.source.tls_secret import TLSSecret
from tests.support.factories import NOW, SOURCE_NAMESPACE, rejection

ISSUER = Issuer(now=NOW)
NAMES = ["homarr.dev.example.org"]
OPS_ID = "6f1f0c6f-0000-4000-8000-000000000001"
SOURCE = Source.model_validate(
    {"namespace": SOURCE_NAMESPACE, "selector": {"team": "web"}, "clusterId": OPS_ID}
)
EMPTY = "OPS holds no certificate; nothing is sent"

Object = dict[str, Any]


class Ops(ClusterClient):
    """The API of OPS, reduced to its identity and two lists."""

    credential_expires_at = None

    def __init__(self, *secrets: Object, certificates: list[Object] | Failure | None = None) -> None:
        self._secrets, self._certificates = secrets, certificates or []

    def whoami(self) -> str:
        return "somebody"

    def cluster_id(self) -> str:
        return OPS_ID

    def tls_secrets(self, namespace: str, selector: dict[str, str]) -> Iterator[list[Object]]:
        """Yield one Secret per page for the expected request."""
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
) -> SourceSnapshot:
    return read_source(Ops(*secrets, certificates=certificates), source, NOW)


def test_a_list_of_ops_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit every Secret is checked; above it OPS counts as unread, and no other page is requested."""
    monkeypatch.setattr("tasks.source.read.MAX_CERTIFICATES", 2)
    monkeypatch.setattr("tasks.config.limits.MAX_CERTIFICATES", 2)
    secrets = [fit(f"web-{number}-tls") for number in range(5)]
    assert len(take(*secrets[:2]).certificates) == 2
    ops = Ops(*secrets)
    pages = ops.tls_secrets(SOURCE.namespace, SOURCE.selector)
    monkeypatch.setattr(ops, "tls_secrets", lambda *_: pages)
    with pytest.raises(ClusterError) as error:
        read_source(ops, SOURCE, NOW)
    failure = error.value.failure
    assert (failure.code, failure.transient) == (FailureCode.TOO_MANY, False)
    assert (failure.what, failure.detail) == ("list secrets in certificates-ops", "more than 2 TLS Secrets")
    assert len(list(pages)) == 2


def names(found: SourceSnapshot) -> tuple[list[str], list[tuple[str, Reason]]]:
    return (
        [one.ref.name for one in found.certificates],
        [(one.ref.name, one.reason) for one in found.rejections],
    )


def test_snapshot_tells_what_is_odd_about_a_fit_certificate() -> None:
    """A leaf alone is fit, and its certificate carries the warning that reports show."""
    alone = fit("a")
    alone["data"]["tls.crt"] = base64.b64encode(pki.pem(leaf_of(alone))).decode()
    found = take(alone, fit("b"))
    assert names(found) == (["a", "b"], [])
    assert found.all_warnings == (f"a: {NO_ISSUER}",)


def test_snapshot_sorts_what_is_fit_and_what_is_not() -> None:
    """Secrets of all pages are in the snapshot once, sorted by name; a rejection has its reason."""
    found = take(
        fit("b"), unfit.expired(ISSUER, "d", NAMES), fit("a"), unfit.mismatched_key(ISSUER, "c", NAMES)
    )
    assert names(found) == (["a", "b"], [("c", Reason.KEY_MISMATCH), ("d", Reason.EXPIRED)])
    assert (found.warnings, found.failure) == ((), None)


def test_snapshot_is_the_same_whatever_the_order_of_the_list() -> None:
    """The same Secrets in another order give the same snapshot and digest."""
    secrets = [fit("a"), unfit.expired(ISSUER, "b", NAMES), fit("c")]
    one, other = take(*secrets), take(*reversed(secrets))
    assert (one, one.digest) == (other, other.digest)


def test_snapshot_holds_no_key() -> None:
    """The snapshot contains none of the listed keys, of fit and unfit Secrets."""
    secrets = [fit("a"), unfit.weak_key(ISSUER, "b", NAMES), unfit.mismatched_key(ISSUER, "c", NAMES)]
    told = take(*secrets).model_dump_json()
    assert not any(secret["data"]["tls.key"][100:140] in told for secret in secrets)


def test_snapshot_says_which_keys_stay_on_ops() -> None:
    """Keys that are not copied, such as a keystore, are named in one warning without their values."""
    further = fit("b")
    further["data"] |= {"keystore.jks": "c2VjcmV0", "tls-combined.pem": "c2VjcmV0", "ca.crt": ""}
    found = take(fit("a"), further)
    told = (
        "keys beyond tls.crt, tls.key and ca.crt stay on OPS, but for those that routes name: "
        "b (keystore.jks, tls-combined.pem)"
    )
    assert (found.warnings, names(found)) == ((told,), (["a", "b"], []))
    assert "secret" not in found.model_dump_json()
    assert [one.kept_keys for one in found.certificates] == [(), ("keystore.jks", "tls-combined.pem")]


def test_what_stays_on_ops_is_told_within_bounds() -> None:
    """The warning about keys that stay on OPS has a limit of keys and of Secrets."""
    crowded = [fit(f"web-{number:02}") for number in range(30)]
    for one in crowded:
        one["data"] |= {f"{number:03}{'x' * 240}": "" for number in range(100)}
    found = take(*crowded)
    (told,) = found.warnings
    assert told.endswith("and 10 more")
    assert len(told) < 20 * 300
    assert {len(one.kept_keys) for one in found.certificates} == {20}


def test_an_ops_that_is_not_pinned_is_warned_of() -> None:
    """The warning has the uid to configure: only clusterId distinguishes this OPS from another."""
    loose = SOURCE.model_copy(update={"cluster_id": None})
    told = f"source.clusterId is not pinned; that of OPS is {OPS_ID}"
    assert take(fit("a"), source=loose).warnings == (told,)


def test_snapshot_of_nothing_says_so() -> None:
    """An empty OPS is a warning, not a failure."""
    assert take() == SourceSnapshot(warnings=(EMPTY,), cluster_id=OPS_ID)


@pytest.mark.parametrize("name", ["..", "", "a/../b", "Upper", "a\nb", None, 5])
def test_snapshot_leaves_out_what_has_no_name(name: object) -> None:
    """A Secret with an invalid name is ignored: no such object can exist."""
    hostile = fit("x")
    hostile["metadata"]["name"] = name
    assert names(take(hostile, fit("a"))) == (["a"], [])


def test_snapshot_goes_by_the_sources_policy() -> None:
    """Checks use the source's policy, and the namespace is the source's, not that in the Secret."""
    lenient = SOURCE.model_copy(update={"allow_self_signed": True})
    ca = unfit.authority(ISSUER, "ca")
    stranger = fit("a")
    stranger["metadata"]["namespace"] = "kube-system"
    found = take(ca, stranger, source=lenient)
    assert found.rejections == (rejection("ca", Reason.IS_CA, ""),)
    assert [str(one.ref) for one in found.certificates] == ["certificates-ops/a"]


WRONG = ["InvalidKeyPair", "IncorrectCertificate", "IncorrectIssuer", "SecretMismatch", "MissingData"]


@pytest.mark.parametrize("reason", WRONG)
def test_snapshot_believes_cert_manager_that_a_secret_is_wrong(reason: str) -> None:
    """A Secret is rejected if cert-manager says that it does not match its Certificate."""
    found = take(fit("a"), fit("b"), certificates=[waiting("a", reason)])
    assert found.rejections == (rejection("a", Reason.NOT_READY, reason),)
    assert (names(found)[0], found.warnings) == (["b"], ())


def test_snapshot_warns_when_a_renewal_fails() -> None:
    """A Certificate that is not ready for another reason is a warning: its Secret may still be valid."""
    found = take(fit("a"), fit("b"), certificates=[waiting("b", "Issuing"), waiting("a", "Failed")])
    assert names(found) == (["a", "b"], [])
    assert found.warnings == (
        "a: cert-manager says that it is not ready (Failed)",
        "b: cert-manager says that it is not ready (Issuing)",
    )


def test_snapshot_keeps_its_own_reason_for_what_is_unfit_anyway() -> None:
    """A Secret that a check refuses is reported once, with the reason of the check."""
    found = take(unfit.expired(ISSUER, "a", NAMES), fit("b"), certificates=[waiting("a", "InvalidKeyPair")])
    assert names(found) == (["b"], [("a", Reason.EXPIRED)])
    assert found.warnings == ()


def test_snapshot_warns_of_a_certificate_without_secret() -> None:
    """A Certificate without a Secret is in the warnings."""
    warning = "x: cert-manager says that it is not ready (DoesNotExist)"
    assert take(fit("a"), certificates=[waiting("x", "DoesNotExist")]).warnings == (warning,)
    assert take(certificates=[waiting("x", "DoesNotExist")]).warnings == (EMPTY, warning)


def issued(secret: str, minutes: float = 5, name: str = "", **status: object) -> Object:
    """A Certificate that has not been ready for this time."""
    begun = (NOW - timedelta(minutes=minutes)).isoformat()
    condition = {"type": "Ready", "status": "False", "reason": "DoesNotExist", "lastTransitionTime": begun}
    return {
        "metadata": {"name": name or secret},
        "spec": {"secretName": secret, "secretTemplate": {"labels": SOURCE.selector}},
        "status": {"conditions": [condition], **status},
    }


@pytest.mark.parametrize(
    ("secrets", "held"),
    [
        ([], None),
        ([unfit.temporary(ISSUER, "a", NAMES)], Reason.TEMPORARY),
        ([unfit.not_issued(ISSUER, "a", NAMES)], Reason.MISSING_DATA),
    ],
    ids=["no Secret", "a temporary certificate", "an empty tls.crt"],
)
def test_snapshot_knows_what_is_being_issued(secrets: list[Object], held: Reason | None) -> None:
    """A pending certificate is an issuance with its Certificate's name and time, not a rejection."""
    found = take(fit("b"), *secrets, certificates=[issued("a", name="web")])
    begun = NOW - timedelta(minutes=5)
    ref = SecretRef(namespace=SOURCE_NAMESPACE, name="a")
    assert found.issuances == (Issuance(ref=ref, certificate="web", since=begun, held=held),)
    assert (names(found), found.warnings) == ((["b"], []), ())


def test_snapshot_without_certificates_knows_no_issuance() -> None:
    """If Certificates can't be read, the Secrets alone decide."""
    failure = Failure(code=FailureCode.FORBIDDEN, cluster="ops", what="list")
    found = take(unfit.temporary(ISSUER, "a", NAMES), certificates=failure)
    assert (names(found), found.issuances) == (([], [("a", Reason.TEMPORARY)]), ())


def test_snapshot_counts_the_worse_of_two_certificates_of_a_secret() -> None:
    """The worse Certificate counts in any order, for failed attempts and for a wrong Secret."""
    failing = [issued("a"), issued("a", failedIssuanceAttempts=2)]
    wrong = [waiting("b", "SecretMismatch"), waiting("b", "Issuing"), waiting("b", status="True")]
    for certificates in (failing + wrong, [*reversed(failing), *reversed(wrong)]):
        found = take(fit("b"), certificates=certificates)
        assert [one.attempts for one in found.issuances] == [2]
        assert names(found) == ([], [("b", Reason.NOT_READY)])


def test_snapshot_knows_when_cert_manager_renews() -> None:
    """The renewal of a fit certificate is that of its Certificate's status, or unknown."""
    told = certificate(fit("a"))
    found = take(fit("a"), fit("b"), certificates=[told, waiting("b", status="True")])
    renewals = {
        one.ref.name: one.renewal and f"{one.renewal:%Y-%m-%dT%H:%M:%SZ}" for one in found.certificates
    }
    assert renewals == {"a": told["status"]["renewalTime"], "b": None}


@pytest.mark.parametrize("reason", ["a sentence with blanks", "", "x" * 65, "a\nb", None, ["x"]])
def test_snapshot_does_not_repeat_a_reason_that_is_none(reason: object) -> None:
    """A reason that is not one CamelCase word is replaced by a fixed text."""
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
def test_snapshot_has_nothing_to_say_when(certificate: Object) -> None:
    """Only a condition Ready that is False, of a Certificate with a Secret, gives a warning."""
    assert take(fit("a"), certificates=[certificate]).warnings == ()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (FailureCode.API_MISSING, "unknown to OPS"),
        (FailureCode.FORBIDDEN, "unreadable (no right to list them)"),
        (FailureCode.SERVER_ERROR, "unreadable (ServerError)"),
    ],
)
def test_snapshot_goes_on_without_cert_managers_word(code: FailureCode, why: str) -> None:
    """If Certificates can't be read, the Secrets alone decide, with a warning."""
    found = take(fit("a"), certificates=Failure(code=code, cluster="ops", what="list"))
    assert names(found) == (["a"], [])
    assert found.warnings == (f"cert-manager's Certificates are {why}; the Secrets alone decide",)


@pytest.mark.parametrize(
    "code", [FailureCode.UNREACHABLE, FailureCode.TIMEOUT, FailureCode.DEADLINE], ids=str
)
def test_snapshot_is_not_taken_when_ops_fails(code: FailureCode) -> None:
    """An error of OPS is raised, not an empty snapshot."""
    failure = Failure(code=code, cluster="ops", what="list")
    with pytest.raises(ClusterError) as error:
        take(fit("a"), certificates=failure)
    assert error.value.failure == failure


# -- whatever lies in a list -----------------------------------------------------------------------

BAD_CERTIFICATES: dict[str, Any] = {
    "it is a text": "canary",
    "its spec is a text": {"metadata": {"name": "bad"}, "spec": "canary"},
    "its status is a list": {"metadata": {"name": "bad"}, "spec": {"secretName": "a"}, "status": [1]},
    "its conditions are a number": {
        "metadata": {"name": "bad"},
        "spec": {"secretName": "a"},
        "status": {"conditions": 5},
    },
    "its condition is a text": waiting("a") | {"status": {"conditions": ["canary"]}},
    "its secret's name is a list": {"metadata": {"name": "bad"}, "spec": {"secretName": ["canary"]}},
}


@pytest.mark.parametrize("bad", BAD_CERTIFICATES.values(), ids=BAD_CERTIFICATES)
def test_a_certificate_that_can_not_be_read_costs_itself(bad: Any) -> None:
    """A malformed Certificate is a warning with its name, and every other Certificate counts."""
    found = take(fit("a"), fit("b"), certificates=[bad, waiting("b", "SecretMismatch")])
    assert names(found) == (["a"], [("b", Reason.NOT_READY)])
    (warning,) = found.warnings
    assert warning.startswith("cert-manager's Certificate can't be read (")
    assert "canary" not in warning
    assert ("(bad)" in warning) is (isinstance(bad, dict) and "metadata" in bad)


@pytest.mark.parametrize("item", ["canary", 5, None, [], {"metadata": "canary"}, {"metadata": ["name"]}])
def test_what_is_no_secret_in_a_list_costs_itself(item: Any) -> None:
    """A list item that is not a Secret is ignored, and every other item counts."""
    assert names(take(item, fit("a"))) == (["a"], [])


class Unforeseen(Exception):
    """An unexpected error whose text could contain key material."""


PANIC = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
"""As PyO3 makes it where Rust code gives up, at its first panic: there is none to be imported."""


@pytest.mark.parametrize(
    "error", [Unforeseen, RecursionError, MemoryError, OverflowError, PANIC], ids=lambda one: one.__name__
)
def test_a_secret_whose_examination_fails_costs_itself(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Secret whose check raises is rejected with the error's type, without its text."""

    def fail_for_one(candidate: TLSSecret, _: Policy) -> None:
        if candidate.uid == "bad":
            raise error("canary")

    monkeypatch.setattr("tasks.source.checks.CHECKS", (fail_for_one, *CHECKS))
    bad = fit("bad")
    bad["metadata"]["uid"] = "bad"
    found = take(fit("a"), bad, fit("c"))
    assert names(found) == (["a", "c"], [("bad", Reason.EXAMINATION_FAILED)])
    assert found.rejections[0].detail == error.__name__
    assert "canary" not in found.model_dump_json()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_process_is_no_property_of_a_secret(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that ends the process passes through the checks."""

    def end(*_: object) -> None:
        raise error

    monkeypatch.setattr("tasks.source.checks.CHECKS", (end,))
    with pytest.raises(error):
        take(fit("a"))


def test_a_stop_is_heard_between_the_secrets_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop request the current Secret is finished, no other is checked, and OPS counts as unread."""
    examined: list[str] = []
    stop = StopSignal()

    def note(candidate: TLSSecret, _: Policy) -> None:
        examined.append(candidate.uid)
        stop.stop(grace=0)

    class OnePage(Ops):
        def tls_secrets(self, namespace: str, selector: dict[str, str]) -> Iterator[list[Object]]:
            yield [secret for page in super().tls_secrets(namespace, selector) for secret in page]

    monkeypatch.setattr("tasks.source.checks.CHECKS", (note, *CHECKS))
    with task_scope(stop), pytest.raises(ClusterError) as error:
        read_source(OnePage(fit("a"), fit("b"), fit("c")), SOURCE, NOW)
    assert len(examined) == 1
    assert error.value.failure.code is FailureCode.INTERRUPTED
    assert error.value.failure.what == "check secrets in certificates-ops"


class Asked(Ops):
    """OPS for the reading of single Secrets; counts the lists of Certificates."""

    lists = 0

    def tls_secret(self, ref: SecretRef) -> Object | None:
        return next((one for one in self._secrets if one["metadata"]["name"] == ref.name), None)

    def certificate(self, ref: SecretRef) -> Object:
        raise ClusterError(Failure(code=FailureCode.NOT_FOUND, cluster="OPS", what=f"get {ref}"))

    def certificates(self, namespace: str) -> Iterator[list[Object]]:
        self.lists += 1
        yield from super().certificates(namespace)


def selected(secret: Object) -> Object:
    return secret | {"metadata": secret["metadata"] | {"labels": dict(SOURCE.selector)}}


def changed(ops: Asked, *names: str) -> dict[str, Any]:
    """Read these Secrets, of which each was listed with a Certificate that is gone since."""
    refs = [SecretRef(namespace=SOURCE_NAMESPACE, name=name) for name in names]
    listed = [ListedSecret(ref=ref, uid="", resource_version="", certificates=("gone",)) for ref in refs]
    return dict(read_listed(ops, SOURCE, listed, 1000, NOW))


def test_of_several_changes_each_is_checked_and_certificates_are_listed_once() -> None:
    """What cert-manager says is wrong is rejected, what is gone is none, and the rest is fit."""
    secrets = [selected(fit(name)) for name in ("a-tls", "b-tls", "c-tls")]
    ops = Asked(*secrets, certificates=[waiting("b-tls", "SecretMismatch")])
    found = changed(ops, "a-tls", "b-tls", "gone-tls")
    assert (found["a-tls"].ref.name, found["b-tls"].reason, found["gone-tls"]) == (
        "a-tls",
        Reason.NOT_READY,
        None,
    )
    assert (set(found), ops.lists) == ({"a-tls", "b-tls", "gone-tls"}, 1)


def test_where_all_changes_are_unfit_no_certificate_is_listed() -> None:
    """Whatever cert-manager says of them, they go nowhere."""
    ops = Asked(selected(unfit.mismatched_key(ISSUER, "old-tls", NAMES)))
    assert (changed(ops, "old-tls")["old-tls"].reason, ops.lists) == (Reason.KEY_MISMATCH, 0)


def test_a_change_that_the_selector_leaves_out_is_none() -> None:
    """A Secret that has lost its label is read by its name, and is not one of the source's any more."""
    assert changed(Asked(selected(fit("a-tls"))), "a-tls")["a-tls"] is not None
    assert changed(Asked(fit("a-tls")), "a-tls") == {"a-tls": None}


@pytest.mark.parametrize("metadata", [None, {}, {"labels": None}, {"labels": ["team"]}], ids=str)
def test_a_change_whose_labels_can_not_be_read_is_none(metadata: object) -> None:
    """Nothing says that the selector would have it."""

    class Strange(Asked):
        def tls_secret(self, _: SecretRef) -> Object:
            return fit("a-tls") | {"metadata": metadata}

    assert changed(Strange(), "a-tls") == {"a-tls": None}
