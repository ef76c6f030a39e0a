"""Decides whether scheduled runs come often enough for the certificate that allows the least time. Pure.

cert-manager renews a certificate some time before it expires. Copies become urgent once half of that time has
passed (tasks/domain/expiry.py). Two runs must fit into this half, so that one of them may fail.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

from tasks.preflight.diagnose import ok, unknown, warning
from tasks.preflight.model import Check, Finding, Readiness, RenewalWindow
from tasks.source.issuance import CertificateStatus

RUNS = 2
TOO_SLOW, NONE = "ScheduleTooSlow", "NoSchedule"


def allowed_gap(window: RenewalWindow) -> timedelta:
    """Return the longest time between two scheduled runs that a certificate allows."""
    return window.window / 2 / RUNS


def shortest_window(
    statuses: Mapping[str, CertificateStatus], is_routed: Callable[[str], bool]
) -> RenewalWindow | None:
    """Return that of the routed certificate whose renewal is the nearest to its expiry."""
    known = (
        RenewalWindow(certificate=name, lifetime=one.lifetime, window=one.lifetime * (1 - one.share))
        for name, one in statuses.items()
        if one.lifetime and one.share is not None and is_routed(name)
    )
    return min(known, key=lambda one: one.window, default=None)


def schedule_finding(window: RenewalWindow, gap: timedelta | None) -> Finding:
    """`gap` is the longest time between the next scheduled runs; None where fewer than two are scheduled."""
    life, left, allowed = map(_text, (window.lifetime, window.window, allowed_gap(window)))
    about = f"{window.certificate} is valid for {life} and renewed {left} before it expires"
    remedy = f"schedule a run at least every {allowed} (chart: tlsSync.schedule)"
    if gap is None:
        text = f"{about}, and fewer than two runs are scheduled"
        return warning(Check.NAMESPACES, NONE, text, remedy)
    if gap > allowed_gap(window):
        text = f"{about}, but scheduled runs are up to {_text(gap)} apart"
        return warning(Check.NAMESPACES, TOO_SLOW, text, remedy)
    return ok(Check.NAMESPACES, f"{about}; scheduled runs are at most {_text(gap)} apart")


def with_schedule(ops: Readiness, gap: timedelta | None) -> Readiness:
    """Add the finding about the schedule to those about OPS, if a certificate's renewal is known there."""
    return _with(ops, schedule_finding(ops.shortest, gap)) if ops.shortest else ops


def without_schedule(ops: Readiness, why: str) -> Readiness:
    """Add, in the same case, that the schedule could not be read."""
    return (
        _with(ops, unknown(Check.NAMESPACES, f"the schedule can't be read: {why}")) if ops.shortest else ops
    )


def _with(ops: Readiness, finding: Finding) -> Readiness:
    return ops.model_copy(update={"findings": (*ops.findings, finding)})


def _text(duration: timedelta) -> str:
    """Return a duration in one unit, rounded down: `45 days`, `18 hours`, `40 minutes`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(duration.total_seconds() // length)
        if count >= 2 or (count and unit == "minute"):
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"
