"""The events of a run, for automations in Prefect. Pure; orchestration/publish.py emits them.

| event                           | for each                                                    | how often |
| ------------------------------- | ----------------------------------------------------------- | --------- |
| `tls-sync.certificate.synced`   | copy that was written                                       | once      |
| `tls-sync.certificate.deleted`  | copy that was deleted (`prune: true`)                       | once      |
| `tls-sync.certificate.refused`  | routed copy that is refused; unfit Secret on OPS; Secret    | each run  |
|                                 | that cert-manager should have issued by now                 |           |
| `tls-sync.certificate.expiring` | copy, or certificate on OPS, that is near expiry            | each run  |

domain/expiry.py defines "near expiry". Unfit Secrets that no route names have no event, and a dry run has
none. The resource of an event is a certificate in a cluster; the Secret there is the related resource.
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
MAX_EVENTS = 1000
"""Maximum number of events of one run. Deletions and refusals come first; the log counts those left out."""


class Event(NamedTuple):
    name: str
    owner: str
    cluster: str
    certificate: str
    secret: SecretRef
    payload: dict[str, Any]

    @property
    def resource(self) -> dict[str, str]:
        """Return Prefect's resource: an id, a name, and labels that an automation can match."""
        return {
            "prefect.resource.id": f"tls-sync.certificate.{self.owner}.{self.cluster}.{self.certificate}",
            "prefect.resource.name": f"{self.certificate} on {self.cluster}",
            "tls-sync.owner": self.owner,
            "tls-sync.cluster": self.cluster,
            "tls-sync.certificate": self.certificate,
        }

    @property
    def related(self) -> list[dict[str, str]]:
        secret = f"{self.cluster}.{self.secret.namespace}.{self.secret.name}"
        return [
            {
                "prefect.resource.id": f"tls-sync.secret.{secret}",
                "prefect.resource.role": "secret",
                "prefect.resource.name": str(self.secret),
            }
        ]


def events_of(report: RunReport) -> Iterator[Event]:
    """Yield deletions, refusals, expiries, writes. A generator, since a large first run has many."""
    if report.parameters.dry_run or report.snapshot.failure:
        return
    for events in (_deleted, _rejected, _refused, _expiring, _expiring_on_ops, _synced):
        yield from events(report)


def _deleted(report: RunReport) -> Iterator[Event]:
    for cluster, change in _rows(report):
        if change.action is Action.DELETE and change.applied:
            deleted = _expiry(change.old, report) if change.old else {}
            yield _of_copy(DELETED, report, cluster, change, _reason(change.reason, change.detail) | deleted)


def _rejected(report: RunReport) -> Iterator[Event]:
    for one in report.snapshot.rejections:
        if report.parameters.certificate in (None, one.ref.name):
            yield _on_ops(REFUSED, report, one.ref, _reason(one.reason, one.detail))
    for awaited in report.snapshot.issuances:
        reason = awaited.reason(report.now)
        if report.parameters.certificate in (None, awaited.ref.name) and reason is Reason.ISSUANCE_LATE:
            yield _on_ops(REFUSED, report, awaited.ref, _reason(reason, awaited.detail))


def _refused(report: RunReport) -> Iterator[Event]:
    for cluster, change in _rows(report):
        if change.failed:
            yield _of_copy(REFUSED, report, cluster, change, _reason(change.reason, change.detail))


def _expiring(report: RunReport) -> Iterator[Event]:
    sources = report.snapshot.by_name
    for cluster, change in _rows(report):
        version = change.effective_version
        source = sources.get(change.certificate)
        if version and level_of_copy(version, source, report.now) is not Level.FINE:
            yield _of_copy(EXPIRING, report, cluster, change, _expiry(version, report))


def _expiring_on_ops(report: RunReport) -> Iterator[Event]:
    for one in report.snapshot.certificates:
        selected = report.parameters.certificate in (None, one.ref.name)
        if selected and level_of(one, report.now) is not Level.FINE:
            yield _on_ops(EXPIRING, report, one.ref, _expiry(one.version, report))


def _synced(report: RunReport) -> Iterator[Event]:
    for cluster, change in _rows(report):
        if change.applied and change.new:
            write = {"action": str(change.action), "reason": str(change.reason)}
            yield _of_copy(SYNCED, report, cluster, change, write | _expiry(change.new, report))


def _rows(report: RunReport) -> Iterator[tuple[str, Change]]:
    for cluster in report.clusters:
        yield from ((cluster.cluster, change) for change in cluster.changes)


def _on_ops(name: str, report: RunReport, secret: SecretRef, payload: dict[str, Any]) -> Event:
    return Event(name, report.owner, OPS, secret.name, secret, payload)


def _of_copy(name: str, report: RunReport, cluster: str, change: Change, payload: dict[str, Any]) -> Event:
    return Event(name, report.owner, cluster, change.certificate, change.target, payload)


def _reason(reason: Reason, detail: str) -> dict[str, Any]:
    return {"reason": str(reason), "sentence": reason.sentence, "detail": detail, "remedy": reason.remedy}


def _expiry(version: Version, report: RunReport) -> dict[str, Any]:
    return {
        "fingerprint": version.fingerprint,
        "not_after": version.not_after.isoformat(),
        "days_left": version.days_left(report.now),
    }
