"""What is read from cert-manager's Certificates: pending issuances and renewals."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.models import Issuance, SecretRef
from tasks.domain.reasons import Reason
from tasks.source.issuance import (
    MAX_ATTEMPTS,
    CertificateStatus,
    issuance_of,
    parse_status,
    renewal_of,
    worst,
)
from tests.support.factories import NAME, NOW, SOURCE_NAMESPACE, certificate, law, rejection, version

REF = SecretRef(namespace=SOURCE_NAMESPACE, name=NAME)
HOUR = timedelta(hours=1)
OLD = NOW - 500 * HOUR


def manifest(
    ready: str | None = "False", *, changed: Any = NOW, created: Any = OLD, **status: Any
) -> dict[str, Any]:
    """A Certificate whose condition Ready last changed at this time; None means no condition."""
    issuing = {"type": "Issuing", "status": "True", "lastTransitionTime": NOW.isoformat()}
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": told(changed)}
    return {
        "metadata": {"name": "homarr", "creationTimestamp": told(created)},
        "spec": {"secretName": NAME},
        "status": {"conditions": [issuing, *([condition] if ready else [])], **status},
    }


def told(moment: Any) -> Any:
    return moment.isoformat() if hasattr(moment, "isoformat") else moment


def status(**values: Any) -> CertificateStatus:
    return CertificateStatus(**{"certificate": "homarr", "since": NOW - HOUR / 2, **values})


SINCE = {
    "not ready: since it changed": (manifest(changed=NOW - HOUR), NOW - HOUR),
    "ready, with a temporary one: since it changed": (manifest("True", changed=NOW - HOUR), NOW - HOUR),
    "no condition yet: since it was made": (manifest(None, created=NOW - HOUR), NOW - HOUR),
    "a condition without a time: since it was made": (manifest(changed="soon", created=OLD), OLD),
    "no time at all": (manifest(changed=None, created=7), None),
    "a time without a zone": (manifest(changed="2026-03-01T12:00:00", created=None), None),
    "a time that no zone has": (manifest(changed="0001-01-01T00:00:00+23:59", created=None), None),
}


@pytest.mark.parametrize(("given", "since"), SINCE.values(), ids=SINCE)
def test_an_issuance_counts_from_when_ready_last_changed(given: dict[str, Any], since: object) -> None:
    """The time of Issuing does not count, because each attempt resets it."""
    found = parse_status(given, {})
    assert found is not None
    assert (found[0], found[1].certificate, found[1].since) == (NAME, "homarr", since)


@pytest.mark.parametrize(
    ("attempts", "counted"),
    [(0, 0), (3, 3), (-1, 0), ("1", 0), (None, 0), (10**9, MAX_ATTEMPTS)],
)
def test_failed_attempts_are_a_number(attempts: object, counted: int) -> None:
    """Any other value counts as no failed attempt, and the number has a maximum."""
    found = parse_status(manifest(failedIssuanceAttempts=attempts), {})
    assert found is not None
    assert found[1].attempts == counted


ISSUANCES = {
    "no Secret": (None, status(), True),
    "a temporary certificate": (rejection(reason=Reason.TEMPORARY), status(), True),
    "a temporary certificate, and ready": (rejection(reason=Reason.TEMPORARY), status(ready=True), True),
    "an empty tls.crt": (rejection(reason=Reason.MISSING_DATA), status(), True),
    "a temporary certificate for long": (
        rejection(reason=Reason.TEMPORARY),
        status(ready=True, since=OLD),
        True,
    ),
    "any other rejection": (rejection(reason=Reason.EXPIRED), status(), False),
    "a fit Secret": (certificate(), status(), False),
    "no time is known": (None, status(since=None), False),
    "no Secret, and ready a moment ago": (None, status(ready=True), True),
    "no Secret that we list, and ready for long": (None, status(ready=True, since=OLD), False),
    "no Secret, and none that the selector would take": (None, status(selected=False), False),
    "no Secret for long": (None, status(since=OLD), True),
}


@pytest.mark.parametrize(("found", "said", "awaited"), ISSUANCES.values(), ids=ISSUANCES)
def test_what_is_awaited_is_an_issuance(found: Any, said: CertificateStatus, *, awaited: bool) -> None:
    """A missing or temporary Secret with a Certificate is an issuance; any other unfit Secret is not."""
    made = issuance_of(REF, found, said, NOW)
    assert (made is not None) is awaited
    if made:
        held = getattr(found, "reason", None)
        assert made == Issuance(ref=REF, certificate="homarr", since=said.since or NOW, attempts=0, held=held)


def test_an_issuance_is_late_after_an_hour_or_a_failed_attempt() -> None:
    """Before that it is pending, even if our clock is behind that of OPS."""
    fresh = Issuance(ref=REF, certificate="homarr", since=NOW)
    reasons = [fresh.reason(NOW + HOUR * share) for share in (-1, 0, 0.99, 1, 500)]
    assert reasons == [Reason.ISSUANCE_PENDING] * 3 + [Reason.ISSUANCE_LATE] * 2
    assert Issuance(ref=REF, certificate="homarr", since=NOW, attempts=1).reason(NOW) is Reason.ISSUANCE_LATE


def test_a_selector_takes_what_the_template_labels() -> None:
    """A Certificate whose Secret does not get the selector's labels is ignored."""
    labelled = manifest()
    labelled["spec"]["secretTemplate"] = {"labels": {"team": "web", "tier": "front"}}
    for one, selector, expected in (
        (labelled, {"team": "web"}, True),
        (labelled, {"team": "api"}, False),
        (manifest(), {"team": "web"}, False),
        (manifest(), {}, True),
    ):
        found = parse_status(one, selector)
        assert found is not None
        assert found[1].selected is expected


def test_of_two_certificates_for_one_secret_the_worse_one_counts() -> None:
    """The one with more failed attempts counts, then the one with the earlier start, in any order."""
    failing, waiting, new = status(attempts=1), status(since=OLD, share=0.7), status(share=0.5)
    for one, other, expected in (
        (failing, waiting, failing),
        (waiting, new, waiting),
        (failing, new, failing),
    ):
        for made in (worst(one, other), worst(other, one)):
            assert (made.attempts, made.since) == (expected.attempts, expected.since)
    assert worst(waiting, new).share == worst(new, waiting).share == 0.5
    assert worst(new, None) == new


def test_the_renewal_is_that_of_the_status() -> None:
    """The renewal is exact; if the status is older than the certificate, the share of the lifetime counts."""
    now_held, next_one = version(age=10, life=90), version(age=0, life=90)
    status = {
        "notBefore": told(now_held.not_before),
        "notAfter": told(now_held.not_after),
        "renewalTime": told(now_held.not_after - 240 * HOUR),
    }
    found = parse_status(manifest(**status), {})
    assert found is not None
    assert renewal_of(now_held, found[1]) == now_held.not_after - 240 * HOUR
    assert renewal_of(next_one, found[1]) == next_one.not_after - 240 * HOUR


@pytest.mark.parametrize("renewal", [NOW + 9999 * HOUR, NOW - 9999 * HOUR, "", None, ["x"]], ids=str)
def test_a_renewal_outside_of_the_life_is_none(renewal: Any) -> None:
    """A renewalTime outside the lifetime is ignored, so that warnings are not lost."""
    held = version()
    status = {
        "notBefore": told(held.not_before),
        "notAfter": told(held.not_after),
        "renewalTime": told(renewal),
    }
    found = parse_status(manifest(**status), {})
    assert found is not None
    assert renewal_of(held, found[1]) is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
times = st.sampled_from(["2026-03-01T12:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]) | anything
conditions = st.lists(
    st.fixed_dictionaries({"type": st.just("Ready"), "status": anything, "lastTransitionTime": times})
    | anything,
    max_size=3,
)
certificates = anything | st.fixed_dictionaries(
    {
        "metadata": anything | st.fixed_dictionaries({"name": anything, "creationTimestamp": times}),
        "spec": anything | st.fixed_dictionaries({"secretName": st.just(NAME), "secretTemplate": anything}),
        "status": anything
        | st.fixed_dictionaries(
            {
                "conditions": conditions | anything,
                "failedIssuanceAttempts": anything,
                "notBefore": times,
                "notAfter": times,
                "renewalTime": times,
            }
        ),
    }
)


@law
@given(certificates, certificates)
def test_whatever_a_certificate_holds_it_raises_nothing(one: object, other: object) -> None:
    """Any content of two Certificates is either ignored or gives values that can be printed and compared."""
    said = [found[1] for each in (one, other) if (found := parse_status(each, {"team": "web"}))]
    for each in said:
        made = issuance_of(REF, rejection(reason=Reason.TEMPORARY), worst(each, said[0]), NOW)
        assert made is None or (made.reason(NOW).remedy and made.detail.isprintable())
        renewal = renewal_of(version(), each)
        assert renewal is None or version().not_before <= renewal <= version().not_after
