"""One Secret of OPS that has changed, with its Certificate: what is asked, and what comes of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from deployments.sandbox.world import unfit
from deployments.sandbox.world.cert_manager import Issuer
from tasks.config.schema import Source
from tasks.domain.annotations import REQUEST
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Certificate, CopyRequest, Issuance, Rejection, SecretRef, SourceEntry
from tasks.domain.reasons import Reason
from tasks.kube.client import ClusterClient
from tasks.source import changed as changed_module
from tasks.source.changed import read_changed
from tasks.source.checks import check_secret
from tasks.source.known_certificates import KnownCertificates
from tasks.source.statuses import read_statuses
from tests.support.factories import NOW, SOURCE_NAMESPACE, failure

SOURCE = Source(namespace=SOURCE_NAMESPACE)
ISSUER = Issuer(now=NOW)
SECRET = ISSUER.secret("web-tls", ["web.example.org"])
BY_HAND = SECRET | {"metadata": {**SECRET["metadata"], "annotations": {}}}
"""Without cert-manager's mark."""

Object = dict[str, Any]


def certificate(name: str = "web", secret: str = "web-tls", *, reason: str = "") -> Object:
    """A Certificate that is ready, or for this reason is not."""
    condition = {
        "type": "Ready",
        "status": "False" if reason else "True",
        "reason": reason or "Ready",
        "lastTransitionTime": NOW.isoformat(),
    }
    return {
        "metadata": {"name": name},
        "spec": {"secretName": secret},
        "status": {"conditions": [condition]},
    }


class Ops(ClusterClient):
    """One Secret and some Certificates; notes what it is asked."""

    def __init__(self, secret: Object | None, *certificates: Object) -> None:
        self._secret, self._certificates = secret, certificates
        self.asked: list[str] = []
        self.fault: FailureCode | None = None
        """Of every request for a single Certificate."""
        self.list_fault: FailureCode | None = None

    def tls_secret(self, ref: SecretRef) -> Object | None:
        self.asked.append(f"secret {ref.name}")
        return self._secret

    def certificates(self, namespace: str) -> Iterator[list[Object]]:
        assert namespace == SOURCE.namespace
        self.asked.append("list")
        if self.list_fault:
            raise ClusterError(failure(self.list_fault, "OPS"))
        yield list(self._certificates)

    def certificate(self, ref: SecretRef) -> Object:
        self.asked.append(f"certificate {ref.name}")
        if self.fault:
            raise ClusterError(failure(self.fault, "OPS"))
        return next(one for one in self._certificates if one["metadata"]["name"] == ref.name)


def read(
    ops: Ops, known: KnownCertificates, name: str = "web-tls"
) -> tuple[SourceEntry | None, Object | None]:
    ops.asked.clear()
    with ThreadPoolExecutor(1) as pool:
        found = read_changed(ops, SOURCE, "web-tls", NOW, known, pool)
        return found.entry, found.secret


def listed(ops: Ops) -> KnownCertificates:
    """What is known after a start."""
    known = KnownCertificates()
    read_statuses(ops, SOURCE, known)
    return known


def test_a_known_certificate_is_read_beside_the_secret() -> None:
    """Its name may be another one than the Secret's; the Secret comes with its data, to be written."""
    ops = Ops(SECRET, certificate())
    entry, secret = read(ops, listed(ops))
    assert isinstance(entry, Certificate)
    assert secret is SECRET
    assert sorted(ops.asked) == ["certificate web", "secret web-tls"]


def test_what_the_certificate_asks_for_is_read_with_it() -> None:
    """Also where the Secret is unfit, but only where somebody may ask; None says that it is not known."""
    asking = certificate()
    asking["spec"]["secretTemplate"] = {"annotations": {REQUEST: "dev/web"}}
    asked = (CopyRequest(secret="web-tls", certificates=("web",), asked=("dev/web",)),)
    others = certificate("api", "api-tls")
    spoilt = SECRET | {"data": {"tls.crt": "", "tls.key": ""}}
    with ThreadPoolExecutor(1) as pool:
        for secret in (SECRET, spoilt, None):
            ops = Ops(secret, asking, others)
            for known in (listed(ops), KnownCertificates()):
                found = read_changed(ops, SOURCE, "web-tls", NOW, known, pool, with_requests=True)
                assert found.requests == asked
                assert read_changed(ops, SOURCE, "web-tls", NOW, known, pool).requests == ()
        silent = Ops(SECRET, certificate())
        assert (
            read_changed(silent, SOURCE, "web-tls", NOW, listed(silent), pool, with_requests=True).requests
            == ()
        )
        unread = Ops(SECRET, asking)
        known = listed(unread)
        unread.fault = unread.list_fault = FailureCode.FORBIDDEN
        assert read_changed(unread, SOURCE, "web-tls", NOW, known, pool, with_requests=True).requests is None


def test_the_secret_is_checked_while_its_certificate_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks begin as soon as the Secret is there, whether its Certificate has come or not."""
    checked = Event()

    def check(*arguments: Any) -> Certificate | Rejection:
        checked.set()
        return check_secret(*arguments)

    class Slow(Ops):
        def certificate(self, ref: SecretRef) -> Object:
            assert checked.wait(10)
            return super().certificate(ref)

    monkeypatch.setattr(changed_module, "check_secret", check)
    ops = Slow(SECRET, certificate())
    assert isinstance(read(ops, listed(ops))[0], Certificate)


def test_of_several_certificates_the_worst_counts() -> None:
    """Two Certificates that write one Secret are both read."""
    ops = Ops(SECRET, certificate("one"), certificate("two", reason="SecretMismatch"))
    entry, secret = read(ops, listed(ops))
    assert isinstance(entry, Rejection)
    assert (entry.reason, secret) == (Reason.NOT_READY, None)
    assert sorted(ops.asked) == ["certificate one", "certificate two", "secret web-tls"]


def test_a_secret_that_no_certificate_writes_costs_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the list is young; later the Certificates are listed again, beside the Secret."""
    ops = Ops(BY_HAND, certificate("other", "other-tls"))
    known = listed(ops)
    assert isinstance(read(ops, known)[0], Certificate)
    assert ops.asked == ["secret web-tls"]
    monkeypatch.setattr(changed_module, "LIST_AGE", 0.0)
    read(ops, known)
    assert sorted(ops.asked) == ["list", "secret web-tls"]


def test_a_new_secret_of_cert_manager_has_its_certificate_looked_for() -> None:
    """cert-manager has marked it, so that a list from before it counts for nothing."""
    ops = Ops(SECRET)
    known = listed(ops)
    ops._certificates = (certificate(reason="IncorrectIssuer"),)
    entry, secret = read(ops, known)
    assert isinstance(entry, Rejection)
    assert (entry.reason, secret) == (Reason.NOT_READY, None)
    assert ops.asked == ["secret web-tls", "list"]
    read(ops, known)
    assert sorted(ops.asked) == ["certificate web", "secret web-tls"]


@pytest.mark.parametrize("code", [FailureCode.FORBIDDEN, FailureCode.NOT_FOUND, FailureCode.SERVER_ERROR])
def test_a_certificate_that_cannot_be_read_alone_is_listed(code: FailureCode) -> None:
    """Where it is forbidden, the next change asks for the list at once."""
    ops = Ops(SECRET, certificate(reason="IncorrectIssuer"))
    known = listed(ops)
    ops.fault = code
    assert isinstance(read(ops, known)[0], Rejection)
    assert ops.asked[-1] == "list"
    read(ops, known)
    asked = {"secret web-tls", "list"} | ({"certificate web"} if code is not FailureCode.FORBIDDEN else set())
    assert set(ops.asked) == asked


def test_a_certificate_that_writes_another_secret_now_proves_nothing() -> None:
    """Its secretName has been changed since the list, so that the list is read again."""
    ops = Ops(BY_HAND, certificate())
    known = listed(ops)
    ops._certificates = (certificate(secret="other-tls"),)
    read(ops, known)
    assert ops.asked[-1] == "list"


def test_what_is_unfit_or_gone_comes_without_data() -> None:
    """A rejection, a deleted Secret and one that is still to be issued hold no key."""
    bad = Ops(unfit.mismatched_key(ISSUER, "web-tls", ["web.example.org"]), certificate())
    entry, secret = read(bad, listed(bad))
    assert isinstance(entry, Rejection)
    assert (entry.reason, secret) == (Reason.KEY_MISMATCH, None)
    gone = Ops(None)
    assert read(gone, listed(gone)) == (None, None)
    awaited = Ops(None, certificate(reason="Issuing"))
    entry, secret = read(awaited, listed(awaited))
    assert isinstance(entry, Issuance)
    assert secret is None
