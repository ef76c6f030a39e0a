"""A run's report as Markdown for the Prefect UI. Pure."""

import re
from collections.abc import Iterable, Iterator

from tasks.domain.models import Change, ClusterReport, Failure, RunReport
from tasks.domain.reasons import Reason
from tasks.domain.text import printable, short_date
from tasks.report import rows
from tasks.report.budget import Item, OutputBudget, Section, lines_within, sections
from tasks.report.to_do import Code, ToDo, on_ops, to_do, unserved
from tasks.report.unserved import unserved_lines
from tasks.report.verdict import Verdict, expiring, run_verdict

MAX_ROWS = 1000
"""Maximum number of rows, failures and warnings of all clusters in an artifact, and of rows of each table of
OPS."""
MAX_BYTES = 1024 * 1024
"""Maximum size of an artifact, in bytes. A browser still shows it, slowly; Prefect's server has no limit."""
HEADING_BYTES = 300
"""Maximum size of a cluster's heading and the header of its table, in bytes."""
ELSEWHERE = "in the artifact of each cluster"


def render_run(report: RunReport) -> str:
    """Return the artifact of a run: the verdict, what to do, what was done, the state of OPS."""
    lines = [title(run_verdict(report)), ""]
    if report.parameters.certificate:
        lines += [f"For the certificate {escape(report.parameters.certificate)} only.", ""]
    if not report.snapshot.failure:  # else the title says what to do
        others: list[tuple[Code, str]] = [*on_ops(report.snapshot, report.now), *unserved(report.discovery)]
        lines += _to_do(to_do(report.clusters, others))
    if report.clusters:
        lines += [*table(*rows.overview(report.clusters)), "", _looked_at(report), ""]
    found = sections(report.clusters, _budget(), _line, HEADING_BYTES)
    for section in found:
        if section.shown:
            lines += [f"### {section.cluster.cluster}", "", *_body(section, f", {ELSEWHERE}"), ""]
    lines += _not_shown([section for section in found if section.left_out and not section.shown])
    return "\n".join([*lines, *_source(report), *_discovery(report)])


def _discovery(report: RunReport) -> Iterator[str]:
    if found := list(unserved_lines(report.discovery)):
        yield from ("", "### Announced on OPS, and not served", "")
        yield from (f"- {escape(line)}" for line in found)


def _looked_at(report: RunReport) -> str:
    moment = f"{report.now:%Y-%m-%d %H:%M} UTC"
    return f"Looked at {moment}. The artifact of a cluster is only written where it says something new."


def render_cluster(cluster: ClusterReport) -> str:
    """Return the artifact of one cluster. Its key is the same in each run, so the UI shows its history."""
    lines = [_heading(cluster.cluster, ok=cluster.ok), ""]
    lines += _to_do(to_do([cluster]))
    lines += [*table(*rows.overview([cluster])), ""]
    (section,) = sections([cluster], _budget(), _line)
    return "\n".join([*lines, *_body(section)])


def _to_do(found: list[ToDo]) -> Iterator[str]:
    """Yield what a person has to do, on top: a table's last column may be beyond the edge of the screen."""
    if found:
        yield from ("### To do", "")
        yield from (f"- **{one.code}** ({escape(one.where)}): {escape(one.code.remedy)}." for one in found)
        yield from ("", "### What was done", "")


def _budget() -> OutputBudget:
    return OutputBudget(MAX_ROWS, MAX_BYTES * 3 // 8)


def _line(cluster: ClusterReport, item: Item) -> str:
    if isinstance(item, Failure):
        return f"- ❌ **{item.code}**: {escape(item.what)} on {item.cluster}: " + escape(
            f"{item.code.sentence}{f' ({item.detail})' if item.detail else ''}."
        )
    if isinstance(item, Change):
        first, *others = (escape(column.cell(item, cluster)) for column in rows.COLUMNS if column.markdown)
        return _joined([f"❌ {first}" if item.failed else first, *others])
    return f"- ⚠️ {escape(item)}"


def _body(section: Section, elsewhere: str = "") -> Iterator[str]:
    yield from section.lines(Failure)
    yield from section.lines(str)
    if changes := section.lines(Change):
        yield from ("", *table([column.title for column in rows.COLUMNS if column.markdown], ()), *changes)
    if section.left_out:
        yield f"\n… and {section.left_out} more{elsewhere}."


def _not_shown(found: list[Section]) -> Iterator[str]:
    """Count the clusters of which only the overview shows something."""
    if found:
        count, bad = sum(one.left_out for one in found), sum(not one.cluster.ok for one in found)
        failed = f", {bad} of them FAILED" if bad else ""
        yield f"… and {count} more of {len(found)} clusters{failed}, {ELSEWHERE}."
        yield ""


def _source(report: RunReport) -> Iterator[str]:
    snapshot = report.snapshot
    if snapshot.failure:  # the title says why nothing is known
        return
    yield f"### OPS: {rows.certificates_on_ops(snapshot)}"
    yield ""
    for header, body in _source_tables(report):
        if body:
            yield from _source_lines(table(header, body), header_lines=2)
            yield ""
    yield from (f"- {note}" for note in rows.unrouted_notes(snapshot))
    yield from _source_lines([f"- ⚠️ {escape(warning)}" for warning in snapshot.all_warnings])
    if report.suspended:
        yield f"- suspended, so left out: {', '.join(report.suspended)}"


def _source_tables(report: RunReport) -> Iterator[tuple[tuple[str, ...], list[list[str]]]]:
    snapshot = report.snapshot
    yield (
        ("rejected", "reason", "why"),
        [
            [one.ref.name, str(one.reason), f"{one.reason.sentence} {one.detail}"]
            for one in snapshot.rejections
        ],
    )
    awaited = ((one, one.reason(report.now)) for one in snapshot.issuances)
    yield (
        ("not issued yet", "reason", "why"),
        [
            [one.ref.name, str(reason), f"{reason.sentence}: {one.detail}{_hint(reason)}"]
            for one, reason in awaited
        ],
    )
    yield (
        ("asked for, and not granted", "reason", "why"),
        [
            [one.ref.name, str(one.reason), f"{one.reason.sentence} ({one.detail})"]
            for one in snapshot.refused_requests
        ],
    )
    yield (
        ("near expiry", "left", "until", "issuer"),
        [
            [one.ref.name, text, short_date(one.version.not_after), one.issuer]
            for one, text in expiring(snapshot, report.now)
        ],
    )


def _hint(reason: Reason) -> str:
    """Return the remedy of what needs no person: that of the others is on top of the artifact."""
    return f": {reason.remedy}" if reason is Reason.ISSUANCE_PENDING else ""


def _source_lines(lines: list[str], header_lines: int = 0) -> Iterator[str]:
    return lines_within(OutputBudget(MAX_ROWS + header_lines, MAX_BYTES // 8), lines)


def title(verdict: Verdict) -> str:
    """Return the first line of an artifact."""
    return _heading(escape(verdict.message), ok=verdict.ok)


def _heading(text: str, *, ok: bool) -> str:
    return f"## {'✅' if ok else '❌'} {text}"


def table(header: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a Markdown table; the cells of the body are escaped."""
    head = list(header)
    return [_joined(head), _joined(["---"] * len(head)), *(_joined(map(escape, line)) for line in body)]


def _joined(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """Escape Markdown, and addresses that a browser would make links of: names may come from anywhere."""
    return re.sub(r"([\\`*_\[\]<>|~@]|(?<=http):|(?<=https):|(?<=www)\.)", r"\\\1", printable(text))
