"""Reports -> events, for people's own automations. Pure; orchestration/publish.py hands them to Prefect.

| event                           | for each                                                    | how often |
| ------------------------------- | ----------------------------------------------------------- | --------- |
| `tls-sync.certificate.synced`   | copy that was written                                       | once      |
| `tls-sync.certificate.deleted`  | copy that was deleted (`prune: true`)                       | once      |
| `tls-sync.certificate.refused`  | copy that was wanted and can't be had; unfit Secret on OPS, | each run  |
|                                 | and one that cert-manager should have issued by now         |           |
| `tls-sync.certificate.expiring` | copy, or certificate on OPS, that is near its end           | each run  |

Near its end is what domain/expiry.py calls so; of a Secret that is unfit and not routed, nothing is told. The
resource is a certificate in a cluster, the related one the Secret there. A dry run has none.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tasks.domain.expiry import Level, level_of, level_of_copy
from tasks.domain.models import Action, Change, RunReport, SecretRef, Version
from tasks.domain.names import OPS
from tasks.domain.reasons import Reason

SYNCED, DELETED, REFUSED, EXPIRING = (
    f"tls-sync.certificate.{one}" for one in ("synced", "deleted", "refused", "expiring")
)
MOST = 1000
"""Of one run. What can't be undone and the worst come first, and those left out are counted."""


class Event(NamedTuple):
    name: str
    owner: str
    cluster: str
    certificate: str
    secret: SecretRef
    payload: dict[str, Any]

    @property
    def resource(self) -> dict[str, str]:
        """As Prefect has it: an id, a name, and labels that an automation can match."""
        return {
            "prefect.resource.id": f"tls-sync.certificate.{self.owner}.{self.cluster}.{self.certificate}",
            "prefect.resource.name": f"{self.certificate} on {self.cluster}",
            "tls-sync.owner": self.owner,
            "tls-sync.cluster": self.cluster,
            "tls-sync.certificate": self.certificate,
        }

    @property
    def related(self) -> list[dict[str, str]]:
        place = f"{self.cluster}.{self.secret.namespace}.{self.secret.name}"
        return [
            {
                "prefect.resource.id": f"tls-sync.secret.{place}",
                "prefect.resource.role": "secret",
                "prefect.resource.name": str(self.secret),
            }
        ]


def events_of(report: RunReport) -> Iterator[Event]:
    """One after the other, deletions and then the worst first: of a large first run there are many."""
    if report.dry_run or report.inventory.failure:
        return
    for told in (_deleted, _rejected, _refused, _expiring, _expiring_on_ops, _synced):
        yield from told(report)


def _deleted(report: RunReport) -> Iterator[Event]:
    for cluster, change in _rows(report):
        if change.action is Action.DELETE and change.applied:
            held = _end(change.old, report) if change.old else {}
            yield _of_copy(DELETED, report, cluster, change, _why(change.reason, change.detail) | held)


def _rejected(report: RunReport) -> Iterator[Event]:
    for one in report.inventory.rejections:
        if report.certificate in (None, one.ref.name):
            yield _on_ops(REFUSED, report, one.ref, _why(one.reason, one.detail))
    for awaited in report.inventory.issuances:
        reason = awaited.reason(report.now)
        if report.certificate in (None, awaited.ref.name) and reason is Reason.ISSUANCE_LATE:
            yield _on_ops(REFUSED, report, awaited.ref, _why(reason, awaited.detail))


def _refused(report: RunReport) -> Iterator[Event]:
    for cluster, change in _rows(report):
        if change.failed:
            yield _of_copy(REFUSED, report, cluster, change, _why(change.reason, change.detail))


def _expiring(report: RunReport) -> Iterator[Event]:
    sources = report.inventory.by_name
    for cluster, change in _rows(report):
        held = change.effective_version
        if held and level_of_copy(held, sources.get(change.certificate), report.now) is not Level.FINE:
            yield _of_copy(EXPIRING, report, cluster, change, _end(held, report))


def _expiring_on_ops(report: RunReport) -> Iterator[Event]:
    for one in report.inventory.certificates:
        asked = report.certificate in (None, one.ref.name)
        if asked and level_of(one, report.now) is not Level.FINE:
            yield _on_ops(EXPIRING, report, one.ref, _end(one.version, report))


def _synced(report: RunReport) -> Iterator[Event]:
    for cluster, change in _rows(report):
        if change.applied and change.new:
            done = {"action": str(change.action), "reason": str(change.reason)}
            yield _of_copy(SYNCED, report, cluster, change, done | _end(change.new, report))


def _rows(report: RunReport) -> Iterator[tuple[str, Change]]:
    for cluster in report.clusters:
        yield from ((cluster.cluster, change) for change in cluster.changes)


def _on_ops(name: str, report: RunReport, secret: SecretRef, payload: dict[str, Any]) -> Event:
    return Event(name, report.owner, OPS, secret.name, secret, payload)


def _of_copy(name: str, report: RunReport, cluster: str, change: Change, payload: dict[str, Any]) -> Event:
    return Event(name, report.owner, cluster, change.certificate, change.target, payload)


def _why(reason: Reason, detail: str) -> dict[str, Any]:
    return {"reason": str(reason), "sentence": reason.sentence, "detail": detail, "remedy": reason.remedy}


def _end(version: Version, report: RunReport) -> dict[str, Any]:
    return {
        "fingerprint": version.fingerprint,
        "not_after": version.not_after.isoformat(),
        "days_left": version.days_left(report.now),
    }
