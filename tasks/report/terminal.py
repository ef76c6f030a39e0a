"""A run's report as text for a terminal of 100 columns and for the log. Pure."""

import json
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from tasks.domain.errors import describe
from tasks.domain.models import ClusterReport, RunReport
from tasks.domain.text import fold, printable, short_date, table
from tasks.report import rows as say
from tasks.report import verdict

LOG_BYTES = 256 * 1024
"""Of the report in the log; the artifacts have more."""
RECORD_BYTES = 20_000
"""Of one record, as JSON: Prefect cuts what is above 25,000 for Prefect Cloud, and above 1,000,000 anyhow."""
LONGEST_LINE = RECORD_BYTES // 12
"""Characters, each of which may take twelve bytes there."""


def render(report: RunReport) -> str:
    """The whole report: an overview, then what needs a look."""
    lines = [f"tls-sync{' (dry run)' if report.dry_run else ''}: {verdict.verdict(report).message}"]
    if report.clusters:
        lines += ["", *table(*say.overview(report.clusters))]
    source = list(_folded(_source(report)))
    lines = list(_folded(lines))
    lines += _in_detail(report.clusters, LOG_BYTES - _size(lines) - _size(source))
    return "\n".join([*lines, *source])


def records(text: str) -> Iterator[str]:
    """A long text in parts that Prefect takes whole, cut between lines."""
    part: list[str] = []
    left = RECORD_BYTES
    for line in text.split("\n"):
        for piece in wrap(line, LONGEST_LINE) if len(line) > LONGEST_LINE else [line]:
            size = len(json.dumps(piece))  # as Prefect counts
            if size > left and part:
                yield "\n".join(part)
                part, left = [], RECORD_BYTES
            part.append(piece)
            left -= size
    yield "\n".join(part)


def _in_detail(clusters: Iterable[ClusterReport], room: int) -> Iterator[str]:
    """Of each cluster all that the log takes of it, worst first, for as many as there is room for."""
    waiting = [one for one in say.worst_first(clusters) if say.rows(one) or one.failures or one.warnings]
    for number, cluster in enumerate(waiting):
        lines = list(_folded(_details(cluster)))
        room -= _size(lines)
        if room < 0:
            left = waiting[number:]
            failed = f", {bad} of them FAILED" if (bad := sum(not one.ok for one in left)) else ""
            yield from ("", f"… and {len(left)} more clusters{failed}: see the run's artifact")
            return
        yield from lines


def _details(cluster: ClusterReport) -> Iterator[str]:
    rows = say.rows(cluster)
    yield from ("", cluster.cluster)
    failures = [f"  {describe(one, cluster.cluster)}. To do: {one.code.remedy}." for one in cluster.failures]
    yield from _first(failures, "failures")
    if rows:
        shown = [
            [
                f"  {say.outcome(row, dry_run=cluster.dry_run)}",
                str(row.target),
                str(row.reason),
                f"{say.brief(row.old)} -> {say.brief(row.new)}",
            ]
            for row in rows[: say.LOG_ROWS]
        ]
        yield from table(["  action", "secret", "reason", "old -> new, each with its end"], shown)
    if len(rows) > say.LOG_ROWS:
        yield f"  … and {len(rows) - say.LOG_ROWS} more rows: see the run's artifact"
    for row in rows[: say.LOG_ROWS]:
        if say.is_told(row):
            yield f"  {row.target}: {printable(say.what_to_do(row))}"
    yield from _first([f"  warning: {printable(warning)}" for warning in cluster.warnings], "warnings")


def _first(lines: Sequence[str], what: str) -> Iterator[str]:
    yield from lines[: say.LOG_ROWS]
    if len(lines) > say.LOG_ROWS:
        yield f"  … and {len(lines) - say.LOG_ROWS} more {what}: see the run's artifact"


def _source(report: RunReport) -> Iterator[str]:
    snapshot = report.inventory
    if snapshot.failure:  # nothing is known, and the first line says why
        return
    ending = [
        f"{one.ref.name}: {text} (until {short_date(one.version.not_after)})"
        for one, text in verdict.expiring(report)
    ]
    warnings = snapshot.all_warnings
    rejected, awaited = say.rejected(snapshot), say.not_issued(snapshot, report.now)
    lists = {"rejected ": rejected, "not issued ": awaited, "expiring ": ending}
    uncounted = [*say.not_routed(snapshot)]
    if any(lists.values()) or uncounted or warnings or report.suspended:
        yield from ("", f"on OPS ({len(snapshot.certificates)} certificates fit to be sent)")
    for what, told in lists.items():
        yield from (f"  {what}{one}" for one in told[: say.LOG_ROWS])
    more = sum(max(0, len(told) - say.LOG_ROWS) for told in (*lists.values(), warnings))
    if more:
        yield f"  … and {more} more: see the run's artifact"
    yield from (f"  {told}" for told in uncounted)
    for warning in warnings[: say.LOG_ROWS]:
        yield f"  warning: {printable(warning)}"
    if report.suspended:
        yield f"  suspended, so left out: {', '.join(report.suspended)}"


def _folded(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield from fold(line)


def _size(lines: Iterable[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
