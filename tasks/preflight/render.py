"""A preflight as text: the verdict, a table for a terminal of 100 columns, Markdown for the UI. Pure."""

from collections.abc import Iterator

from tasks.domain import text
from tasks.domain.text import fold
from tasks.preflight.model import MEANINGS, Check, Finding, Mark, Preflight, Readiness
from tasks.report import markdown
from tasks.report.verdict import Verdict

LEGEND = "  ".join(f"{mark} {meaning}" for mark, meaning in MEANINGS.items())


def verdict(preflight: Preflight) -> Verdict:
    """How it ended, in one line: `preflight: 1 of 3 clusters not ready: rct (Unreachable)`."""
    bad = [cluster for cluster in preflight.clusters if not cluster.ready]
    parts = [] if preflight.ops.ready else [f"OPS not ready ({_first(preflight.ops)})"]
    if bad:
        names = ", ".join(f"{cluster.cluster} ({_first(cluster)})" for cluster in bad)
        parts.append(f"{len(bad)} of {_clusters(preflight)} not ready: {names}")
    if parts:
        return Verdict(ok=False, name="ClustersNotReady", message=f"preflight: {'; '.join(parts)}")
    parts = [f"OPS and {_clusters(preflight)} ready"]
    if looks := [one.cluster for one in (preflight.ops, *preflight.clusters) if one.troubles]:
        parts.append(f"have a look at {', '.join(looks)}")
    return Verdict(ok=True, name="Completed", message=f"preflight: {'; '.join(parts)}")


def _clusters(preflight: Preflight) -> str:
    count = len(preflight.clusters)
    return f"{count} cluster{'' if count == 1 else 's'}"


def _first(cluster: Readiness) -> str:
    """The name of the first trouble, and how many more there are."""
    names = [one.name for one in cluster.troubles if one.mark is Mark.BAD]
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def render(preflight: Preflight) -> str:
    """The verdict, the table, and what to do."""
    header, rows = _overview(preflight)
    lines = [verdict(preflight).message, "", *text.table(header, rows), "", LEGEND]
    for cluster in _worst_first(preflight):
        if cluster.troubles:
            lines += ["", cluster.cluster]
        for one in cluster.troubles:
            lines.append(f"  {one.mark} {_told(one)}")
            if one.remedy:
                lines.append(f"    To do: {one.remedy}.")
    lines += ["", *_notes(preflight)]
    return "\n".join(line for part in lines for line in fold(part))


def render_markdown(preflight: Preflight) -> str:
    """The artifact: also what was found to be fine."""
    lines = [markdown.title(verdict(preflight)), ""]
    lines += [*markdown.table(*_overview(preflight)), "", LEGEND, ""]
    for cluster in _worst_first(preflight):
        lines += [f"### {cluster.cluster}", ""]
        header = ("check", "", "what was found", "what to do")
        found = [one for one in cluster.findings if one.text and one.mark is Mark.FINE]
        rows = (
            [str(one.check), str(one.mark), _text(one), one.remedy] for one in (*cluster.troubles, *found)
        )
        lines += [*markdown.table(header, rows), ""]
    return "\n".join([*lines, *map(markdown.escape, _notes(preflight))])


def _overview(preflight: Preflight) -> tuple[list[str], list[list[str]]]:
    header = ["cluster", *map(str, Check)]
    rows = [
        [one.cluster, *(str(one.mark(check)) for check in Check)]
        for one in (preflight.ops, *preflight.clusters)
    ]
    return header, rows


def _worst_first(preflight: Preflight) -> list[Readiness]:
    return sorted((preflight.ops, *preflight.clusters), key=lambda one: one.ready)


def _told(finding: Finding) -> str:
    return f"{finding.check}: {_text(finding)}"


def _text(finding: Finding) -> str:
    return text.printable(f"{finding.name}: {finding.text}" if finding.name else finding.text)


def _notes(preflight: Preflight) -> Iterator[str]:
    held = [one.text for one in preflight.ops.findings if one.text and one.check is Check.NAMESPACES]
    if held:
        yield f"OPS: {'; '.join(held)}"
    if preflight.served_by:
        yield (
            f"asked from here alone: runs have the clusters served by {preflight.served_by}, which need the "
            "same kubeconfig, network and versions"
        )
    if preflight.suspended:
        yield f"suspended, so left out: {', '.join(preflight.suspended)}"
