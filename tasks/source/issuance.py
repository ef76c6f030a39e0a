"""What cert-manager's Certificates tell of their Secrets, beside whether they are ready. Pure.

A Certificate whose Secret is not there yet, or holds nothing but a temporary certificate, is being issued.
Since when, its condition Ready tells: its time is that of the last change between True and False, and stays
however often the reason changes. The time of Issuing begins anew with each attempt. creationTimestamp counts
where there is no condition yet; it says nothing where a Secret was deleted to have it issued again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tasks.domain.models import (
    ISSUANCE_LATE_AFTER,
    Certificate,
    Issuance,
    Rejection,
    SecretRef,
    SourceEntry,
    Version,
)
from tasks.domain.names import is_name
from tasks.domain.reasons import Reason
from tasks.plan.ownership import moment

AWAITED = frozenset({Reason.TEMPORARY, Reason.MISSING_DATA})
"""What a Secret may be rejected for while its first certificate is being issued."""

MOST_ATTEMPTS = 1000
"""That are told: a number of any length would not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What one Certificate says."""

    certificate: str
    since: datetime | None = None
    """When Ready last changed, or when the Certificate was made."""
    ready: bool = False
    attempts: int = 0
    selected: bool = True
    """Its Secret will have the labels that `source.selector` asks for."""
    share: float | None = None
    """The share of a certificate's life after which it is renewed."""


def word_of(certificate: object, selector: Mapping[str, str]) -> tuple[str, Word] | None:
    """The name of its Secret, and what it says of it; what can't be parsed says nothing."""
    metadata, spec, status = (_part(certificate, name) for name in ("metadata", "spec", "status"))
    name, own, attempts = spec.get("secretName"), metadata.get("name"), status.get("failedIssuanceAttempts")
    if not (isinstance(name, str) and is_name(name)):
        return None
    ready, labels = _ready(status), _part(spec.get("secretTemplate"), "labels")
    since = _moment(ready.get("lastTransitionTime")) or _moment(metadata.get("creationTimestamp"))
    word = Word(
        certificate=own if isinstance(own, str) and is_name(own) else name,
        since=since,
        ready=ready.get("status") == "True",
        attempts=min(attempts, MOST_ATTEMPTS) if isinstance(attempts, int) and attempts > 0 else 0,
        selected=all(labels.get(key) == value for key, value in selector.items()),
        share=_share(status),
    )
    return name, word


def hear(words: dict[str, Word], certificate: object, selector: Mapping[str, str]) -> None:
    """Add what one Certificate says; of several that write one Secret, the worse one counts."""
    if found := word_of(certificate, selector):
        name, word = found
        words[name] = worse(word, words.get(name))


def worse(one: Word, other: Word | None) -> Word:
    """The one with more trouble; the earlier renewal."""
    if other is None:
        return one
    shares = [word.share for word in (one, other) if word.share is not None]
    return replace(max(one, other, key=_trouble), share=min(shares, default=None))


def _trouble(word: Word) -> tuple[int, float]:
    return word.attempts, -(word.since.timestamp() if word.since else 0)


def issuance_of(ref: SecretRef, found: SourceEntry | None, word: Word, now: datetime) -> Issuance | None:
    """The issuance that is to bring a Secret; None where it has come, or where none would bring it."""
    if word.since is None or isinstance(found, Certificate | Issuance):
        return None
    if isinstance(found, Rejection) and found.reason not in AWAITED:
        return None
    # It was ready long ago, or lacks the label: its Secret is one that we don't list, or was deleted.
    elsewhere = not word.selected or (word.ready and now - word.since >= ISSUANCE_LATE_AFTER)
    if found is None and elsewhere:
        return None
    return Issuance(
        ref=ref,
        certificate=word.certificate,
        since=word.since,
        attempts=word.attempts,
        held=found.reason if found else None,
    )


def renewal_of(version: Version, word: Word) -> datetime | None:
    """When cert-manager renews this version, also where its status still tells of the one before."""
    if word.share is None:
        return None
    return version.not_before + (version.not_after - version.not_before) * word.share


def _share(status: Mapping[str, Any]) -> float | None:
    begin, end, renewal = (_moment(status.get(key)) for key in ("notBefore", "notAfter", "renewalTime"))
    if not (begin and end and renewal and begin < renewal < end):
        return None
    return (renewal - begin) / (end - begin)


def _ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The condition Ready; empty where there is none yet."""
    conditions = status.get("conditions")
    found = conditions if isinstance(conditions, list) else []
    return next((one for one in found if isinstance(one, dict) and one.get("type") == "Ready"), {})


def _part(value: object, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _moment(text: object) -> datetime | None:
    try:
        return moment(text).astimezone(UTC) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None
