"""How long a copy's certificate has been gone from OPS, by the record on the copy, and what follows. Pure.

Times are those of the target's API server, whose clock a run can't set; our own clock must agree with it.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from tasks.domain.models import Change, OrphanRecord, Plan
from tasks.domain.reasons import Reason
from tasks.plan.spec import SyncSpec

MIN_RUNS, MIN_ORPHAN_AGE = 3, timedelta(hours=24)
"""A copy is deleted once so many runs have found its certificate gone, the first one so long ago."""
MIN_RUN_INTERVAL = timedelta(minutes=50)
"""A run that follows the last recorded one sooner is not counted."""
RECORD_RENEWAL = timedelta(hours=6)
"""A record that has enough runs is renewed once it is so old, and so stays current."""
MAX_RECORD_AGE = timedelta(hours=48)
"""A record that no run has renewed for so long is void: nobody has looked meanwhile."""
MAX_CLOCK_SKEW = timedelta(minutes=5)
"""Maximum difference between the target's clock and ours."""


class Clock(NamedTuple):
    """The clock of a target."""

    now: datetime
    """The target's time; ours where its answers have none."""
    problem: str = ""
    """Why no record may be written and no copy deleted by this clock; empty where both are allowed."""


def clock_of(server_time: datetime | None, ours: datetime) -> Clock:
    """The clock of a target, from the Date of its API server's last answer and our own time."""
    if server_time is None:
        why = "the API server's answers have no Date that can be read: look for a proxy that takes it off"
        return Clock(ours, why)
    if abs(server_time - ours) <= MAX_CLOCK_SKEW:
        return Clock(server_time)
    server, here = (f"{time:%Y-%m-%d %H:%M:%S} UTC" for time in (server_time, ours))
    apart = f"more than {MAX_CLOCK_SKEW // timedelta(minutes=1)} minutes apart"
    return Clock(
        server_time, f"the API server's clock says {server}, ours {here}, {apart}: set the wrong one"
    )


def is_current(record: OrphanRecord, now: datetime) -> bool:
    """Whether runs have renewed the record all the time."""
    since, seen = record.since, record.seen
    return bool(since and seen and since <= seen <= now and now - seen <= MAX_RECORD_AGE)


def is_due(record: OrphanRecord, now: datetime) -> bool:
    """Whether the copy may be deleted, as far as its record goes."""
    if record.since is None or record.kept or not is_current(record, now):
        return False
    return record.runs >= MIN_RUNS and now - record.since >= MIN_ORPHAN_AGE


def must_record(record: OrphanRecord, now: datetime) -> bool:
    """Whether a run that finds the certificate gone writes a record."""
    if is_due(record, now):
        return False
    if record.seen is None or not is_current(record, now):
        return True
    return now - record.seen >= (MIN_RUN_INTERVAL if record.runs < MIN_RUNS else RECORD_RENEWAL)


def next_record(record: OrphanRecord, now: datetime) -> OrphanRecord:
    """The record that such a run writes: one more run, or the first one where the record so far is void."""
    if not is_current(record, now):
        return replace(record, since=now, seen=now, runs=1)
    return replace(record, seen=now, runs=record.runs + 1)


def is_from(record: OrphanRecord, namespace: str) -> bool:
    """Whether the copy came from this namespace of OPS, as its annotation says."""
    return record.source.startswith(f"{namespace}/")


def prune_forecast(record: OrphanRecord, clock: Clock, namespace: str) -> str:
    """What happens to a copy in a pruned cluster; `namespace` is where OPS has its certificates."""
    if record.kept:
        return f"the copy is kept: {record.kept}"
    if not is_from(record, namespace):
        return "the copy is kept: it came from another namespace of OPS"
    if clock.problem:
        return deferred(clock.problem)
    if is_due(record, clock.now):
        return "the copy is due: a run of all clusters deletes it, where the waves before went well"
    if record.since is None or not is_current(record, clock.now):
        return (
            f"a run of all clusters will note it; after a day and {MIN_RUNS} such runs, one deletes the copy"
        )
    when = f"{record.since + MIN_ORPHAN_AGE:%Y-%m-%d %H:%M} UTC"
    missing = f", once {MIN_RUNS} runs have noted it; so far: {record.runs}" if record.runs < MIN_RUNS else ""
    return f"a run of all clusters after {when} deletes the copy{missing}"


def deferred(why: str) -> str:
    """What a report says of a copy that nothing is done about until `why` is settled."""
    return f"the copy is neither noted nor deleted for now: {why}"


def with_prune_forecast(plan: Plan, spec: SyncSpec, clock: Clock) -> Plan:
    """The plan; in a pruned cluster, each row of an orphan says what happens to it.

    Where OPS could not be read, nothing is known to be gone.
    """
    if not spec.cluster.prune or spec.snapshot.failure:
        return plan
    namespace = spec.config.source.namespace

    def with_forecast(row: Change) -> Change:
        record = row.absence if row.reason is Reason.GONE_FROM_SOURCE else None
        return replace(row, detail=prune_forecast(record, clock, namespace)) if record else row

    return plan.model_copy(update={"changes": tuple(map(with_forecast, plan.changes))})
