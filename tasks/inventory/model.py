"""What a survey finds out: certificate x cluster x namespace, each a placement. Pure.

The survey is not the inventory: that is what OPS holds, this is where it went.
"""

from collections import Counter
from datetime import datetime, timedelta
from enum import StrEnum

from tasks.domain.models import Certificate, Failure, Issuance, Model, Rejection
from tasks.domain.reasons import QUIET


class Status(StrEnum):
    """What a copy is, the worst first."""

    REFUSED = "refused"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"
    MISSING = "missing"
    STALE = "stale"
    DRIFTED = "drifted"
    PENDING = "pending"
    ORPHANED = "orphaned"
    IN_SYNC = "in sync"


MEANINGS = {
    Status.IN_SYNC: "the same content as on OPS",
    Status.STALE: "OPS has another content; the next run sends it",
    Status.MISSING: "wanted, and not there",
    Status.FOREIGN: "a Secret that is not ours has the name",
    Status.DRIFTED: "the copy was edited there; the next run repairs it",
    Status.PENDING: "cert-manager has yet to issue it; a run after that sends it",
    Status.REFUSED: "it may not be sent, and needs a person",
    Status.UNKNOWN: "the cluster, the namespace or OPS can't be read",
    Status.ORPHANED: "ours, and nothing feeds it any more",
}


class ServedMatch(StrEnum):
    """What an address serves, beside what is stored."""

    SAME = "same"
    OLDER = "older"
    OTHER = "other"
    NONE = "none"
    """No certificate could be had; `detail` says why."""
    NO_NAME = "not asked"
    """The certificate has no name that could be asked for there."""


class Served(Model):
    """What one address serves under one name."""

    address: str
    likeness: ServedMatch
    name: str = ""
    """The one that was asked for (SNI)."""
    serial: str = ""
    not_after: datetime | None = None
    detail: str = ""

    @property
    def differs(self) -> bool:
        return self.likeness in (ServedMatch.OLDER, ServedMatch.OTHER)


class Content(Model):
    """What is held in one place, as far as metadata tells. Unknown is empty."""

    fingerprint: str = ""
    serial: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None


class CopyState(Model):
    """One certificate in one namespace of one cluster."""

    certificate: str
    """Name of the source Secret."""
    cluster: str
    namespace: str
    secret: str
    status: Status
    reason: str
    """A code of tasks/domain/reasons.py; several where a cluster can't be read for several reasons."""
    detail: str = ""
    remedy: str = ""
    held: Content | None = None
    """The copy; None where there is none, or none of ours."""
    written: datetime | None = None
    """When the copy was last written by us."""
    source: Content | None = None
    """What OPS has; None where it has nothing fit to be sent."""
    served: tuple[Served, ...] = ()

    @property
    def ok(self) -> bool:
        """True where a person or a run has nothing to do."""
        return self.reason in QUIET and not any(one.differs for one in self.served)

    @property
    def place(self) -> str:
        """Namespace, and the copy's name where it has one of its own."""
        return self.namespace if self.secret == self.certificate else f"{self.namespace}/{self.secret}"


class ClusterStatus(Model):
    """What is to be said of a cluster as a whole."""

    cluster: str
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()


class InventoryReport(Model):
    """Which certificate is where, until when, and whether it is the right one."""

    now: datetime
    placements: tuple[CopyState, ...] = ()
    """Worst first."""
    certificates: tuple[Certificate, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    issuances: tuple[Issuance, ...] = ()
    unrouted_rejections: int = 0
    """As of an Inventory in a report."""
    unrouted_issuances: int = 0
    warnings: tuple[str, ...] = ()
    failure: Failure | None = None
    """Why OPS could not be read."""
    visits: tuple[ClusterStatus, ...] = ()
    suspended: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        failed = self.failure or any(visit.failures for visit in self.visits)
        return not failed and all(placement.ok for placement in self.placements)

    @property
    def counts(self) -> dict[Status, int]:
        found = Counter(placement.status for placement in self.placements)
        return {status: found[status] for status in Status if found[status]}

    @property
    def clusters(self) -> tuple[str, ...]:
        return tuple(visit.cluster for visit in self.visits)


def days_until(moment: datetime | None, now: datetime) -> int | None:
    """Whole days; negative once it has passed."""
    return None if moment is None else (moment - now) // timedelta(days=1)
