"""Reads from Prefect when the next runs are scheduled."""

from datetime import timedelta
from itertools import pairwise

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort

FLOWS, DEPLOYMENT = ("tls-sync", "tls-sync-fleet"), "ops"
"""Either flow can have the schedule; both of these deployments have this name."""
_LIMIT = 100


def longest_gap(client: SyncPrefectClient) -> timedelta | None:
    """Return the longest time between two of the next scheduled runs; None where fewer than two are.

    Prefect's scheduler creates the runs of the next hour, and at least three, but none of more than 100 days
    ahead: with a schedule of once a year, fewer than two.
    """
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOWS))),
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[DEPLOYMENT])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=_LIMIT,
    )
    times = [run.expected_start_time for run in found if run.auto_scheduled and run.expected_start_time]
    return max((later - earlier for earlier, later in pairwise(times)), default=None)
