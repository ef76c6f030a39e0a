"""What a preflight finds out: findings, each about one check of one cluster. Pure.

A bad one is something without which runs fail; it says what to do.
"""

from enum import StrEnum

from tasks.domain.models import Model


class Check(StrEnum):
    """In the order in which they are made: the first failure leaves the following ones unasked."""

    CONTEXT = "context"
    REACHABLE = "reachable"
    TLS = "TLS"
    IDENTITY = "identity"
    CLUSTER_ID = "clusterId"
    RIGHTS = "rights"
    NAMESPACES = "namespaces"
    POLICY = "policy"
    CREDENTIAL = "credential"


class Mark(StrEnum):
    BAD = "✗"
    UNKNOWN = "?"
    LOOK = "!"
    FINE = "✓"
    NOT_ASKED = "-"


MEANINGS = {
    Mark.FINE: "fine",
    Mark.BAD: "not ready",
    Mark.LOOK: "have a look",
    Mark.UNKNOWN: "can't be told",
    Mark.NOT_ASKED: "not asked",
}


class Finding(Model):
    check: Check
    mark: Mark
    name: str = ""
    """Of what is wrong, in one word: a code of tasks/domain/reasons.py, or `PolicyMissing`, `NotPinned`, …"""
    text: str = ""
    remedy: str = ""


class Readiness(Model):
    """One cluster."""

    cluster: str
    findings: tuple[Finding, ...] = ()
    uid: str = ""
    """Of its namespace kube-system, as far as it is known."""

    def mark(self, check: Check) -> Mark:
        """The worst of what was found about a check."""
        found = {one.mark for one in self.findings if one.check is check}
        return next((mark for mark in Mark if mark in found), Mark.NOT_ASKED)

    @property
    def ready(self) -> bool:
        return all(one.mark is not Mark.BAD for one in self.findings)

    @property
    def troubles(self) -> tuple[Finding, ...]:
        """All that a person should look at, in the order of the checks, the worst first."""
        marks, checks = list(Mark), list(Check)
        told = (one for one in self.findings if one.mark not in (Mark.FINE, Mark.NOT_ASKED))
        return tuple(sorted(told, key=lambda one: (marks.index(one.mark), checks.index(one.check))))


class Preflight(Model):
    """OPS, and the clusters that were asked for."""

    ops: Readiness
    clusters: tuple[Readiness, ...] = ()
    suspended: tuple[str, ...] = ()
    served_by: str = ""
    """What serves the clusters in place of a run's process, and was not asked."""
