"""Is this the private key of that certificate, and sound? Pure; holds key material for one function call.

Each part of an RSA key is bounded by the modulus of the certificate, whose size a check has bounded, before
anything is worked out with it. The rules are Go's (crypto/rsa), and so those of API servers and of many
programs that would serve the key. OpenSSL's own validation takes a thousand times as long.
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
from tasks.source.key_kinds import UNUSUAL, Kind, kind_of_private, require_curve
from tasks.source.refusal import CheckFailed, as_check_failure

BLOCK = re.compile(rb"-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----([\w+/=\s]*)-----END \1-----", re.ASCII)
KINDS = {
    Kind.RSA: rsa.RSAPublicKey,
    Kind.EC: ec.EllipticCurvePublicKey,
    Kind.ED25519: ed25519.Ed25519PublicKey,
}
PROOF = b"tls-sync: does this key sign for this certificate?"
RSA_VERSION = der.Element(der.INTEGER, b"\0")
"""Of keys of two primes."""
EC_VERSION = der.Element(der.INTEGER, b"\1")
ED25519_BYTES = 32
MAX_EXPONENT = 2**31
"""Of the public one: Go takes no larger one."""
DISTANCE = 100
"""Primes whose upper 100 bits are the same are found at once (Fermat's factorization)."""


class Written(NamedTuple):
    """A private key as it is written."""

    kind: Kind
    whole: bytes
    """The DER of its PEM block."""
    bare: bytes
    """The same without PKCS#8 around it."""


def require_key(pem: bytes, public: PublicKeyTypes) -> None:
    """Raises Refused unless the one key in this PEM is that of the public key, consistent, and signs."""
    with as_check_failure(Reason.INVALID_KEY):
        written = _read(pem)
    if not isinstance(public, KINDS[written.kind]):
        raise CheckFailed(Reason.KEY_MISMATCH)
    if isinstance(public, rsa.RSAPublicKey):
        _require_consistency(written.bare, public.public_numbers())
    with as_check_failure(Reason.INVALID_KEY):
        key = load_der_private_key(written.whole, password=None, unsafe_skip_rsa_key_validation=True)
    if key.public_key() != public:
        raise CheckFailed(Reason.KEY_MISMATCH)
    _require_signature(key, public)


def _read(pem: bytes) -> Written:
    """ValueError where it is not written as its label says."""
    block = BLOCK.search(pem)
    if not block:
        raise ValueError("no private key")
    whole = base64.b64decode(b"".join(block[2].split()), validate=True)
    if block[1] == b"RSA PRIVATE KEY":
        return Written(Kind.RSA, whole, whole)
    if block[1] == b"EC PRIVATE KEY":
        _require_curve(whole)
        return Written(Kind.EC, whole, whole)
    _version, algorithm, inner, *_attributes = der.sequence(whole, most=5)
    kind = kind_of_private(algorithm.content)
    if kind is Kind.EC:
        _require_curve(inner.content)
    if kind is Kind.ED25519:
        _require_seed(inner.content)
    return Written(kind, whole, inner.content)


def _require_curve(key: bytes) -> None:
    """In PKCS#8 it may be named outside alone; a key of its own that names none can't be loaded."""
    version, scalar, *others = der.sequence(key, most=4)
    if version != EC_VERSION or scalar.tag != der.OCTET_STRING:
        raise ValueError("not an EC key")
    for part in others:
        if part.tag == der.OPTIONAL:
            require_curve(part.content)


def _require_seed(key: bytes) -> None:
    ((tag, seed),) = der.elements(key)
    if tag != der.OCTET_STRING or len(seed) != ED25519_BYTES:
        raise ValueError("not the length of an Ed25519 key")


def _require_consistency(key: bytes, public: rsa.RSAPublicNumbers) -> None:
    with as_check_failure(Reason.INVALID_KEY):
        version, *parts = der.sequence(key, most=10)
        _require_two_primes(version, parts)
    n, e, *others = (int.from_bytes(part.content, "big") for part in parts)
    if (n, e) != (public.n, public.e):
        raise CheckFailed(Reason.KEY_MISMATCH)
    if max(others) > n:  # before anything is worked out with them
        raise CheckFailed(Reason.BROKEN_KEY, "a part of it is larger than its modulus")
    if contradiction := _contradiction(n, e, *others):
        raise CheckFailed(Reason.BROKEN_KEY, contradiction)


def _require_two_primes(version: der.Element, parts: list[der.Element]) -> None:
    """The version says so, and eight positive numbers follow: n, e, d, p, q, their exponents, 1/q mod p."""
    written = version == RSA_VERSION and len(parts) == 8
    if not written or any(tag != der.INTEGER or not b"\0" <= content < b"\x80" for tag, content in parts):
        raise ValueError("not an RSA key of two primes")


def _contradiction(  # noqa: PLR0913, PLR0917  an RSA key consists of these
    n: int, e: int, d: int, p: int, q: int, dp: int, dq: int, qi: int
) -> str:
    """The first rule that it breaks; empty where it keeps all of them."""
    half = n.bit_length() // 2
    if e < 3 or e >= MAX_EXPONENT or e % 2 == 0:
        return "its public exponent is not odd, or not between 3 and 2^31"
    if p * q != n or n in (p, q) or abs(p - q).bit_length() <= half - DISTANCE:
        return "its primes do not make its modulus, or are too close to each other"
    if d >= n or d.bit_length() <= half:
        return "its private exponent is too small or too large"
    if (dp, dq) != (d % (p - 1), d % (q - 1)) or e * dp % (p - 1) != 1 or e * dq % (q - 1) != 1:
        return "its exponents do not belong together"
    return "" if qi < p and q * qi % p == 1 else "its coefficient does not fit its primes"


def _require_signature(key: PrivateKeyTypes, public: PublicKeyTypes) -> None:
    """The last proof: of a prime that is none, only a signature tells."""
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
