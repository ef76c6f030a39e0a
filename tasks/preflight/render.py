"""Renders a preflight: the verdict, a table for a terminal of 100 columns, Markdown for the UI. Pure."""

from collections.abc import Iterator

from tasks.domain import text
from tasks.domain.text import fold
from tasks.preflight.model import MEANINGS, Check, CheckStatus, Finding, Preflight, Readiness
from tasks.report import markdown
from tasks.report.verdict import MAX_NAMED, Verdict

LEGEND = "  ".join(f"{mark} {meaning}" for mark, meaning in MEANINGS.items())


def verdict(preflight: Preflight) -> Verdict:
    """Return the result in one line: `preflight: 1 of 3 clusters not ready: rct (Unreachable)`."""
    not_ready = [cluster for cluster in preflight.clusters if not cluster.ready]
    parts = [] if preflight.ops.ready else [f"OPS not ready ({_first(preflight.ops)})"]
    if not_ready:
        names = _named([f"{cluster.cluster} ({_first(cluster)})" for cluster in not_ready])
        parts.append(f"{len(not_ready)} of {_clusters(preflight)} not ready: {names}")
    if parts:
        return Verdict(ok=False, name="ClustersNotReady", message=f"preflight: {'; '.join(parts)}")
    parts = [f"OPS and {_clusters(preflight)} ready"]
    if warned := [one.cluster for one in (preflight.ops, *preflight.clusters) if one.problems]:
        parts.append(f"have a look at {_named(warned)}")
    return Verdict(ok=True, name="Completed", message=f"preflight: {'; '.join(parts)}")


def _named(names: list[str]) -> str:
    more = [f"and {len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return ", ".join(names[:MAX_NAMED] + more)


def _clusters(preflight: Preflight) -> str:
    count = len(preflight.clusters)
    return f"{count} cluster{'' if count == 1 else 's'}"


def _first(cluster: Readiness) -> str:
    """Return the name of the first error, and how many more there are."""
    names = [one.name for one in cluster.problems if one.status is CheckStatus.ERROR]
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def render(preflight: Preflight) -> str:
    """Return the verdict, the table, and the remedies."""
    header, rows = _overview(preflight)
    lines = [verdict(preflight).message, "", *text.table(header, rows), "", LEGEND]
    for cluster in _worst_first(preflight):
        if cluster.problems:
            lines += ["", cluster.cluster]
        for one in cluster.problems:
            lines.append(f"  {one.status} {_line(one)}")
            if one.remedy:
                lines.append(f"    To do: {one.remedy}.")
    lines += ["", *_remarks(preflight)]
    return "\n".join(line for part in lines for line in fold(part))


def render_markdown(preflight: Preflight) -> str:
    """The artifact: also what was found to be fine."""
    lines = [markdown.title(verdict(preflight)), ""]
    lines += [*markdown.table(*_overview(preflight)), "", LEGEND, ""]
    for cluster in _worst_first(preflight):
        lines += [f"### {cluster.cluster}", ""]
        header = ("check", "", "what was found", "what to do")
        found = [one for one in cluster.findings if one.text and one.status is CheckStatus.OK]
        rows = (
            [str(one.check), str(one.status), _text(one), one.remedy] for one in (*cluster.problems, *found)
        )
        lines += [*markdown.table(header, rows), ""]
    return "\n".join([*lines, *map(markdown.escape, _remarks(preflight))])


def _overview(preflight: Preflight) -> tuple[list[str], list[list[str]]]:
    header = ["cluster", *map(str, Check)]
    rows = [
        [one.cluster, *(str(one.status(check)) for check in Check)]
        for one in (preflight.ops, *sorted(preflight.clusters, key=_rank))
    ]
    return header, rows


def _rank(one: Readiness) -> tuple[bool, bool]:
    """Return the place of a cluster: what is not ready comes first, then what needs a look."""
    return one.ready, not one.problems


def _worst_first(preflight: Preflight) -> list[Readiness]:
    return sorted((preflight.ops, *preflight.clusters), key=_rank)


def _line(finding: Finding) -> str:
    return f"{finding.check}: {_text(finding)}"


def _text(finding: Finding) -> str:
    return text.printable(f"{finding.name}: {finding.text}" if finding.name else finding.text)


def _remarks(preflight: Preflight) -> Iterator[str]:
    sources = [one.text for one in preflight.ops.findings if one.text and one.check is Check.NAMESPACES]
    if sources:
        yield f"OPS: {'; '.join(sources)}"
    if preflight.served_by:
        yield (
            f"checked from here only: in runs, {preflight.served_by} serve the clusters, and need the same "
            "kubeconfig, network and versions"
        )
    if preflight.suspended:
        yield f"suspended, so left out: {', '.join(preflight.suspended)}"
