"""A fleet: one run per group of clusters, the groups of a wave side by side. Pure.

A group is what clusters of the configuration name as `group`; who names none is in `wave-<number>`. All
clusters of a group are of one wave, so that waves hold across groups: a wave's groups begin once the wave
before has ended, and write only what is urgent where too much of it failed. The share is that of the whole
wave: one dead cluster of a hundred holds back nobody, in whichever group it is. A group that did not tell how
it went counts as gone badly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, NamedTuple

from tasks.config.schema import Cluster
from tasks.domain.parameters import RunParameters
from tasks.plan.waves import Share, share_in

MAX_CONCURRENT_GROUPS = 10
"""Maximum number of groups that run at a time; the deployment tls-sync/group takes as many runs."""
BEGIN = timedelta(minutes=5)
"""In which the run of a group must have begun: a worker, a pod, an image."""


class Group(NamedTuple):
    name: str
    wave: int
    clusters: tuple[str, ...]


class RunFailure(StrEnum):
    """Why a group's run has no state of its own that could be told."""

    NOT_STARTED = "NotStarted"
    NOT_BEGUN = "NotBegun"
    NOT_ENDED = "NotEnded"
    INTERRUPTED = "Interrupted"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    RunFailure.NOT_STARTED: "Prefect did not take the run: look for the deployment tls-sync/group",
    RunFailure.NOT_BEGUN: "its run did not begin in time: look at the worker, and at the run's pod",
    RunFailure.NOT_ENDED: "its run did not end in time, and was cancelled: look at its report",
    RunFailure.INTERRUPTED: "the fleet was told to stop before",
}


class Outcome(NamedTuple):
    """What became of a group."""

    group: Group
    run_id: str = ""
    state: str = ""
    """Name of its run's final state, or a RunFailure."""
    completed: bool = False
    share: Share | None = None
    """What its run told of its copies; None where it told nothing."""
    urgent_only: bool = False


def waves_of(clusters: Iterable[Cluster]) -> list[tuple[Group, ...]]:
    """The first wave first; within one, in the order of the configuration."""
    members: dict[tuple[int, str], list[str]] = {}
    for one in clusters:
        members.setdefault((one.wave, one.group_name), []).append(one.name)
    groups = [Group(name, wave, tuple(names)) for (wave, name), names in members.items()]
    ordered = sorted(groups, key=lambda group: group.wave)
    return [tuple(wave) for _, wave in groupby(ordered, key=lambda group: group.wave)]


def parameters_of(group: Group, fleet: RunParameters, *, urgent_only: bool) -> RunParameters:
    """The parameters of a group's run: those of the fleet, or narrower ones."""
    return replace(fleet, group=group.name, urgent_only=urgent_only)


def ended(begun: Outcome, *, name: str, type_: str, labels: Mapping[str, Any]) -> Outcome:
    """Of a run that has ended, by its state's name and type as Prefect has them."""
    completed = type_ == "COMPLETED"
    told = share_in(labels) if type_ in ("COMPLETED", "FAILED") else None
    state = name if name.isascii() and name.isalpha() else type_.capitalize()
    return begun._replace(state=state, completed=completed, share=told)


def went_well(outcomes: Iterable[Outcome], most: float) -> bool:
    """Whether the wave after these may write all that is due."""
    shares = [one.share for one in outcomes]
    told = [share for share in shares if share is not None]
    whole = Share(sum(share.wanted for share in told), sum(share.missing for share in told))
    return len(told) == len(shares) and whole.within(most)


def end_of_wave(now: datetime, until: datetime, waves_left: int) -> datetime:
    """A wave's share of the time that is left: whatever hangs here, those after it have theirs."""
    return now + max(until - now, timedelta()) / max(waves_left, 1)


def is_late(now: datetime, started: datetime, end: datetime, *, begun: bool) -> RunFailure | None:
    """Whether to wait no longer for a group's run, and why."""
    if now >= end:
        return RunFailure.NOT_ENDED if begun else RunFailure.NOT_BEGUN
    return None if begun or now < started + BEGIN else RunFailure.NOT_BEGUN
