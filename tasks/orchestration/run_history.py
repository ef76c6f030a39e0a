"""Reads runs and their logs from Prefect's API."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
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
    FlowRunFilterName,
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

from tasks.domain.text import printable
from tasks.orchestration.last_in_sync import TASK_PREFIX
from tasks.orchestration.prefect_api import PrefectAPIError
from tasks.report.history import FAILED_TYPES, ClusterOutcome, Run, started_by

FLOW_PREFIX, WATCHER = "tls-sync", "tls-sync-watch"
"""Prefix of the names of our flows; the name of the watcher's flow."""
PAGE_SIZE, MAX_PAGES = 100, 20
"""Number of runs per request, and maximum number of requests."""
MAX_ITEMS = 200
"""Maximum number of objects that Prefect returns per request."""
SCHEDULED = "Scheduled"
REPORT, FINISHED = re.compile(r"tls-sync( \(dry run\))?: "), "Finished in state"
"""Beginnings of the report in a log, and of what Prefect logs after it."""
PART_OF_ID = re.compile("[0-9a-f-]{4,36}")
"""The beginning or the end of a run's id."""
MAX_FOUND = 5
"""Maximum number of runs that are named where a text means several."""


def read_runs(client: SyncPrefectClient, *, failed: bool) -> Iterator[Run]:
    """Yield our runs, newest first; with `failed`, only those that failed."""
    for page in _pages(client, failed=failed):
        yield from _with_details(client, page)


def _pages(
    client: SyncPrefectClient, *, failed: bool = False, name: str | None = None
) -> Iterator[list[FlowRun]]:
    """Yield our runs, as read_runs does, in pages and without details; with `name`, those so named."""
    for page in range(MAX_PAGES):
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(like_=FLOW_PREFIX)),
            flow_run_filter=_filter(failed=failed, name=name),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=PAGE_SIZE,
            offset=page * PAGE_SIZE,
        )
        if begun := [run for run in found if run.state_name != SCHEDULED]:
            yield begun
        if len(found) < PAGE_SIZE:
            return


def _filter(*, failed: bool, name: str | None) -> FlowRunFilter:
    """Select runs that have started or are due, not those that are scheduled for later."""
    types = [StateType(name) for name in sorted(FAILED_TYPES)]
    soon = datetime.now(UTC) + timedelta(minutes=10)  # a run that waits for a slot is put off a little
    return FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)) if failed else None,
        expected_start_time=FlowRunFilterExpectedStartTime(before_=soon),
        name=FlowRunFilterName(any_=[name]) if name else None,
    )


def _parameter(value: object) -> str | bool | None:
    """Return a parameter as JSON; those of our flows are of these types."""
    return value if value is None or isinstance(value, str | bool) else str(value)


def _with_details(client: SyncPrefectClient, found: list[FlowRun]) -> Iterator[Run]:
    flows = _flows(client, {run.flow_id for run in found})
    tags = _tags(client, {run.deployment_id for run in found if run.deployment_id})
    watched = {run.id for run in found if flows.get(run.flow_id) == WATCHER}
    clusters = _clusters(client, [run.id for run in found]) | _watched_clusters(client, watched)
    for run in found:
        creator = "watcher" if run.id in watched else "fleet" if run.parent_task_run_id else _creator(run)
        yield Run(
            id=str(run.id),
            name=run.name,
            flow=flows.get(run.flow_id, ""),
            parameters={name: _parameter(value) for name, value in (run.parameters or {}).items()},
            started_by=started_by(
                scheduled=run.auto_scheduled,
                creator=creator,
                deployed=run.deployment_id is not None,
                tags=run.tags,
                deployment_tags=tags.get(run.deployment_id, []),
            ),
            created=run.created,
            began=run.start_time,
            took=_duration(run),
            type=str(run.state_type.value) if run.state_type else "",
            state=run.state_name or "",
            message=(run.state.message if run.state else "") or "",
            clusters=clusters.get(run.id, {}),
        )


def _creator(run: FlowRun) -> str:
    by = run.created_by
    return " ".join(filter(None, ((by.type or "").lower(), by.display_value))) if by else ""


def _duration(run: FlowRun) -> timedelta | None:
    if run.start_time is None:
        return None
    return (run.end_time or datetime.now(run.start_time.tzinfo)) - run.start_time


def _flows(client: SyncPrefectClient, ids: set[UUID]) -> dict[UUID, str]:
    chosen = FlowFilter(id=FlowFilterId(any_=list(ids)))
    return {flow.id: flow.name for flow in client.read_flows(flow_filter=chosen, limit=MAX_ITEMS)}


def _tags(client: SyncPrefectClient, ids: set[UUID]) -> dict[UUID | None, list[str]]:
    if not ids:
        return {}
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=list(ids)))
    return {one.id: one.tags for one in client.read_deployments(deployment_filter=chosen, limit=MAX_ITEMS)}


def _clusters(client: SyncPrefectClient, ids: list[UUID]) -> dict[UUID, dict[str, ClusterOutcome]]:
    """Return the outcome of each cluster by run, from its task run."""
    found: dict[UUID, dict[str, ClusterOutcome]] = {}
    offset, full = 0, True
    while full:
        page = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)),
            task_run_filter=TaskRunFilter(name=TaskRunFilterName(like_=TASK_PREFIX)),
            limit=MAX_ITEMS,
            offset=offset,
        )
        for run in page:
            if run.flow_run_id and run.name.startswith(TASK_PREFIX) and run.state:
                outcome = ClusterOutcome(type=run.state.type.value, message=run.state.message or "")
                found.setdefault(run.flow_run_id, {})[run.name.removeprefix(TASK_PREFIX)] = outcome
        offset, full = offset + MAX_ITEMS, len(page) == MAX_ITEMS
    return found


def _watched_clusters(client: SyncPrefectClient, ids: set[UUID]) -> dict[UUID, dict[str, ClusterOutcome]]:
    """Return the outcome of each cluster by run of the watcher, from its artifact per cluster."""
    found: dict[UUID, dict[str, ClusterOutcome]] = {}
    offset, full = 0, bool(ids)
    while full:
        page = client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=list(ids)),
                key=ArtifactFilterKey(like_=f"{FLOW_PREFIX}-"),
            ),
            limit=MAX_ITEMS,
            offset=offset,
        )
        for one in page:
            if one.flow_run_id and one.key:
                ok = str(one.data).startswith("## ✅")
                outcome = ClusterOutcome(type="COMPLETED" if ok else "FAILED")
                found.setdefault(one.flow_run_id, {})[one.key.removeprefix(f"{FLOW_PREFIX}-")] = outcome
        offset, full = offset + MAX_ITEMS, len(page) == MAX_ITEMS
    return found


def find_run(client: SyncPrefectClient, text: str) -> UUID:
    """Return the id of a run, given the id, its beginning or end, or the run's name.

    Raises PrefectAPIError unless exactly one run has it.
    """
    try:
        return client.read_flow_run(UUID(text)).id
    except ObjectNotFound:
        raise PrefectAPIError(
            f"Prefect has no run {text}; tls-sync history shows those that it has"
        ) from None
    except ValueError:
        pass
    # A new run moves the others to later pages, so that one may be read twice.
    found = list(
        {run.id: run for run in _by_part_of_id(client, text.lower()) or _named(client, text)}.values()
    )
    if not found:
        has = "has an id that begins or ends so, or that name; tls-sync history shows the runs that there are"
        raise PrefectAPIError(f"no run {has}: {text!r}")
    if len(found) > 1:
        raise PrefectAPIError(_ambiguous(text, found))
    return found[0].id


def _by_part_of_id(client: SyncPrefectClient, text: str) -> list[FlowRun]:
    if not PART_OF_ID.fullmatch(text):
        return []
    runs = (run for page in _pages(client) for run in page)
    return [run for run in runs if str(run.id).startswith(text) or str(run.id).endswith(text)]


def _named(client: SyncPrefectClient, name: str) -> list[FlowRun]:
    return [run for page in _pages(client, name=name) for run in page]


def _ambiguous(text: str, found: list[FlowRun]) -> str:
    """Name the newest runs that were found, with the ids in full."""
    newest = ", ".join(f"{run.id} ({printable(run.name)})" for run in found[:MAX_FOUND])
    more = f" and {len(found) - MAX_FOUND} more" if len(found) > MAX_FOUND else ""
    return f"{len(found)} runs are meant by {text!r}; give the id of one: {newest}{more}"


def read_logs(client: SyncPrefectClient, run: UUID) -> Iterator[tuple[datetime, int, str]]:
    """Yield time, level and text of a run's log records, in order of time, with those of its tasks."""
    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    offset, full = 0, True
    while full:
        page = client.read_logs(chosen, limit=MAX_ITEMS, offset=offset, sort=LogSort.TIMESTAMP_ASC)
        yield from ((one.timestamp, one.level, one.message) for one in page)
        offset, full = offset + MAX_ITEMS, len(page) == MAX_ITEMS


def read_report(client: SyncPrefectClient, run: UUID) -> str:
    """Return the report in a run's log, which may have several records; empty if there is none."""
    texts = [text for _, _, text in read_logs(client, run)]
    first = next((number for number, text in enumerate(texts) if REPORT.match(text)), len(texts))
    return "\n".join(text for text in texts[first:] if not text.startswith(FINISHED))
