"""An inventory as text: a table for a terminal of any width, and Markdown for Prefect's UI. Pure."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tasks.domain import text as texts
from tasks.domain.text import fold, printable
from tasks.inventory import summary
from tasks.inventory.model import CopyState, InventoryReport
from tasks.report import markdown
from tasks.report.budget import OutputBudget, lines_within
from tasks.report.served import served_line

MIN_NAME = 8
"""Minimum length of a shortened name in a narrow terminal, in characters."""
MAX_SIZE = 200_000
"""Maximum size of an artifact, in bytes. A browser shows this much without delay."""
LEGEND = "  ".join(f"{mark} {status}" for status, mark in summary.MARKS.items())


class Column(NamedTuple):
    title: str
    cell: Callable[[CopyState, InventoryReport], str]
    drop_rank: int = 0
    """In a narrow terminal the column of the highest rank is left out first; those of rank 0 never are."""


COLUMNS = (
    Column("certificate", lambda one, _: one.certificate),
    Column("cluster", lambda one, _: one.cluster),
    Column("namespace", lambda one, _: one.place),
    Column("status", lambda one, _: str(one.status)),
    Column("left", lambda one, report: summary.days_left(one, report.now)),
    Column("age", lambda one, report: summary.age(one, report.now), 2),
    Column("served", lambda one, _: summary.served_cell(one), 1),
    Column("until", lambda one, _: summary.until(one.stored), 3),
    Column("copy", lambda one, _: summary.fingerprint(one.stored), 4),
    Column("on OPS", lambda one, _: summary.fingerprint(one.source), 5),
    Column("until (OPS)", lambda one, _: summary.until(one.source), 7),
    Column("serial of the copy", lambda one, _: (one.stored and one.stored.serial) or "-", 6),
)
NAME_COLUMNS = 3
"""Number of columns, from the left, whose cells may be shortened."""


def render(report: InventoryReport, width: int | None = None, rows: int | None = None) -> str:
    """Return the verdict, the table, and what a person has to do.

    Without `width`, in characters, all columns are shown in full. With `rows`, the table has at most that
    many rows, and the copies that are not ok come first.
    """
    shown = sorted(report.copies, key=lambda one: rows is not None and one.ok)[:rows]
    prose_width = width or 100
    lines = fold(summary.inventory_verdict(report).message, prose_width)
    if shown:
        lines += ["", *_table(report, shown, width)]
    prose: list[str] = []
    if rows is not None and len(shown) < len(report.copies):
        more = texts.count_of(len(report.copies) - len(shown), "more row")
        prose += ["", f"… and {more}: see the run's artifact"]
    prose += _explanations(shown)
    if notes := [*summary.notes(report), *summary.expiry_notes(report)]:
        prose += ["", *(printable(note) for note in notes[:rows])]
    return "\n".join([*lines, *(part for line in prose for part in fold(line, prose_width))])


def _explanations(shown: Iterable[CopyState]) -> Iterator[str]:
    for one in shown:
        explained = [served for served in one.served if served.detail]
        if one.remedy or explained:
            yield ""
            yield printable(f"{one.certificate} in {one.cluster}, {one.place}: {one.status}")
        if one.remedy:
            yield f"  {printable(summary.explain(one))}"
        for served in explained:
            yield f"  {printable(served_line(served))}"


def _table(report: InventoryReport, shown: list[CopyState], width: int | None) -> list[str]:
    columns = [one for one in COLUMNS if one.title != "served" or any(copy.served for copy in shown)]
    cells = {one: [one.title, *(printable(one.cell(copy, report)) for copy in shown)] for one in columns}
    while width and (excess := _width(cells.values()) - width) > 0:
        dropped = max(cells, key=lambda one: one.drop_rank)
        if not dropped.drop_rank:
            _shorten([cells[one] for one in COLUMNS[:NAME_COLUMNS]], excess)
            break
        del cells[dropped]
    header, *body = zip(*cells.values(), strict=True)
    return texts.table(header, body)


def _width(columns: Iterable[list[str]]) -> int:
    widths = [max(map(len, column)) for column in columns]
    return sum(widths) + 2 * (len(widths) - 1)


def _shorten(columns: list[list[str]], excess: int) -> None:
    """Make the widest column a character narrower, `excess` times."""
    widths = [max(map(len, column)) for column in columns]
    for _ in range(excess):
        widest = widths.index(max(widths))
        if widths[widest] <= MIN_NAME:
            break
        widths[widest] -= 1
    for column, width in zip(columns, widths, strict=True):
        column[:] = [shortened(cell, width) for cell in column]


def shortened(text: str, width: int) -> str:
    """Cut a text in the middle, since names differ most at both ends."""
    if len(text) <= width:
        return text
    head = (width - 1 + 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def render_markdown(report: InventoryReport) -> str:
    """Return the artifact: the verdict, a matrix of certificates and clusters, and each copy, worst first."""
    lines = [markdown.title(summary.inventory_verdict(report)), ""]
    all_notes = (*summary.notes(report), *summary.expiry_notes(report))
    notes = (f"- {markdown.escape(note)}" for note in all_notes)
    lines += [*_lines_within([*notes], MAX_SIZE // 4), "", LEGEND, ""]
    matrix = (_matrix_row(name, found, report) for name, found in by_certificate(report).items())
    header = ("certificate", *report.cluster_names)
    lines += [*_lines_within(markdown.table(header, matrix), MAX_SIZE // 4), "", "### Copies", ""]
    names, facts = _artifact_columns()
    header = ("status", *(one.title for one in names), "why, and what to do", *(one.title for one in facts))
    body = (_row(one, report) for one in report.copies)
    return "\n".join([*lines, *_lines_within(markdown.table(header, body), MAX_SIZE // 2)])


def by_certificate(report: InventoryReport) -> dict[str, dict[str, list[CopyState]]]:
    """Return the copies by certificate and cluster, the certificates sorted by name."""
    found: dict[str, dict[str, list[CopyState]]] = {}
    for one in sorted(report.copies, key=lambda copy: copy.certificate):
        found.setdefault(one.certificate, {}).setdefault(one.cluster, []).append(one)
    return found


def _matrix_row(name: str, found: dict[str, list[CopyState]], report: InventoryReport) -> tuple[str, ...]:
    return name, *(_matrix_cell(found.get(cluster, [])) for cluster in report.cluster_names)


def _matrix_cell(copies: list[CopyState]) -> str:
    """Return the worst status, and how many copies have it: `↻ stale 1/3`."""
    if not copies:
        return ""
    worst = copies[0].status
    count = sum(one.status is worst for one in copies)
    share = f" {count}/{len(copies)}" if len(copies) > 1 else ""
    return f"{summary.MARKS[worst]} {worst}{share}"


def _row(one: CopyState, report: InventoryReport) -> tuple[str, ...]:
    explanations = [summary.explain(one)] if one.remedy else []
    explanations += [served_line(served) for served in one.served if served.detail]
    status = f"{summary.MARKS[one.status]} {one.status}"
    names, facts = ([column.cell(one, report) for column in columns] for columns in _artifact_columns())
    return (status, *names, "; ".join(explanations), *facts)


def _artifact_columns() -> tuple[list[Column], list[Column]]:
    """Return the columns before what to do, and those after it, which a narrow screen may cut off."""
    columns = [one for one in COLUMNS if one.title != "status"]
    return columns[:NAME_COLUMNS], columns[NAME_COLUMNS:]


def _lines_within(lines: list[str], size: int) -> Iterator[str]:
    budget = OutputBudget(len(lines), size)
    return lines_within(budget, lines, hint=": `tls-sync inventory` shows all")
