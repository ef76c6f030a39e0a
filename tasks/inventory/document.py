"""An inventory as a JSON document. Pure.

Programs rely on it: existing keys keep their name and meaning as long as `schemaVersion` is the same; new
keys may be added. Times are RFC 3339; unknown values are null; days are whole, and negative after the expiry.
"""

from collections import Counter
from datetime import datetime
from typing import Any

from tasks.domain import expiry
from tasks.domain.models import Certificate, Issuance
from tasks.inventory import summary
from tasks.inventory.model import ClusterStatus, Content, CopyState, InventoryReport, days_until
from tasks.report.document import (
    discovery_document,
    failure_document,
    request_document,
    served_document,
    time_text,
)

SCHEMA_VERSION = 1

Document = dict[str, Any]


def document(report: InventoryReport) -> Document:
    snapshot = report.snapshot
    copies = Counter(copy.certificate for copy in report.copies)
    sent = {(copy.certificate, key) for copy in report.copies for key in copy.keys}
    return {
        "schemaVersion": SCHEMA_VERSION,
        "takenAt": time_text(report.now),
        "ok": report.ok,
        "message": summary.inventory_verdict(report).message,
        "counts": {str(status): count for status, count in report.counts.items()},
        "ops": {"failure": failure_document(snapshot.failure), "warnings": list(snapshot.all_warnings)},
        "clusters": [_cluster(one) for one in report.clusters],
        "suspended": list(report.suspended),
        "discovery": discovery_document(report.discovery),
        "certificates": [
            _certificate(one, copies[one.ref.name], sent, report.now) for one in snapshot.certificates
        ],
        "rejections": [
            {"name": one.ref.name, "reason": str(one.reason), "detail": one.detail}
            for one in snapshot.rejections
        ],
        "issuances": [_issuance(one, report.now) for one in snapshot.issuances],
        "refusedRequests": [request_document(one) for one in snapshot.refused_requests],
        "unrouted": {"rejections": snapshot.unrouted_rejections, "issuances": snapshot.unrouted_issuances},
        "placements": [_copy(one, report.now) for one in report.copies],
    }


def _cluster(cluster: ClusterStatus) -> Document:
    return {
        "name": cluster.cluster,
        "failures": [failure_document(one) for one in cluster.failures],
        "warnings": list(cluster.warnings),
    }


def _certificate(one: Certificate, copies: int, sent: set[tuple[str, str]], now: datetime) -> Document:
    version = one.version
    return {
        "name": one.ref.name,
        "namespace": one.ref.namespace,
        "fingerprint": version.fingerprint,
        "x509Sha256": one.leaf,
        "serial": one.serial,
        "issuer": one.issuer,
        "keys": list(one.keys),
        "keysThatStayOnOps": [key for key in one.kept_keys if (one.ref.name, key) not in sent],
        "dnsNames": list(one.dns_names),
        "notBefore": time_text(version.not_before),
        "notAfter": time_text(version.not_after),
        "daysLeft": days_until(version.not_after, now),
        "renewalDue": time_text(expiry.renewal_due(version.not_before, version.not_after, one.renewal)),
        "expiry": str(expiry.level_of(one, now)),
        "copies": copies,
    }


def _issuance(one: Issuance, now: datetime) -> Document:
    return {
        "name": one.ref.name,
        "certificate": one.certificate,
        "reason": str(one.reason(now)),
        "since": time_text(one.since),
        "failedAttempts": one.attempts,
        "detail": one.detail,
    }


def _copy(one: CopyState, now: datetime) -> Document:
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
        "copy": _content(one.stored, now),
        "writtenAt": time_text(one.written_at),
        "onOps": _content(one.source, now),
        "served": [served_document(served) for served in one.served],
        "keys": list(one.keys),
        "unverifiedKeys": list(one.unverified),
    }


def _content(content: Content | None, now: datetime) -> Document | None:
    if content is None:
        return None
    return {
        "fingerprint": content.fingerprint,
        "serial": content.serial or None,
        "notBefore": time_text(content.not_before),
        "notAfter": time_text(content.not_after),
        "daysLeft": days_until(content.not_after, now),
    }
