"""Is this Secret fit to leave OPS? A tuple of named checks; the first that objects decides.

Pure: the clock is passed in. Nothing here logs, and no message holds more than names, counts and dates.
Rules and their sources: cert-manager's policy chain, RFC 5280 (chains), RFC 8555 practice of Let's Encrypt.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from tasks.domain.models import Certificate, Rejection, SecretRef, Version
from tasks.domain.reasons import Reason
from tasks.runtime.silence import without_warnings
from tasks.source.chain import CLOCK_SKEW, follow_chain
from tasks.source.der import algorithm_of
from tasks.source.key_kinds import UNUSUAL, kind_of
from tasks.source.private_key import require_key
from tasks.source.refusal import CheckFailed, as_check_failure, unexpected_as_check_failure
from tasks.source.tls_secret import KEY, MAX_CERTIFICATES, TLSSecret, common_name, is_authority

RSA_BITS = 2048
MAX_RSA_BITS = 8192  # a signature with 65536 bits takes two minutes, in which no cluster is served
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
# The authority that cert-manager makes up, and throws away, while the issuer has not answered yet.
TEMPORARY_ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cert-manager.local")])


@dataclass(frozen=True)
class Policy:
    """What a check must know beside the Secret."""

    now: datetime | None
    """None where it doesn't matter what time it is: a copy on a target is unfit for ever, or it is fit."""
    allow_self_signed: bool = False


def is_complete(candidate: TLSSecret, _: Policy) -> None:
    """tls.crt and tls.key are there, not empty, and of a sane size (raised while they are taken apart)."""
    candidate.require_data()


def has_only_certificates(candidate: TLSSecret, _: Policy) -> None:
    """A parser skips what it does not know: a truncated second certificate, or a private key in tls.crt."""
    candidate.require_certificate_blocks()


def has_one_key(candidate: TLSSecret, _: Policy) -> None:
    candidate.require_key_block()


def can_be_parsed(candidate: TLSSecret, _: Policy) -> None:
    for part in ("public_key", "names", "dns_names", "is_ca"):
        getattr(candidate, part)
    if any(one.serial_number < 0 for one in candidate.chain):  # Go refuses the whole chain
        raise CheckFailed(Reason.INVALID_CERTIFICATE, "tls.crt: a negative serial number")


def key_is_strong(candidate: TLSSecret, _: Policy) -> None:
    require_strength(candidate.public_key)
    require_usual_form(candidate.leaf)


def require_strength(key: object) -> None:
    match key:
        case rsa.RSAPublicKey() as key if RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return
        case rsa.RSAPublicKey() as key:
            raise CheckFailed(Reason.WEAK_KEY, f"RSA, {key.key_size} bits")
        case ec.EllipticCurvePublicKey() as key if isinstance(key.curve, CURVES):
            return
        case ed25519.Ed25519PublicKey():
            return
    raise CheckFailed(Reason.WEAK_KEY, UNUSUAL)


def require_usual_form(certificate: x509.Certificate) -> None:
    """Its public key is written as all programs read it; what was parsed does not tell."""
    with as_check_failure(Reason.INVALID_CERTIFICATE, "its public key"):
        kind_of(algorithm_of(certificate))


def key_is_sound(candidate: TLSSecret, _: Policy) -> None:
    """The private key is that of the certificate, no part of it contradicts another, and it signs."""
    require_key(candidate.material[KEY], candidate.public_key)


def is_not_temporary(candidate: TLSSecret, _: Policy) -> None:
    """Its issuer's name tells, unless an authority of that name came along; or that it names none at all."""
    if candidate.names[1] == TEMPORARY_ISSUER:
        known = (*candidate.chain, *candidate.authorities)
        if not any(one.subject == TEMPORARY_ISSUER and is_authority(one) for one in known):
            raise CheckFailed(Reason.TEMPORARY)
    alone = len(candidate.chain) == 1 and not candidate.authorities
    if alone and candidate.lacks_issuer:
        raise CheckFailed(Reason.TEMPORARY)


def is_leaf(candidate: TLSSecret, _: Policy) -> None:
    if candidate.is_ca:
        raise CheckFailed(Reason.IS_CA)


def is_issued(candidate: TLSSecret, policy: Policy) -> None:
    subject, issuer = candidate.names
    if subject == issuer and not policy.allow_self_signed:
        raise CheckFailed(Reason.SELF_SIGNED)


def is_signed_with_a_strong_hash(candidate: TLSSecret, _: Policy) -> None:
    """So must be all of tls.crt, or servers refuse to load it; but what a root says of itself is no proof."""
    for position, one in enumerate(candidate.chain, start=1):
        if position == 1 or one.subject != one.issuer:
            require_strong_hash(one, f"certificate {position}")


def require_strong_hash(certificate: x509.Certificate, what: str) -> None:
    with as_check_failure(Reason.WEAK_SIGNATURE, what):
        algorithm = certificate.signature_hash_algorithm
        is_ed25519 = certificate.signature_algorithm_oid == SignatureAlgorithmOID.ED25519
    if not (is_ed25519 or isinstance(algorithm, HASHES)):
        raise CheckFailed(Reason.WEAK_SIGNATURE, f"{what}, {algorithm.name}" if algorithm else what)


def has_its_issuer(candidate: TLSSecret, policy: Policy) -> tuple[str, ...]:
    """A chain with a weak key in it is not loaded by nginx and HAProxy, or not read by Go, wherever it is."""
    with as_check_failure(Reason.INVALID_CERTIFICATE, "tls.crt"):
        for one in candidate.chain[1:]:
            require_strength(one.public_key())
            require_usual_form(one)
        known = list(filter(is_strong, candidate.authorities[:MAX_CERTIFICATES]))
        return follow_chain(candidate.chain, known, policy.now)


def is_strong(certificate: x509.Certificate) -> bool:
    """Whether it may prove anything: with a key of any size, that could take long."""
    with suppress(CheckFailed), as_check_failure(Reason.INVALID_CERTIFICATE):
        require_strength(certificate.public_key())
        require_usual_form(certificate)
        return True
    return False


def is_valid_already(candidate: TLSSecret, policy: Policy) -> None:
    begins = candidate.leaf.not_valid_before_utc
    if policy.now and begins > policy.now + CLOCK_SKEW:
        raise CheckFailed(Reason.NOT_YET_VALID, f"from {begins:%Y-%m-%d %H:%M} UTC")


def is_not_expired(candidate: TLSSecret, policy: Policy) -> None:
    ends = candidate.leaf.not_valid_after_utc
    if policy.now and ends <= policy.now:
        raise CheckFailed(Reason.EXPIRED, f"since {ends:%Y-%m-%d %H:%M} UTC")


Check = Callable[[TLSSecret, Policy], Iterable[str] | None]
"""Raises Refused, or tells what is to be warned of."""

CHECKS: tuple[Check, ...] = (
    is_complete,  # nothing is missing, empty or huge
    has_only_certificates,  # tls.crt and ca.crt: whole CERTIFICATE blocks and no other
    has_one_key,  # tls.key: one private key, not encrypted
    can_be_parsed,
    is_not_temporary,  # before the chain: cert-manager signs it with a key that it throws away
    is_leaf,  # a CA's key must not leave OPS
    key_is_strong,
    key_is_sound,
    is_signed_with_a_strong_hash,
    is_issued,
    has_its_issuer,  # a valid one beside it; what else lies there is warned of
    is_valid_already,
    is_not_expired,
)


def check_secret(ref: SecretRef, secret: dict[str, object], policy: Policy) -> Certificate | Rejection:
    """The facts of a Secret as the API delivers it, or the first reason not to send it."""
    try:
        with without_warnings, unexpected_as_check_failure():
            candidate = TLSSecret(secret)
            warnings = [text for check in CHECKS for text in check(candidate, policy) or ()]
            return facts(ref, candidate, warnings)
    except CheckFailed as refused:
        return Rejection(ref=ref, reason=refused.reason, detail=refused.detail)


def facts(ref: SecretRef, candidate: TLSSecret, warnings: Iterable[str] = ()) -> Certificate:
    leaf = candidate.leaf
    return Certificate(
        ref=ref,
        uid=candidate.uid,
        resource_version=candidate.resource_version,
        keys=tuple(sorted(candidate.material)),
        kept_keys=candidate.kept_keys,
        serial=f"{leaf.serial_number:x}",
        issuer=common_name(candidate.names[1]),
        dns_names=candidate.dns_names,
        other_names=candidate.other_names,
        version=version_of(candidate),
        leaf=leaf.fingerprint(hashes.SHA256()).hex(),
        warnings=tuple(warnings),
    )


def version_of(candidate: TLSSecret) -> Version:
    return Version(
        fingerprint=candidate.fingerprint,
        not_before=candidate.leaf.not_valid_before_utc,
        not_after=candidate.leaf.not_valid_after_utc,
    )
