"""Private keys in valid and invalid encodings, each with a certificate for its public key."""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import count
from math import lcm
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from deployments.sandbox.clusters import pki
from deployments.sandbox.world.cert_manager import Issuer
from tasks.domain.reasons import Reason
from tasks.source import key_kinds
from tasks.source.der import elements
from tasks.source.der import sequence as sequence_of
from tests.support.der_writer import bits, element, integer, octets, pem, sequence

NAMES = ("web.example.org",)
PKCS8, PKCS1, SEC1 = "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"
MERSENNE = 2**521 - 1
"""A prime that is far smaller than the other prime of any key."""
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of P-256."""
P256_PARAMETERS = bytes.fromhex(
    "020101302c06072a8648ce3d0101022100ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
    "30440420ffffffff00000001000000000000000000000000fffffffffffffffffffffffc04205ac635d8aa3a93e7b3ebbd"
    "55769886bc651d06b0cc53b0f63bce3c3e27d2604b0441046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4"
    "a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5022100ffffffff000000"
    "00ffffffffffffffffbce6faada7179e84f3b9cac2fc632551020101"
)
"""Explicit parameters of P-256 (RFC 3279), without the outer SEQUENCE."""
AnyKey = Any  # cryptography's union of keys that sign


class Rsa(NamedTuple):
    """The numbers of an RSA key, in the order in which PKCS#1 writes them."""

    n: int
    e: int
    d: int
    p: int
    q: int
    dp: int
    dq: int
    qi: int

    @property
    def pkcs1(self) -> bytes:
        return sequence(integer(0), *map(integer, self))

    @property
    def pkcs8(self) -> bytes:
        return pkcs8(key_kinds.RSA + key_kinds.NULL, self.pkcs1)

    @property
    def public(self) -> bytes:
        """The SubjectPublicKeyInfo of a certificate."""
        key = sequence(integer(self.n), integer(self.e))
        return sequence(sequence(key_kinds.RSA + key_kinds.NULL), bits(key))

    def flipped(self, part: str, bit: int = 1) -> "Rsa":
        return self._replace(**{part: getattr(self, part) ^ 1 << bit})


class Written(NamedTuple):
    """A key, a certificate for it, and why they are refused, or None if they are fit."""

    key: bytes
    crt: bytes
    expected: Reason | None


def rsa_of(p: int, q: int, e: int = 65537) -> Rsa:
    """Return a consistent key of these primes."""
    d = pow(e, -1, (p - 1) * (q - 1))
    return Rsa(p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))


@cache
def generated(size: int = 2048, e: int = 65537) -> Rsa:
    found = rsa.generate_private_key(public_exponent=e, key_size=size).private_numbers()
    return Rsa(found.public_numbers.n, e, found.d, found.p, found.q, found.dmp1, found.dmq1, found.iqmp)


def next_prime(number: int) -> int:
    """Return the next prime by Fermat's test, which suffices for random numbers."""
    return next(one for one in count(number + 1 + number % 2, 2) if pow(2, one - 1, one) == 1)


def pkcs8(algorithm: bytes, inner: bytes, *more: bytes, version: int = 0) -> bytes:
    return sequence(integer(version), sequence(algorithm), octets(inner), *more)


def der_of(key: AnyKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    written: bytes = key.private_bytes(Encoding.DER, form, NoEncryption())
    return written


def public_of(key: AnyKey) -> bytes:
    written: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return written


def certified(issuer: Issuer, public: bytes) -> bytes:
    """Return a correctly signed tls.crt whose leaf has this SubjectPublicKeyInfo."""
    leaf = issuer.leaf(pki.new_key(), NAMES)
    ((_, content),) = elements(leaf.tbs_certificate_bytes)
    parts = [element(*part) for part in elements(content)]
    written = sequence(*parts[:6], public, *parts[7:])
    _, algorithm, _ = (
        element(*part) for part in sequence_of(leaf.public_bytes(Encoding.DER), max_elements=3)
    )
    signature = issuer.intermediate.key.sign(written, ec.ECDSA(hashes.SHA256()))
    return pem(sequence(written, algorithm, bits(signature))) + issuer.intermediate.pem


def rsa_keys() -> Iterator[tuple[str, bytes, str, bytes, Reason | None]]:
    """Yield name, DER and label of each key, its public key, and the expected result."""
    sound, other = generated(), generated(3072)
    broken, invalid, mismatch = Reason.BROKEN_KEY, Reason.INVALID_KEY, Reason.KEY_MISMATCH
    p, q = sound.p, sound.q
    composite, close = generated(1024).n, next_prime(p)
    numbers: Mapping[str, tuple[Rsa, Reason | None]] = {
        "sound": (sound, None),
        "of 3072 bits": (other, None),
        "with exponent 3": (generated(2048, 3), None),
        "with the largest exponent": (rsa_of(p, q, 2**31 - 1), None),
        "swapped, with its coefficient": (
            Rsa(sound.n, sound.e, sound.d, q, p, sound.dq, sound.dp, pow(p, -1, q)),
            None,
        ),
        "d by Carmichael": (sound._replace(d=pow(sound.e, -1, lcm(p - 1, q - 1))), None),
        "swapped, with the other coefficient": (sound._replace(p=q, q=p), broken),
        "one prime far smaller": (rsa_of(MERSENNE, other.q), None),
        "of a composite prime": (rsa_of(composite, other.q), broken),
        "of one prime twice": (sound._replace(q=p, n=p * p), broken),
        "of close primes": (rsa_of(p, close), broken),
        "of 1 and n": (sound._replace(p=1, q=sound.n, dp=0, dq=sound.d, qi=0), broken),
        "with exponent 1": (Rsa(sound.n, 1, 1, p, q, 1, 1, sound.qi), Reason.INVALID_CERTIFICATE),
        "with an even exponent": (sound._replace(e=65536), Reason.INVALID_CERTIFICATE),
        "with an exponent too large": (rsa_of(p, q, 2**31 + 11), broken),
        "with d beyond n": (sound._replace(d=sound.d + (p - 1) * (q - 1)), broken),
        "with dp beyond p": (sound._replace(dp=sound.dp + p - 1), broken),
        "with a coefficient beyond p": (sound._replace(qi=sound.qi + p), broken),
        "with a coefficient of nothing": (sound._replace(qi=0), broken),
        "with a negative d": (sound._replace(d=-sound.d), invalid),
        "with primes of 8192 bits": (sound._replace(p=2**8191 + 1, q=2**8191 + 1), broken),
        "with primes of 32768 bits": (sound._replace(p=2**32767 + 1, q=2**32767 + 1), broken),
        "with another modulus": (sound._replace(n=other.n), mismatch),
        "with another exponent": (sound._replace(e=3), mismatch),
    }
    for name, (key, expected) in numbers.items():
        public = sound if expected is mismatch else key
        yield f"RSA {name}", key.pkcs1, PKCS1, public.public, expected
        yield f"RSA {name}, PKCS#8", key.pkcs8, PKCS8, public.public, expected
    for part in Rsa._fields[2:]:
        flipped = sound.flipped(part)
        yield f"RSA with a bit of {part} flipped", flipped.pkcs1, PKCS1, sound.public, broken
        yield f"RSA with a bit of {part} flipped, PKCS#8", flipped.pkcs8, PKCS8, sound.public, broken
    three = sequence(sequence(integer(7), integer(1), integer(1)))
    for name, der, label, expected in (
        ("of three primes", sequence(integer(1), *map(integer, sound), three), PKCS1, invalid),
        ("of version 1", sequence(integer(1), *map(integer, sound)), PKCS1, invalid),
        ("with a part too few", sequence(integer(0), *map(integer, sound[:-1])), PKCS1, invalid),
        ("with more behind it", sound.pkcs1 + integer(0), PKCS1, invalid),
        (
            "with more behind it, PKCS#8",
            pkcs8(key_kinds.RSA + key_kinds.NULL, sound.pkcs1 + b"\0"),
            PKCS8,
            invalid,
        ),
        ("cut off", sound.pkcs1[:-1], PKCS1, invalid),
        ("PKCS#8 as PKCS#1", sound.pkcs8, PKCS1, invalid),
        ("PKCS#1 as PKCS#8", sound.pkcs1, PKCS8, invalid),
        ("as an EC key", sound.pkcs1, SEC1, invalid),
        ("PKCS#8 without NULL", pkcs8(key_kinds.RSA, sound.pkcs1), PKCS8, None),
        ("as RSASSA-PSS", pkcs8(key_kinds.RSASSA_PSS, sound.pkcs1), PKCS8, Reason.WEAK_KEY),
    ):
        yield f"RSA {name}", der, label, sound.public, expected
    pss = sequence(sequence(key_kinds.RSASSA_PSS), bits(sequence(integer(sound.n), integer(sound.e))))
    yield "RSA whose certificate says RSASSA-PSS", sound.pkcs1, PKCS1, pss, Reason.WEAK_KEY
    bare = sound.public.replace(key_kinds.RSA + key_kinds.NULL, key_kinds.RSA + bytes.fromhex("3000"))
    yield "RSA whose certificate has other parameters", sound.pkcs1, PKCS1, bare, Reason.INVALID_CERTIFICATE


def sec1(scalar: bytes, parameters: bytes | None = key_kinds.P256, public: bytes | None = None) -> bytes:
    parts = [integer(1), octets(scalar)]
    parts += [element(0xA0, parameters)] if parameters is not None else []
    parts += [element(0xA1, bits(public))] if public is not None else []
    return sequence(*parts)


def ec_keys() -> Iterator[tuple[str, bytes, str, bytes, Reason | None]]:
    key, other = pki.new_key(), pki.new_key()
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    point, stranger = (
        one.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for one in (key, other)
    )
    named, spelled = key_kinds.EC + key_kinds.P256, key_kinds.EC + sequence(P256_PARAMETERS)
    invalid, weak, mismatch = Reason.INVALID_KEY, Reason.WEAK_KEY, Reason.KEY_MISMATCH
    for name, der, label, expected in (
        ("sound", der_of(key, PrivateFormat.TraditionalOpenSSL), SEC1, None),
        ("sound, PKCS#8", der_of(key), PKCS8, None),
        ("without its public half", sec1(scalar), SEC1, None),
        ("without its public half, PKCS#8", pkcs8(named, sec1(scalar, None)), PKCS8, None),
        ("with the public half of another", sec1(scalar, public=stranger), SEC1, invalid),
        ("of another", sec1(other.private_numbers().private_value.to_bytes(32, "big")), SEC1, mismatch),
        ("without a curve", sec1(scalar, None, point), SEC1, invalid),
        ("on another curve", sec1(scalar, key_kinds.P384), SEC1, invalid),
        ("on another curve within", pkcs8(named, sec1(scalar, key_kinds.P384)), PKCS8, invalid),
        ("of nothing", sec1(bytes(32)), SEC1, invalid),
        ("of the curve's order", sec1(ORDER.to_bytes(32, "big")), SEC1, invalid),
        ("of far more than the order", sec1(b"\xff" * 40_000), SEC1, invalid),
        ("of version 2", sec1(scalar).replace(integer(1), integer(2), 1), SEC1, invalid),
        ("with its curve spelled out", sec1(scalar, sequence(P256_PARAMETERS), point), SEC1, weak),
        ("with its curve spelled out, PKCS#8", pkcs8(spelled, sec1(scalar, None, point)), PKCS8, weak),
        (
            "with its curve spelled out within",
            pkcs8(named, sec1(scalar, sequence(P256_PARAMETERS))),
            PKCS8,
            weak,
        ),
        (
            "with explicit parameters under another tag",
            sequence(integer(1), octets(scalar), element(0x30, sequence(P256_PARAMETERS))),
            SEC1,
            invalid,
        ),
        ("PKCS#8 as SEC1", der_of(key), SEC1, invalid),
    ):
        yield f"EC {name}", der, label, public_of(key), expected
    written = sequence(sequence(spelled), bits(point))
    yield "EC whose certificate spells its curve out", sec1(scalar), SEC1, written, weak
    for curve in (ec.SECP384R1(), ec.SECP521R1()):
        larger = ec.generate_private_key(curve)
        yield f"EC on {curve.name}", der_of(larger), PKCS8, public_of(larger), None
    for unusual in (ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()):
        strange = ec.generate_private_key(unusual)
        yield f"EC on {unusual.name}", der_of(strange), PKCS8, public_of(strange), weak
        yield f"EC on {unusual.name}, not in the certificate", der_of(strange), PKCS8, public_of(key), weak


def other_keys() -> Iterator[tuple[str, bytes, str, bytes, Reason | None]]:
    edwards, elliptic = ed25519.Ed25519PrivateKey.generate(), pki.new_key()
    invalid, weak = Reason.INVALID_KEY, Reason.WEAK_KEY
    yield "Ed25519 sound", der_of(edwards), PKCS8, public_of(edwards), None
    for size in (0, 31, 33, 40_000):
        written = pkcs8(key_kinds.ED25519, octets(bytes(size)))
        yield f"Ed25519 of {size} bytes", written, PKCS8, public_of(edwards), invalid
        yield f"Ed25519 of {size} bytes, with an EC certificate", written, PKCS8, public_of(elliptic), invalid
    other = ed25519.Ed25519PrivateKey.generate()
    yield "Ed25519 of another", der_of(other), PKCS8, public_of(edwards), Reason.KEY_MISMATCH
    yield "Ed25519 with EC's label", der_of(edwards), SEC1, public_of(edwards), invalid
    for name, oid, sizes in (
        ("X25519", "06032b656e", (31, 32)),
        ("X448", "06032b656f", (55, 56)),
        ("Ed448", "06032b6571", (56, 57)),
    ):
        for size in sizes:
            written = pkcs8(bytes.fromhex(oid), octets(b"\1" * size))
            yield f"{name} of {size} bytes", written, PKCS8, public_of(elliptic), weak
    for key in (ed448.Ed448PrivateKey.generate(), dsa.generate_private_key(2048)):
        yield f"{type(key).__name__}", der_of(key), PKCS8, public_of(key), weak
    for exchange in (x448.X448PrivateKey.generate(), x25519.X25519PrivateKey.generate()):
        yield f"{type(exchange).__name__}", der_of(exchange), PKCS8, public_of(exchange), weak


def written_keys(issuer: Issuer) -> dict[str, Written]:
    """Return all keys by their description."""
    return {
        name: Written(pem(der, label), certified(issuer, public), expected)
        for keys in (rsa_keys(), ec_keys(), other_keys())
        for name, der, label, public, expected in keys
    }
