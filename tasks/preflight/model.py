"""The result of a preflight: findings, each about one check of one cluster. Pure."""

from datetime import timedelta
from enum import StrEnum

from tasks.domain.models import Model


class Check(StrEnum):
    """In the order in which they are made. After a failure, the later ones are not made."""

    CONTEXT = "context"
    REACHABLE = "reachable"
    TLS = "TLS"
    IDENTITY = "identity"
    CLUSTER_ID = "clusterId"
    RIGHTS = "rights"
    NAMESPACES = "namespaces"
    POLICY = "policy"
    CREDENTIAL = "credential"


class CheckStatus(StrEnum):
    """Worst first. With an ERROR, runs fail."""

    ERROR = "✗"
    UNKNOWN = "?"
    WARNING = "!"
    OK = "✓"
    NOT_CHECKED = "-"


MEANINGS = {
    CheckStatus.OK: "fine",
    CheckStatus.ERROR: "not ready",
    CheckStatus.WARNING: "have a look",
    CheckStatus.UNKNOWN: "unknown",
    CheckStatus.NOT_CHECKED: "not checked",
}


class Finding(Model):
    check: Check
    status: CheckStatus
    name: str = ""
    """What is wrong, in one word: a failure code or a reason, or `PolicyMissing`, `NotPinned`, …"""
    text: str = ""
    remedy: str = ""


class RenewalWindow(Model):
    """The time between a certificate's renewal and its expiry."""

    certificate: str
    """Name of the Secret on OPS."""
    lifetime: timedelta
    window: timedelta


class Readiness(Model):
    """The findings about one cluster."""

    cluster: str
    findings: tuple[Finding, ...] = ()
    uid: str = ""
    """The uid of its namespace kube-system, if known."""
    shortest: RenewalWindow | None = None
    """On OPS, of the routed certificates whose renewal is known, the one that allows the least time."""

    def status(self, check: Check) -> CheckStatus:
        """Return the worst status among the findings of a check."""
        found = {one.status for one in self.findings if one.check is check}
        return next((status for status in CheckStatus if status in found), CheckStatus.NOT_CHECKED)

    @property
    def ready(self) -> bool:
        return all(one.status is not CheckStatus.ERROR for one in self.findings)

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that need attention: the worst first, then in the order of the checks."""
        order, checks = list(CheckStatus), list(Check)
        found = (one for one in self.findings if one.status not in (CheckStatus.OK, CheckStatus.NOT_CHECKED))
        return tuple(sorted(found, key=lambda one: (order.index(one.status), checks.index(one.check))))


class Preflight(Model):
    """OPS and the clusters that were checked."""

    ops: Readiness
    clusters: tuple[Readiness, ...] = ()
    suspended: tuple[str, ...] = ()
    served_by: str = ""
    """What serves the clusters instead of the run's process, and was not checked."""
