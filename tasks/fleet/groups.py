"""The groups of a fleet: how clusters form groups and waves, and what the run of each group came to. Pure.

A group is the clusters of the configuration that have the same `group`; a cluster without one belongs to
`wave-<number>`. All clusters of a group are of one wave. The groups of a wave run concurrently, and those of
the next wave start once all of them have ended. If more than the allowed share of a wave's copies is missing,
later waves write only urgent copies. The share is counted over the whole wave, so that one dead cluster of a
hundred delays nobody, whichever group it is in. A group that reports no share counts as failed.

With `waves.verify: served`, the run of each group looks at its end at what its addresses present. If one does
not present what is stored, or if a group does not report it, later waves write only urgent copies, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, NamedTuple

from tasks.config.schema import Cluster, Waves
from tasks.domain.parameters import RunParameters
from tasks.plan.waves import Share, not_served_in, share_in

MAX_CONCURRENT_GROUPS = 10
"""Maximum number of groups that run at a time; the deployment tls-sync/group allows as many runs."""
START_TIMEOUT = timedelta(minutes=5)
"""Maximum time from the creation of a group's run to its start: a worker, a pod, an image."""


class Group(NamedTuple):
    name: str
    wave: int
    clusters: tuple[str, ...]


class RunFailure(StrEnum):
    """Why a group has no final state of its own run."""

    NOT_STARTED = "NotStarted"
    NOT_BEGUN = "NotBegun"
    NOT_ENDED = "NotEnded"
    INTERRUPTED = "Interrupted"

    @property
    def explanation(self) -> str:
        """What happened, and what to look at."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    RunFailure.NOT_STARTED: "Prefect did not create the run; check that the deployment tls-sync/group exists",
    RunFailure.NOT_BEGUN: "its run did not start in time; check the worker, and the run's pod",
    RunFailure.NOT_ENDED: "its run did not end in time and was cancelled; read its report",
    RunFailure.INTERRUPTED: "the fleet was stopped before its run ended",
}


class GroupResult(NamedTuple):
    """What the run of a group came to."""

    group: Group
    run_id: str = ""
    state: str = ""
    """Name of the run's final state, or a RunFailure."""
    completed: bool = False
    share: Share | None = None
    """How many copies the run wanted and missed; None if it did not report that."""
    urgent_only: bool = False
    not_served: int | None = None
    """How many handshakes of the run found something else than what is stored; None if it did not look."""


def groups_by_wave(clusters: Iterable[Cluster]) -> list[tuple[Group, ...]]:
    """Return the groups of each wave, lowest wave first; within a wave, in the order of the configuration."""
    members: dict[tuple[int, str], list[str]] = {}
    for one in clusters:
        members.setdefault((one.wave, one.group_name), []).append(one.name)
    groups = [Group(name, wave, tuple(names)) for (wave, name), names in members.items()]
    ordered = sorted(groups, key=lambda group: group.wave)
    return [tuple(wave) for _, wave in groupby(ordered, key=lambda group: group.wave)]


def parameters_of(group: Group, fleet: RunParameters, *, urgent_only: bool) -> RunParameters:
    """Return the parameters of a group's run: the fleet's, narrowed to the group."""
    return replace(fleet, group=group.name, urgent_only=urgent_only)


def with_final_state(result: GroupResult, *, name: str, type_: str, labels: Mapping[str, Any]) -> GroupResult:
    """Add the final state of the group's run: its name and type in Prefect, and the labels of the run."""
    has_ended = type_ in ("COMPLETED", "FAILED")
    share = share_in(labels) if has_ended else None
    not_served = not_served_in(labels) if has_ended else None
    state = name if name.isascii() and name.isalpha() else type_.capitalize()
    return result._replace(state=state, completed=type_ == "COMPLETED", share=share, not_served=not_served)


def is_within_limit(results: Iterable[GroupResult], max_failed_share: float) -> bool:
    """Tell whether each group has reported a share, and all of them together are within the limit."""
    shares = [one.share for one in results]
    known = [share for share in shares if share is not None]
    total = Share(sum(share.wanted for share in known), sum(share.missing for share in known))
    return len(known) == len(shares) and total.within(max_failed_share)


def may_go_on(results: Iterable[GroupResult], waves: Waves) -> bool:
    """Tell whether the next wave may write everything."""
    done = tuple(results)
    is_served = waves.verify is None or all(one.not_served == 0 for one in done)
    return is_served and is_within_limit(done, waves.max_failed_share)


def wave_deadline(now: datetime, run_deadline: datetime, waves_left: int) -> datetime:
    """Divide the time that is left equally, so that a wave that hangs leaves time to those after it."""
    return now + max(run_deadline - now, timedelta()) / max(waves_left, 1)


def overdue(now: datetime, created: datetime, deadline: datetime, *, started: bool) -> RunFailure | None:
    """Return why to stop waiting for a group's run, or None while there is time left."""
    if now >= deadline:
        return RunFailure.NOT_ENDED if started else RunFailure.NOT_BEGUN
    return None if started or now < created + START_TIMEOUT else RunFailure.NOT_BEGUN
