"""Which items of a long report are shown. Pure.

First come a few failures and failed rows of every cluster, then all others, then warnings and the other rows.
The report counts what is left out; the artifact of each cluster shows more of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tasks.domain.models import Change, ClusterReport, Failure
from tasks.report import rows

Item = Failure | Change | str
"""A failure, a row or a warning."""
FIRST_PROBLEMS = 3
"""Number of failures and failed rows of each cluster that are shown before all further ones."""


class OutputBudget:
    """The lines and bytes that are left. After the first text that does not fit, none fits."""

    def __init__(self, lines: int, size: int) -> None:
        self._lines, self._size = lines, size

    def fits(self, text: str, *, extra_bytes: int = 0) -> bool:
        """Deduct a line, with `extra_bytes` that are shown along with it; return whether it still fits."""
        self._lines, self._size = self._lines - 1, self._size - len(text.encode()) - 1 - extra_bytes
        return min(self._lines, self._size) >= 0


def lines_within(budget: OutputBudget, lines: Sequence[str], hint: str = "") -> Iterator[str]:
    """Yield the lines that fit, then how many are left out; `hint` says where these are shown."""
    for shown, line in enumerate(lines):
        if not budget.fits(line):
            yield f"\n… and {len(lines) - shown} more{hint}."
            return
        yield line


@dataclass
class Section:
    """What a report shows of a cluster, each item with its text."""

    cluster: ClusterReport
    problems: Sequence[Item]
    others: Sequence[Item]
    shown: list[tuple[Item, str]] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        return len(self.problems) + len(self.others) - len(self.shown)

    def lines(self, kind: type[Item]) -> list[str]:
        return [text for item, text in self.shown if isinstance(item, kind)]


def sections(
    clusters: Iterable[ClusterReport],
    budget: OutputBudget,
    write: Callable[[ClusterReport, Item], str],
    heading_bytes: int = 0,
) -> list[Section]:
    """Return a section for each cluster, failed ones first, with the items that fit into the budget.

    `heading_bytes` is the size of what stands above the items of a cluster.
    """
    found = [_section(cluster) for cluster in rows.failed_first(clusters)]
    passes = (
        [section.problems[:FIRST_PROBLEMS] for section in found],
        [section.problems[FIRST_PROBLEMS:] for section in found],
        [section.others for section in found],
    )
    for items_of_all in passes:
        for section, items in zip(found, items_of_all, strict=True):
            for item in items:
                text = write(section.cluster, item)
                if not budget.fits(text, extra_bytes=0 if section.shown else heading_bytes):
                    return found
                section.shown.append((item, text))
    return found


def _section(cluster: ClusterReport) -> Section:
    changes = rows.not_in_sync(cluster)
    failed = sum(change.failed for change in changes)  # they come first
    return Section(cluster, [*cluster.failures, *changes[:failed]], [*cluster.warnings, *changes[failed:]])
