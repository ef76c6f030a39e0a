"""What Prefect's API tells of runs. Read only; whatever goes wrong is one sentence."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterId,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    LogFilter,
    LogFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort, LogSort
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from tasks.domain.names import without_user
from tasks.report.history import FAILED_TYPES, ClusterOutcome, Run, started_by

OURS, SYNC, WATCHER = "tls-sync", "sync-", "tls-sync-watch"
"""How the names of our flows begin, and those of the task runs that serve a cluster; the watcher's flow."""
PAGE, PAGES = 100, 20
"""Runs per request, and how many pages are looked through."""
ITEMS = 200
"""The most that Prefect gives of anything at a time."""
PLANNED = "Scheduled"


class RunsError(Exception):
    """Prefect can't say; the message tells why, and what to do."""


@contextmanager
def prefect_api() -> Iterator[SyncPrefectClient]:
    """Prefect's client; where PREFECT_API_URL names no server, with one that it starts for this."""
    address = PREFECT_API_URL.value()
    where = f"Prefect's API at {without_user(address)}" if address else "Prefect's temporary server"
    try:
        with _quiet(), get_client(httpx_settings={"timeout": 30}, sync_client=True) as client:
            yield client
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            told = f"{where} refuses our credentials (HTTP {status}); check PREFECT_API_AUTH_STRING"
            raise RunsError(told) from None
        raise RunsError(f"{where} answers HTTP {status}; check PREFECT_API_URL (it ends in /api)") from None
    except httpx.HTTPError as error:
        raise RunsError(f"{where} does not answer ({type(error).__name__}); check PREFECT_API_URL") from None
    except httpx.InvalidURL:
        raise RunsError(f"{where} can't be asked: PREFECT_API_URL is not an address; correct it") from None
    except (ValidationError, ValueError, RuntimeError) as error:
        raise RunsError(
            f"{where} answers, but not as Prefect's API ({type(error).__name__}); check PREFECT_API_URL"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Meanwhile Prefect's client says nothing of its own: what goes wrong is said once, by us."""
    logger = logging.getLogger("prefect")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def read_runs(client: SyncPrefectClient, *, failed: bool) -> Iterator[Run]:
    """Our runs, the newest first. With `failed`, those that ended badly."""
    for page in range(PAGES):
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(like_=OURS)),
            flow_run_filter=_chosen(failed=failed),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=PAGE,
            offset=page * PAGE,
        )
        if begun := [run for run in found if run.state_name != PLANNED]:
            yield from _told(client, begun)
        if len(found) < PAGE:
            return


def _chosen(*, failed: bool) -> FlowRunFilter:
    """What has begun, or should have: a schedule's plans for later are no history."""
    types = [StateType(name) for name in sorted(FAILED_TYPES)]
    soon = datetime.now(UTC) + timedelta(minutes=10)  # who awaits a slot has been put off a little
    return FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)) if failed else None,
        expected_start_time=FlowRunFilterExpectedStartTime(before_=soon),
    )


def _plain(value: object) -> str | bool | None:
    """A parameter as it can be shown; ours are no more than this."""
    return value if value is None or isinstance(value, str | bool) else str(value)


def _told(client: SyncPrefectClient, found: list[FlowRun]) -> Iterator[Run]:
    flows = _flows(client, {run.flow_id for run in found})
    tags = _tags(client, {run.deployment_id for run in found if run.deployment_id})
    watched = {run.id for run in found if flows.get(run.flow_id) == WATCHER}
    clusters = _clusters(client, [run.id for run in found]) | _watched(client, watched)
    for run in found:
        creator = "watcher" if run.id in watched else "fleet" if run.parent_task_run_id else _creator(run)
        yield Run(
            id=str(run.id),
            name=run.name,
            flow=flows.get(run.flow_id, ""),
            parameters={name: _plain(value) for name, value in (run.parameters or {}).items()},
            started_by=started_by(
                scheduled=run.auto_scheduled,
                creator=creator,
                deployed=run.deployment_id is not None,
                tags=run.tags,
                deployment_tags=tags.get(run.deployment_id, []),
            ),
            created=run.created,
            began=run.start_time,
            took=_took(run),
            type=str(run.state_type.value) if run.state_type else "",
            state=run.state_name or "",
            message=(run.state.message if run.state else "") or "",
            clusters=clusters.get(run.id, {}),
        )


def _creator(run: FlowRun) -> str:
    by = run.created_by
    return " ".join(filter(None, ((by.type or "").lower(), by.display_value))) if by else ""


def _took(run: FlowRun) -> timedelta | None:
    if run.start_time is None:
        return None
    return (run.end_time or datetime.now(run.start_time.tzinfo)) - run.start_time


def _flows(client: SyncPrefectClient, ids: set[UUID]) -> dict[UUID, str]:
    chosen = FlowFilter(id=FlowFilterId(any_=list(ids)))
    return {flow.id: flow.name for flow in client.read_flows(flow_filter=chosen, limit=ITEMS)}


def _tags(client: SyncPrefectClient, ids: set[UUID]) -> dict[UUID | None, list[str]]:
    if not ids:
        return {}
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=list(ids)))
    return {one.id: one.tags for one in client.read_deployments(deployment_filter=chosen, limit=ITEMS)}


def _clusters(client: SyncPrefectClient, ids: list[UUID]) -> dict[UUID, dict[str, ClusterOutcome]]:
    """Of each run, what became of the clusters: there is a task run for each."""
    found: dict[UUID, dict[str, ClusterOutcome]] = {}
    offset, full = 0, True
    while full:
        page = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)),
            task_run_filter=TaskRunFilter(name=TaskRunFilterName(like_=SYNC)),
            limit=ITEMS,
            offset=offset,
        )
        for run in page:
            if run.flow_run_id and run.name.startswith(SYNC) and run.state:
                outcome = ClusterOutcome(type=run.state.type.value, message=run.state.message or "")
                found.setdefault(run.flow_run_id, {})[run.name.removeprefix(SYNC)] = outcome
        offset, full = offset + ITEMS, len(page) == ITEMS
    return found


def _watched(client: SyncPrefectClient, ids: set[UUID]) -> dict[UUID, dict[str, ClusterOutcome]]:
    """The same of what the watcher did, which has a report per cluster and no tasks."""
    found: dict[UUID, dict[str, ClusterOutcome]] = {}
    offset, full = 0, bool(ids)
    while full:
        page = client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=list(ids)),
                key=ArtifactFilterKey(like_=f"{OURS}-"),
            ),
            limit=ITEMS,
            offset=offset,
        )
        for one in page:
            if one.flow_run_id and one.key:
                ok = str(one.data).startswith("## ✅")
                outcome = ClusterOutcome(type="COMPLETED" if ok else "FAILED")
                found.setdefault(one.flow_run_id, {})[one.key.removeprefix(f"{OURS}-")] = outcome
        offset, full = offset + ITEMS, len(page) == ITEMS
    return found


def find_run(client: SyncPrefectClient, text: str) -> UUID:
    """The id of a run, of which the beginning is enough. Raises RunsError where it is none, or many."""
    try:
        return client.read_flow_run(UUID(text)).id
    except ObjectNotFound:
        raise RunsError(f"Prefect has no run {text}; --history shows those that it has") from None
    except ValueError:
        pass
    found = {run.id for run in read_runs(client, failed=False) if run.id.startswith(text.lower())}
    if len(text) < 4 or len(found) != 1:
        how_many = f"{len(found)} runs begin" if len(found) > 1 and len(text) >= 4 else "no one run begins"
        raise RunsError(f"{how_many} with {text!r}; give more of its id, as --history shows it")
    return UUID(found.pop())


def read_logs(client: SyncPrefectClient, run: UUID) -> Iterator[tuple[datetime, int, str]]:
    """Time, level and text, as they were said; those of its tasks, too."""
    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    offset, full = 0, True
    while full:
        page = client.read_logs(chosen, limit=ITEMS, offset=offset, sort=LogSort.TIMESTAMP_ASC)
        yield from ((one.timestamp, one.level, one.message) for one in page)
        offset, full = offset + ITEMS, len(page) == ITEMS
