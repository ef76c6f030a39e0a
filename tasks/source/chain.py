"""Finds which certificates in tls.crt belong to the leaf's chain. Pure.

A server sends the certificates of tls.crt in their order, the leaf first. Clients use those that they need,
in any order, and ignore the rest. A certificate that no client needs is therefore a warning and not refused.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from cryptography import x509

from tasks.domain.reasons import Reason
from tasks.source.check_failure import CheckFailed, as_check_failure
from tasks.source.tls_secret import common_name, is_authority, may_sign_certificates

CLOCK_SKEW = timedelta(minutes=5)
NO_ISSUER = "tls.crt contains only the leaf: clients without its issuer can't verify the certificate"
UNRELATED = "it is not part of the leaf's chain"


def follow_chain(
    certificates: Sequence[x509.Certificate], known: Sequence[x509.Certificate], now: datetime | None
) -> tuple[str, ...]:
    """Return a warning for each certificate that clients do not need.

    `known` are the authorities of ca.crt, which clients have. If `now` is None, validity periods are ignored.
    Raises CheckFailed if tls.crt has certificates besides the leaf and none is a valid issuer of the leaf.
    """
    leaf, *others = dict.fromkeys(certificates)
    if not others:
        return () if any(_has_issued(one, leaf) for one in (leaf, *known)) else (NO_ISSUER,)
    used = _authorities_above(leaf, others, now)
    if not used:
        raise CheckFailed(Reason.CHAIN_ORDER, _explain_missing_issuer(certificates, now))
    return tuple(
        f"certificate {certificates.index(one) + 1} in tls.crt, {common_name(one.subject)}, is unused: "
        f"{_why_no_issuer(one, now) or UNRELATED}"
        for one in others
        if one not in used
    )


def _authorities_above(
    leaf: x509.Certificate, others: Iterable[x509.Certificate], now: datetime | None
) -> set[x509.Certificate]:
    """Return the valid authorities from which a path leads down to the leaf."""
    valid = [one for one in others if not _why_no_issuer(one, now)]
    used: set[x509.Certificate] = set()
    waiting = [leaf]
    while waiting:
        child = waiting.pop()
        parents = [one for one in valid if one not in used and _has_issued(one, child)]
        used.update(parents)
        waiting += parents
    return used


def _explain_missing_issuer(certificates: Sequence[x509.Certificate], now: datetime | None) -> str:
    leaf = certificates[0]
    for position, one in enumerate(certificates[1:], start=2):
        if one != leaf and _has_issued(one, leaf):
            return f"certificate {position} issued the leaf, but {_why_no_issuer(one, now)}"
    return "no other certificate issued the leaf"


def _has_issued(parent: x509.Certificate, child: x509.Certificate) -> bool:
    with suppress(CheckFailed), as_check_failure(Reason.CHAIN_ORDER):
        child.verify_directly_issued_by(parent)
        return True
    return False


def _why_no_issuer(certificate: x509.Certificate, now: datetime | None) -> str:
    """Return why the certificate can't be an issuer, or an empty text if it can."""
    if not (is_authority(certificate) and may_sign_certificates(certificate)):
        return "it is not a certificate authority"
    if now and certificate.not_valid_after_utc <= now:
        return "it has expired"
    if now and certificate.not_valid_before_utc > now + CLOCK_SKEW:
        return "it is not valid yet"
    return ""
