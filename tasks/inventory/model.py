"""The report of an inventory: the state of each copy, the clusters, what OPS holds. Pure."""

from collections import Counter
from datetime import datetime, timedelta
from enum import StrEnum

from tasks.domain.further_keys import KEYSTORES
from tasks.domain.models import Discovery, Failure, Model, Served, SourceSnapshot
from tasks.domain.reasons import QUIET


class Status(StrEnum):
    """The state of a copy, the worst first."""

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
    Status.MISSING: "routed, but not there",
    Status.FOREIGN: "a Secret that is not ours has the name",
    Status.DRIFTED: "the copy was edited there; the next run repairs it",
    Status.PENDING: "cert-manager has yet to issue it; a run after that sends it",
    Status.REFUSED: "it may not be sent, and needs a person",
    Status.UNKNOWN: "the cluster, the namespace or OPS can't be read",
    Status.ORPHANED: "a copy whose certificate is gone from OPS, or no longer routed",
}


class Content(Model):
    """The certificate in a Secret, as far as metadata shows it. Unknown values are empty."""

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
    """A code of domain/reasons.py, or the failure codes of a cluster that can't be read."""
    detail: str = ""
    remedy: str = ""
    stored: Content | None = None
    """The content of the copy; None if there is no copy of ours."""
    written_at: datetime | None = None
    """When tls-sync last wrote the copy."""
    source: Content | None = None
    """The content on OPS; None if OPS has none that is fit to be sent."""
    served: tuple[Served, ...] = ()
    keys: tuple[str, ...] = ()
    """The keys beside tls.crt, tls.key and ca.crt that its route sends, sorted."""

    @property
    def unverified(self) -> tuple[str, ...]:
        """Those of them that are sent although nobody can tell what they hold."""
        return tuple(key for key in self.keys if key in KEYSTORES)

    @property
    def ok(self) -> bool:
        """True if neither a person nor a run has something to do."""
        return self.reason in QUIET and not any(one.differs for one in self.served)

    @property
    def place(self) -> str:
        """The namespace, with the copy's name if that is not the certificate's."""
        return self.namespace if self.secret == self.certificate else f"{self.namespace}/{self.secret}"


class ClusterStatus(Model):
    """What could not be read of a cluster, and what is unusual there."""

    cluster: str
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()


class InventoryReport(Model):
    """Which certificate is in which place, until when, and whether it is the right one."""

    now: datetime
    snapshot: SourceSnapshot = SourceSnapshot()
    """What OPS holds; of the selected certificate alone, if one was selected."""
    copies: tuple[CopyState, ...] = ()
    """The copies, worst first."""
    clusters: tuple[ClusterStatus, ...] = ()
    suspended: tuple[str, ...] = ()
    discovery: Discovery = Discovery()

    @property
    def ok(self) -> bool:
        failed = (
            self.snapshot.failure
            or self.discovery.failure
            or any(cluster.failures for cluster in self.clusters)
        )
        return not failed and all(copy.ok for copy in self.copies)

    @property
    def counts(self) -> dict[Status, int]:
        found = Counter(copy.status for copy in self.copies)
        return {status: found[status] for status in Status if found[status]}

    @property
    def cluster_names(self) -> tuple[str, ...]:
        return tuple(cluster.cluster for cluster in self.clusters)


def days_until(moment: datetime | None, now: datetime) -> int | None:
    """Return whole days; negative once the moment has passed."""
    return None if moment is None else (moment - now) // timedelta(days=1)
