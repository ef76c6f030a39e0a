"""How long a certificate has been gone from OPS, as the notes on its copy tell, and what follows. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from tasks.models import Absence, Change, Plan
from tasks.order import Order
from tasks.reasons import Reason

RUNS, GRACE = 3, timedelta(hours=24)
STALE = timedelta(hours=48)
"""A note that no run has renewed for so long counts no more: nobody looked meanwhile."""


def counts(absence: Absence, now: datetime) -> bool:
    """Whether its notes are of a time in which runs kept looking."""
    since, seen = absence.since, absence.seen
    return bool(since and seen and since <= seen <= now and now - seen <= STALE)


def is_due(absence: Absence, now: datetime) -> bool:
    """Whether the copy may be deleted, as far as its notes go."""
    if absence.since is None or absence.kept or not counts(absence, now):
        return False
    return absence.runs >= RUNS and now - absence.since >= GRACE


def is_from(absence: Absence, namespace: str) -> bool:
    """Whether the copy says that it came from this namespace of OPS."""
    return absence.source.startswith(f"{namespace}/")


def outlook(absence: Absence, now: datetime, namespace: str) -> str:
    """What becomes of a copy in a cluster that is pruned; `namespace` is where OPS has its certificates."""
    if absence.kept:
        return f"the copy is kept: {absence.kept}"
    if not is_from(absence, namespace):
        return "the copy is kept: it came from another namespace of OPS"
    if is_due(absence, now):
        return "the copy is due: a run of all clusters deletes it, where the waves before went well"
    if absence.since is None or not counts(absence, now):
        return f"a run of all clusters will note it; after a day and {RUNS} such runs, one deletes the copy"
    when = f"{absence.since + GRACE:%Y-%m-%d %H:%M} UTC"
    missing = f", once {RUNS} runs have noted it; so far: {absence.runs}" if absence.runs < RUNS else ""
    return f"a run of all clusters after {when} deletes the copy{missing}"


def foretold(plan: Plan, order: Order, now: datetime) -> Plan:
    """The plan; where the cluster is pruned, each copy whose certificate is gone says what becomes of it.

    Where OPS could not be read, nothing is known to be gone.
    """
    if not order.cluster.prune or order.inventory.failure:
        return plan
    namespace = order.config.source.namespace

    def told(row: Change) -> Change:
        absence = row.absence if row.reason is Reason.GONE_FROM_SOURCE else None
        return replace(row, detail=outlook(absence, now, namespace)) if absence else row

    return plan.model_copy(update={"changes": tuple(map(told, plan.changes))})
