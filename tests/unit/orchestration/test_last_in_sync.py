"""When a cluster was last in sync, by what Prefect knows of its tasks."""

from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import TaskRunFilter
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun

from tasks.orchestration.last_in_sync import last_in_sync
from tests.support.factories import NOW


class Recorded:
    """In place of the client: a run with each of these parameters, and its task; the newest first."""

    def __init__(self, *parameters: dict[str, Any]) -> None:
        self.error: Exception | None = None
        self.runs = [FlowRun(id=uuid4(), flow_id=uuid4(), parameters=given) for given in parameters]
        self.tasks = [
            TaskRun(flow_run_id=run.id, task_key="sync", dynamic_key="0", end_time=hours(number))
            for number, run in enumerate(self.runs)
        ]

    def read_task_runs(self, task_run_filter: TaskRunFilter, **_: Any) -> list[TaskRun]:
        assert task_run_filter.name is not None
        assert task_run_filter.state is not None
        assert task_run_filter.state.type is not None
        assert task_run_filter.name.any_ == ["sync-rct"]
        assert task_run_filter.state.type.any_ == [StateType.COMPLETED]
        if self.error:
            raise self.error
        return self.tasks

    def read_flow_runs(self, **_: Any) -> list[FlowRun]:
        assert self.runs
        return self.runs


def hours(number: int) -> datetime:
    return NOW - timedelta(hours=number)


def found(recorded: Recorded) -> datetime | None:
    return last_in_sync(cast("SyncPrefectClient", recorded), "rct")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([{}, {}], hours(0)),
        (
            [{"dry_run": True}, {"certificate": "web-tls"}, {"urgent_only": True}, {"cluster": "rct"}],
            hours(3),
        ),
        ([{"dry_run": True}], None),
        ([], None),
    ],
)
def test_a_run_for_a_part_does_not_count(parameters: list[dict[str, Any]], expected: datetime | None) -> None:
    """After a dry run, or a run for one certificate, the cluster need not be in sync."""
    assert found(Recorded(*parameters)) == expected


def test_where_prefect_refuses_to_tell_nothing_is_said() -> None:
    """The description of an artifact is no reason for a run to fail."""
    recorded = Recorded()
    recorded.error = httpx.HTTPStatusError(
        "no", request=httpx.Request("POST", "http://prefect/api"), response=httpx.Response(500)
    )
    assert found(recorded) is None
