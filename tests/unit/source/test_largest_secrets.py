"""The largest Secrets are checked in bounded time."""

import base64
import time
from collections.abc import Iterator, Mapping
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tasks.config.limits import MAX_DATA_BYTES
from tasks.domain.models import Certificate, Rejection
from tasks.source.checks import Policy, check_secret
from tasks.source.tls_secret import CA, CERTIFICATE, KEY, MAX_CERTIFICATE_BYTES, MAX_CERTIFICATES
from tests.support.chain_cases import certificate, rsa_key
from tests.support.factories import NOW
from tests.unit.source.test_checks import REF

COMMENT = b"a comment of sixty-four characters, as tools write between them\n"
BITS = 8192


@cache
def leaf(*, intact: bool = True) -> bytes:
    """A leaf of the CA, or one with a wrong signature that takes as long to verify."""
    key = rsa_key(BITS)
    made = certificate("web", key, "ca", key, is_ca=False)
    if intact:
        return made.public_bytes(Encoding.PEM)
    der = bytearray(made.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_certificate(bytes(der)).public_bytes(Encoding.PEM)


@cache
def authorities() -> list[bytes]:
    """Authorities with one name and key, so that each issued every other and the leaf."""
    key = rsa_key(BITS)
    made = [certificate("ca", key, "ca", key) for _ in range(MAX_CERTIFICATES - 1)]
    return [one.public_bytes(Encoding.PEM) for one in made]


def padded(written: bytes, size: int) -> bytes:
    return written + COMMENT * ((size - len(written)) // len(COMMENT))


def largest() -> Iterator[tuple[str, bytes, int]]:
    """Name, tls.crt, and the number of bytes of certificates in ca.crt."""
    chain = b"".join(authorities())
    rest = MAX_DATA_BYTES - MAX_CERTIFICATE_BYTES - 16 * 1024
    for intact in (True, False):
        yield f"a chain, {intact=}", padded(leaf(intact=intact) + chain, MAX_CERTIFICATE_BYTES), rest
        yield f"a leaf alone, {intact=}", leaf(intact=intact), rest + MAX_CERTIFICATE_BYTES - 16 * 1024


def data() -> Mapping[str, dict[str, bytes]]:
    key = rsa_key(BITS).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    ca = authorities()[0]
    return {name: {CERTIFICATE: crt, KEY: key, CA: ca * (size // len(ca))} for name, crt, size in largest()}


def test_the_largest_secrets_take_less_than_a_second(subtests: pytest.Subtests) -> None:
    """RSA keys of 8,192 bits, all issued by each other, at the size limit: less than 1 s of CPU."""
    for name, material in data().items():
        written = {key: base64.b64encode(value).decode() for key, value in material.items()}
        with subtests.test(name):
            begin = time.thread_time()
            found = check_secret(REF, {"type": "kubernetes.io/tls", "data": written}, Policy(now=NOW))
            took = time.thread_time() - begin
            assert isinstance(found, Certificate | Rejection)
            assert took < 1
