"""Formats text for people: printable characters, tables, shortened lists, folded lines. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from textwrap import wrap

WIDTH = 100
"""Characters in a line."""

MAX_NAMES, MAX_LENGTH = 20, 253
"""Maximum number of names in a message, and of characters in each."""


def printable(text: str) -> str:
    """Return the text on one line, with `?` for control characters; it may come from a certificate."""
    if text.isprintable():  # the usual case, and a long report has many cells
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def table(header: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table with aligned columns."""
    lines = [[printable(cell) for cell in line] for line in (header, *body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def short_date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def join_limited(names: Sequence[str]) -> str:
    """Join at most MAX_NAMES names, each cut to MAX_LENGTH, and add how many more there are."""
    shown = [name if len(name) <= MAX_LENGTH else f"{name[:MAX_LENGTH]}…" for name in names[:MAX_NAMES]]
    return ", ".join(shown) + (f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else "")


def fold(line: str, width: int = WIDTH) -> list[str]:
    """Wrap a line at `width` characters, except a row of a table."""
    if len(line) <= width or " -> " in line:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return wrap(line, width, initial_indent="", subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def count_of(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
