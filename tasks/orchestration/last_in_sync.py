"""Reads from Prefect when a cluster was last in sync: when its task in a run for everything ended well."""

from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterName,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import TaskRunSort
from prefect.exceptions import PrefectException

TASK_PREFIX = "sync-"
"""Prefix of the names of task runs that sync a cluster."""
LOOKED_AT = 10
"""Number of tasks that are looked at: those of runs for a part are skipped."""
OF_A_PART = ("certificate", "dry_run", "urgent_only")
"""Parameters of a run after which a cluster need not be in sync."""


def last_in_sync(client: SyncPrefectClient, cluster: str) -> datetime | None:
    """Return when its task last ended well; None if Prefect does not know, or refuses to tell."""
    ended_well = TaskRunFilter(
        name=TaskRunFilterName(any_=[f"{TASK_PREFIX}{cluster}"]),
        state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.COMPLETED])),
    )
    try:
        tasks = client.read_task_runs(
            task_run_filter=ended_well, sort=TaskRunSort.END_TIME_DESC, limit=LOOKED_AT
        )
        ids = [one.flow_run_id for one in tasks if one.flow_run_id]
        found = (
            client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids))) if ids else []
        )
    except (httpx.HTTPStatusError, PrefectException):
        return None
    whole = {run.id for run in found if _is_whole(run)}
    ends = (one.end_time for one in tasks if one.flow_run_id in whole and one.end_time)
    return max((end.astimezone(UTC) for end in ends), default=None)


def _is_whole(run: FlowRun) -> bool:
    return not any((run.parameters or {}).get(name) for name in OF_A_PART)
