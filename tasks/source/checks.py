"""Decides whether a Secret is fit to leave OPS: a tuple of named checks, of which the first failure counts.

Pure: the time is a parameter. Nothing here logs, and messages contain only names, counts and dates.
Sources of the rules: cert-manager's policy chain, RFC 5280 (chains), Let's Encrypt's practice (RFC 8555).
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
from tasks.source.check_failure import CheckFailed, as_check_failure, unexpected_as_check_failure
from tasks.source.der import algorithm_of
from tasks.source.further_keys import examine
from tasks.source.key_kinds import UNUSUAL, kind_of
from tasks.source.private_key import require_key
from tasks.source.tls_secret import KEY, MAX_CERTIFICATES, TLSSecret, common_name, is_authority

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192  # one signature with 65536 bits takes two minutes, which would delay every cluster
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
# The throwaway authority that signs cert-manager's temporary certificates until the issuer answers.
TEMPORARY_ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cert-manager.local")])


@dataclass(frozen=True)
class Policy:
    """What a check needs besides the Secret."""

    now: datetime | None
    """None to ignore validity periods: whether a copy on a target can be used must not change with time."""
    allow_self_signed: bool = False


def is_complete(secret: TLSSecret, _: Policy) -> None:
    """tls.crt and tls.key are present, decodable, not empty, and within the size limits."""
    secret.require_data()


def has_only_certificates(secret: TLSSecret, _: Policy) -> None:
    """Parsers skip unknown content, such as a truncated second certificate or a private key in tls.crt."""
    secret.require_certificate_blocks()


def has_one_key(secret: TLSSecret, _: Policy) -> None:
    secret.require_key_block()


def can_be_parsed(secret: TLSSecret, _: Policy) -> None:
    for part in ("public_key", "names", "dns_names", "is_ca"):
        getattr(secret, part)
    if any(one.serial_number < 0 for one in secret.chain):  # Go refuses the whole chain
        raise CheckFailed(Reason.INVALID_CERTIFICATE, "tls.crt: a negative serial number")


def key_is_strong(secret: TLSSecret, _: Policy) -> None:
    require_strength(secret.public_key)
    require_usual_form(secret.leaf)


def require_strength(key: object) -> None:
    """Raise CheckFailed unless programs in use accept a public key of this kind and size."""
    match key:
        case rsa.RSAPublicKey() as key if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return
        case rsa.RSAPublicKey() as key:
            raise CheckFailed(Reason.WEAK_KEY, f"RSA, {key.key_size} bits")
        case ec.EllipticCurvePublicKey() as key if isinstance(key.curve, CURVES):
            return
        case ed25519.Ed25519PublicKey():
            return
    raise CheckFailed(Reason.WEAK_KEY, UNUSUAL)


def require_usual_form(certificate: x509.Certificate) -> None:
    """The public key is encoded in a form that all programs read; the parsed key does not show that."""
    with as_check_failure(Reason.INVALID_CERTIFICATE, "its public key"):
        kind_of(algorithm_of(certificate))


def key_is_sound(secret: TLSSecret, _: Policy) -> None:
    """The private key matches the certificate, is consistent, and can sign."""
    require_key(secret.data[KEY], secret.public_key)


def is_not_temporary(secret: TLSSecret, _: Policy) -> None:
    """cert-manager gives it an issuer of a fixed name, or leaves out the annotation with the issuer."""
    if secret.names[1] == TEMPORARY_ISSUER:
        known = (*secret.chain, *secret.authorities)
        if not any(one.subject == TEMPORARY_ISSUER and is_authority(one) for one in known):
            raise CheckFailed(Reason.TEMPORARY)
    alone = len(secret.chain) == 1 and not secret.authorities
    if alone and secret.lacks_issuer:
        raise CheckFailed(Reason.TEMPORARY)


def is_leaf(secret: TLSSecret, _: Policy) -> None:
    if secret.is_ca:
        raise CheckFailed(Reason.IS_CA)


def is_issued(secret: TLSSecret, policy: Policy) -> None:
    subject, issuer = secret.names
    if subject == issuer and not policy.allow_self_signed:
        raise CheckFailed(Reason.SELF_SIGNED)


def is_signed_with_a_strong_hash(secret: TLSSecret, _: Policy) -> None:
    """Servers load no chain with a weak signature; a root's own signature proves nothing and is skipped."""
    for position, one in enumerate(secret.chain, start=1):
        if position == 1 or one.subject != one.issuer:
            require_strong_hash(one, f"certificate {position}")


def require_strong_hash(certificate: x509.Certificate, label: str) -> None:
    with as_check_failure(Reason.WEAK_SIGNATURE, label):
        algorithm = certificate.signature_hash_algorithm
        is_ed25519 = certificate.signature_algorithm_oid == SignatureAlgorithmOID.ED25519
    if not (is_ed25519 or isinstance(algorithm, HASHES)):
        raise CheckFailed(Reason.WEAK_SIGNATURE, f"{label}, {algorithm.name}" if algorithm else label)


def has_its_issuer(secret: TLSSecret, policy: Policy) -> tuple[str, ...]:
    """A chain with a weak key at any position is not loaded by nginx or HAProxy, or not read by Go."""
    with as_check_failure(Reason.INVALID_CERTIFICATE, "tls.crt"):
        for one in secret.chain[1:]:
            require_strength(one.public_key())
            require_usual_form(one)
        known = list(filter(is_strong, secret.authorities[:MAX_CERTIFICATES]))
        return follow_chain(secret.chain, known, policy.now)


def is_strong(certificate: x509.Certificate) -> bool:
    """Return whether its signatures may be verified: with a very large key that would take minutes."""
    with suppress(CheckFailed), as_check_failure(Reason.INVALID_CERTIFICATE):
        require_strength(certificate.public_key())
        require_usual_form(certificate)
        return True
    return False


def is_valid_already(secret: TLSSecret, policy: Policy) -> None:
    not_before = secret.leaf.not_valid_before_utc
    if policy.now and not_before > policy.now + CLOCK_SKEW:
        raise CheckFailed(Reason.NOT_YET_VALID, f"from {not_before:%Y-%m-%d %H:%M} UTC")


def is_not_expired(secret: TLSSecret, policy: Policy) -> None:
    not_after = secret.leaf.not_valid_after_utc
    if policy.now and not_after <= policy.now:
        raise CheckFailed(Reason.EXPIRED, f"since {not_after:%Y-%m-%d %H:%M} UTC")


Check = Callable[[TLSSecret, Policy], Iterable[str] | None]
"""Raises CheckFailed, or returns warnings."""

CHECKS: tuple[Check, ...] = (
    is_complete,  # nothing is missing, empty or too large
    has_only_certificates,  # tls.crt and ca.crt: complete CERTIFICATE blocks only
    has_one_key,  # tls.key: one private key, not encrypted
    can_be_parsed,
    is_not_temporary,  # before the chain: its signer is never published
    is_leaf,  # a CA's key must not leave OPS
    key_is_strong,
    key_is_sound,
    is_signed_with_a_strong_hash,
    is_issued,
    has_its_issuer,  # a valid issuer in tls.crt; unused certificates are warnings
    is_valid_already,
    is_not_expired,
)


def check_secret(ref: SecretRef, manifest: dict[str, object], policy: Policy) -> Certificate | Rejection:
    """Return the facts of a Secret in the form of the API, or the reason of the first check that fails."""
    try:
        with without_warnings, unexpected_as_check_failure():
            secret = TLSSecret(manifest)
            warnings = [text for check in CHECKS for text in check(secret, policy) or ()]
            return certificate_of(ref, secret, policy, warnings)
    except CheckFailed as failure:
        return Rejection(ref=ref, reason=failure.reason, detail=failure.detail)


def certificate_of(
    ref: SecretRef, secret: TLSSecret, policy: Policy, warnings: Iterable[str] = ()
) -> Certificate:
    leaf, further = secret.leaf, examine(secret)
    ends = (one.not_valid_after_utc for one in secret.chain)
    return Certificate(
        ref=ref,
        uid=secret.uid,
        resource_version=secret.resource_version,
        written=secret.written,
        keys=tuple(sorted(secret.data)),
        kept_keys=secret.other_keys,
        further=further,
        size=sum(map(len, secret.data.values())) if further else 0,
        serial=f"{leaf.serial_number:x}",
        issuer=common_name(secret.names[1]),
        dns_names=secret.dns_names,
        other_names=secret.other_names,
        version=version_of(secret),
        leaf=leaf.fingerprint(hashes.SHA256()).hex(),
        checked_until=min((end for end in ends if policy.now is None or end > policy.now), default=None),
        warnings=tuple(warnings),
    )


def version_of(secret: TLSSecret) -> Version:
    return Version(
        fingerprint=secret.fingerprint,
        not_before=secret.leaf.not_valid_before_utc,
        not_after=secret.leaf.not_valid_after_utc,
    )
