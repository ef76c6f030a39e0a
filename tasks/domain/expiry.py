"""When a certificate is near its expiry: one rule for reports, the inventory, events and alerts. Pure.

It is late once a tenth of the time between renewal and expiry has passed, and urgent once half of it has
passed and less than seven days are left. The renewal is the Certificate's status.renewalTime; where that is
not known, cert-manager's default: after two thirds of the life. So nothing is said before cert-manager itself
is late: an issuance takes a while, and one that failed is tried again. The alerts of the chart have the same
rule in PromQL.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from tasks.domain.models import Certificate, Version

URGENT = timedelta(days=7)


class Level(StrEnum):
    FINE = "fine"
    LATE = "warning"
    URGENT = "urgent"


def renewal_due(begin: datetime, end: datetime, told: datetime | None = None) -> datetime:
    """When cert-manager renews: as it told, or by its default."""
    return told if told and begin < told < end else begin + (end - begin) * 2 / 3


def level(begin: datetime, end: datetime, told: datetime | None, now: datetime) -> Level:
    left, rest = end - now, end - renewal_due(begin, end, told)
    if left < min(URGENT, rest / 2):
        return Level.URGENT
    return Level.LATE if left < rest * 9 / 10 else Level.FINE


def level_of(one: Certificate, now: datetime) -> Level:
    return level(one.version.not_before, one.version.not_after, one.renewal, now)


def renewal_of_copy(held: Version, source: Certificate | None) -> datetime:
    """When what a copy holds is renewed on OPS, or should have been: OPS tells of what it has itself."""
    told = source.renewal if source and source.version == held else None
    return renewal_due(held.not_before, held.not_after, told)


def level_of_copy(held: Version, source: Certificate | None, now: datetime) -> Level:
    return level(held.not_before, held.not_after, renewal_of_copy(held, source), now)
