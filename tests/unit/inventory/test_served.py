"""Which name an address is probed for, and how its certificate compares with the stored one."""

from datetime import timedelta
from typing import Any

import pytest

from tasks.domain.models import Certificate, ServedMatch
from tasks.inventory.evaluate import content_of, probes_for
from tasks.inventory.model import Content
from tasks.inventory.served import compare
from tasks.served.compare import ServedCertificate, TLSProbe, probe_for
from tests.support import factories
from tests.support.factories import NOW
from tests.unit.inventory.test_evaluate import spec

NAMES = ("homarr.dev.example.org", "www.dev.example.org")
SOURCE = factories.certificate(dns_names=NAMES, leaf="aa", serial="5eed")
ADDRESS = "ingress.example.org"
PROBE = TLSProbe(ADDRESS, NAMES[0])


def leaf(**values: Any) -> ServedCertificate:
    version = SOURCE.version
    stored = ServedCertificate("aa", "5eed", NAMES, version.not_before, version.not_after)
    return stored._replace(**values)


def match(result: ServedCertificate | str, stored: Content | None = None) -> ServedMatch:
    return compare(ADDRESS, SOURCE, stored or content_of(SOURCE), {PROBE: result}).match


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
def test_a_probe_is_for_a_name_of_the_certificate(
    address: str, names: tuple[str, ...], expected: str
) -> None:
    """The name is the address's own if the certificate has it, else its first name without a wildcard."""
    assert probe_for(address, factories.certificate(dns_names=names)) == TLSProbe(address, expected)


def test_a_copy_in_sync_is_compared_by_fingerprint() -> None:
    """The same fingerprint is the same certificate; the same serial with another fingerprint is not."""
    assert match(leaf()) is ServedMatch.SAME
    assert match(leaf(sha256="bb")) is ServedMatch.OTHER


def test_a_certificate_with_an_earlier_not_before_is_older() -> None:
    """A server that has not loaded the new certificate serves one with an earlier notBefore."""
    older = leaf(sha256="bb", serial="1", not_before=SOURCE.version.not_before - timedelta(days=60))
    assert match(older) is ServedMatch.OLDER


def test_a_certificate_for_other_names_is_another() -> None:
    """A certificate for other names is another one, however old: an ingress's default, or a wrong address."""
    fake = leaf(sha256="bb", names=("ingress.local",), not_before=NOW - timedelta(days=1000))
    assert match(fake) is ServedMatch.OTHER
    assert match(fake._replace(names=())) is ServedMatch.OTHER


def test_a_stale_copy_is_compared_with_itself() -> None:
    """The served certificate is compared with the copy, not with the one on OPS."""
    old = factories.certificate(age=70, content="b2", serial="01d", leaf="bb")
    served = leaf(sha256="bb", serial="01d", not_before=old.version.not_before)
    assert match(served, content_of(old)) is ServedMatch.SAME
    assert match(leaf(), content_of(old)) is ServedMatch.OTHER
    assert match(served, Content(fingerprint="x", serial="")) is not ServedMatch.SAME


def test_without_a_copy_it_is_compared_with_ops() -> None:
    """The certificate may be served from a Secret that is not ours."""
    assert compare(ADDRESS, SOURCE, None, {PROBE: leaf()}).match is ServedMatch.SAME


def test_an_address_that_serves_nothing_does_not_differ() -> None:
    """The detail says why no certificate was served; the copy stays ok."""
    found = compare(ADDRESS, SOURCE, content_of(SOURCE), {PROBE: "connection refused"})
    assert (found.match, found.detail, found.differs) == (ServedMatch.NONE, "connection refused", False)


def test_a_wildcard_at_an_address_that_it_does_not_cover_is_not_probed() -> None:
    """The detail says which address to configure instead."""
    wild = factories.certificate(dns_names=("*.dev.example.org",))
    found = compare(ADDRESS, wild, content_of(wild), {})
    assert found.match is ServedMatch.NO_NAME
    assert "write a name that it covers" in found.detail


def test_each_address_is_probed_once_per_name() -> None:
    """Namespaces share a probe; certificates that OPS does not have, or that are not selected, have none."""
    routes = [{**factories.route(["homarr-*"], ["a", "b"]), "served": [ADDRESS]}]
    cluster = factories.cluster(*routes, factories.route(["other-tls"], ["c"]))
    other: Certificate = factories.certificate("other-tls")
    both = factories.snapshot(SOURCE, other, factories.rejection("homarr-bad-tls"))
    assert probes_for(spec(both, cluster)) == {PROBE}
    assert probes_for(spec(both, cluster, "other-tls")) == frozenset()
