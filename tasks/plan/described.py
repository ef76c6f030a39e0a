"""What a run knows of OPS in the end: what it listed, what its clusters' tasks read, what notes prove. Pure.

Reports show it. No decision depends on it, since a copy's annotations tell of that copy alone.
"""

from collections.abc import Iterable

from tasks.domain.models import (
    Certificate,
    ClusterReport,
    Issuance,
    ListedSecret,
    ReadEntry,
    Rejection,
    SourceEntry,
    SourceSnapshot,
    Version,
)
from tasks.domain.reasons import Reason
from tasks.plan.spec import RunMemory


def described(
    snapshot: SourceSnapshot, memory: RunMemory, reports: Iterable[ClusterReport]
) -> SourceSnapshot:
    """Return the snapshot with what is known of its listed Secrets.

    A Secret whose copy was written or is in sync has the copy's version. Of one that nothing is sent from,
    cert-manager's Certificate tells the validity period; it is marked as not checked.
    """
    reports = tuple(reports)
    snapshot = with_entries_read(snapshot, memory, reports)
    if not snapshot.listed:
        return snapshot
    versions = _versions(snapshot, reports)
    certificates = (_certificate(one, versions.get(one.ref.name)) for one in snapshot.listed)
    return snapshot.corrected({one.ref.name: one for one in certificates if one})


def with_entries_read(
    snapshot: SourceSnapshot, memory: RunMemory, reports: Iterable[ClusterReport]
) -> SourceSnapshot:
    """Return the snapshot with what the clusters' tasks read of its listed Secrets."""
    found: dict[str, SourceEntry | None] = dict(entries_read(snapshot, memory))
    for report in reports:
        found |= report.source.entries if report.source else {}
    return snapshot.corrected(found) if found else snapshot


def unfit_among(listed: Iterable[ListedSecret], found: SourceSnapshot) -> SourceSnapshot | None:
    """Return those of the listed Secrets that turned out not to be fit; None if all of them were."""
    entries = ((one.ref.name, found.entries.get(one.ref.name)) for one in listed)
    unfit = {name: one for name, one in entries if isinstance(one, Rejection | Issuance)}
    return SourceSnapshot().corrected(unfit) if unfit else None


def entries_read(snapshot: SourceSnapshot, memory: RunMemory) -> dict[str, ReadEntry | None]:
    """Return what was read of the Secrets that this snapshot lists."""
    listed = {one.ref.name: one for one in snapshot.listed}
    return {name: one.entry for name, one in memory.entries.items() if listed.get(name) == one.listed}


def _versions(snapshot: SourceSnapshot, reports: Iterable[ClusterReport]) -> dict[str, Version]:
    wanted = {one.ref.name for one in snapshot.listed}
    return {
        row.certificate: row.new
        for report in reports
        for row in report.changes
        if (row.applied or row.reason is Reason.IN_SYNC) and row.new and row.certificate in wanted
    }


def _certificate(one: ListedSecret, version: Version | None) -> Certificate | None:
    """The certificate as far as it is known; None where not even its validity period is."""
    checked = version is not None
    if version is None and one.validity:
        begin, end = one.validity
        version = Version(fingerprint="", not_before=begin, not_after=end)
    if version is None:
        return None
    return Certificate(
        ref=one.ref,
        uid=one.uid,
        resource_version=one.resource_version,
        written=one.written,
        keys=(),
        serial="",
        issuer="",
        dns_names=one.dns_names,
        version=version,
        renewal=one.renewal,
        resource=one.resource,
        checked=checked,
    )
