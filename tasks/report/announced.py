"""The list of clusters that were announced, as an artifact that the next run compares with. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.domain.names import LABEL

TOLD_FOR = timedelta(days=30)
"""How long runs tell of a cluster that is not announced any more."""
ANNOUNCED = "announced"
ROW = re.compile(rf"\| ({LABEL.pattern}) \| (?:{ANNOUNCED}|gone since (\d{{4}}-\d\d-\d\d)) \|")


class Roster(NamedTuple):
    """The clusters that are announced, and since when others are not any more."""

    announced: frozenset[str] = frozenset()
    gone: Mapping[str, date] = {}

    def updated(self, announced: Iterable[str], configured: Iterable[str], today: date) -> "Roster":
        """Return what is known now. A cluster that has an entry in the configuration by now is not gone."""
        now = frozenset(announced)
        gone = dict.fromkeys(self.announced, today) | dict(self.gone)
        there = now.union(configured)
        return Roster(
            now, {n: since for n, since in gone.items() if n not in there and today - since < TOLD_FOR}
        )

    def failures(self, today: date) -> tuple[Failure, ...]:
        """Return a row for each cluster that is gone."""
        return tuple(
            _gone(name, since) for name, since in sorted(self.gone.items()) if today - since < TOLD_FOR
        )


def _gone(cluster: str, since: date) -> Failure:
    detail = f"since {since.isoformat()}"
    return Failure(
        code=FailureCode.PROFILE_GONE, cluster=cluster, what="look for its ClusterProfile", detail=detail
    )


def render(roster: Roster) -> str:
    states = dict.fromkeys(roster.announced, ANNOUNCED) | {
        name: f"gone since {since.isoformat()}" for name, since in roster.gone.items()
    }
    rows = [f"| {name} | {states[name]} |" for name in sorted(states)]
    return "\n".join(
        [
            "## Clusters that ClusterProfiles on OPS announce",
            "",
            "| cluster | state |",
            "| --- | --- |",
            *rows,
        ]
    )


def parse(text: str) -> Roster:
    """Return what `render` has written; what is no such row is left out."""
    announced, gone = set[str](), dict[str, date]()
    for line in text.splitlines():
        if found := ROW.fullmatch(line):
            name, since = found[1], found[3]
            if since is None:
                announced.add(name)
            elif _is_date(since):
                gone[name] = date.fromisoformat(since)
    return Roster(frozenset(announced), gone)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
