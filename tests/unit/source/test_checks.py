"""Whether a Secret is fit to leave OPS: every reason to refuse it, with certificates that have the fault."""

import base64
import ssl
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.sandbox.clusters import pki
from deployments.sandbox.world import unfit
from deployments.sandbox.world.cert_manager import Issuer, leaf_of
from tasks.config.limits import MAX_DATA_BYTES
from tasks.domain.models import Certificate, Rejection, SecretRef, Version
from tasks.domain.reasons import Reason
from tasks.source import checks
from tasks.source.check_failure import CheckFailed
from tasks.source.checks import Policy, check_secret
from tasks.source.tls_secret import MAX_CERTIFICATE_BYTES, MAX_KEY_BYTES, TLSSecret
from tests.support import chain_cases, recorded
from tests.support.factories import NAME, NOW, SOURCE_NAMESPACE, law

ISSUER = Issuer(now=NOW)
NAMES = ["homarr.dev.example.org", "start.dev.example.org"]
REF = SecretRef(namespace=SOURCE_NAMESPACE, name=NAME)
SECRET = ISSUER.secret(NAME, NAMES)
CRT, KEY = (base64.b64decode(SECRET["data"][key]) for key in ("tls.crt", "tls.key"))
BLOCK_END = b"-----END CERTIFICATE-----\n"
LEAF, INTERMEDIATE = (part + BLOCK_END for part in CRT.split(BLOCK_END)[:2])

CHAINS = chain_cases.cases()

Found = Certificate | Rejection
AnyKey = Any  # cryptography's union of keys that sign


def ask(secret: dict[str, Any], now: datetime = NOW, *, allow_self_signed: bool = False) -> Found:
    return check_secret(REF, secret, Policy(now=now, allow_self_signed=allow_self_signed))


def secret(crt: bytes = CRT, key: bytes = KEY, **others: bytes) -> dict[str, Any]:
    """A Secret with this tls.crt and tls.key; `ca_crt` for ca.crt."""
    data = {"tls.crt": crt, "tls.key": key} | {k.replace("_", "."): v for k, v in others.items()}
    return ISSUER.manifest(NAME, NAMES, data)


def rejected(reason: Reason, detail: str = "") -> Rejection:
    return Rejection(ref=REF, reason=reason, detail=detail)


def pem(content: bytes, label: str = "CERTIFICATE") -> bytes:
    lines = "\n".join(textwrap.wrap(base64.b64encode(content).decode(), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def pkcs8(key: AnyKey) -> bytes:
    written: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return written


def name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def issued(  # noqa: PLR0913  a certificate says that much
    key: AnyKey,
    *,
    names: list[x509.GeneralName] | None = None,
    subject: x509.Name | None = None,
    issuer: x509.Name | None = None,
    signer: AnyKey = None,
    not_before: datetime = NOW - timedelta(days=10),
    not_after: datetime = NOW + timedelta(days=80),
) -> bytes:
    """A leaf of ISSUER's intermediate as PEM, with the given differences."""
    alternative = [x509.DNSName(one) for one in NAMES] if names is None else names
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer or ISSUER.intermediate.name)
        .subject_name(subject or name((NameOID.COMMON_NAME, NAMES[0])))
        .public_key(key.public_key())
        .serial_number(0x5EED)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    return builder.sign(signer or ISSUER.intermediate.key, hashes.SHA256()).public_bytes(Encoding.PEM)


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def dsa_key() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(key_size=2048)


def pair(key: AnyKey) -> dict[str, Any]:
    """A valid certificate for a key of any kind."""
    return secret(issued(key) + INTERMEDIATE, pkcs8(key))


def authority(  # noqa: PLR0913  a certificate says that much
    subject: str,
    key: AnyKey,
    *,
    issuer: str = "",
    signer: AnyKey = None,
    is_ca: bool = True,
    not_before: datetime = NOW - timedelta(days=1000),
    not_after: datetime = NOW + timedelta(days=100),
) -> bytes:
    """A CA certificate, or an imitation; self-signed by default."""
    builder = (
        x509.CertificateBuilder()
        .issuer_name(name((NameOID.COMMON_NAME, issuer or subject)))
        .subject_name(name((NameOID.COMMON_NAME, subject)))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    return builder.sign(signer or key, hashes.SHA256()).public_bytes(Encoding.PEM)


def signed_by(key: AnyKey, **said: Any) -> dict[str, Any]:
    """A valid leaf whose issuer has this key and these properties."""
    own = pki.new_key()
    leaf = issued(own, issuer=name((NameOID.COMMON_NAME, "Another CA")), signer=key)
    return secret(leaf + authority("Another CA", key, **said), pkcs8(own))


# -- fit -------------------------------------------------------------------------------------------


def test_fit_secret_becomes_facts() -> None:
    """A Secret written by cert-manager is fit, and the result contains only its facts."""
    key = pki.new_key()
    found = secret(issued(key) + INTERMEDIATE, pkcs8(key), ca_crt=ISSUER.root.pem)
    found["metadata"] |= {"uid": "u-1", "resourceVersion": "7"}
    facts = ask(found)
    assert isinstance(facts, Certificate)
    assert facts == Certificate(
        ref=REF,
        uid="u-1",
        resource_version="7",
        keys=("ca.crt", "tls.crt", "tls.key"),
        serial="5eed",
        issuer="Sandbox R10",
        dns_names=tuple(NAMES),
        version=Version(
            fingerprint=facts.version.fingerprint,
            not_before=NOW - timedelta(days=10),
            not_after=NOW + timedelta(days=80),
        ),
        leaf=TLSSecret(found).leaf.fingerprint(hashes.SHA256()).hex(),
        checked_until=NOW + timedelta(days=80),
    )


def test_checks_hold_until_the_first_certificate_of_the_chain_expires() -> None:
    """One that has expired already, and that no client needs, does not count."""
    own, soon = pki.new_key(), NOW + timedelta(days=1)
    for end, until in ((soon, soon), (NOW - timedelta(days=1), NOW + timedelta(days=80))):
        extra = authority("Unrelated", pki.new_key(), not_after=end)
        facts = ask(secret(issued(own) + INTERMEDIATE + extra, pkcs8(own)))
        assert isinstance(facts, Certificate)
        assert facts.checked_until == until


@pytest.mark.parametrize("key_format", ["traditional", "pkcs8"])
@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_fit_secret_may_have_any_form_of_key(key: Any, key_format: Any) -> None:
    """RSA and ECDSA keys are fit in each form in which cert-manager writes them."""
    assert isinstance(ask(ISSUER.secret(NAME, NAMES, key=key, key_format=key_format)), Certificate)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-384", "P-521", "Ed25519"],
)
def test_fit_secret_may_have_other_strong_keys(key: AnyKey) -> None:
    """P-384, P-521 and Ed25519 are strong enough."""
    assert isinstance(ask(pair(key)), Certificate)


EC_PARAMETERS = pem(bytes.fromhex("06082a8648ce3d030107"), "EC PARAMETERS")
HARMLESS = {
    "line ends of Windows": secret(CRT.replace(b"\n", b"\r\n"), KEY.replace(b"\n", b"\r\n")),
    "no line end at the end": secret(CRT.rstrip(), KEY.rstrip()),
    "blank lines between blocks": secret(CRT.replace(BLOCK_END, BLOCK_END + b"\n\n"), KEY),
    "text between blocks": secret(
        b"subject=homarr\n" + CRT.replace(BLOCK_END, BLOCK_END + b"issuer=R10\n"), KEY
    ),
    "an emoji between blocks": secret(CRT.replace(BLOCK_END, BLOCK_END + "\N{PARTY POPPER}\n".encode()), KEY),
    "EC PARAMETERS before the key": secret(CRT, EC_PARAMETERS + KEY),
    "no intermediate certificate": secret(LEAF, KEY),
    "ten certificates": secret(LEAF + INTERMEDIATE + ISSUER.root.pem * 8, KEY),
    "a ca.crt with two certificates": secret(ca_crt=ISSUER.root.pem * 2),
    "an empty ca.crt": secret(ca_crt=b""),
    "an end in the year 9999": secret(
        issued((k := pki.new_key()), not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)), pkcs8(k)
    ),
    "as much of everything as is taken": secret(
        CRT + b"\n" * (MAX_CERTIFICATE_BYTES - len(CRT)), KEY + b"\n" * (MAX_KEY_BYTES - len(KEY))
    ),
    "five hundred other keys": secret(**{f"other_{number}": b"x" for number in range(500)}),
}


@pytest.mark.parametrize("found", HARMLESS.values(), ids=HARMLESS)
def test_fit_secret_may_have(found: dict[str, Any]) -> None:
    """Variations that parsers and servers accept are fit."""
    assert isinstance(ask(found), Certificate)


def test_fit_secret_is_refused_no_more_when_its_time_has_come() -> None:
    """The same Secret is too early, fit and expired, depending on the time given."""
    found = ISSUER.secret(NAME, NAMES, not_before=NOW, not_after=NOW + timedelta(days=90))
    minutes, last = timedelta(minutes=5), NOW + timedelta(days=90)
    assert ask(found, NOW - minutes - timedelta(seconds=1)) == rejected(
        Reason.NOT_YET_VALID, "from 2026-03-01 12:00 UTC"
    )
    assert isinstance(ask(found, NOW - minutes), Certificate)
    assert isinstance(ask(found, last - timedelta(seconds=1)), Certificate)
    assert ask(found, last) == rejected(Reason.EXPIRED, "since 2026-05-30 12:00 UTC")


def test_fit_secret_tells_kinds_of_other_names() -> None:
    """Only the kind is reported of alternative names that are not DNS names."""
    key = pki.new_key()
    names = [x509.IPAddress(ip_address("10.0.0.1")), x509.RFC822Name("canary@example.org")]
    facts = ask(secret(issued(key, names=[*names, x509.DNSName("a.org")]), pkcs8(key)))
    assert isinstance(facts, Certificate)
    assert (facts.dns_names, facts.other_names) == (("a.org",), ("IPAddress", "RFC822Name"))


def test_fit_secret_tells_dns_names_as_they_are() -> None:
    """DNS names may be any ASCII text, so every display has to make them printable."""
    key, evil = pki.new_key(), "evil.org\x1b[2J\nERROR: forged line"
    facts = ask(secret(issued(key, names=[x509.DNSName(evil)]), pkcs8(key)))
    assert isinstance(facts, Certificate)
    assert facts.dns_names == (evil,)


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (name((NameOID.ORGANIZATION_NAME, "Let's Encrypt"), (NameOID.COMMON_NAME, "R10")), "R10"),
        (name((NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, "ISRG")), "O=ISRG,C=US"),
        (
            name((NameOID.ORGANIZATION_NAME, "x" * 64), (NameOID.LOCALITY_NAME, "y" * 64)),
            f"L={'y' * 64},O={'x' * 31}",
        ),
    ],
    ids=["its common name", "its whole name", "100 characters at most"],
)
def test_fit_secret_tells_its_issuer(issuer: x509.Name, expected: str) -> None:
    """The issuer is its common name, or else its whole name, cut at the limit."""
    key = pki.new_key()
    facts = ask(secret(issued(key, issuer=issuer), pkcs8(key)))
    assert isinstance(facts, Certificate)
    assert facts.issuer == expected


def test_self_signed_is_fit_when_the_configuration_says_so() -> None:
    """With source.allowSelfSigned a self-signed leaf is fit; no other check changes."""
    assert isinstance(ask(SELF_SIGNED, allow_self_signed=True), Certificate)
    assert ask(unfit.authority(ISSUER, "ca"), allow_self_signed=True) == rejected(Reason.IS_CA)


# -- unfit: each reason ----------------------------------------------------------------------------


def self_signed() -> dict[str, Any]:
    key, subject = pki.new_key(), name((NameOID.COMMON_NAME, NAMES[0]))
    return secret(issued(key, subject=subject, issuer=subject, signer=key), pkcs8(key))


def wrong_exponent() -> dict[str, Any]:
    """An RSA key with a matching public and another private exponent."""
    key = rsa_key()
    numbers = key.private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        p=numbers.p,
        q=numbers.q,
        d=numbers.d + 2,
        dmp1=numbers.dmp1 + 2,
        dmq1=numbers.dmq1,
        iqmp=numbers.iqmp,
        public_numbers=numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    form = PrivateFormat.TraditionalOpenSSL
    return secret(issued(key) + INTERMEDIATE, wrong.private_bytes(Encoding.PEM, form, NoEncryption()))


def old_encryption() -> bytes:
    key = rsa_key()
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x"))


SELF_SIGNED = self_signed()
TRUNCATED = INTERMEDIATE[: len(INTERMEDIATE) // 2]
DER = x509.load_pem_x509_certificate(LEAF).public_bytes(Encoding.DER)
OTHER = pki.Authority("Another CA", now=NOW)
CA_PEM = ISSUER.root.pem
PUBLIC = pki.public_pem(pki.new_key())
EMPTY_BLOCK = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
ONLY_CERTIFICATES, ONE_KEY = "must hold certificates only", "tls.key must hold one private key"
CUT_OFF = "the last block has no END line"
NO_FIT = "does not fit a PEM block"

UNFIT: dict[str, tuple[dict[str, Any], Rejection]] = {
    # nothing is missing, empty or huge
    "it is not issued yet": (
        unfit.not_issued(ISSUER, NAME, NAMES),
        rejected(Reason.MISSING_DATA, "tls.crt"),
    ),
    "it has no key": (
        ISSUER.manifest(NAME, NAMES, {"tls.crt": CRT}),
        rejected(Reason.MISSING_DATA, "tls.key"),
    ),
    "it is no certificate at all": (
        unfit.opaque(ISSUER, NAME),
        rejected(Reason.MISSING_DATA, "tls.crt, tls.key"),
    ),
    "its data is one byte too large": (
        secret(ca_crt=b"x" * (MAX_DATA_BYTES - len(CRT + KEY) + 1)),
        rejected(Reason.TOO_LARGE, f"{MAX_DATA_BYTES + 1} bytes, at most {MAX_DATA_BYTES}"),
    ),
    "its certificates are one byte too large": (
        secret(CRT + b"\n" * (MAX_CERTIFICATE_BYTES - len(CRT) + 1)),
        rejected(Reason.TOO_LARGE, f"tls.crt: {MAX_CERTIFICATE_BYTES + 1} bytes, at most {256 * 1024}"),
    ),
    "its key is one byte too large": (
        secret(CRT, KEY + b"\n" * (MAX_KEY_BYTES - len(KEY) + 1)),
        rejected(Reason.TOO_LARGE, f"tls.key: {MAX_KEY_BYTES + 1} bytes, at most {64 * 1024}"),
    ),
    "its data is not base64": (
        {"data": {"tls.crt": "canary!", "tls.key": "canary!"}},
        rejected(Reason.INVALID_ENCODING, "tls.crt"),
    ),
    # whole CERTIFICATE blocks and nothing else
    "its certificate is text": (
        secret(b"canary"),
        rejected(Reason.UNEXPECTED_BLOCK, f"tls.crt {ONLY_CERTIFICATES}"),
    ),
    "its certificate is DER": (
        secret(DER),
        rejected(Reason.UNEXPECTED_BLOCK, f"tls.crt {ONLY_CERTIFICATES}"),
    ),
    "its second certificate is truncated": (
        secret(LEAF + TRUNCATED),
        rejected(Reason.UNEXPECTED_BLOCK, f"tls.crt: {CUT_OFF}"),
    ),
    "a block ends under another label": (
        secret(CRT.replace(b"END CERTIFICATE", b"END X509 CRL")),
        rejected(Reason.UNEXPECTED_BLOCK, f"tls.crt: line {len(LEAF.splitlines())} {NO_FIT}"),
    ),
    "a block ends before it begins": (
        secret(BLOCK_END + b"-----BEGIN CERTIFICATE-----\n"),
        rejected(Reason.UNEXPECTED_BLOCK, f"tls.crt: line 1 {NO_FIT}"),
    ),
    "a third certificate ends before it begins": (
        secret(CRT + BLOCK_END + b"-----BEGIN CERTIFICATE-----\n"),
        rejected(Reason.UNEXPECTED_BLOCK, f"tls.crt: line {len(CRT.splitlines()) + 1} {NO_FIT}"),
    ),
    "a private key lies in tls.crt": (
        secret(CRT + KEY),
        rejected(Reason.UNEXPECTED_BLOCK, f"tls.crt {ONLY_CERTIFICATES}"),
    ),
    "a private key lies in ca.crt": (
        secret(ca_crt=ISSUER.root.pem + KEY),
        rejected(Reason.UNEXPECTED_BLOCK, f"ca.crt {ONLY_CERTIFICATES}"),
    ),
    "its ca.crt is text": (
        secret(ca_crt=b"canary"),
        rejected(Reason.UNEXPECTED_BLOCK, f"ca.crt {ONLY_CERTIFICATES}"),
    ),
    "its ca.crt is damaged": (
        secret(ca_crt=pem(b"canary")),
        rejected(Reason.INVALID_CERTIFICATE, "ca.crt"),
    ),
    "it has eleven certificates": (
        secret(LEAF + INTERMEDIATE * 10),
        rejected(Reason.UNEXPECTED_BLOCK, "tls.crt holds 11 certificates, at most 10"),
    ),
    "a NUL lies in its certificate": (
        secret(CRT[:100] + b"\0" + CRT[100:]),
        rejected(Reason.UNEXPECTED_BLOCK, f"tls.crt: line 3 {NO_FIT}"),
    ),
    "its second certificate is empty": (
        secret(LEAF + EMPTY_BLOCK),
        rejected(Reason.INVALID_CERTIFICATE, "tls.crt"),
    ),
    "its certificate is not ASN.1": (secret(pem(b"canary")), rejected(Reason.INVALID_CERTIFICATE, "tls.crt")),
    # one private key
    "its key is encrypted": (unfit.encrypted_key(ISSUER, NAME, NAMES), rejected(Reason.ENCRYPTED_KEY)),
    "its key is encrypted as of old": (secret(CRT, old_encryption()), rejected(Reason.ENCRYPTED_KEY)),
    "it has two keys": (secret(CRT, KEY + KEY), rejected(Reason.UNEXPECTED_BLOCK, ONE_KEY)),
    "it has a second key that is encrypted": (
        secret(CRT, KEY + pem(b"x", "ENCRYPTED PRIVATE KEY")),
        rejected(Reason.ENCRYPTED_KEY),
    ),
    "its key is a public one": (secret(CRT, PUBLIC), rejected(Reason.UNEXPECTED_BLOCK, ONE_KEY)),
    "its key is a certificate": (secret(CRT, CRT), rejected(Reason.UNEXPECTED_BLOCK, ONE_KEY)),
    "its key is OpenSSH's": (
        secret(CRT, pem(b"x", "OPENSSH PRIVATE KEY")),
        rejected(Reason.UNEXPECTED_BLOCK, ONE_KEY),
    ),
    "its key is text": (secret(CRT, b"canary"), rejected(Reason.UNEXPECTED_BLOCK, ONE_KEY)),
    "its key is cut off": (secret(CRT, KEY[:80]), rejected(Reason.UNEXPECTED_BLOCK, f"tls.key: {CUT_OFF}")),
    "its key is not ASN.1": (secret(CRT, pem(b"canary", "PRIVATE KEY")), rejected(Reason.INVALID_KEY)),
    # what the certificate is
    "it is temporary": (unfit.temporary(ISSUER, NAME, NAMES), rejected(Reason.TEMPORARY)),
    "it is an authority": (unfit.authority(ISSUER, "ca"), rejected(Reason.IS_CA)),
    "its chain is reversed": (unfit.reversed_chain(ISSUER, NAME, NAMES), rejected(Reason.IS_CA)),
    "its key is that of another": (unfit.mismatched_key(ISSUER, NAME, NAMES), rejected(Reason.KEY_MISMATCH)),
    "its key is of another kind": (secret(CRT, pkcs8(rsa_key())), rejected(Reason.KEY_MISMATCH)),
    "its key is RSA with 1024 bits": (
        unfit.weak_key(ISSUER, NAME, NAMES),
        rejected(Reason.WEAK_KEY, "RSA, 1024 bits"),
    ),
    "its key is RSA with 2047 bits": (pair(rsa_key(2047)), rejected(Reason.WEAK_KEY, "RSA, 2047 bits")),
    "its key is DSA": (pair(dsa_key()), rejected(Reason.WEAK_KEY, "unusual kind of key")),
    "its key is Ed448": (
        pair(ed448.Ed448PrivateKey.generate()),
        rejected(Reason.WEAK_KEY, "unusual kind of key"),
    ),
    "its key is on an unusual curve": (
        pair(ec.generate_private_key(ec.SECP256K1())),
        rejected(Reason.WEAK_KEY, "unusual kind of key"),
    ),
    "its key has a wrong private exponent": (
        wrong_exponent(),
        rejected(Reason.BROKEN_KEY, "its exponents do not belong together"),
    ),
    "it is signed with its own key": (SELF_SIGNED, rejected(Reason.SELF_SIGNED)),
    "a certificate is signed with SHA-1": (
        CHAINS["a leaf signed with SHA-1, alone"].secret,
        rejected(Reason.WEAK_SIGNATURE, "certificate 1, sha1"),
    ),
    "a needless certificate is signed with SHA-1": (
        CHAINS["an extra signed with SHA-1"].secret,
        rejected(Reason.WEAK_SIGNATURE, "certificate 3, sha1"),
    ),
    "its second certificate did not issue the first": (
        secret(LEAF + OTHER.pem),
        rejected(Reason.CHAIN_ORDER, "no other certificate issued the leaf"),
    ),
    "its issuer is no authority": (
        signed_by(pki.new_key(), is_ca=False),
        rejected(Reason.CHAIN_ORDER, "certificate 2 issued the leaf, but it is not a certificate authority"),
    ),
    "its issuer has expired": (
        signed_by(pki.new_key(), not_after=NOW),
        rejected(Reason.CHAIN_ORDER, "certificate 2 issued the leaf, but it has expired"),
    ),
    "its issuer is not valid yet": (
        signed_by(pki.new_key(), not_before=NOW + timedelta(minutes=5, seconds=1)),
        rejected(Reason.CHAIN_ORDER, "certificate 2 issued the leaf, but it is not valid yet"),
    ),
    "its serial number is negative": (
        CHAINS["a leaf with a negative serial number"].secret,
        rejected(Reason.INVALID_CERTIFICATE, "tls.crt: a negative serial number"),
    ),
    "its issuer has a weak key": (
        signed_by(rsa_key(1024)),
        rejected(Reason.WEAK_KEY, "RSA, 1024 bits"),
    ),
    "it has a byte order mark": (  # OpenSSL takes it, Go does not
        secret(b"\xef\xbb\xbf" + CRT, KEY),
        rejected(Reason.UNEXPECTED_BLOCK, f"tls.crt: line 1 {NO_FIT}"),
    ),
    "it is not valid yet": (
        unfit.not_yet_valid(ISSUER, NAME, NAMES),
        rejected(Reason.NOT_YET_VALID, "from 2026-03-02 12:00 UTC"),
    ),
    "it has expired": (
        unfit.expired(ISSUER, NAME, NAMES),
        rejected(Reason.EXPIRED, "since 2026-02-28 12:00 UTC"),
    ),
}


@pytest.mark.parametrize(("found", "expected"), UNFIT.values(), ids=UNFIT)
def test_unfit_secret_is_rejected_when(found: dict[str, Any], expected: Rejection) -> None:
    """Each fault has its own reason, and its detail contains none of the data."""
    assert ask(found) == expected
    assert "canary" not in expected.model_dump_json()


def test_every_reason_of_the_checks_has_a_case() -> None:
    """Each reason of a check has a case above; NotReady and ExaminationFailed are not from checks."""
    every = tuple(Reason)
    of_checks = set(every[every.index(Reason.MISSING_DATA) :]) - {Reason.NOT_READY, Reason.EXAMINATION_FAILED}
    met = {expected.reason for _, expected in UNFIT.values()} | {unparsable().reason}
    assert met == of_checks


def unparsable() -> Rejection:
    """A certificate that can be parsed except for its public key."""
    point = x509.load_pem_x509_certificate(LEAF).public_key()
    assert isinstance(point, ec.EllipticCurvePublicKey)
    number = point.public_numbers().x.to_bytes(32, "big")
    found = ask(secret(pem(DER.replace(number, bytes(32))) + INTERMEDIATE))
    assert isinstance(found, Rejection)
    return found


def test_unfit_secret_is_rejected_when_its_public_key_is_no_point() -> None:
    """The detail names the part that can't be parsed."""
    assert unparsable() == rejected(Reason.INVALID_CERTIFICATE, "its public key")


# -- what other programs make of it ----------------------------------------------------------------


STRANGE = {
    "two blocks on one line": CRT.replace(BLOCK_END, BLOCK_END.rstrip()),
    "line ends of an old Macintosh": CRT.replace(b"\n", b"\r"),
    "a certificate on one line": CRT.replace(b"\n", b" "),
    "blanks before the first block": b"  " + CRT,
    "headers within a block": CRT.replace(b"CERTIFICATE-----\n", b"CERTIFICATE-----\nname: value\n\n", 1),
}


@pytest.mark.parametrize(
    "found",
    [
        *(pytest.param(secret(crt), id=text) for text, crt in STRANGE.items()),
        *(pytest.param(found, id=text) for text, found in HARMLESS.items()),
    ],
)
def test_accepted_secret_can_be_served(found: dict[str, Any], tmp_path: Path) -> None:
    """OpenSSL loads leaf, chain and key of every fit Secret, as ingress controllers do."""
    if isinstance(ask(found), Rejection):
        return
    files = [tmp_path / "tls.crt", tmp_path / "tls.key"]
    for file in files:
        file.write_bytes(base64.b64decode(found["data"][file.name]))
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(files[0], files[1])


# -- whatever lies there ---------------------------------------------------------------------------


def is_told(found: dict[str, Any]) -> bool:
    return isinstance(ask(found), Certificate | Rejection)


@law
@given(crt=st.binary(), key=st.binary())
def test_examine_answers_whatever_the_bytes(crt: bytes, key: bytes) -> None:
    """Arbitrary bytes lead to a result, never to an exception."""
    assert is_told(secret(crt, key))
    assert is_told(secret(pem(crt), pem(key, "PRIVATE KEY")))


@law
@given(
    st.dictionaries(
        st.sampled_from(["tls.crt", "tls.key", "ca.crt"]),
        st.none() | st.integers() | st.text("aZ9+/=ä\0", max_size=9),
    )
)
def test_examine_answers_whatever_the_values(data: dict[str, Any]) -> None:
    """Values that no API server writes are rejected."""
    assert isinstance(ask({"metadata": {}, "data": data}), Rejection)


MUTATIONS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)


def mutated(content: bytes, mutations: list[tuple[int, int]]) -> bytes:
    changed = bytearray(content)
    for place, value in mutations:
        changed[place % len(changed)] = value
    return bytes(changed)


def answers_to(kind: str, mutations: list[tuple[int, int]]) -> bool:
    """Return whether a damaged certificate or key has a result."""
    if kind == "text of tls.crt":
        return is_told(secret(mutated(CRT, mutations)))
    if kind == "text of tls.key":
        return is_told(secret(CRT, mutated(KEY, mutations)))
    if kind == "certificate":
        return is_told(secret(pem(mutated(DER, mutations)) + INTERMEDIATE))
    key = rsa_key().private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return is_told(secret(rsa_certificate(), pem(mutated(key, mutations), "RSA PRIVATE KEY")))


@cache
def rsa_certificate() -> bytes:
    return issued(rsa_key()) + INTERMEDIATE


@pytest.mark.parametrize("kind", ["text of tls.crt", "text of tls.key", "certificate", "RSA key"])
@settings(law, max_examples=200)
@given(mutations=MUTATIONS)
def test_examine_answers_whatever_is_damaged(kind: str, mutations: list[tuple[int, int]]) -> None:
    """Flipped bytes in the text or inside the ASN.1 lead to a result, never to an exception."""
    assert answers_to(kind, mutations)


def test_unfit_secret_is_rejected_when_its_version_is_unknown() -> None:
    """A Secret with an unknown X.509 version is rejected and does not stop the run."""
    version = bytes.fromhex("a003020102")
    crt = pem(DER.replace(version, version[:-1] + b"\x03", 1)) + INTERMEDIATE
    assert ask(secret(crt)) == rejected(Reason.INVALID_CERTIFICATE, "tls.crt")


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({"metadata": {}, "data": ["canary"]}, id="data is a list"),
        pytest.param({"metadata": {}, "data": "canary"}, id="data is a text"),
        pytest.param({"metadata": "canary", "data": {}}, id="metadata is a text"),
    ],
)
def test_unfit_secret_is_rejected_when_its_shape_is_wrong(found: dict[str, Any]) -> None:
    """A Secret whose `data` or `metadata` is not a mapping is rejected without an internal error."""
    assert isinstance(ask(found), Rejection)


@law
@given(mutations=MUTATIONS, length=st.integers(0, 3000))
def test_rejection_shows_nothing_of_the_key(mutations: list[tuple[int, int]], length: int) -> None:
    """No rejection contains a line of the Secret's key."""
    found = ask(secret(CRT, mutated(KEY, mutations)[:length]))
    told = found.model_dump_json()
    assert not any(line.decode() in told for line in KEY.splitlines() if not line.startswith(b"--"))


@pytest.mark.parametrize(("bits", "fits"), [(8192, True), (8193, False), (65536, False)])
def test_a_huge_key_is_not_even_tried(bits: int, fits: bool) -> None:
    """A huge key is refused before it signs: one signature would take minutes."""
    numbers = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) + 1)
    with nullcontext() if fits else pytest.raises(CheckFailed, match=f"RSA, {bits} bits"):
        checks.require_strength(numbers.public_key())


@pytest.mark.parametrize("number", ["0", "1234567890", "9"])
def test_a_serial_number_in_the_subject_is_nothing_bad(number: str) -> None:
    """A serial number in the subject does not make a certificate temporary; cert-manager writes none."""
    key = pki.new_key()
    subject = name((NameOID.COMMON_NAME, NAMES[0]), (NameOID.SERIAL_NUMBER, number))
    assert isinstance(ask(secret(issued(key, subject=subject) + INTERMEDIATE, pkcs8(key))), Certificate)


def test_self_signed_is_refused_unless_it_is_allowed() -> None:
    """By default a self-signed certificate is refused."""
    assert not Policy(now=NOW).allow_self_signed


# -- temporary certificates ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", recorded.KINDS)
def test_a_real_temporary_certificate_is_rejected(kind: recorded.Kind) -> None:
    """Temporary certificates of cert-manager's own code are recognised without annotations."""
    found, _ = recorded.temporary(kind)
    now = leaf_of(found).not_valid_before_utc + timedelta(hours=1)
    assert ask(found, now) == rejected(Reason.TEMPORARY)
    found["metadata"]["annotations"] = {}
    assert ask(found, now) == rejected(Reason.TEMPORARY)
    found["metadata"]["annotations"] = SECRET["metadata"]["annotations"]  # before v1.13 it named the issuer
    assert ask(found, now) == rejected(Reason.TEMPORARY)


def of_local(*beside: bytes, ca_crt: bytes = b"", issuer: x509.Name | None = None) -> dict[str, Any]:
    """A leaf issued by an authority with the name of cert-manager's temporary issuer."""
    own = pki.new_key()
    leaf = issued(own, issuer=issuer or name((NameOID.COMMON_NAME, LOCAL)), signer=LOCAL_KEY)
    return secret(b"".join([leaf, *beside]), pkcs8(own), ca_crt=ca_crt)


LOCAL, LOCAL_KEY = "cert-manager.local", pki.new_key()
LOCAL_CA = authority(LOCAL, LOCAL_KEY)
OF_LOCAL: dict[str, tuple[dict[str, Any], Reason | None]] = {
    "alone": (of_local(), Reason.TEMPORARY),
    "its authority beside it": (of_local(LOCAL_CA), None),
    "its authority in ca.crt": (of_local(ca_crt=LOCAL_CA), None),
    "another authority beside it": (of_local(OTHER.pem), Reason.TEMPORARY),
    "another authority in ca.crt": (of_local(ca_crt=OTHER.pem), Reason.TEMPORARY),
    "a leaf of that name beside it": (of_local(authority(LOCAL, LOCAL_KEY, is_ca=False)), Reason.TEMPORARY),
    "of a longer name": (
        of_local(issuer=name((NameOID.ORGANIZATION_NAME, "x"), (NameOID.COMMON_NAME, LOCAL))),
        None,
    ),
    "of a name that only begins so": (of_local(issuer=name((NameOID.COMMON_NAME, f"{LOCAL}.org"))), None),
}


@pytest.mark.parametrize(("found", "reason"), OF_LOCAL.values(), ids=OF_LOCAL)
def test_temporary_is_what_cert_manager_local_issued(found: dict[str, Any], reason: Reason | None) -> None:
    """The issuer's whole name must match, and no authority of that name may be in the Secret."""
    answer = ask(found)
    assert (answer.reason if isinstance(answer, Rejection) else None) is reason


def without_issuer(found: dict[str, Any]) -> dict[str, Any]:
    annotations = {k: v for k, v in found["metadata"]["annotations"].items() if "issuer" not in k}
    return {**found, "metadata": {**found["metadata"], "annotations": annotations}}


def test_who_tells_of_no_issuer_is_temporary_only_where_nothing_else_tells_of_one() -> None:
    """A single certificate without ca.crt whose Secret names its Certificate and no issuer is temporary."""
    assert ask(without_issuer(secret(LEAF))) == rejected(Reason.TEMPORARY)
    stripped = without_issuer(secret(LEAF))
    del stripped["metadata"]["annotations"]["cert-manager.io/certificate-name"]
    for found in (
        secret(LEAF),
        stripped,
        without_issuer(secret()),
        without_issuer(secret(LEAF, ca_crt=CA_PEM)),
    ):
        assert isinstance(ask(found), Certificate)


# -- what cryptography says on the side ------------------------------------------------------------


def oddities() -> dict[str, dict[str, Any]]:
    key, long = pki.new_key(), x509.NameAttribute(NameOID.COMMON_NAME, "x" * 65, _validate=False)
    return {
        "a negative serial number": CHAINS["an extra with a negative serial number"].secret,
        "a name that is too long": secret(issued(key, subject=x509.Name([long])) + INTERMEDIATE, pkcs8(key)),
        "a negative serial number in ca.crt": secret(
            ca_crt=b"".join(
                part + BLOCK_END
                for part in CHAINS["an extra with a negative serial number"].crt.split(BLOCK_END)[2:3]
            )
        ),
    }


@pytest.mark.parametrize(
    "odd", ["a negative serial number", "a name that is too long", "a negative serial number in ca.crt"]
)
def test_no_warning_escapes(odd: str) -> None:
    """Warnings of cryptography are neither shown nor raised, in any thread; later warnings of others are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = oddities()[odd]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ThreadPoolExecutor(8) as pool:
            assert all(isinstance(one, Found) for one in pool.map(ask, [found] * 64))
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)


# -- copies on a target ----------------------------------------------------------------------------


def test_without_a_moment_no_date_counts() -> None:
    """Without a time, validity periods of leaf and issuer are ignored; every other check applies."""
    timeless = Policy(now=None)
    for found in (unfit.expired(ISSUER, NAME, NAMES), unfit.not_yet_valid(ISSUER, NAME, NAMES)):
        assert isinstance(check_secret(REF, found, timeless), Certificate)
    for said in ({"not_after": NOW}, {"not_before": NOW + timedelta(days=1)}):
        assert isinstance(check_secret(REF, signed_by(pki.new_key(), **said), timeless), Certificate)
    for found, expected in UNFIT.values():
        if (
            expected.reason not in (Reason.EXPIRED, Reason.NOT_YET_VALID)
            and "valid yet" not in expected.detail
        ):
            again = check_secret(REF, found, timeless)
            assert "expired" in expected.detail or again == expected
