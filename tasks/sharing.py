"""Equal rows as one object: a run holds those of all clusters, and many of these are alike. Pure."""

from dataclasses import replace
from typing import Any, TypeVar

from tasks.models import Change, ClusterReport

T = TypeVar("T")


class Shared:
    """What has been seen so far. For one thread."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def report(self, report: ClusterReport) -> ClusterReport:
        """The same report, its rows made of what is known already."""
        return report.model_copy(update={"changes": tuple(map(self._row, report.changes))})

    def _row(self, row: Change) -> Change:
        if known := self._known.get(row):
            return known  # type: ignore[no-any-return]  # of the same type, being equal
        one = self._one
        return one(replace(row, target=one(row.target), old=one(row.old), new=one(row.new)))

    def _one(self, value: T) -> T:
        return self._known.setdefault(value, value)  # type: ignore[no-any-return]  # the same
