"""Decides whether a certificate is near its expiry, for reports, the inventory, events and metrics. Pure.

A renewal is late once a tenth of the time between renewal and expiry has passed. It is urgent once half of
that time has passed and less than seven days are left. The renewal is the Certificate's status.renewalTime
or, where that is not known, cert-manager's default: two thirds of the lifetime. The tenth leaves cert-manager
time for an issuance and for a second attempt. The chart's alerts have the same rule in PromQL.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from tasks.domain.models import Certificate, Version

URGENT = timedelta(days=7)


class Level(StrEnum):
    FINE = "fine"
    LATE = "warning"
    URGENT = "urgent"


def renewal_due(not_before: datetime, not_after: datetime, renewal: datetime | None = None) -> datetime:
    """Return when cert-manager renews: the given renewal if it is within the lifetime, else its default."""
    is_valid = renewal and not_before < renewal < not_after
    return renewal if renewal and is_valid else not_before + (not_after - not_before) * 2 / 3


def level(not_before: datetime, not_after: datetime, renewal: datetime | None, now: datetime) -> Level:
    left, rest = not_after - now, not_after - renewal_due(not_before, not_after, renewal)
    if left < min(URGENT, rest / 2):
        return Level.URGENT
    return Level.LATE if left < rest * 9 / 10 else Level.FINE


def level_of(one: Certificate, now: datetime) -> Level:
    return level(one.version.not_before, one.version.not_after, one.renewal, now)


def renewal_of_copy(version: Version, source: Certificate | None) -> datetime:
    """Return when the version in a copy is, or was, due for renewal on OPS.

    The renewal of `source` counts only if OPS has the same version.
    """
    renewal = source.renewal if source and source.version == version else None
    return renewal_due(version.not_before, version.not_after, renewal)


def level_of_copy(version: Version, source: Certificate | None, now: datetime) -> Level:
    return level(version.not_before, version.not_after, renewal_of_copy(version, source), now)
