"""A survey in words: the verdict, cells, and sentences that its texts and its page share. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from tasks.domain.errors import describe
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Certificate, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.domain.text import short_date
from tasks.inventory.model import Content, CopyState, InventoryReport, Served, ServedMatch, Status, days_until
from tasks.report import rows
from tasks.report import verdict as run_verdict
from tasks.report.verdict import MAX_NAMED, Verdict, source_notes

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
LIKENESSES = {
    ServedMatch.SAME: "as stored",
    ServedMatch.OLDER: "older",
    ServedMatch.OTHER: "another",
    ServedMatch.NONE: "no answer",
    ServedMatch.NO_NAME: "not asked",
}


def verdict(survey: InventoryReport) -> Verdict:
    """How it ended, in one line: `inventory: 2 of 9 copies not in sync (stale 2); 1 near expiry`."""
    parts = [*_troubles(survey)]
    bad = [one for one in survey.placements if not one.ok and one.status is not Status.IN_SYNC]
    if bad:
        kinds = Counter(one.status for one in bad)
        told = ", ".join(f"{status} {kinds[status]}" for status in Status if kinds[status])
        parts.append(f"{len(bad)} of {_copies(len(survey.placements))} not in sync ({told})")
    elif survey.placements and not survey.failure:
        pending = survey.counts.get(Status.PENDING, 0)
        told = f"{pending} pending, the others in sync" if pending else "all in sync"
        parts.append(f"{_copies(len(survey.placements))} of {_certificates(survey)}, {told}")
    elif not survey.failure:
        parts.append("no copy is wanted, and none is there")
    parts += [*_served(survey), *source_notes(_held(survey), survey.now, survey.suspended)]
    name = "Completed" if survey.ok else "NotInSync"
    return Verdict(ok=survey.ok, name=name, message=f"inventory: {'; '.join(parts)}")


def _copies(count: int) -> str:
    return f"{count} {'copy' if count == 1 else 'copies'}"


def _certificates(survey: InventoryReport) -> str:
    count = len({one.certificate for one in survey.placements})
    return f"{count} certificate{'' if count == 1 else 's'}"


def _troubles(survey: InventoryReport) -> Iterator[str]:
    if survey.failure:
        yield f"OPS can't be read ({survey.failure.code})"
    if failed := [visit for visit in survey.visits if visit.failures]:
        told = ", ".join(f"{visit.cluster} ({visit.failures[0].code})" for visit in failed[:MAX_NAMED])
        told += f" and {len(failed) - MAX_NAMED} more" if len(failed) > MAX_NAMED else ""
        yield f"{len(failed)} of {len(survey.visits)} clusters not fully read: {told}"


def _served(survey: InventoryReport) -> Iterator[str]:
    found = Counter(one.likeness for placement in survey.placements for one in placement.served)
    if differing := found[ServedMatch.OLDER] + found[ServedMatch.OTHER]:
        yield f"{differing} served otherwise than stored"
    if silent := found[ServedMatch.NONE] + found[ServedMatch.NO_NAME]:
        yield f"{silent} served unknown"


def expiring(survey: InventoryReport) -> Iterator[tuple[Certificate, str]]:
    """As in the report of a run."""
    return run_verdict.expiring(_held(survey), survey.now)


def _held(survey: InventoryReport) -> SourceSnapshot:
    """What a survey tells of OPS."""
    return SourceSnapshot(
        certificates=survey.certificates,
        rejections=survey.rejections,
        issuances=survey.issuances,
        unrouted_rejections=survey.unrouted_rejections,
        unrouted_issuances=survey.unrouted_issuances,
    )


def routed_nowhere(survey: InventoryReport) -> list[str]:
    """Certificates on OPS that have no placement."""
    placed = {one.certificate for one in survey.placements}
    return [one.ref.name for one in survey.certificates if one.ref.name not in placed]


def notes(survey: InventoryReport) -> Iterator[str]:
    """What is to be said beside the rows."""
    if survey.failure:
        yield f"{describe(survey.failure, '')}. To do: {survey.failure.code.remedy}."
    for visit in survey.visits:
        for failure in visit.failures:
            yield f"{visit.cluster}: {describe(failure, visit.cluster)}. To do: {failure.code.remedy}."
    for visit in survey.visits:
        yield from (f"{visit.cluster}: warning: {warning}" for warning in visit.warnings)
    held = _held(survey)
    yield from (f"rejected on OPS: {told}" for told in rows.rejected(held))
    yield from (f"not issued on OPS: {told}" for told in rows.not_issued(held, survey.now))
    yield from rows.unrouted_notes(held)
    if nowhere := routed_nowhere(survey):
        more = f" and {len(nowhere) - rows.LOG_ROWS} more" if len(nowhere) > rows.LOG_ROWS else ""
        yield f"on OPS, and nowhere else: {', '.join(nowhere[: rows.LOG_ROWS])}{more}"
    yield from (f"OPS: warning: {warning}" for warning in survey.warnings)
    if survey.suspended:
        yield f"suspended, so left out: {', '.join(survey.suspended)}"


def expiry_notes(survey: InventoryReport) -> Iterator[str]:
    """The most urgent ones, and how many more there are."""
    ending = list(expiring(survey))
    for certificate, text in ending[: rows.LOG_ROWS]:
        yield f"expiring: {certificate.ref.name}: {text} (until {date(certificate.version.not_after)})"
    if len(ending) > rows.LOG_ROWS:
        yield f"expiring: … and {len(ending) - rows.LOG_ROWS} more"


def why(placement: CopyState) -> str:
    """The reason as a sentence, and the remedy where a person has something to do."""
    known = {str(one): one.sentence for one in (*FailureCode, *Reason)}
    reason = placement.reason
    sentence = ": ".join(filter(None, (reason, known.get(reason, ""))))
    detail = f" ({placement.detail})" if placement.detail else ""
    return ": ".join(filter(None, (f"{sentence}{detail}", placement.remedy)))


def served_as(one: Served) -> str:
    """`web.example.org:443 serves an older certificate, until 2026-12-01`."""
    under = f" as {one.name}" if one.name else ""
    serial = f", serial {one.serial}" if one.serial else ""
    until = f", until {date(one.not_after)}" if one.not_after else ""
    detail = f": {one.detail}" if one.detail else ""
    return f"{one.address}{under}: {LIKENESSES[one.likeness]}{detail}{serial}{until}"


def served_cell(placement: CopyState) -> str:
    """The worst of what its addresses serve."""
    order = [ServedMatch.OTHER, ServedMatch.OLDER, ServedMatch.NONE, ServedMatch.NO_NAME, ServedMatch.SAME]
    found = sorted((one.likeness for one in placement.served), key=order.index)
    return LIKENESSES[found[0]] if found else "-"


def left(placement: CopyState, now: datetime) -> str:
    """Days until the copy's end."""
    days = days_until(placement.held.not_after if placement.held else None, now)
    return "-" if days is None else f"{days} d"


def age(placement: CopyState, now: datetime) -> str:
    """How long since the copy was written, in its largest unit."""
    if placement.written is None:
        return "-"
    since = max(now - placement.written, timedelta(0))
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if since.total_seconds() >= seconds:
            return f"{int(since.total_seconds() // seconds)} {unit}"
    return f"{int(since.total_seconds())} s"


def fingerprint(content: Content | None) -> str:
    """Eight digits, as in the report of a run."""
    return content.fingerprint.rpartition(":")[2][:8] if content and content.fingerprint else "-"


def until(content: Content | None) -> str:
    return date(content.not_after if content else None)


def date(moment: datetime | None) -> str:
    return short_date(moment) if moment else "-"
