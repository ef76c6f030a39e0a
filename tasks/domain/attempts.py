"""Merges the reports of several attempts at one cluster. Pure."""

from tasks.domain.models import Action, Change, ClusterReport
from tasks.domain.reasons import Reason


def with_earlier_writes(report: ClusterReport, earlier: tuple[Change, ...]) -> ClusterReport:
    """Return the last attempt's report, with the writes of earlier attempts counted as written.

    A later attempt finds such a copy in sync or, if it fails early, does not find it at all.
    """
    if not earlier:
        return report
    rows = {change.key: change for change in report.changes}
    for change in earlier:
        now = rows.get(change.key)
        if now is None or (now.action is Action.KEEP and now.reason is Reason.IN_SYNC):
            rows[change.key] = change
    return report.model_copy(update={"changes": tuple(rows.values())})


def writes_of(report: ClusterReport) -> tuple[Change, ...]:
    return tuple(change for change in report.changes if change.applied)
