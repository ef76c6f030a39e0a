"""Is this Secret fit to leave OPS? A tuple of named checks; the first that objects decides.

Pure: the clock is passed in. Nothing here logs, and no message holds more than names, counts and dates.
Rules and their sources: cert-manager's policy chain, RFC 5280 (chains), RFC 8555 practice of Let's Encrypt.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from tasks.candidate import KEY, Candidate, is_authority
from tasks.der import algorithm_of
from tasks.key_kinds import UNUSUAL, kind_of
from tasks.models import Certificate, Rejection, SecretRef, Version
from tasks.private_key import require_key
from tasks.reasons import Reason
from tasks.refusal import Refused, refusing, refusing_the_unforeseen

CLOCK_SKEW = timedelta(minutes=5)
MAX_NAME = 100
RSA_BITS = 2048
MAX_RSA_BITS = 8192  # a signature with 65536 bits takes two minutes, in which no cluster is served
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
# What cert-manager gives the certificate that it makes up while the issuer has not answered yet.
TEMPORARY_SERIAL_NUMBER = "1234567890"


@dataclass(frozen=True)
class Policy:
    """What a check must know beside the Secret."""

    now: datetime
    allow_self_signed: bool = False


def is_complete(candidate: Candidate, _: Policy) -> None:
    """tls.crt and tls.key are there, not empty, and of a sane size (raised while they are taken apart)."""
    candidate.require_data()


def has_only_certificates(candidate: Candidate, _: Policy) -> None:
    """A parser skips what it does not know: a truncated second certificate, or a private key in tls.crt."""
    candidate.require_certificate_blocks()


def has_one_key(candidate: Candidate, _: Policy) -> None:
    candidate.require_key_block()


def can_be_parsed(candidate: Candidate, _: Policy) -> None:
    for part in ("public_key", "names", "dns_names", "is_ca"):
        getattr(candidate, part)


def key_is_strong(candidate: Candidate, _: Policy) -> None:
    require_strength(candidate.public_key)
    require_usual_form(candidate.leaf)


def require_strength(key: object) -> None:
    match key:
        case rsa.RSAPublicKey() as key if RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return
        case rsa.RSAPublicKey() as key:
            raise Refused(Reason.WEAK_KEY, f"RSA, {key.key_size} bits")
        case ec.EllipticCurvePublicKey() as key if isinstance(key.curve, CURVES):
            return
        case ed25519.Ed25519PublicKey():
            return
    raise Refused(Reason.WEAK_KEY, UNUSUAL)


def require_usual_form(certificate: x509.Certificate) -> None:
    """Its public key is written as all programs read it; what was parsed does not tell."""
    with refusing(Reason.INVALID_CERTIFICATE, "its public key"):
        kind_of(algorithm_of(certificate))


def key_is_sound(candidate: Candidate, _: Policy) -> None:
    """The private key is that of the certificate, no part of it contradicts another, and it signs."""
    require_key(candidate.material[KEY], candidate.public_key)


def is_not_temporary(candidate: Candidate, _: Policy) -> None:
    subject, _issuer = candidate.names
    numbers = subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    if any(number.value == TEMPORARY_SERIAL_NUMBER for number in numbers):
        raise Refused(Reason.TEMPORARY)


def is_leaf(candidate: Candidate, _: Policy) -> None:
    if candidate.is_ca:
        raise Refused(Reason.IS_CA)


def is_issued(candidate: Candidate, policy: Policy) -> None:
    subject, issuer = candidate.names
    if subject == issuer and not policy.allow_self_signed:
        raise Refused(Reason.SELF_SIGNED)


def chain_is_in_order(candidate: Candidate, policy: Policy) -> None:
    for position, (child, parent) in enumerate(pairwise(candidate.chain), start=1):
        detail = f"certificate {position + 1} did not issue certificate {position}"
        with refusing(Reason.CHAIN_ORDER, detail):
            require_strength(parent.public_key())
            child.verify_directly_issued_by(parent)
        if not is_authority(parent):
            raise Refused(Reason.CHAIN_ORDER, f"certificate {position + 1} is no certificate authority")
        if parent.not_valid_after_utc <= policy.now:
            raise Refused(Reason.CHAIN_ORDER, f"certificate {position + 1} has expired")


def is_valid_already(candidate: Candidate, policy: Policy) -> None:
    begins = candidate.leaf.not_valid_before_utc
    if begins > policy.now + CLOCK_SKEW:
        raise Refused(Reason.NOT_YET_VALID, f"from {begins:%Y-%m-%d %H:%M} UTC")


def is_not_expired(candidate: Candidate, policy: Policy) -> None:
    ends = candidate.leaf.not_valid_after_utc
    if ends <= policy.now:
        raise Refused(Reason.EXPIRED, f"since {ends:%Y-%m-%d %H:%M} UTC")


CHECKS: tuple[Callable[[Candidate, Policy], None], ...] = (
    is_complete,  # nothing is missing, empty or huge
    has_only_certificates,  # tls.crt and ca.crt: whole CERTIFICATE blocks and no other
    has_one_key,  # tls.key: one private key, not encrypted
    can_be_parsed,
    is_not_temporary,  # before the chain: cert-manager signs it with a key that it throws away
    is_leaf,  # a CA's key must not leave OPS
    key_is_strong,
    key_is_sound,
    is_issued,
    chain_is_in_order,
    is_valid_already,
    is_not_expired,
)


def examine(ref: SecretRef, secret: dict[str, object], policy: Policy) -> Certificate | Rejection:
    """The facts of a Secret as the API delivers it, or the first reason not to send it."""
    try:
        with refusing_the_unforeseen():
            candidate = Candidate(secret)
            for check in CHECKS:
                check(candidate, policy)
            return facts(ref, candidate)
    except Refused as refused:
        return Rejection(ref=ref, reason=refused.reason, detail=refused.detail)


def facts(ref: SecretRef, candidate: Candidate) -> Certificate:
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
        version=Version(
            fingerprint=candidate.fingerprint,
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
        ),
        leaf=leaf.fingerprint(hashes.SHA256()).hex(),
    )


def common_name(name: x509.Name) -> str:
    """The common name, or the whole name as RFC 4514 writes it."""
    attributes = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(attributes[0].value) if attributes else name.rfc4514_string()
    return text[:MAX_NAME]
