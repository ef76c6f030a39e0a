"""A survey as text: a table for a terminal of any width, Markdown for Prefect's UI. Pure."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tasks.domain import text as texts
from tasks.domain.text import fold, printable
from tasks.inventory import summary
from tasks.inventory.model import CopyState, InventoryReport
from tasks.report import markdown

LEAST_NAME = 8
"""Characters that stay of a name where a terminal is too narrow for it."""
ROOM = 200_000
"""Characters of an artifact: the most that a browser shows with ease."""
LEGEND = "  ".join(f"{mark} {status}" for status, mark in summary.MARKS.items())


class Column(NamedTuple):
    title: str
    cell: Callable[[CopyState, InventoryReport], str]
    rank: int = 0
    """The highest goes first where there is no room; 0 stays."""


COLUMNS = (
    Column("certificate", lambda one, _: one.certificate),
    Column("cluster", lambda one, _: one.cluster),
    Column("namespace", lambda one, _: one.place),
    Column("status", lambda one, _: str(one.status)),
    Column("left", lambda one, survey: summary.left(one, survey.now)),
    Column("age", lambda one, survey: summary.age(one, survey.now), 2),
    Column("served", lambda one, _: summary.served_cell(one), 1),
    Column("until", lambda one, _: summary.until(one.held), 3),
    Column("copy", lambda one, _: summary.fingerprint(one.held), 4),
    Column("on OPS", lambda one, _: summary.fingerprint(one.source), 5),
    Column("until (OPS)", lambda one, _: summary.until(one.source), 7),
    Column("serial of the copy", lambda one, _: (one.held and one.held.serial) or "-", 6),
)
NAMES = 3
"""The first columns, which may be shortened."""


def render(survey: InventoryReport, width: int | None = None, rows: int | None = None) -> str:
    """The verdict, the table, and what to do. Without a width, all columns in full.

    With `rows`, at most so many, and of those only what needs someone.
    """
    shown = [one for one in survey.placements if rows is None or not one.ok][:rows]
    lines = [summary.verdict(survey).message]
    if shown:
        lines += ["", *_table(survey, shown, width)]
    if rows is not None and len(shown) < len(survey.placements):
        lines += ["", f"… and {len(survey.placements) - len(shown)} more rows: see the run's artifact"]
    lines += _told(shown)
    if notes := [*summary.notes(survey), *summary.expiry_notes(survey)]:
        lines += ["", *(printable(note) for note in notes[:rows])]
    folded = width or 100
    verdict, rest = lines[0], lines[1:]
    return "\n".join([*fold(verdict, folded), *_fold_prose(rest, folded)])


def _fold_prose(lines: Iterable[str], width: int) -> Iterator[str]:
    for line in lines:
        yield from [line] if isinstance(line, Row) else fold(line, width)


class Row(str):
    """A line of a table, which is not folded."""

    __slots__ = ()


def _told(shown: Iterable[CopyState]) -> Iterator[str]:
    for one in shown:
        differing = [served for served in one.served if served.detail]
        if one.remedy or differing:
            yield ""
            yield printable(f"{one.certificate} in {one.cluster}, {one.place}: {one.status}")
        if one.remedy:
            yield f"  {printable(summary.why(one))}"
        for served in differing:
            yield f"  {printable(summary.served_as(served))}"


def _table(survey: InventoryReport, shown: list[CopyState], width: int | None) -> list[str]:
    columns = [one for one in COLUMNS if one.title != "served" or any(row.served for row in shown)]
    cells = {one: [one.title, *(printable(one.cell(row, survey)) for row in shown)] for one in columns}
    while width and (over := _width(cells.values()) - width) > 0:
        dropped = max(cells, key=lambda one: one.rank)
        if not dropped.rank:
            _shorten([cells[one] for one in COLUMNS[:NAMES]], over)
            break
        del cells[dropped]
    header, *body = zip(*cells.values(), strict=True)
    return [Row(line) for line in texts.table(header, body)]


def _width(columns: Iterable[list[str]]) -> int:
    widths = [max(map(len, column)) for column in columns]
    return sum(widths) + 2 * (len(widths) - 1)


def _shorten(columns: list[list[str]], over: int) -> None:
    """Take so many characters off, from the widest column each time."""
    widths = [max(map(len, column)) for column in columns]
    for _ in range(over):
        widest = widths.index(max(widths))
        if widths[widest] <= LEAST_NAME:
            break
        widths[widest] -= 1
    for column, width in zip(columns, widths, strict=True):
        column[:] = [shortened(cell, width) for cell in column]


def shortened(text: str, width: int) -> str:
    """In its middle: names differ most at both ends."""
    if len(text) <= width:
        return text
    head = (width - 1 + 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def render_markdown(survey: InventoryReport) -> str:
    """The artifact: the verdict, certificate x cluster, and each copy, the worst first."""
    ending = summary.verdict(survey)
    lines = [f"## {'✅' if ending.ok else '❌'} {markdown.escape(ending.message)}", ""]
    said = (*summary.notes(survey), *summary.expiry_notes(survey))
    notes = (f"- {markdown.escape(note)}" for note in said)
    lines += [*_within(notes, ROOM // 4), "", LEGEND, ""]
    lines += [*_within(markdown.table(*_headed(matrix(survey))), ROOM // 4), "", "### Copies", ""]
    header = ("status", *(one.title for one in COLUMNS if one.title != "status"), "why, and what to do")
    body = (_row(one, survey) for one in survey.placements)
    return "\n".join([*lines, *_within(markdown.table(header, body), ROOM // 2)])


def _headed(table: list[tuple[str, ...]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    return table[0], table[1:]


def matrix(survey: InventoryReport) -> list[tuple[str, ...]]:
    """Certificate x cluster: what is the worst there, and in how many namespaces."""
    found: dict[tuple[str, str], list[CopyState]] = {}
    for one in survey.placements:
        found.setdefault((one.certificate, one.cluster), []).append(one)
    names = sorted({one.certificate for one in survey.placements})
    body = [
        (name, *(matrix_cell(found.get((name, cluster), [])) for cluster in survey.clusters))
        for name in names
    ]
    return [("certificate", *survey.clusters), *body]


def matrix_cell(placements: list[CopyState]) -> str:
    """`✓ in sync`, or the worst of several: `↻ stale 1/3`."""
    if not placements:
        return ""
    worst = placements[0].status
    count = sum(one.status is worst for one in placements)
    of = f" {count}/{len(placements)}" if len(placements) > 1 else ""
    return f"{summary.MARKS[worst]} {worst}{of}"


def _row(one: CopyState, survey: InventoryReport) -> tuple[str, ...]:
    told = [summary.why(one)] if one.remedy else []
    told += [summary.served_as(served) for served in one.served if served.detail]
    status = f"{summary.MARKS[one.status]} {one.status}"
    cells = (column.cell(one, survey) for column in COLUMNS if column.title != "status")
    return (status, *cells, "; ".join(told))


def _within(lines: Iterable[str], room: int) -> Iterator[str]:
    """As many lines as there is room for; then, how many there are more."""
    given = list(lines)
    for shown, line in enumerate(given):
        room -= len(line) + 1
        if room < 0:
            yield f"\n… and {len(given) - shown} more: `python -m flows --inventory` shows all."
            return
        yield line
