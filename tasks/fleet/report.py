"""How a fleet of runs went, as text: the verdict, and a table with one line per group. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from tasks.config.schema import SyncConfig
from tasks.domain import text
from tasks.domain.text import join_limited
from tasks.fleet.groups import Outcome, RunFailure
from tasks.report.markdown import table, title
from tasks.report.verdict import MAX_NAMED, Verdict

WAITED = (
    "urgent only, since too much failed in a wave before: mend what failed there; the groups' own reports "
    "say what it was (prefect flow-run logs <run>)"
)


def verdict(outcomes: Sequence[Outcome], config: SyncConfig) -> Verdict:
    """How the fleet ended, in one line: `1 of 3 groups failed: eu (ClustersFailed)`."""
    count = f"{len(outcomes)} group{'' if len(outcomes) == 1 else 's'}"
    failed = [f"{one.group.name} ({_state(one)})" for one in outcomes if not one.completed]
    if failed:
        more = [f"and {len(failed) - MAX_NAMED} more"] if len(failed) > MAX_NAMED else []
        message = f"{len(failed)} of {count} failed: {', '.join(failed[:MAX_NAMED] + more)}"
        return Verdict(ok=False, name="GroupsFailed", message=message)
    asleep = f"; suspended: {', '.join(config.suspended)}" if config.suspended else ""
    return Verdict(ok=True, name="Completed", message=f"{count}: all Completed{asleep}")


COLUMNS = ("group", "wave", "clusters", "state", "copies", "run")


def rows(outcomes: Iterable[Outcome]) -> Iterator[list[str]]:
    """One line per group, those in trouble first."""
    for one in sorted(outcomes, key=lambda outcome: outcome.completed):
        copies = f"{one.share.wanted - one.share.missing} of {one.share.wanted}" if one.share else "?"
        group = one.group
        yield [group.name, str(group.wave), str(len(group.clusters)), _state(one), copies, one.run_id or "-"]


def _state(one: Outcome) -> str:
    return f"{one.state}, urgent only" if one.urgent_only else one.state


def render(outcomes: Sequence[Outcome], config: SyncConfig) -> str:
    """For the log."""
    lines = [f"tls-sync fleet: {verdict(outcomes, config).message}", "", *text.table(COLUMNS, rows(outcomes))]
    return "\n".join([*lines, *([""] if explained(outcomes) else []), *explained(outcomes)])


def render_markdown(outcomes: Sequence[Outcome], config: SyncConfig) -> str:
    """The fleet's artifact; `prefect flow-run logs <run>` shows the report of a group."""
    lines = [
        title(verdict(outcomes, config)),
        "",
        *table(COLUMNS, rows(outcomes)),
    ]
    return "\n".join([*lines, "", *(f"- {line}" for line in explained(outcomes))])


def explained(outcomes: Sequence[Outcome]) -> list[str]:
    """What became of groups whose runs can't say it themselves, and why some had to wait."""
    known = {str(lapse): lapse for lapse in RunFailure}
    told = [f"{one.group.name}: {known[one.state].sentence}" for one in outcomes if one.state in known]
    if waited := [one.group.name for one in outcomes if one.urgent_only]:
        told.append(f"{join_limited(waited)}: {WAITED}")
    return told
