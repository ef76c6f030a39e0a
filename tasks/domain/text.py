"""Text for people: what may be printed, tables, lists that are cut, lines that are folded. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from textwrap import wrap

WIDTH = 100

MAX_NAMES, MAX_LENGTH = 20, 253
"""Of a list of names in a message: how many, and characters of each."""


def printable(text: str) -> str:
    """Text that could come from a certificate, on one line and without control characters."""
    if text.isprintable():  # nearly all is: a long report has many cells
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def table(header: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table whose columns are as wide as they must be."""
    lines = [[printable(cell) for cell in line] for line in (header, *body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def short_date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def join_limited(names: Sequence[str]) -> str:
    """For a person: the first ones, none longer than a DNS name may be, and how many more there are."""
    shown = [name if len(name) <= MAX_LENGTH else f"{name[:MAX_LENGTH]}…" for name in names[:MAX_NAMES]]
    return ", ".join(shown) + (f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else "")


def fold(line: str, width: int = WIDTH) -> list[str]:
    """Sentences are folded; lines of a table are short enough unless names are very long."""
    if len(line) <= width or " -> " in line:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return wrap(line, width, initial_indent="", subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def count_of(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
