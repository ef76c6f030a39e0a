"""A run's report as text for a terminal of 100 columns and for the log. Pure."""

import json
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from tasks.domain.errors import describe
from tasks.domain.models import Change, ClusterReport, RunReport
from tasks.domain.reasons import Reason
from tasks.domain.text import fold, printable, short_date, table
from tasks.report import rows
from tasks.report.unserved import unserved_lines
from tasks.report.verdict import expiring, run_verdict

MAX_LOG_BYTES = 256 * 1024
"""Maximum size of the report in the log, in bytes; the artifacts have more."""
MAX_RECORD_BYTES = 20_000
"""Maximum size of a log record as JSON, in bytes. Prefect Cloud truncates at 25,000, others at 1,000,000."""
MAX_LINE = MAX_RECORD_BYTES // 12
"""Maximum length of a line of a record, in characters. JSON takes up to twelve bytes for each."""


def render(report: RunReport) -> str:
    """Return the whole report: the verdict, an overview, what is not in sync, the state of OPS."""
    lines = [f"tls-sync{' (dry run)' if report.parameters.dry_run else ''}: {run_verdict(report).message}"]
    if report.clusters:
        lines += ["", *table(*rows.overview(report.clusters))]
    source = list(_folded([*_source(report), *_discovery(report)]))
    lines = list(_folded(lines))
    lines += _details_within(report.clusters, MAX_LOG_BYTES - _size(lines) - _size(source))
    return "\n".join([*lines, *source])


def records(text: str) -> Iterator[str]:
    """Split a text between lines into records that Prefect does not truncate."""
    record: list[str] = []
    left = MAX_RECORD_BYTES
    for line in text.split("\n"):
        for piece in wrap(line, MAX_LINE) if len(line) > MAX_LINE else [line]:
            size = len(json.dumps(piece))  # as Prefect counts
            if size > left and record:
                yield "\n".join(record)
                record, left = [], MAX_RECORD_BYTES
            record.append(piece)
            left -= size
    yield "\n".join(record)


def _details_within(clusters: Iterable[ClusterReport], size: int) -> Iterator[str]:
    """Yield the details of as many clusters as fit into `size` bytes, failed ones first."""
    detailed = [
        one for one in rows.failed_first(clusters) if rows.not_in_sync(one) or one.failures or one.warnings
    ]
    for number, cluster in enumerate(detailed):
        lines = list(_folded(_details(cluster)))
        size -= _size(lines)
        if size < 0:
            left_out = detailed[number:]
            failed = f", {count} of them FAILED" if (count := sum(not one.ok for one in left_out)) else ""
            yield from ("", f"… and {len(left_out)} more clusters{failed}: see the run's artifact")
            return
        yield from lines


def _details(cluster: ClusterReport) -> Iterator[str]:
    yield from ("", cluster.cluster)
    failures = [f"  {describe(one, cluster.cluster)}. To do: {one.code.remedy}." for one in cluster.failures]
    yield from _first(failures, "failures")
    yield from _changes(cluster)
    yield from _first([f"  warning: {printable(warning)}" for warning in cluster.warnings], "warnings")


def _changes(cluster: ClusterReport) -> Iterator[str]:
    changes = rows.not_in_sync(cluster)
    shown = changes[: rows.LOG_ROWS]
    if shown:
        columns = [one for one in rows.COLUMNS if one.terminal]
        body = [[column.cell(change, cluster) for column in columns] for change in shown]
        yield from (f"  {line}" for line in table([column.title for column in columns], body))
    if len(changes) > len(shown):
        yield f"  … and {len(changes) - len(shown)} more rows: see the run's artifact"
    for change in shown:
        if _is_explained(change):
            yield f"  {change.target}: {printable(rows.explain(change))}"


def _is_explained(change: Change) -> bool:
    """Whether the log has a sentence for the row: a person has something to do, or something is to come."""
    return (
        rows.needs_person(change)
        or rows.has_prune_forecast(change)
        or change.reason is Reason.ISSUANCE_PENDING
    )


def _first(lines: Sequence[str], noun: str) -> Iterator[str]:
    yield from lines[: rows.LOG_ROWS]
    if len(lines) > rows.LOG_ROWS:
        yield f"  … and {len(lines) - rows.LOG_ROWS} more {noun}: see the run's artifact"


def _source(report: RunReport) -> Iterator[str]:
    snapshot = report.snapshot
    if snapshot.failure:  # the first line of the report says why nothing is known
        return
    near_expiry = [
        f"{one.ref.name}: {text} (until {short_date(one.version.not_after)})"
        for one, text in expiring(snapshot, report.now)
    ]
    warnings = snapshot.all_warnings
    lists = {
        "rejected ": rows.rejected(snapshot),
        "not issued ": rows.not_issued(snapshot, report.now),
        "not granted ": rows.not_granted(snapshot),
        "expiring ": near_expiry,
    }
    unrouted = [*rows.unrouted_notes(snapshot)]
    if any(lists.values()) or unrouted or warnings or report.suspended:
        yield from ("", f"on OPS ({rows.certificates_on_ops(snapshot)})")
    for label, lines in lists.items():
        yield from (f"  {label}{line}" for line in lines[: rows.LOG_ROWS])
    more = sum(max(0, len(lines) - rows.LOG_ROWS) for lines in (*lists.values(), warnings))
    if more:
        yield f"  … and {more} more: see the run's artifact"
    yield from (f"  {note}" for note in unrouted)
    yield from (f"  warning: {printable(warning)}" for warning in warnings[: rows.LOG_ROWS])
    if report.suspended:
        yield f"  suspended, so left out: {', '.join(report.suspended)}"


def _discovery(report: RunReport) -> Iterator[str]:
    if found := list(unserved_lines(report.discovery)):
        yield from ("", "announced on OPS, and not served")
        yield from (f"  {printable(line)}" for line in found)


def _folded(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield from fold(line)


def _size(lines: Iterable[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
