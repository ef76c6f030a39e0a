"""A run's report as text for a terminal of 100 columns and for the log. Pure."""

from collections.abc import Iterator
from textwrap import wrap

from tasks import report as say
from tasks.errors import tell
from tasks.models import ClusterReport, RunReport

WIDTH = 100


def render(report: RunReport) -> str:
    """The whole report: an overview, then what needs a look."""
    lines = [f"tls-sync{' (dry run)' if report.dry_run else ''}: {say.verdict(report).message}"]
    if report.clusters:
        lines += ["", *say.table(*say.overview(report.clusters))]
    for cluster in say.worst_first(report.clusters):
        lines += _details(cluster)
    lines += _source(report)
    return "\n".join(line for part in lines for line in fold(part))


def _details(cluster: ClusterReport) -> Iterator[str]:
    rows = say.rows(cluster)
    if rows or cluster.failures or cluster.warnings:
        yield from ("", cluster.cluster)
    for failure in cluster.failures:
        yield f"  {tell(failure, cluster.cluster)}. To do: {failure.code.remedy}."
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
        yield from say.table(["  action", "secret", "reason", "old -> new, each with its end"], shown)
    if len(rows) > say.LOG_ROWS:
        yield f"  … and {len(rows) - say.LOG_ROWS} more rows: see the run's artifact"
    for row in rows[: say.LOG_ROWS]:
        if row.failed:
            yield f"  {row.target}: {say.plain(say.what_to_do(row))}"
    for warning in cluster.warnings:
        yield f"  warning: {say.plain(warning)}"


def _source(report: RunReport) -> Iterator[str]:
    inventory = report.inventory
    if inventory.failure:  # nothing is known, and the first line says why
        return
    ending = list(say.expiring(report))
    if inventory.rejections or ending or inventory.warnings or report.suspended:
        yield from ("", f"on OPS ({len(inventory.certificates)} certificates fit to be sent)")
    for rejection in inventory.rejections[: say.LOG_ROWS]:
        detail = f" ({say.plain(rejection.detail)})" if rejection.detail else ""
        reason = rejection.reason
        yield f"  rejected {rejection.ref.name}: {reason}: {reason.sentence}{detail}: {reason.remedy}"
    for certificate, text in ending[: say.LOG_ROWS]:
        until = say.short_date(certificate.version.not_after)
        yield f"  expiring {certificate.ref.name}: {text} (until {until})"
    more = sum(max(0, len(one) - say.LOG_ROWS) for one in (inventory.rejections, ending, inventory.warnings))
    if more:
        yield f"  … and {more} more: see the run's artifact"
    for warning in inventory.warnings[: say.LOG_ROWS]:
        yield f"  warning: {say.plain(warning)}"
    if report.suspended:
        yield f"  suspended, so left out: {', '.join(report.suspended)}"


def fold(line: str, width: int = WIDTH) -> list[str]:
    """Sentences are folded; lines of a table are short enough unless names are very long."""
    if len(line) <= width or " -> " in line:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return wrap(line, width, initial_indent="", subsequent_indent=f"{indent}  ", break_on_hyphens=False)
