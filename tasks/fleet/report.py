"""The report of a fleet as text: the verdict, and a table with one line per group. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from tasks.config.schema import SyncConfig
from tasks.domain import text
from tasks.domain.text import join_limited
from tasks.fleet.groups import GroupResult, RunFailure
from tasks.report.markdown import table, title
from tasks.report.verdict import MAX_NAMED, Verdict

URGENT_ONLY = (
    "urgent only, since too many copies failed in an earlier wave; fix what failed there: the groups' own "
    "reports say what it was (prefect flow-run logs ID)"
)


def verdict(results: Sequence[GroupResult], config: SyncConfig) -> Verdict:
    """Return the fleet's final state and its message: `1 of 3 groups failed: eu (ClustersFailed)`."""
    count = f"{len(results)} group{'' if len(results) == 1 else 's'}"
    failed = [f"{one.group.name} ({_state(one)})" for one in results if not one.completed]
    if failed:
        more = [f"and {len(failed) - MAX_NAMED} more"] if len(failed) > MAX_NAMED else []
        message = f"{len(failed)} of {count} failed: {', '.join(failed[:MAX_NAMED] + more)}"
        return Verdict(ok=False, name="GroupsFailed", message=message)
    suspended = f"; suspended: {', '.join(config.suspended)}" if config.suspended else ""
    return Verdict(ok=True, name="Completed", message=f"{count}: all Completed{suspended}")


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


def render(results: Sequence[GroupResult], config: SyncConfig) -> str:
    """Return the report for the log."""
    lines = [f"tls-sync fleet: {verdict(results, config).message}", "", *text.table(COLUMNS, rows(results))]
    notes = explanations(results)
    return "\n".join([*lines, *([""] if notes else []), *notes])


def render_markdown(results: Sequence[GroupResult], config: SyncConfig) -> str:
    """Return the report for the fleet's artifact."""
    lines = [
        title(verdict(results, config)),
        "",
        *table(COLUMNS, rows(results)),
    ]
    return "\n".join([*lines, "", *(f"- {line}" for line in explanations(results))])


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
