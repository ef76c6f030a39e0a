"""Equal rows as one object: a run holds those of all clusters, and many of these are alike. Pure."""

from dataclasses import replace
from typing import Any, TypeVar

from tasks.domain.models import Change, ClusterReport

T = TypeVar("T")

MOST = 10_000
"""Of what is known; beyond, what is not met again is forgotten. Where each cluster has namespaces of its own,
no row is like another, and to know all of them would take more than it spares."""


class Shared:
    """What has been seen lately. For one thread."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}
        self._before: dict[Any, Any] = {}

    def report(self, report: ClusterReport) -> ClusterReport:
        """The same report, its rows made of what is known already."""
        return report.model_copy(update={"changes": tuple(map(self._row, report.changes))})

    def _row(self, row: Change) -> Change:
        if known := self._found(row):
            return known
        one = self._one
        return one(replace(row, target=one(row.target), old=one(row.old), new=one(row.new)))

    def _one(self, value: T) -> T:
        if value is None:
            return value
        return self._found(value) or self._note(value)

    def _found(self, value: T) -> T | None:
        known: T | None = self._known.get(value)
        if known is None and (known := self._before.get(value)) is not None:
            self._note(known)
        return known

    def _note(self, value: T) -> T:
        if len(self._known) >= MOST:
            self._known, self._before = {}, self._known
        self._known[value] = value
        return value
