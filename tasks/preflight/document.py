"""A preflight as a JSON document, for programs, with the rules of inventory/document.py. Pure."""

from typing import Any

from tasks.preflight.model import Finding, Preflight, Readiness
from tasks.preflight.render import verdict

SCHEMA_VERSION = 1


def document(found: Preflight) -> dict[str, Any]:
    result = verdict(found)
    return {
        "schemaVersion": SCHEMA_VERSION,
        "ok": result.ok,
        "message": result.message,
        "ops": _readiness(found.ops),
        "clusters": [_readiness(one) for one in found.clusters],
        "suspended": list(found.suspended),
        "servedBy": found.served_by or None,
    }


def _readiness(one: Readiness) -> dict[str, Any]:
    return {
        "name": one.cluster,
        "ready": one.ready,
        "clusterId": one.uid or None,
        "findings": [_finding(finding) for finding in one.findings],
    }


def _finding(one: Finding) -> dict[str, str]:
    return {
        "check": str(one.check),
        "status": one.status.name.lower(),
        "name": one.name,
        "text": one.text,
        "remedy": one.remedy,
    }
