"""The table of versions in README.md."""

import re
from collections.abc import Iterable
from typing import NamedTuple

_TABLE = re.compile(r"(<!-- written by make compat -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
_HEAD = "| program | version | tests that passed | on |\n| --- | --- | --- | --- |\n"


class Row(NamedTuple):
    """One version that passed its tests."""

    title: str
    version: str
    """Without the v, such as 1.36.3."""
    tests: int
    date: str

    @property
    def minor(self) -> tuple[str, tuple[int, ...]]:
        """What there is one row of."""
        return self.title, tuple(map(int, self.version.split(".")[:2]))


def rows(page: str) -> list[Row]:
    """Return the rows of the page's table."""
    found = _TABLE.search(page)
    lines = found[0].splitlines() if found else []
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.search(r"\d", line)
    ]
    return [Row(title, version, int(tests), date) for title, version, tests, date in cells]


def with_rows(page: str, new: Iterable[Row], failed: Iterable[Row] = ()) -> str:
    """Return the page with these rows; one of the same minor version is replaced, or removed."""
    kept = {row.minor: row for row in (*rows(page), *new)}
    for row in failed:
        kept.pop(row.minor, None)
    ordered = (kept[minor] for minor in sorted(kept))
    table = _HEAD + "\n".join(f"| {' | '.join(map(str, row))} |" for row in ordered)
    return _TABLE.sub(lambda found: found[1] + table + found[2], page)
