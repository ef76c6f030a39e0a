"""A run's report as Markdown for the Prefect UI. Pure."""

import re
from collections.abc import Iterable, Iterator

from tasks.domain.models import Change, ClusterReport, Failure, RunReport
from tasks.domain.text import printable, short_date
from tasks.report import rows as say
from tasks.report.budget import Item, OutputBudget, Part, parts_of
from tasks.report.verdict import expiring, verdict

MAX_ROWS = 1000
"""Rows, failures and warnings in an artifact, over all its clusters; as many of each kind of OPS's."""
MAX_BYTES = 1024 * 1024
"""Of an artifact. Prefect's server takes any size, and a browser shows this much, if not at once."""
HEADER = ("action", "secret", "certificate", "reason", "old", "new", "why, and what to do")
OPENING = 300
"""Bytes of a cluster's heading, and of the head of its table."""
ELSEWHERE = "in the artifact of each cluster"


def render_run(report: RunReport) -> str:
    """The artifact of a run: the verdict, an overview, what needs a look, and the state of OPS."""
    state = verdict(report)
    lines = [f"## {'✅' if state.ok else '❌'} {escape(state.message)}", ""]
    if report.certificate:
        lines += [f"For the certificate {escape(report.certificate)} only.", ""]
    if report.clusters:
        lines += [*table(*say.overview(report.clusters)), ""]
    parts = parts_of(report.clusters, OutputBudget(MAX_ROWS, MAX_BYTES // 2), _line, OPENING)
    for part in parts:
        if part.shown:
            lines += [f"### {part.cluster.cluster}", "", *_body(part, f", {ELSEWHERE}"), ""]
    lines += _silent([part for part in parts if part.left_out and not part.shown])
    return "\n".join([*lines, *_source(report)])


def render_cluster(cluster: ClusterReport) -> str:
    """The artifact of one cluster, whose key keeps its history in the UI."""
    lines = [f"## {'✅' if cluster.ok else '❌'} {cluster.cluster}", ""]
    lines += [*table(*say.overview([cluster])), ""]
    (part,) = parts_of([cluster], OutputBudget(MAX_ROWS, MAX_BYTES // 2), _line)
    return "\n".join([*lines, *_body(part)])


def _line(cluster: ClusterReport, item: Item) -> str:
    if isinstance(item, Failure):
        return f"- ❌ **{item.code}**: {escape(item.what)} on {item.cluster}: " + escape(
            f"{item.code.sentence}{f' ({item.detail})' if item.detail else ''}. To do: {item.code.remedy}."
        )
    if isinstance(item, Change):
        return _joined(map(escape, _row(item, dry_run=cluster.dry_run)))
    return f"- ⚠️ {escape(item)}"


def _body(part: Part, elsewhere: str = "") -> Iterator[str]:
    yield from part.lines(Failure)
    yield from part.lines(str)
    if rows := part.lines(Change):
        yield from ("", *table(HEADER, ()), *rows)
    if part.left_out:
        yield f"\n… and {part.left_out} more{elsewhere}."


def _silent(parts: list[Part]) -> Iterator[str]:
    """Clusters of which nothing is shown above but a line of the overview."""
    if parts:
        count, trouble = sum(part.left_out for part in parts), sum(not part.cluster.ok for part in parts)
        failed = f", {trouble} of them FAILED" if trouble else ""
        yield f"… and {count} more of {len(parts)} clusters{failed}, {ELSEWHERE}."
        yield ""


def _row(row: Change, *, dry_run: bool) -> list[str]:
    mark = "❌ " if row.failed else ""
    return [
        f"{mark}{say.outcome(row, dry_run=dry_run)}",
        str(row.target),
        row.certificate,
        str(row.reason),
        say.brief(row.old),
        say.brief(row.new),
        say.what_to_do(row),
    ]


def _source(report: RunReport) -> Iterator[str]:
    snapshot = report.inventory
    if snapshot.failure:  # nothing is known, and the title says why
        return
    yield f"### OPS: {len(snapshot.certificates)} certificates fit to be sent"
    yield ""
    if snapshot.rejections:
        rejected = (
            [r.ref.name, str(r.reason), f"{r.reason.sentence} {r.detail}", r.reason.remedy]
            for r in snapshot.rejections
        )
        yield from _fitting(table(("rejected", "reason", "why", "what to do"), rejected), head=2)
        yield ""
    if snapshot.issuances:
        reasons = ((one, one.reason(report.now)) for one in snapshot.issuances)
        awaited = (
            [one.ref.name, str(reason), f"{reason.sentence}: {one.detail}", reason.remedy]
            for one, reason in reasons
        )
        yield from _fitting(table(("not issued yet", "reason", "why", "what to do"), awaited), head=2)
        yield ""
    if ending := list(expiring(report)):
        body = ([c.ref.name, text, short_date(c.version.not_after), c.issuer] for c, text in ending)
        yield from _fitting(table(("near expiry", "left", "until", "issuer"), body), head=2)
        yield ""
    yield from (f"- {told}" for told in say.not_routed(snapshot))
    yield from _fitting([f"- ⚠️ {escape(warning)}" for warning in snapshot.all_warnings])
    if report.suspended:
        yield f"- suspended, so left out: {', '.join(report.suspended)}"


def _fitting(lines: list[str], head: int = 0) -> Iterator[str]:
    """As many as there is room for, and how many there are more."""
    room = OutputBudget(MAX_ROWS + head, MAX_BYTES // 8)
    for shown, line in enumerate(lines):
        if not room.take(line):
            yield f"\n… and {len(lines) - shown} more."
            return
        yield line


def table(header: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    head = list(header)
    return [_joined(head), _joined(["---"] * len(head)), *(_joined(map(escape, line)) for line in body)]


def _joined(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """What came from a certificate must not become markup."""
    return re.sub(r"([\\`*_\[\]<>|~@]|(?<=http):|(?<=https):|(?<=www)\.)", r"\\\1", printable(text))
