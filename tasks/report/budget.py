"""What of a long report is shown: some trouble of every cluster first, then all trouble, then the rest. Pure.

What is left out is counted where it is missing. The artifact of each cluster has more of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tasks.domain.models import Change, ClusterReport, Failure
from tasks.report import rows as say

Item = Failure | Change | str
"""A failure, a row or a warning."""
FEW = 3
"""Failures and failed rows of each cluster that come before all others."""


class OutputBudget:
    """Lines and bytes that are left. Once something had no room, nothing after it has."""

    def __init__(self, lines: int, size: int) -> None:
        self._lines, self._size = lines, size

    def take(self, text: str, *, more: int = 0) -> bool:
        """Whether this line is shown; `more` are bytes that come with it."""
        self._lines, self._size = self._lines - 1, self._size - len(text.encode()) - 1 - more
        return min(self._lines, self._size) >= 0


@dataclass
class Part:
    """What is shown of a cluster, each item as it is written."""

    cluster: ClusterReport
    trouble: Sequence[Item]
    rest: Sequence[Item]
    shown: list[tuple[Item, str]] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        return len(self.trouble) + len(self.rest) - len(self.shown)

    def lines(self, kind: type[Item]) -> list[str]:
        return [text for item, text in self.shown if isinstance(item, kind)]


Write = Callable[[ClusterReport, Item], str]


def parts_of(
    clusters: Iterable[ClusterReport], room: OutputBudget, write: Write, opening: int = 0
) -> list[Part]:
    """The clusters, worst first. `opening` are bytes of what stands above a cluster's lines."""
    parts = [_part(cluster) for cluster in say.worst_first(clusters)]
    first, then = [part.trouble[:FEW] for part in parts], [part.trouble[FEW:] for part in parts]
    for turn in (first, then, [part.rest for part in parts]):
        for part, items in zip(parts, turn, strict=True):
            for item in items:
                text = write(part.cluster, item)
                if not room.take(text, more=0 if part.shown else opening):
                    return parts
                part.shown.append((item, text))
    return parts


def _part(cluster: ClusterReport) -> Part:
    rows = say.rows(cluster)
    failed = sum(row.failed for row in rows)  # they come first
    return Part(cluster, [*cluster.failures, *rows[:failed]], [*cluster.warnings, *rows[failed:]])
