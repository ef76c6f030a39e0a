"""How long a certificate has been gone from OPS, as the notes on its copy tell, and what follows. Pure.

Time passes by the clock of the target's API server, which nobody here can set; ours has to agree with it.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from tasks.domain.models import Change, OrphanRecord, Plan
from tasks.domain.reasons import Reason
from tasks.plan.spec import SyncSpec

RUNS, GRACE = 3, timedelta(hours=24)
APART = timedelta(minutes=50)
"""A run that comes sooner after a note adds nothing to the count."""
RENEW_NOTE = timedelta(hours=6)
"""Older than this, a note is renewed, though it has counted enough runs."""
STALE = timedelta(hours=48)
"""A note that no run has renewed for so long counts no more: nobody looked meanwhile."""
AGREED = timedelta(minutes=5)
"""So far apart the target's clock and ours may be."""


class Clock(NamedTuple):
    """The clock of a target."""

    now: datetime
    """Its time; ours, where it told none."""
    trouble: str = ""
    """Why nothing may be noted or deleted by it; empty where it may."""


def clock_of(told: datetime | None, ours: datetime) -> Clock:
    """The clock of a target whose API server told this time just now, while ours says that."""
    if told is None:
        why = "the API server's answers have no Date that can be read: look for a proxy that takes it off"
        return Clock(ours, why)
    if abs(told - ours) <= AGREED:
        return Clock(told)
    server, here = (f"{moment:%Y-%m-%d %H:%M:%S} UTC" for moment in (told, ours))
    apart = f"more than {AGREED // timedelta(minutes=1)} minutes apart"
    return Clock(told, f"the API server's clock says {server}, ours {here}, {apart}: set the wrong one")


def counts(absence: OrphanRecord, now: datetime) -> bool:
    """Whether its notes are of a time in which runs kept looking."""
    since, seen = absence.since, absence.seen
    return bool(since and seen and since <= seen <= now and now - seen <= STALE)


def is_due(absence: OrphanRecord, now: datetime) -> bool:
    """Whether the copy may be deleted, as far as its notes go."""
    if absence.since is None or absence.kept or not counts(absence, now):
        return False
    return absence.runs >= RUNS and now - absence.since >= GRACE


def wants_note(absence: OrphanRecord, now: datetime) -> bool:
    """Whether a run that finds the certificate gone is to note that."""
    if is_due(absence, now):
        return False
    if absence.seen is None or not counts(absence, now):
        return True
    return now - absence.seen >= (APART if absence.runs < RUNS else RENEW_NOTE)


def next_note(absence: OrphanRecord, now: datetime) -> OrphanRecord:
    """What it notes: one more run, or the first one, where the notes so far don't count."""
    if not counts(absence, now):
        return replace(absence, since=now, seen=now, runs=1)
    return replace(absence, seen=now, runs=absence.runs + 1)


def is_from(absence: OrphanRecord, namespace: str) -> bool:
    """Whether the copy says that it came from this namespace of OPS."""
    return absence.source.startswith(f"{namespace}/")


def prune_forecast(absence: OrphanRecord, clock: Clock, namespace: str) -> str:
    """What becomes of a copy in a cluster that is pruned; `namespace` is where OPS has its certificates."""
    if absence.kept:
        return f"the copy is kept: {absence.kept}"
    if not is_from(absence, namespace):
        return "the copy is kept: it came from another namespace of OPS"
    if clock.trouble:
        return waiting(clock.trouble)
    if is_due(absence, clock.now):
        return "the copy is due: a run of all clusters deletes it, where the waves before went well"
    if absence.since is None or not counts(absence, clock.now):
        return f"a run of all clusters will note it; after a day and {RUNS} such runs, one deletes the copy"
    when = f"{absence.since + GRACE:%Y-%m-%d %H:%M} UTC"
    missing = f", once {RUNS} runs have noted it; so far: {absence.runs}" if absence.runs < RUNS else ""
    return f"a run of all clusters after {when} deletes the copy{missing}"


def waiting(why: str) -> str:
    """What is said of a copy that could be deleted at last, where something has to be settled before."""
    return f"the copy is neither noted nor deleted for now: {why}"


def with_prune_forecast(plan: Plan, spec: SyncSpec, clock: Clock) -> Plan:
    """The plan; where the cluster is pruned, each copy whose certificate is gone says what becomes of it.

    Where OPS could not be read, nothing is known to be gone.
    """
    if not spec.cluster.prune or spec.snapshot.failure:
        return plan
    namespace = spec.config.source.namespace

    def told(row: Change) -> Change:
        absence = row.absence if row.reason is Reason.GONE_FROM_SOURCE else None
        return replace(row, detail=prune_forecast(absence, clock, namespace)) if absence else row

    return plan.model_copy(update={"changes": tuple(map(told, plan.changes))})
