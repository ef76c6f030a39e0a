"""A run as a JSON document, for programs, with the rules of inventory/document.py. Pure."""

from datetime import datetime
from typing import Any

from tasks.domain.models import (
    Change,
    ClusterReport,
    Discovery,
    Failure,
    RefusedRequest,
    RunReport,
    Served,
    ServedCopy,
    Version,
)
from tasks.report.verdict import run_verdict

SCHEMA_VERSION = 1

Document = dict[str, Any]


def document(report: RunReport) -> Document:
    """Return all rows, also those of copies in sync, which the text leaves out."""
    verdict, parameters = run_verdict(report), report.parameters
    return {
        "schemaVersion": SCHEMA_VERSION,
        "at": time_text(report.now),
        "ok": verdict.ok,
        "state": verdict.name,
        "message": verdict.message,
        "dryRun": parameters.dry_run,
        "cluster": parameters.cluster,
        "group": parameters.group,
        "certificate": parameters.certificate,
        "ops": {
            "failure": failure_document(report.snapshot.failure),
            "warnings": list(report.snapshot.all_warnings),
            "refusedRequests": [request_document(one) for one in report.snapshot.refused_requests],
        },
        "clusters": [_cluster(one) for one in report.clusters],
        "suspended": list(report.suspended),
        "discovery": discovery_document(report.discovery),
    }


def _cluster(one: ClusterReport) -> Document:
    return {
        "name": one.cluster,
        "ok": one.ok,
        "counts": {str(action): count for action, count in sorted(one.counts.items())},
        "failures": [failure_document(failure) for failure in one.failures],
        "warnings": list(one.warnings),
        "changes": [_change(change) for change in one.changes],
        "served": [_served(copy, copy.served) for copy in one.served if copy.served],
    }


def _served(copy: ServedCopy, found: Served) -> Document:
    """Return what an address presented, and for which copy it was asked."""
    return {
        "namespace": copy.target.namespace,
        "secret": copy.target.name,
        "certificate": copy.certificate,
        "since": time_text(copy.since),
        **served_document(found),
    }


def served_document(found: Served) -> Document:
    return {
        "address": found.address,
        "name": found.name or None,
        "likeness": str(found.match),
        "serial": found.serial or None,
        "notAfter": time_text(found.not_after),
        "detail": found.detail,
    }


def _change(one: Change) -> Document:
    return {
        "action": str(one.action),
        "applied": one.applied,
        "reason": str(one.reason),
        "namespace": one.target.namespace,
        "secret": one.target.name,
        "certificate": one.certificate,
        "old": _version(one.old),
        "new": _version(one.new),
        "detail": one.detail,
    }


def _version(one: Version | None) -> Document | None:
    if one is None:
        return None
    return {
        "fingerprint": one.fingerprint,
        "notBefore": time_text(one.not_before),
        "notAfter": time_text(one.not_after),
    }


def discovery_document(one: Discovery) -> Document | None:
    """Return what announced clusters lack; None without `discover`."""
    if not (one.is_configured or one.failure):
        return None
    return {
        "failure": failure_document(one.failure),
        "unserved": [failure_document(failure) for failure in one.unserved],
        "unrouted": list(one.unrouted),
    }


def failure_document(one: Failure | None) -> Document | None:
    if one is None:
        return None
    return {
        "code": str(one.code),
        "cluster": one.cluster,
        "what": one.what,
        "detail": one.detail,
        "remedy": one.code.remedy,
    }


def request_document(one: RefusedRequest) -> Document:
    return {"name": one.ref.name, "reason": str(one.reason), "detail": one.detail}


def time_text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
