"""The report of a fleet as text: the verdict, and a table with one line per group. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from tasks.config.schema import SyncConfig
from tasks.domain import text
from tasks.domain.models import Discovery
from tasks.domain.text import join_limited
from tasks.fleet.groups import GroupResult, RunFailure
from tasks.report.markdown import escape, table, title
from tasks.report.unserved import unserved_lines, unserved_note
from tasks.report.verdict import MAX_NAMED, NOT_DISCOVERED, Verdict

URGENT_ONLY = (
    "urgent only, since too many copies failed in an earlier wave; fix what failed there: the groups' own "
    "reports say what it was (prefect flow-run logs ID)"
)


NONE = Discovery()


def verdict(results: Sequence[GroupResult], config: SyncConfig, discovery: Discovery = NONE) -> Verdict:
    """Return the fleet's final state and its message: `1 of 3 groups failed: eu (ClustersFailed)`."""
    count = f"{len(results)} group{'' if len(results) == 1 else 's'}"
    failed = [f"{one.group.name} ({_state(one)})" for one in results if not one.completed]
    if failed:
        more = [f"and {len(failed) - MAX_NAMED} more"] if len(failed) > MAX_NAMED else []
        message = f"{len(failed)} of {count} failed: {', '.join(failed[:MAX_NAMED] + more)}"
        message += (
            f"; discovered clusters are not known ({discovery.failure.code})" if discovery.failure else ""
        )
        return Verdict(ok=False, name="GroupsFailed", message=message)
    if unknown := discovery.failure:
        message = f"{count}: all Completed; discovered clusters are not known: {unknown}"
        message = f"{message}. To do: {unknown.code.remedy}"
        return Verdict(ok=False, name=NOT_DISCOVERED, message=message)
    suspended = f"; suspended: {', '.join(config.suspended)}" if config.suspended else ""
    return Verdict(
        ok=True,
        name="Completed",
        message="; ".join([f"{count}: all Completed{suspended}", *unserved_note(discovery)]),
    )


NOT_SERVED = (
    "urgent only, since addresses of an earlier wave don't present what is stored there; their groups' own "
    "reports say which (prefect flow-run logs ID)"
)


COLUMNS = ("group", "wave", "clusters", "state", "copies", "run")


def rows(results: Iterable[GroupResult]) -> Iterator[list[str]]:
    """Yield one row per group, failed groups first."""
    for one in sorted(results, key=lambda result: result.completed):
        copies = f"{one.share.wanted - one.share.missing} of {one.share.wanted}" if one.share else "?"
        group = one.group
        yield [group.name, str(group.wave), str(len(group.clusters)), _state(one), copies, one.run_id or "-"]


def _state(one: GroupResult) -> str:
    served = f", {one.not_served} not served" if one.not_served else ""
    return f"{one.state}{', urgent only' if one.urgent_only else ''}{served}"


def render(results: Sequence[GroupResult], config: SyncConfig, discovery: Discovery = NONE) -> str:
    """Return the report for the log."""
    first = verdict(results, config, discovery).message
    lines = [f"tls-sync fleet: {first}", "", *text.table(COLUMNS, rows(results))]
    notes = [*explanations(results), *unserved_lines(discovery)]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def render_markdown(results: Sequence[GroupResult], config: SyncConfig, discovery: Discovery = NONE) -> str:
    """Return the report for the fleet's artifact."""
    lines = [
        title(verdict(results, config, discovery)),
        "",
        *table(COLUMNS, rows(results)),
    ]
    notes = [*explanations(results), *map(escape, unserved_lines(discovery))]
    return "\n".join([*lines, "", *(f"- {line}" for line in notes)])


def explanations(results: Sequence[GroupResult]) -> list[str]:
    """Explain each RunFailure, and why some groups wrote only urgent copies."""
    failures = {str(failure): failure for failure in RunFailure}
    results = tuple(results)
    lines = [
        f"{one.group.name}: {failures[one.state].explanation}" for one in results if one.state in failures
    ]
    why = NOT_SERVED if any(one.not_served for one in results) else URGENT_ONLY
    if urgent_only := [one.group.name for one in results if one.urgent_only]:
        lines.append(f"{join_limited(urgent_only)}: {why}")
    return lines
