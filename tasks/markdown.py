"""A run's report as Markdown for the Prefect UI. Pure."""

import re
from collections.abc import Iterable, Iterator

from tasks import report as say
from tasks.models import Change, ClusterReport, RunReport

MAX_ROWS = 1000
"""Rows per cluster: an artifact of some 200 kB is the most that a browser shows with ease."""


def render_run(report: RunReport) -> str:
    """The artifact of a run: the verdict, an overview, what needs a look, and the state of OPS."""
    verdict = say.verdict(report)
    lines = [f"## {'✅' if verdict.ok else '❌'} {escape(verdict.message)}", ""]
    if report.certificate:
        lines += [f"For the certificate {escape(report.certificate)} only.", ""]
    if report.clusters:
        lines += [*table(*say.overview(report.clusters)), ""]
    for cluster in say.worst_first(report.clusters):
        if body := list(_body(cluster)):
            lines += [f"### {cluster.cluster}", "", *body, ""]
    return "\n".join([*lines, *_source(report)])


def render_cluster(cluster: ClusterReport) -> str:
    """The artifact of one cluster, whose key keeps its history in the UI."""
    lines = [f"## {'✅' if cluster.ok else '❌'} {cluster.cluster}", ""]
    lines += [*table(*say.overview([cluster])), ""]
    return "\n".join([*lines, *_body(cluster)])


def _body(cluster: ClusterReport) -> Iterator[str]:
    for failure in cluster.failures:
        yield f"- ❌ **{failure.code}**: {escape(failure.what)} on {failure.cluster}: " + escape(
            f"{failure.code.sentence}{f' ({failure.detail})' if failure.detail else ''}. "
            f"To do: {failure.code.remedy}."
        )
    for warning in cluster.warnings:
        yield f"- ⚠️ {escape(warning)}"
    rows = say.rows(cluster)
    if rows:
        yield ""
        header = ("action", "secret", "certificate", "reason", "old", "new", "why, and what to do")
        yield from table(header, (_row(row, dry_run=cluster.dry_run) for row in rows[:MAX_ROWS]))
    if len(rows) > MAX_ROWS:
        yield f"\n… and {len(rows) - MAX_ROWS} more."


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
    inventory = report.inventory
    if inventory.failure:  # nothing is known, and the title says why
        return
    yield f"### OPS: {len(inventory.certificates)} certificates fit to be sent"
    yield ""
    if inventory.rejections:
        rejected = (
            [r.ref.name, str(r.reason), f"{r.reason.sentence} {r.detail}", r.reason.remedy]
            for r in inventory.rejections[:MAX_ROWS]
        )
        yield from table(("rejected", "reason", "why", "what to do"), rejected)
        if len(inventory.rejections) > MAX_ROWS:
            yield f"\n… and {len(inventory.rejections) - MAX_ROWS} more."
        yield ""
    if ending := list(say.expiring(report)):
        shown = ending[:MAX_ROWS]
        body = ([c.ref.name, text, say.short_date(c.version.not_after), c.issuer] for c, text in shown)
        yield from table(("near expiry", "left", "until", "issuer"), body)
        yield ""
    for warning in inventory.warnings[:MAX_ROWS]:
        yield f"- ⚠️ {escape(warning)}"
    if report.suspended:
        yield f"- suspended, so left out: {', '.join(report.suspended)}"


def table(header: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    head = list(header)
    lines = [head, ["---"] * len(head), *([escape(cell) for cell in line] for line in body)]
    return [f"| {' | '.join(line)} |" for line in lines]


def escape(text: str) -> str:
    """What came from a certificate must not become markup."""
    return re.sub(r"([\\`*_\[\]<>|~@]|(?<=http):|(?<=https):|(?<=www)\.)", r"\\\1", say.plain(text))
