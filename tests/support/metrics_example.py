"""Reports as the flow makes them, for tests of metrics."""

from datetime import timedelta
from typing import Any

from tasks.domain.models import Action, Change, ClusterReport, RunReport
from tasks.domain.reasons import Reason
from tests.support.factories import NOW, certificate, change, failure, run_report, snapshot, version

OLD, NEW = version("a1", age=70), version("b2", age=10)


def row(action: Action, reason: Reason, name: str = "web-tls", **values: Any) -> Change:
    return change(action, reason, name, namespace="app-a", **{"old": OLD, "new": NEW, **values})


KEPT = row(Action.KEEP, Reason.IN_SYNC, old=NEW)
REFUSED = row(Action.REFUSE, Reason.IMMUTABLE, "api-tls")
DOWN = failure(what="get namespace kube-system", transient=True)


def report(*clusters: ClusterReport, **values: Any) -> RunReport:
    """The report of a run of seven seconds; the clusters dev and rct are configured."""
    fields: dict[str, Any] = {
        "snapshot": snapshot(certificate("web-tls", version=NEW)),
        "began": NOW - timedelta(seconds=7),
        "owner": "ops",
        "configured": ("dev", "rct"),
    }
    return run_report(*clusters, **{**fields, **values})
