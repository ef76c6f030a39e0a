"""Makes one report of several that follow one another, so that it shows every row. Pure."""

from collections.abc import Sequence

from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Discovery,
    Failure,
    Requests,
    RunReport,
    SecretRef,
)
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import Reason


def merged(reports: Sequence[RunReport]) -> RunReport:
    """Return one report of all of these, oldest first. It shows OPS as the newest one does."""
    if len(reports) == 1:
        return reports[0]
    clusters: dict[str, _Cluster] = {}
    pending: dict[str, None] = {}
    requests: list[Requests] = []
    for report in reports:
        certificate = report.parameters.certificate
        for one in report.clusters:
            clusters.setdefault(one.cluster, _Cluster()).add(one, certificate)
            pending.pop(one.cluster, None)
        pending |= dict.fromkeys(report.pending)
        requests += report.requests
    certificates = {report.parameters.certificate for report in reports}
    return reports[-1].model_copy(
        update={
            "began": next((one.began for one in reports if one.began), None),
            "parameters": reports[-1].parameters if len(certificates) == 1 else RunParameters(),
            "clusters": tuple(one.merged() for one in clusters.values()),
            "pending": tuple(pending),
            "discovery": next(
                (one.discovery for one in reversed(reports) if one.discovery != Discovery()), Discovery()
            ),
            "requests": tuple(requests),
        }
    )


def count_rows(report: RunReport) -> int:
    return sum(len(one.changes) for one in report.clusters)


class _Cluster:
    """The reports of one cluster."""

    def __init__(self) -> None:
        self._reports: list[ClusterReport] = []
        self._rows: dict[tuple[SecretRef, str], Change] = {}
        self._failures: dict[str | None, tuple[Failure, ...]] = {}
        """By the only certificate of the report."""

    def add(self, report: ClusterReport, certificate: str | None) -> None:
        """Add a newer report. It makes up for what failed before, if it is for all that had failed."""
        self._reports.append(report)
        if certificate is None:
            self._failures.clear()
            self._drop_outdated(report)
        for row in report.changes:
            older = self._rows.get(row.key)
            is_kept = row.action is Action.KEEP and row.reason is Reason.IN_SYNC
            if not (older and older.applied and is_kept):  # that it was written says more
                self._rows[row.key] = row
        self._failures[certificate] = report.failures

    def _drop_outdated(self, report: ClusterReport) -> None:
        """A report of all certificates has all rows of its targets; what was written before is still told."""
        known, targets = {row.key for row in report.changes}, {row.target for row in report.changes}
        for key, row in tuple(self._rows.items()):
            if row.target in targets and key not in known and not row.applied:
                del self._rows[key]

    def merged(self) -> ClusterReport:
        failures = (failure for several in self._failures.values() for failure in several)
        warnings = (warning for one in self._reports for warning in one.warnings)
        rows = sorted(self._rows.values(), key=lambda row: (row.target.namespace, row.target.name))
        return self._reports[-1].model_copy(
            update={
                "changes": tuple(rows),
                "failures": tuple(dict.fromkeys(failures)),
                "warnings": tuple(dict.fromkeys(warnings)),
                "requests": tuple(one for report in self._reports for one in report.requests),
            }
        )
