"""What is asked of an ingress, and what is made of its answer."""

from datetime import timedelta
from typing import Any

import pytest

from tasks.domain.models import Certificate
from tasks.inventory.evaluate import content_of, questions_of
from tasks.inventory.model import Content, ServedMatch
from tasks.inventory.served import ServedCertificate, TLSProbe, compare, question
from tests.support import factories
from tests.support.factories import NOW
from tests.unit.inventory.test_evaluate import spec

NAMES = ("homarr.dev.example.org", "www.dev.example.org")
SOURCE = factories.certificate(dns_names=NAMES, leaf="aa", serial="5eed")
ADDRESS = "ingress.example.org"
ASKED = TLSProbe(ADDRESS, NAMES[0])


def leaf(**values: Any) -> ServedCertificate:
    version = SOURCE.version
    plain = ServedCertificate("aa", "5eed", NAMES, version.not_before, version.not_after)
    return plain._replace(**values)


def likeness(answer: ServedCertificate | str, stored: Content | None = None) -> ServedMatch:
    return compare(ADDRESS, SOURCE, stored or content_of(SOURCE), {ASKED: answer}).likeness


@pytest.mark.parametrize(
    ("address", "names", "expected"),
    [
        ("ingress.example.org", NAMES, NAMES[0]),
        ("www.dev.example.org:8443", NAMES, NAMES[1]),
        ("10.0.0.1", NAMES, NAMES[0]),
        ("ingress.example.org", ("*.dev.example.org", "dev.example.org"), "dev.example.org"),
        ("app.dev.example.org", ("*.dev.example.org",), "app.dev.example.org"),
        ("ingress.example.org", ("*.dev.example.org",), ""),
        ("ingress.example.org", ("Homarr.Dev.Example.org",), NAMES[0]),
    ],
)
def test_a_name_of_the_certificate_is_asked_for(address: str, names: tuple[str, ...], expected: str) -> None:
    """The address's own if it is one of them, else the first that is a name, and no name that is made up."""
    assert question(address, factories.certificate(dns_names=names)) == TLSProbe(address, expected)


def test_the_stored_certificate_is_known_by_its_fingerprint() -> None:
    """The same leaf is the same; with the same serial and another fingerprint it is another."""
    assert likeness(leaf()) is ServedMatch.SAME
    assert likeness(leaf(sha256="bb")) is ServedMatch.OTHER


def test_an_older_certificate_is_called_so() -> None:
    """Same names, begun earlier: an application that has not loaded the new one."""
    older = leaf(sha256="bb", serial="1", not_before=SOURCE.version.not_before - timedelta(days=60))
    assert likeness(older) is ServedMatch.OLDER


def test_a_certificate_for_other_names_is_another() -> None:
    """However old it is: an ingress's default certificate, or the wrong address."""
    fake = leaf(sha256="bb", names=("ingress.local",), not_before=NOW - timedelta(days=1000))
    assert likeness(fake) is ServedMatch.OTHER
    assert likeness(fake._replace(names=())) is ServedMatch.OTHER


def test_a_stale_copy_that_is_served_is_served_as_stored() -> None:
    """What is served is compared with what is stored there, not with what OPS has."""
    old = factories.certificate(age=70, content="b2", serial="01d", leaf="bb")
    served = leaf(sha256="bb", serial="01d", not_before=old.version.not_before)
    assert likeness(served, content_of(old)) is ServedMatch.SAME
    assert likeness(leaf(), content_of(old)) is ServedMatch.OTHER
    assert likeness(served, Content(fingerprint="x", serial="")) is not ServedMatch.SAME


def test_where_nothing_is_stored_it_is_compared_with_ops() -> None:
    """It may be served all the same, from a Secret that someone else keeps."""
    assert compare(ADDRESS, SOURCE, None, {ASKED: leaf()}).likeness is ServedMatch.SAME


def test_an_address_without_an_answer_is_told_and_differs_from_nothing() -> None:
    """Why there is none stands in the detail; it is no finding about the certificate."""
    found = compare(ADDRESS, SOURCE, content_of(SOURCE), {ASKED: "connection refused"})
    assert (found.likeness, found.detail, found.differs) == (ServedMatch.NONE, "connection refused", False)


def test_a_certificate_without_a_name_to_ask_for_is_told() -> None:
    """A wildcard at an address that it does not cover is not asked for, and the remedy is said."""
    wild = factories.certificate(dns_names=("*.dev.example.org",))
    found = compare(ADDRESS, wild, content_of(wild), {})
    assert found.likeness is ServedMatch.NO_NAME
    assert "write a name that it covers" in found.detail


def test_each_address_is_asked_once_per_name() -> None:
    """However many namespaces share it; and only for what OPS has and the survey is about."""
    routes = [{**factories.route(["homarr-*"], ["a", "b"]), "served": [ADDRESS]}]
    cluster = factories.cluster(*routes, factories.route(["other-tls"], ["c"]))
    other: Certificate = factories.certificate("other-tls")
    both = factories.snapshot(SOURCE, other, factories.rejection("homarr-bad-tls"))
    assert questions_of(spec(both, cluster)) == {ASKED}
    assert questions_of(spec(both, cluster, "other-tls")) == frozenset()
