"""What a person has to do after a run: one item for each kind of trouble, with where it is. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Discovery, SourceSnapshot
from tasks.domain.names import OPS
from tasks.domain.reasons import Reason
from tasks.report import rows

MAX_PLACES = 5
"""Maximum number of places that an item names; the others are counted."""


Code = FailureCode | Reason


@dataclass
class ToDo:
    code: Code
    places: dict[str, None] = field(default_factory=dict)
    """The first places, each once: `rct`, or `dev: homarr-dev/homarr-dev-tls`."""
    more: int = 0
    """Number of further problems of this kind."""

    def add(self, place: str) -> None:
        if len(self.places) < MAX_PLACES:
            self.places[place] = None
        elif place not in self.places:
            self.more += 1

    @property
    def where(self) -> str:
        return ", ".join(self.places) + (f" and {self.more:,} more" if self.more else "")


def to_do(clusters: Iterable[ClusterReport], others: Iterable[tuple[Code, str]] = ()) -> list[ToDo]:
    """Return the items: first of failed clusters, then of their copies, then of OPS."""
    found: dict[str, ToDo] = {}
    for code, place in chain(_problems(rows.failed_first(clusters)), others):
        if code.remedy:
            found.setdefault(str(code), ToDo(code)).add(place)
    return [*found.values()]


def on_ops(snapshot: SourceSnapshot, now: datetime) -> Iterator[tuple[Reason, str]]:
    """Yield what is wrong on OPS, and where."""
    for rejection in snapshot.rejections:
        yield rejection.reason, f"{OPS}: {rejection.ref.name}"
    for request in snapshot.refused_requests:
        yield request.reason, f"{OPS}: {request.ref.name}"
    for issuance in snapshot.issuances:
        if issuance.reason(now) is Reason.ISSUANCE_LATE:
            yield Reason.ISSUANCE_LATE, f"{OPS}: {issuance.ref.name}"


def unserved(discovery: Discovery) -> Iterator[tuple[FailureCode, str]]:
    """Yield what announced clusters lack."""
    yield from ((one.code, one.cluster) for one in discovery.unserved)


def _problems(clusters: list[ClusterReport]) -> Iterator[tuple[FailureCode | Reason, str]]:
    for cluster in clusters:
        yield from ((one.code, cluster.cluster) for one in cluster.failures)
    for cluster in clusters:
        for change in cluster.changes:
            if rows.needs_person(change):
                yield change.reason, f"{cluster.cluster}: {change.target}"
