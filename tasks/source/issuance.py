"""Reads from cert-manager's Certificates what is being issued, since when, and when it is renewed. Pure.

A Certificate is being issued while its Secret is absent or contains only a temporary certificate. The start
is lastTransitionTime of the condition Ready, which changes only between True and False, whatever the reason.
(The time of the condition Issuing changes with each attempt.) Without a condition it is creationTimestamp,
which is wrong where a Secret was deleted to have it issued again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.domain.models import (
    ISSUANCE_LATE_AFTER,
    Certificate,
    CertificateResource,
    Issuance,
    ListedSecret,
    Rejection,
    SecretRef,
    SourceEntry,
    Version,
)
from tasks.domain.names import UID, is_name
from tasks.domain.reasons import Reason
from tasks.plan.ownership import parse_time

AWAITING_ISSUANCE = frozenset({Reason.TEMPORARY, Reason.MISSING_DATA})
"""Reasons for which a Secret is rejected while its first certificate is being issued."""

MAX_ATTEMPTS = 1000
"""Maximum number of attempts shown: the status could contain a number of any length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStatus:
    """What one Certificate says of its Secret."""

    certificate: str
    """Name of the Certificate."""
    uid: str = ""
    since: datetime | None = None
    """When Ready last changed, or when the Certificate was created."""
    ready: bool = False
    attempts: int = 0
    selected: bool = True
    """Whether its Secret gets the labels that `source.selector` requires."""
    share: float | None = None
    """The share of a certificate's lifetime after which it is renewed."""
    lifetime: timedelta | None = None
    """From notBefore to notAfter of the certificate that was issued last, where `share` is known."""
    validity: tuple[datetime, datetime] | None = None
    """notBefore and notAfter of the certificate that was issued last."""


def parse_status(certificate: object, selector: Mapping[str, str]) -> tuple[str, CertificateStatus] | None:
    """Return the name of the Secret and its status, or None without a valid name; skip malformed fields."""
    metadata, spec, raw = (_mapping(certificate, name) for name in ("metadata", "spec", "status"))
    name, own, attempts = spec.get("secretName"), metadata.get("name"), raw.get("failedIssuanceAttempts")
    if not (isinstance(name, str) and is_name(name)):
        return None
    ready, labels = _ready(raw), _mapping(spec.get("secretTemplate"), "labels")
    share, lifetime = _renewal(raw)
    since = _moment(ready.get("lastTransitionTime")) or _moment(metadata.get("creationTimestamp"))
    status = CertificateStatus(
        certificate=own if isinstance(own, str) and is_name(own) else name,
        uid=uid if isinstance(uid := metadata.get("uid"), str) and UID.fullmatch(uid) else "",
        since=since,
        ready=ready.get("status") == "True",
        attempts=min(attempts, MAX_ATTEMPTS) if isinstance(attempts, int) and attempts > 0 else 0,
        selected=all(labels.get(key) == value for key, value in selector.items()),
        share=share,
        lifetime=lifetime,
        validity=_validity(raw),
    )
    return name, status


def add_status(
    statuses: dict[str, CertificateStatus], certificate: object, selector: Mapping[str, str]
) -> None:
    """Add the status of one Certificate. If several write one Secret, the worst status counts."""
    if found := parse_status(certificate, selector):
        name, status = found
        statuses[name] = worst(status, statuses.get(name))


def worst(one: CertificateStatus, other: CertificateStatus | None) -> CertificateStatus:
    """Return the status with more failed attempts or the earlier start, and the earlier renewal of both."""
    if other is None:
        return one
    shares = [status.share for status in (one, other) if status.share is not None]
    return replace(max(one, other, key=_severity), share=min(shares, default=None))


def _severity(status: CertificateStatus) -> tuple[int, float]:
    return status.attempts, -(status.since.timestamp() if status.since else 0)


def issuance_of(
    ref: SecretRef, found: SourceEntry | None, status: CertificateStatus, now: datetime
) -> Issuance | None:
    """Return the issuance that a Secret waits for, or None if it is issued or will not be."""
    if status.since is None or isinstance(found, Certificate | Issuance | ListedSecret):
        return None
    if isinstance(found, Rejection) and found.reason not in AWAITING_ISSUANCE:
        return None
    # Without the labels the Secret is not listed. If Ready long ago, the Secret was deleted or is elsewhere.
    elsewhere = not status.selected or (status.ready and now - status.since >= ISSUANCE_LATE_AFTER)
    if found is None and elsewhere:
        return None
    return Issuance(
        ref=ref,
        certificate=status.certificate,
        since=status.since,
        attempts=status.attempts,
        held=found.reason if found else None,
    )


def resource_of(status: CertificateStatus) -> CertificateResource | None:
    return CertificateResource(name=status.certificate, uid=status.uid) if status.uid else None


def renewal_of(version: Version, status: CertificateStatus) -> datetime | None:
    """Return when cert-manager renews this version, even if the status is still that of the previous one."""
    return _renewal_within(version.not_before, version.not_after, status)


def _renewal_within(begin: datetime, end: datetime, status: CertificateStatus) -> datetime | None:
    return None if status.share is None else begin + (end - begin) * status.share


def with_status(one: ListedSecret, status: CertificateStatus) -> ListedSecret:
    """Add what cert-manager's Certificate says of the certificate that was issued last."""
    if not status.validity:
        return one
    return replace(one, validity=status.validity, renewal=_renewal_within(*status.validity, status))


def _renewal(raw: Mapping[str, Any]) -> tuple[float, timedelta] | tuple[None, None]:
    validity, renewal = _validity(raw), _moment(raw.get("renewalTime"))
    if not (validity and renewal and validity[0] < renewal < validity[1]):
        return None, None
    begin, end = validity
    return (renewal - begin) / (end - begin), end - begin


def _validity(raw: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    begin, end = _moment(raw.get("notBefore")), _moment(raw.get("notAfter"))
    return (begin, end) if begin and end and begin < end else None


def _ready(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the condition Ready, or an empty mapping."""
    conditions = raw.get("conditions")
    found = conditions if isinstance(conditions, list) else []
    return next((one for one in found if isinstance(one, dict) and one.get("type") == "Ready"), {})


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _moment(text: object) -> datetime | None:
    try:
        return parse_time(text).astimezone(UTC) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None
