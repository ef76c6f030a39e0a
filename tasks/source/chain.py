"""Which of the certificates in tls.crt are part of the leaf's chain, and which are not. Pure.

Servers send the first one with the key, and after it the others as they stand. Clients take of these what
they need, in any order, and leave the rest: so what a client doesn't need is no reason to refuse.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from cryptography import x509

from tasks.domain.reasons import Reason
from tasks.source.refusal import CheckFailed, as_check_failure
from tasks.source.tls_secret import common_name, is_authority, may_sign_certificates

CLOCK_SKEW = timedelta(minutes=5)
ALONE = "tls.crt holds no issuer beside the leaf: clients that don't have it can't verify the certificate"
BESIDE = "it has no part in the leaf's chain"


def follow_chain(
    certificates: Sequence[x509.Certificate], known: Sequence[x509.Certificate], now: datetime | None
) -> tuple[str, ...]:
    """What is to be warned of; Refused where others stand beside the leaf and no valid issuer is among them.

    `known` are those of ca.crt, which clients have. Without a moment, dates don't count.
    """
    leaf, *others = dict.fromkeys(certificates)
    if not others:
        return () if any(_has_issued(one, leaf) for one in (leaf, *known)) else (ALONE,)
    used = _climb(leaf, others, now)
    if not used:
        raise CheckFailed(Reason.CHAIN_ORDER, _why_not(certificates, now))
    return tuple(
        f"certificate {certificates.index(one) + 1} in tls.crt, {common_name(one.subject)}, is of no use: "
        f"{_fault(one, now) or BESIDE}"
        for one in others
        if one not in used
    )


def _climb(
    leaf: x509.Certificate, others: Iterable[x509.Certificate], now: datetime | None
) -> set[x509.Certificate]:
    """The valid authorities above the leaf, each visited once."""
    left = [one for one in others if not _fault(one, now)]
    used: set[x509.Certificate] = set()
    waiting = [leaf]
    while waiting:
        child = waiting.pop()
        parents = [one for one in left if one not in used and _has_issued(one, child)]
        used.update(parents)
        waiting += parents
    return used


def _why_not(certificates: Sequence[x509.Certificate], now: datetime | None) -> str:
    leaf = certificates[0]
    for position, one in enumerate(certificates[1:], start=2):
        if one != leaf and _has_issued(one, leaf):
            return f"certificate {position} issued the leaf, but {_fault(one, now)}"
    return "none of the others issued the leaf"


def _has_issued(parent: x509.Certificate, child: x509.Certificate) -> bool:
    with suppress(CheckFailed), as_check_failure(Reason.CHAIN_ORDER):
        child.verify_directly_issued_by(parent)
        return True
    return False


def _fault(certificate: x509.Certificate, now: datetime | None) -> str:
    """Why it counts as no issuer; empty where it does."""
    if not (is_authority(certificate) and may_sign_certificates(certificate)):
        return "it is no certificate authority"
    if now and certificate.not_valid_after_utc <= now:
        return "it has expired"
    if now and certificate.not_valid_before_utc > now + CLOCK_SKEW:
        return "it is not valid yet"
    return ""
