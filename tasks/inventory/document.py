"""A survey as a document for programs. Pure.

The form is an interface: what is there keeps its name and meaning as long as `schemaVersion` is the same.
New keys may be added. Times are RFC 3339, unknown values null, days whole and negative once passed.
"""

from datetime import datetime
from typing import Any

from tasks.domain import expiry
from tasks.domain.models import Certificate, Failure, Issuance
from tasks.inventory import summary
from tasks.inventory.model import ClusterStatus, Content, CopyState, InventoryReport, Served, days_until

SCHEMA_VERSION = 1

Document = dict[str, Any]


def document(survey: InventoryReport) -> Document:
    ending = summary.verdict(survey)
    return {
        "schemaVersion": SCHEMA_VERSION,
        "takenAt": _time(survey.now),
        "ok": survey.ok,
        "message": ending.message,
        "counts": {str(status): count for status, count in survey.counts.items()},
        "ops": {"failure": _failure(survey.failure), "warnings": list(survey.warnings)},
        "clusters": [_visit(visit) for visit in survey.visits],
        "suspended": list(survey.suspended),
        "certificates": [_certificate(one, survey) for one in survey.certificates],
        "rejections": [
            {"name": one.ref.name, "reason": str(one.reason), "detail": one.detail}
            for one in survey.rejections
        ],
        "issuances": [_issuance(one, survey.now) for one in survey.issuances],
        "unrouted": {"rejections": survey.unrouted_rejections, "issuances": survey.unrouted_issuances},
        "placements": [_placement(one, survey.now) for one in survey.placements],
    }


def _visit(visit: ClusterStatus) -> Document:
    return {
        "name": visit.cluster,
        "failures": [_failure(one) for one in visit.failures],
        "warnings": list(visit.warnings),
    }


def _failure(failure: Failure | None) -> Document | None:
    if failure is None:
        return None
    return {
        "code": str(failure.code),
        "cluster": failure.cluster,
        "what": failure.what,
        "detail": failure.detail,
        "remedy": failure.code.remedy,
    }


def _certificate(one: Certificate, survey: InventoryReport) -> Document:
    version = one.version
    return {
        "name": one.ref.name,
        "namespace": one.ref.namespace,
        "fingerprint": version.fingerprint,
        "x509Sha256": one.leaf,
        "serial": one.serial,
        "issuer": one.issuer,
        "keys": list(one.keys),
        "keysThatStayOnOps": list(one.kept_keys),
        "dnsNames": list(one.dns_names),
        "notBefore": _time(version.not_before),
        "notAfter": _time(version.not_after),
        "daysLeft": days_until(version.not_after, survey.now),
        "renewalDue": _time(expiry.renewal_due(version.not_before, version.not_after, one.renewal)),
        "expiry": str(expiry.level_of(one, survey.now)),
        "copies": sum(placement.certificate == one.ref.name for placement in survey.placements),
    }


def _issuance(one: Issuance, now: datetime) -> Document:
    return {
        "name": one.ref.name,
        "certificate": one.certificate,
        "reason": str(one.reason(now)),
        "since": _time(one.since),
        "failedAttempts": one.attempts,
        "detail": one.detail,
    }


def _placement(one: CopyState, now: datetime) -> Document:
    return {
        "certificate": one.certificate,
        "cluster": one.cluster,
        "namespace": one.namespace,
        "secret": one.secret,
        "status": str(one.status),
        "ok": one.ok,
        "reason": one.reason,
        "detail": one.detail,
        "remedy": one.remedy,
        "copy": _content(one.held, now),
        "writtenAt": _time(one.written),
        "onOps": _content(one.source, now),
        "served": [_served(served) for served in one.served],
    }


def _content(content: Content | None, now: datetime) -> Document | None:
    if content is None:
        return None
    return {
        "fingerprint": content.fingerprint,
        "serial": content.serial or None,
        "notBefore": _time(content.not_before),
        "notAfter": _time(content.not_after),
        "daysLeft": days_until(content.not_after, now),
    }


def _served(one: Served) -> Document:
    return {
        "address": one.address,
        "name": one.name or None,
        "likeness": str(one.likeness),
        "serial": one.serial or None,
        "notAfter": _time(one.not_after),
        "detail": one.detail,
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
