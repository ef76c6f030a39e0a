"""Which chains are sent, compared with the programs that serve and verify them.

The table has the results of Debian 12's nginx 1.22.1 and HAProxy 2.6.12 (both with OpenSSL 3.0.19) and of Go
1.26.8. Where these programs are installed, the tests run them again.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from deployments.sandbox.clusters import pki
from tasks.domain.models import Certificate, SecretRef
from tasks.domain.reasons import Reason
from tasks.runtime.silence import without_warnings
from tasks.source.chain import CLOCK_SKEW, NO_ISSUER, follow_chain
from tasks.source.check_failure import CheckFailed
from tasks.source.checks import Policy, check_secret
from tests.conftest import running
from tests.support import chain_cases, tls_programs
from tests.support.factories import NOW, SOURCE_NAMESPACE
from tests.support.tls_programs import Chain

REF = SecretRef(namespace=SOURCE_NAMESPACE, name="web-tls")
CASES = chain_cases.cases()


class Row(NamedTuple):
    nginx: bool
    haproxy: bool
    go: str
    """What a Go client complains of, or the server that Go makes; empty where nothing is wrong."""
    ours: Reason | tuple[str, ...] = ()
    """Why we refuse it, or of what we warn."""


def nobody(ours: Reason, go: str = "") -> Row:
    """Refused by nginx and HAProxy."""
    return Row(nginx=False, haproxy=False, go=go, ours=ours)


def clients(ours: Reason, go: str) -> Row:
    """Served by nginx and HAProxy, and refused by Go."""
    return Row(nginx=True, haproxy=True, go=go, ours=ours)


def fine(*warnings: str) -> Row:
    return Row(nginx=True, haproxy=True, go="", ours=warnings)


def useless(position: int, name: str, why: str) -> Row:
    return fine(f"certificate {position} in tls.crt, {name}, is unused: {why}")


EXPIRED, EARLY = "it has expired", "it is not valid yet"
NO_CA, NO_PART = "it is not a certificate authority", "it is not part of the leaf's chain"
UNKNOWN, PAIR = "signed by unknown authority", "private key does not match public key"

TABLE = {
    "leaf and issuer": fine(),
    "with the root": fine(),
    "leaf alone": Row(nginx=True, haproxy=True, go=UNKNOWN, ours=(NO_ISSUER,)),
    "two cross-signed intermediates": fine(),
    "two cross-signed intermediates, the other way round": fine(),
    "the issuer twice": fine(),
    "the leaf twice": fine(),
    "the root before the issuer": fine(),
    "two intermediates in the wrong order": fine(),
    "two intermediates, issued by the second": fine(),
    "its issuer with the right to sign": fine(),
    "an expired extra cross-sign": useless(3, "Root X1", EXPIRED),
    "an extra cross-sign that is not valid yet": useless(3, "Root X1", EARLY),
    "an expired cross-signed intermediate": useless(2, "R10", EXPIRED),
    "an unrelated authority": useless(3, "Extra", NO_PART),
    "an unrelated leaf": useless(3, "Extra", NO_CA),
    "a root without basicConstraints": useless(3, "Root X1", NO_CA),
    "a root signed with SHA-1": useless(3, "RSA Root", NO_PART),
    "an RSA root right above the leaf": fine(),
    "lines of dashes": fine(),
    "dashes at the end of a comment": fine(),
    # how it is written
    "CR-only line ends": nobody(Reason.UNEXPECTED_BLOCK, "failed to find any PEM data"),
    "a blank line inside a block": nobody(Reason.UNEXPECTED_BLOCK),
    "a byte order mark": clients(Reason.UNEXPECTED_BLOCK, PAIR),
    "a BEGIN in a comment": nobody(Reason.UNEXPECTED_BLOCK),
    "a BEGIN after blanks": nobody(Reason.UNEXPECTED_BLOCK, PAIR),
    "a BEGIN after dashes": nobody(Reason.UNEXPECTED_BLOCK, PAIR),
    # who issued it
    "the issuer first": nobody(Reason.IS_CA, PAIR),
    "an unrelated authority alone": clients(Reason.CHAIN_ORDER, UNKNOWN),
    "its issuer expired": clients(Reason.CHAIN_ORDER, "has expired or is not yet valid"),
    "its issuer not valid yet": clients(Reason.CHAIN_ORDER, "has expired or is not yet valid"),
    "its issuer no authority": clients(Reason.CHAIN_ORDER, UNKNOWN),
    "its issuer without the right to sign": clients(Reason.CHAIN_ORDER, UNKNOWN),
    # how strong it is
    "its issuer with RSA of 1024 bits": nobody(Reason.WEAK_KEY),
    "a leaf signed with SHA-1": nobody(Reason.WEAK_SIGNATURE, "insecure algorithm SHA1-RSA"),
    "a leaf signed with SHA-1, alone": nobody(Reason.WEAK_SIGNATURE, "insecure algorithm SHA1-RSA"),
    "a leaf signed with MD5": nobody(Reason.WEAK_SIGNATURE, "insecure algorithm MD5-RSA"),
    "a leaf signed with MD5, alone": nobody(Reason.WEAK_SIGNATURE, "insecure algorithm MD5-RSA"),
    "an extra signed with SHA-1": nobody(Reason.WEAK_SIGNATURE),
    "an extra with RSA of 1024 bits": nobody(Reason.WEAK_KEY),
    "an extra with RSA of 10240 bits": clients(Reason.WEAK_KEY, "RSA key larger than 8192 bits"),
    "an extra on secp256k1": clients(Reason.WEAK_KEY, "unsupported elliptic curve"),
    "an extra with a negative serial number": clients(Reason.INVALID_CERTIFICATE, "negative serial number"),
    "a leaf with a negative serial number": clients(Reason.INVALID_CERTIFICATE, "negative serial number"),
}
UNUSUAL = ("an extra with DSA", "an extra on P-224", "an extra with Ed448", "an END in a comment")
"""No authority issues, and no program writes, these: refused, though programs take them."""


def made_of(chain: Chain) -> Reason | tuple[str, ...]:
    found = check_secret(REF, chain.secret, Policy(now=NOW))
    return found.warnings if isinstance(found, Certificate) else found.reason


@pytest.mark.parametrize("case", TABLE)
def test_chain_is_sent_refused_or_warned_of(case: str) -> None:
    """What programs serve and verify is sent, with a warning for each unused certificate."""
    assert made_of(CASES[case]) == TABLE[case].ours


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_nobody_issues_is_refused(case: str) -> None:
    """A certificate of an unusual kind is refused at any position, and so is an END line without a BEGIN."""
    assert made_of(CASES[case]) in (Reason.WEAK_KEY, Reason.UNEXPECTED_BLOCK)


def test_each_case_has_a_row() -> None:
    """Each case has a row; what a program refuses is refused, except a leaf whose issuer clients may have."""
    assert {*TABLE, *UNUSUAL} == {*CASES}
    served = {case for case, row in TABLE.items() if row.nginx and row.haproxy and not row.go}
    assert {case for case, row in TABLE.items() if isinstance(row.ours, tuple)} == served | {"leaf alone"}


@pytest.fixture(scope="module")
def servers() -> Iterator[None]:
    yield from running(tls_programs.installed(), "nginx or HAProxy can't be had")


@pytest.mark.parametrize("case", TABLE)
def test_nginx_and_haproxy_say_what_the_table_says(servers: None, case: str) -> None:
    """HAProxy and nginx load exactly the chains that the table says."""
    chain, row = CASES[case], TABLE[case]
    assert (tls_programs.nginx_takes(chain), tls_programs.haproxy_takes(chain)) == (row.nginx, row.haproxy)


@contextmanager
def go_programs() -> Iterator[dict[str, str]]:
    yield tls_programs.errors_of_go(CASES, chain_cases.NAME, NOW)


@pytest.fixture(scope="module")
def errors_of_go() -> Iterator[dict[str, str]]:
    yield from running(go_programs(), "Go can't be had")


@pytest.mark.parametrize("case", TABLE)
def test_go_says_what_the_table_says(errors_of_go: dict[str, str], case: str) -> None:
    """A Go client verifies what a Go server serves, or both refuse it."""
    expected, error = TABLE[case].go, errors_of_go[case]
    assert (expected in error) if expected else not error, error


def follow(*certificates: x509.Certificate) -> tuple[str, ...]:
    return follow_chain(certificates, (), NOW)


@pytest.mark.parametrize(("late", "fits"), [(timedelta(0), True), (timedelta(seconds=1), False)])
def test_an_issuer_may_become_valid_within_the_clock_skew(late: timedelta, fits: bool) -> None:
    """Its notBefore may be five minutes ahead of our clock, and not a second more."""
    root, issuer, leaf = (pki.new_key() for _ in range(3))
    early = chain_cases.certificate("issuer", issuer, "root", root, not_before=NOW + CLOCK_SKEW + late)
    end = chain_cases.certificate(chain_cases.NAME, leaf, "issuer", issuer, is_ca=False)
    if fits:
        assert follow(end, early) == ()
    else:
        with pytest.raises(CheckFailed) as refused:
            follow(end, early)
        assert refused.value.detail == "certificate 2 issued the leaf, but it is not valid yet"


def test_a_repeated_leaf_is_not_its_own_issuer() -> None:
    """A self-signed leaf that is there twice has no issuer among the others."""
    own, other = pki.new_key(), pki.new_key()
    leaf = chain_cases.certificate(chain_cases.NAME, own, chain_cases.NAME, own, is_ca=False)
    again = x509.load_der_x509_certificate(leaf.public_bytes(Encoding.DER))
    with pytest.raises(CheckFailed) as refused:
        follow(leaf, again, chain_cases.certificate("other", other, "other", other))
    assert refused.value.detail == "no other certificate issued the leaf"


def checked(chain: Chain, ca: bytes = b"", **policy: bool) -> Reason | tuple[str, ...]:
    secret = chain.secret
    if ca:
        secret["data"]["ca.crt"] = base64.b64encode(ca).decode()
    found = check_secret(REF, secret, Policy(now=NOW, **policy))
    return found.warnings if isinstance(found, Certificate) else found.reason


def test_the_signature_of_a_self_signed_leaf_is_judged() -> None:
    """A root's own signature proves nothing, but a leaf's does, also where self-signed ones are allowed."""
    key = chain_cases.rsa_key()
    leaf = chain_cases.certificate(chain_cases.NAME, key, chain_cases.NAME, key, is_ca=False)
    fit = Chain(pki.pem(leaf), pki.key_pem(key), b"")
    assert checked(fit, allow_self_signed=True) == ()
    old = chain_cases.signed_as_of_old(leaf, key)
    assert checked(fit._replace(crt=pki.pem(old)), allow_self_signed=True) is Reason.WEAK_SIGNATURE


def test_a_signature_with_ed25519_is_strong() -> None:
    """It has no hash of its own."""
    authority, key = ed25519.Ed25519PrivateKey.generate(), pki.new_key()
    issuer = chain_cases.certificate("issuer", authority, "root", authority)
    leaf = chain_cases.certificate(chain_cases.NAME, key, "issuer", authority, is_ca=False)
    assert checked(Chain(pki.pem(leaf, issuer), pki.key_pem(key), b"")) == ()


@pytest.mark.parametrize(("bits", "expected"), [(2048, ()), (1024, (NO_ISSUER,))])
def test_only_a_strong_authority_of_ca_crt_is_an_issuer(bits: int, expected: tuple[str, ...]) -> None:
    """A leaf without a chain is issued by what ca.crt has, unless no client would use that key."""
    authority, key = chain_cases.rsa_key(bits), pki.new_key()
    root = chain_cases.certificate("root", authority, "root", authority)
    leaf = chain_cases.certificate(chain_cases.NAME, key, "root", authority, is_ca=False)
    assert checked(Chain(pki.pem(leaf), pki.key_pem(key), b""), pki.pem(root)) == expected


@pytest.mark.parametrize(("serial", "expected"), [(0, ()), (-1, Reason.INVALID_CERTIFICATE)])
def test_serial_numbers_begin_with_zero(serial: int, expected: Reason | tuple[str, ...]) -> None:
    """Go reads a serial number of zero, and refuses a chain with any below."""
    authority, key = pki.new_key(), pki.new_key()
    issuer = chain_cases.certificate("issuer", authority, "root", authority)
    leaf = chain_cases.certificate(chain_cases.NAME, key, "issuer", authority, is_ca=False)
    odd = chain_cases.with_short_serial(leaf, authority, serial)
    with without_warnings:
        assert checked(Chain(pki.pem(odd, issuer), pki.key_pem(key), b"")) == expected
