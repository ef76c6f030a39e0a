"""Combined formats hold just what tls.crt and tls.key hold; keystores hold what nobody can verify."""

import base64
import hashlib
from typing import Any

import pytest

from deployments.sandbox.world.cert_manager import Issuer, KeyFormat, KeyKind
from tasks.domain.further_keys import FURTHER_KEYS, KEYSTORES
from tasks.domain.models import Certificate, SecretRef
from tasks.domain.reasons import Reason
from tasks.source.checks import Policy, check_secret
from tasks.source.further_keys import examine
from tasks.source.tls_secret import TLSSecret
from tests.support.factories import NOW
from tests.support.formats import with_formats

ISSUER = Issuer(now=NOW)
REF = SecretRef(namespace="certificates-ops", name="web-tls")
PLAIN = ISSUER.secret("web-tls", ["web.example.org"])
OTHER = ISSUER.secret("web-tls", ["web.example.org"])


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def value(secret: dict[str, Any], key: str) -> bytes:
    return base64.b64decode(secret["data"][key])


def checked(data: dict[str, str], secret: dict[str, Any] = PLAIN) -> Certificate:
    found = check_secret(REF, {**secret, "data": secret["data"] | data}, Policy(now=NOW))
    assert isinstance(found, Certificate)
    return found


def faults(data: dict[str, str], secret: dict[str, Any] = PLAIN) -> dict[str, Reason | None]:
    return {one.name: one.fault for one in checked(data, secret).further}


KINDS: list[tuple[KeyKind, KeyFormat]] = [
    ("ec", "traditional"),
    ("ec", "pkcs8"),
    ("rsa", "traditional"),
    ("rsa", "pkcs8"),
]


@pytest.mark.parametrize(("kind", "form"), KINDS)
def test_what_cert_manager_writes_may_be_sent(kind: KeyKind, form: KeyFormat) -> None:
    """key.der in the encoding of tls.key; key, line feed and certificate in tls-combined.pem; keystores."""
    secret = ISSUER.secret("web-tls", ["web.example.org"], key=kind, key_format=form)
    found = checked(with_formats(secret["data"]), secret)
    assert [(one.name, one.fault) for one in found.further] == [
        ("key.der", None),
        ("keystore.p12", None),
        ("tls-combined.pem", None),
    ]
    assert found.size == sum(len(value(secret, key)) for key in ("tls.crt", "tls.key"))
    assert all(one.size and one.digest for one in found.further)


KEY, CRT = value(PLAIN, "tls.key"), value(PLAIN, "tls.crt")
DER = base64.b64decode(with_formats(PLAIN["data"])["key.der"])
OTHERS_DER = base64.b64decode(with_formats(OTHER["data"])["key.der"])
MISMATCHES: dict[str, dict[str, bytes]] = {
    "the key of another certificate": {"key.der": OTHERS_DER},
    "one byte less": {"key.der": DER[:-1]},
    "one byte more": {"key.der": DER + b"\0"},
    "one other byte": {"key.der": DER[:-1] + bytes([DER[-1] ^ 1])},
    "PEM in place of DER": {"key.der": KEY},
    "the certificate first": {"tls-combined.pem": CRT + b"\n" + KEY},
    "another key": {"tls-combined.pem": value(OTHER, "tls.key") + b"\n" + CRT},
    "another certificate": {"tls-combined.pem": KEY + b"\n" + value(OTHER, "tls.crt")},
    "the key alone": {"tls-combined.pem": KEY},
    "the leaf without its issuer": {"tls-combined.pem": KEY + b"\n" + CRT.split(b"-----END")[0]},
    "something between them": {"tls-combined.pem": KEY + b"# a comment\n" + CRT},
    "one more certificate": {"tls-combined.pem": KEY + b"\n" + CRT + CRT},
    "a second key": {"tls-combined.pem": KEY + KEY + CRT},
    "parts that overlap": {"tls-combined.pem": (KEY + CRT)[:-1]},
}


@pytest.mark.parametrize("data", MISMATCHES.values(), ids=MISMATCHES)
def test_a_combined_format_holds_just_the_same(data: dict[str, bytes]) -> None:
    """Anything else is a fault of this key; the certificate itself stays fit."""
    (name,) = data
    assert faults({name: encoded(data[name])}) == {name: Reason.FORMAT_MISMATCH}


@pytest.mark.parametrize("between", [b"", b"\n", b"\r\n"])
def test_between_key_and_certificate_there_is_a_line_end_at_most(between: bytes) -> None:
    """cert-manager writes a line feed, and so a blank line."""
    assert faults({"tls-combined.pem": encoded(KEY + between + CRT)}) == {"tls-combined.pem": None}


def test_a_key_without_content_is_not_there() -> None:
    """As an empty ca.crt is not: a route that names it says that it is missing."""
    assert faults({"key.der": "", "keystore.jks": ""}) == {}


def test_a_value_that_is_no_base64_is_a_fault_of_its_key() -> None:
    """No API server writes it; the certificate is fit all the same."""
    assert faults({"key.der": "?", "keystore.p12": "?"}) == {
        "key.der": Reason.INVALID_ENCODING,
        "keystore.p12": Reason.INVALID_ENCODING,
    }


def test_only_known_keys_are_looked_at() -> None:
    """Another name is never copied, whatever it holds."""
    assert faults({"other.p12": encoded(b"x"), "tls-combined.pem.bak": encoded(b"x")}) == {}
    assert faults(dict.fromkeys(KEYSTORES, encoded(b"x"))) == dict.fromkeys(sorted(KEYSTORES))


def test_each_byte_changes_the_digest_and_no_fingerprint() -> None:
    """The digest is of the key, of its content and of the certificate; the fingerprint is as without it."""
    one, other = (checked({"keystore.p12": encoded(text)}) for text in (b"one", b"two"))
    assert one.version == other.version == checked({}).version
    assert one.further[0].digest != other.further[0].digest
    renewed = checked({"keystore.p12": encoded(b"one")}, OTHER)
    assert renewed.further[0].digest != one.further[0].digest
    moved = checked({"keystore.jks": encoded(b"one")})
    assert moved.further[0].digest != one.further[0].digest


def test_a_digest_is_of_a_stated_form() -> None:
    """Copies carry it: another form would write each of them once more."""
    found = checked({"keystore.p12": encoded(b"one")})
    text = f"{found.version.fingerprint} keystore.p12 3:one"
    assert found.further[0].digest == hashlib.sha256(text.encode()).hexdigest()[:32]


def test_the_facts_hold_no_key() -> None:
    """Neither in DER nor in PEM, nor a byte of a keystore."""
    data = with_formats(PLAIN["data"]) | {"keystore.jks": encoded(b"canary")}
    told = checked(data).model_dump_json()
    assert "canary" not in told
    assert data["key.der"][20:60] not in told
    assert data["tls.key"][20:60] not in told


def test_a_certificate_without_further_keys_has_no_further_facts() -> None:
    """It costs as much memory as before."""
    found = checked({})
    assert (found.further, found.size) == ((), 0)


def test_the_data_of_a_copy_has_what_its_route_names() -> None:
    """The further keys of the route beside those of every copy, and no others."""
    data = with_formats(PLAIN["data"])
    secret = TLSSecret({"data": data})
    assert secret.data_with(()) == secret.data == {"tls.crt": CRT, "tls.key": KEY}
    assert secret.data_with(["key.der"]) == secret.data | {"key.der": DER}
    assert {one.name for one in examine(secret)} <= FURTHER_KEYS
