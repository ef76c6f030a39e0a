"""Checks that a private key belongs to a certificate and is consistent. Pure.

Key material is in memory for one function call. Before any calculation with an RSA key, each of its numbers
is compared with the certificate's modulus, whose size checks.py limits. The rules are those of Go's
crypto/rsa and so of API servers and many programs that serve the key. OpenSSL's own validation takes a
thousand times as long.
"""

import base64
import re
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key

from tasks.domain.reasons import Reason
from tasks.source import der
from tasks.source.check_failure import CheckFailed, as_check_failure
from tasks.source.key_kinds import UNUSUAL, Kind, kind_of_private, require_curve

BLOCK = re.compile(rb"-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----([\w+/=\s]*)-----END \1-----", re.ASCII)
KINDS = {
    Kind.RSA: rsa.RSAPublicKey,
    Kind.EC: ec.EllipticCurvePublicKey,
    Kind.ED25519: ed25519.Ed25519PublicKey,
}
PROOF = b"tls-sync: does this key sign for this certificate?"
RSA_VERSION = der.Element(der.INTEGER, b"\0")
"""Version of RSA keys with two primes (RFC 8017)."""
EC_VERSION = der.Element(der.INTEGER, b"\1")
ED25519_BYTES = 32
MAX_EXPONENT = 2**31
"""Upper limit of the public exponent in Go."""
MIN_PRIME_DISTANCE_BITS = 100
"""Primes that agree in this many leading bits are found by Fermat's factorization."""


class EncodedKey(NamedTuple):
    """A private key in DER, before it is loaded."""

    kind: Kind
    der: bytes
    """The content of the PEM block."""
    inner: bytes
    """The key without the PKCS#8 wrapper."""


def require_key(pem: bytes, public: PublicKeyTypes) -> None:
    """Raise CheckFailed unless the key in `pem` belongs to the public key, is consistent, and can sign."""
    with as_check_failure(Reason.INVALID_KEY):
        encoded = _read(pem)
    if not isinstance(public, KINDS[encoded.kind]):
        raise CheckFailed(Reason.KEY_MISMATCH)
    if isinstance(public, rsa.RSAPublicKey):
        _require_consistency(encoded.inner, public.public_numbers())
    with as_check_failure(Reason.INVALID_KEY):
        key = load_der_private_key(encoded.der, password=None, unsafe_skip_rsa_key_validation=True)
    if key.public_key() != public:
        raise CheckFailed(Reason.KEY_MISMATCH)
    _require_signature(key, public)


def der_of(pem: bytes) -> bytes:
    """Return the content of the PEM block: the key in DER, as key.der has it."""
    with as_check_failure(Reason.INVALID_KEY):
        return _read(pem).der


def _read(pem: bytes) -> EncodedKey:
    """Raises ValueError if the content of the PEM block does not match its label."""
    block = BLOCK.search(pem)
    if not block:
        raise ValueError("no private key")
    whole = base64.b64decode(b"".join(block[2].split()), validate=True)
    if block[1] == b"RSA PRIVATE KEY":
        return EncodedKey(Kind.RSA, whole, whole)
    if block[1] == b"EC PRIVATE KEY":
        _require_curve(whole)
        return EncodedKey(Kind.EC, whole, whole)
    _version, algorithm, inner, *_attributes = der.sequence(whole, max_elements=5)
    kind = kind_of_private(algorithm.content)
    if kind is Kind.EC:
        _require_curve(inner.content)
    if kind is Kind.ED25519:
        _require_seed(inner.content)
    return EncodedKey(kind, whole, inner.content)


def _require_curve(key: bytes) -> None:
    """In PKCS#8 the curve may be named outside only; a SEC 1 key without a curve can't be loaded."""
    version, scalar, *others = der.sequence(key, max_elements=4)
    if version != EC_VERSION or scalar.tag != der.OCTET_STRING:
        raise ValueError("not an EC key")
    for part in others:
        if part.tag == der.CONTEXT_0:
            require_curve(part.content)


def _require_seed(key: bytes) -> None:
    ((tag, seed),) = der.elements(key)
    if tag != der.OCTET_STRING or len(seed) != ED25519_BYTES:
        raise ValueError("not the length of an Ed25519 key")


def _require_consistency(key: bytes, public: rsa.RSAPublicNumbers) -> None:
    with as_check_failure(Reason.INVALID_KEY):
        version, *parts = der.sequence(key, max_elements=10)
        _require_two_primes(version, parts)
    n, e, *others = (int.from_bytes(part.content, "big") for part in parts)
    if (n, e) != (public.n, public.e):
        raise CheckFailed(Reason.KEY_MISMATCH)
    if max(others) > n:  # before any calculation with them
        raise CheckFailed(Reason.BROKEN_KEY, "a part of it is larger than its modulus")
    if contradiction := _find_contradiction(n, e, *others):
        raise CheckFailed(Reason.BROKEN_KEY, contradiction)


def _require_two_primes(version: der.Element, parts: list[der.Element]) -> None:
    """The version is 0, and eight positive integers follow: n, e, d, p, q, two exponents, 1/q mod p."""
    complete = version == RSA_VERSION and len(parts) == 8
    if not complete or any(tag != der.INTEGER or not b"\0" <= content < b"\x80" for tag, content in parts):
        raise ValueError("not an RSA key of two primes")


def _find_contradiction(  # noqa: PLR0913, PLR0917  an RSA key consists of these
    n: int, e: int, d: int, p: int, q: int, dp: int, dq: int, qi: int
) -> str:
    """Return the first rule that the key breaks, or an empty text."""
    half = n.bit_length() // 2
    if e < 3 or e >= MAX_EXPONENT or e % 2 == 0:
        return "its public exponent is not odd, or not between 3 and 2^31"
    if p * q != n or n in (p, q) or abs(p - q).bit_length() <= half - MIN_PRIME_DISTANCE_BITS:
        return "its primes do not make its modulus, or are too close to each other"
    if d >= n or d.bit_length() <= half:
        return "its private exponent is too small or too large"
    if (dp, dq) != (d % (p - 1), d % (q - 1)) or e * dp % (p - 1) != 1 or e * dq % (q - 1) != 1:
        return "its exponents do not belong together"
    return "" if qi < p and q * qi % p == 1 else "its coefficient does not fit its primes"


def _require_signature(key: PrivateKeyTypes, public: PublicKeyTypes) -> None:
    """Only a signature shows that a factor is not prime."""
    with as_check_failure(Reason.BROKEN_KEY):
        match key, public:
            case rsa.RSAPrivateKey(), rsa.RSAPublicKey():
                signature = key.sign(PROOF, padding.PKCS1v15(), hashes.SHA256())
                public.verify(signature, PROOF, padding.PKCS1v15(), hashes.SHA256())
            case ec.EllipticCurvePrivateKey(), ec.EllipticCurvePublicKey():
                public.verify(key.sign(PROOF, ec.ECDSA(hashes.SHA256())), PROOF, ec.ECDSA(hashes.SHA256()))
            case ed25519.Ed25519PrivateKey(), ed25519.Ed25519PublicKey():
                public.verify(key.sign(PROOF), PROOF)
            case _:
                raise CheckFailed(Reason.WEAK_KEY, UNUSUAL)
