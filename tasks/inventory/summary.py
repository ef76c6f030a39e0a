"""The verdict of an inventory, and the cells and sentences that its table and its page share. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from tasks.domain.errors import describe
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ServedMatch
from tasks.domain.reasons import Reason
from tasks.domain.text import count_of, short_date
from tasks.inventory.model import Content, CopyState, InventoryReport, Status, days_until
from tasks.report import rows
from tasks.report.served import MATCH_LABELS
from tasks.report.unserved import unserved_lines, unserved_note
from tasks.report.verdict import MAX_NAMED, Verdict, expiring, source_notes

MARKS = {
    Status.IN_SYNC: "✓",
    Status.STALE: "↻",
    Status.MISSING: "○",
    Status.FOREIGN: "⊘",
    Status.DRIFTED: "≠",
    Status.PENDING: "…",
    Status.REFUSED: "✗",
    Status.UNKNOWN: "?",
    Status.ORPHANED: "-",
}


def inventory_verdict(report: InventoryReport) -> Verdict:
    """Return the final state and a message: `inventory: 2 of 9 copies not in sync (stale 2); …`."""
    parts = [*_failures(report)]
    bad = [one for one in report.copies if not one.ok and one.status is not Status.IN_SYNC]
    if bad:
        statuses = Counter(one.status for one in bad)
        counts = ", ".join(f"{status} {statuses[status]}" for status in Status if statuses[status])
        parts.append(f"{len(bad)} of {_copies(len(report.copies))} not in sync ({counts})")
    elif report.copies and not report.snapshot.failure:
        pending = report.counts.get(Status.PENDING, 0)
        state = f"{pending} pending, the others in sync" if pending else "all in sync"
        certificates = len({one.certificate for one in report.copies})
        parts.append(f"{_copies(len(report.copies))} of {count_of(certificates, 'certificate')}, {state}")
    elif not report.snapshot.failure:
        parts.append("no copy is wanted, and none is there")
    parts += [*_served(report), *source_notes(report.snapshot, report.now, report.suspended)]
    parts += unserved_note(report.discovery)
    name = "Completed" if report.ok else "NotInSync"
    return Verdict(ok=report.ok, name=name, message=f"inventory: {'; '.join(parts)}")


def _copies(count: int) -> str:
    return f"{count} {'copy' if count == 1 else 'copies'}"


def _failures(report: InventoryReport) -> Iterator[str]:
    if failure := report.snapshot.failure:
        yield f"OPS can't be read ({failure.code})"
    if failure := report.discovery.failure:
        yield f"discovered clusters are not known ({failure.code})"
    if failed := [one for one in report.clusters if one.failures]:
        names = ", ".join(f"{one.cluster} ({one.failures[0].code})" for one in failed[:MAX_NAMED])
        names += f" and {len(failed) - MAX_NAMED} more" if len(failed) > MAX_NAMED else ""
        yield f"{len(failed)} of {len(report.clusters)} clusters not fully read: {names}"


def _served(report: InventoryReport) -> Iterator[str]:
    found = Counter(served.match for copy in report.copies for served in copy.served)
    if differing := found[ServedMatch.OLDER] + found[ServedMatch.OTHER]:
        yield f"{differing} served otherwise than stored"
    if unknown := found[ServedMatch.NONE] + found[ServedMatch.NO_NAME]:
        yield f"{unknown} served unknown"


def without_copies(report: InventoryReport) -> list[str]:
    """Return the names of the certificates on OPS that no cluster has or wants."""
    copied = {one.certificate for one in report.copies}
    return [one.ref.name for one in report.snapshot.certificates if one.ref.name not in copied]


def notes(report: InventoryReport) -> Iterator[str]:
    """Yield what the rows of the table do not show: failures, warnings and the state of OPS."""
    snapshot = report.snapshot
    if snapshot.failure:
        yield f"{describe(snapshot.failure, '')}. To do: {snapshot.failure.code.remedy}."
    if failure := report.discovery.failure:
        yield f"{describe(failure, '')}. To do: {failure.code.remedy}."
    yield from unserved_lines(report.discovery)
    for one in report.clusters:
        for failure in one.failures:
            yield f"{one.cluster}: {describe(failure, one.cluster)}. To do: {failure.code.remedy}."
    for one in report.clusters:
        yield from (f"{one.cluster}: warning: {warning}" for warning in one.warnings)
    yield from (f"rejected on OPS: {line}" for line in rows.rejected(snapshot))
    yield from (f"not issued on OPS: {line}" for line in rows.not_issued(snapshot, report.now))
    yield from (f"not granted: {line}" for line in rows.not_granted(snapshot))
    yield from rows.unrouted_notes(snapshot)
    if names := without_copies(report):
        more = f" and {len(names) - rows.LOG_ROWS} more" if len(names) > rows.LOG_ROWS else ""
        yield f"on OPS, and nowhere else: {', '.join(names[: rows.LOG_ROWS])}{more}"
    yield from (f"OPS: warning: {warning}" for warning in snapshot.all_warnings)
    if report.suspended:
        yield f"suspended, so left out: {', '.join(report.suspended)}"


def expiry_notes(report: InventoryReport) -> Iterator[str]:
    """Yield the certificates near expiry, the earliest expiry first, and how many are left out."""
    found = list(expiring(report.snapshot, report.now))
    for certificate, text in found[: rows.LOG_ROWS]:
        yield f"expiring: {certificate.ref.name}: {text} (until {date(certificate.version.not_after)})"
    if len(found) > rows.LOG_ROWS:
        yield f"expiring: … and {len(found) - rows.LOG_ROWS} more"


def explain(copy: CopyState) -> str:
    """Return the reason as a sentence and, if a person has something to do, the remedy."""
    sentences = {str(one): one.sentence for one in (*FailureCode, *Reason)}
    sentence = ": ".join(filter(None, (copy.reason, sentences.get(copy.reason, ""))))
    detail = f" ({copy.detail})" if copy.detail else ""
    return ": ".join(filter(None, (f"{sentence}{detail}", copy.remedy)))


def served_cell(copy: CopyState) -> str:
    """Return the worst result of the copy's addresses."""
    order = [ServedMatch.OTHER, ServedMatch.OLDER, ServedMatch.NONE, ServedMatch.NO_NAME, ServedMatch.SAME]
    found = sorted((one.match for one in copy.served), key=order.index)
    return MATCH_LABELS[found[0]] if found else "-"


def days_left(copy: CopyState, now: datetime) -> str:
    """Return the days until the copy expires: `80 d`."""
    days = days_until(copy.stored.not_after if copy.stored else None, now)
    return "-" if days is None else f"{days} d"


def age(copy: CopyState, now: datetime) -> str:
    """Return the time since the copy was written, in its largest unit: `3 h`."""
    if copy.written_at is None:
        return "-"
    elapsed = max(now - copy.written_at, timedelta(0))
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if elapsed.total_seconds() >= seconds:
            return f"{int(elapsed.total_seconds() // seconds)} {unit}"
    return f"{int(elapsed.total_seconds())} s"


def fingerprint(content: Content | None) -> str:
    """Return the first eight digits, as in the report of a run."""
    return content.fingerprint.rpartition(":")[2][:8] if content and content.fingerprint else "-"


def until(content: Content | None) -> str:
    return date(content.not_after if content else None)


def date(moment: datetime | None) -> str:
    return short_date(moment) if moment else "-"
