"""The Prefect task that reads OPS, around tasks/source/read.py."""

from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.models import SourceSnapshot
from tasks.kube.pool import client_of_source
from tasks.orchestration.task_options import TASK_OPTIONS, deadline_of_task
from tasks.source.read import list_source, read_source


def list_cache_key(context: TaskRunContext, _: dict[str, Any]) -> str:
    """Return a key per attempt of the flow run, so that a resumed run lists OPS again."""
    run = context.task_run
    return f"tls-sync-list-{run.flow_run_id}-{run.flow_run_run_count}"


@task(
    name="collect-certificates",
    task_run_name="collect-certificates",
    description="List OPS's certificates; to verify, check each one. The result holds facts, never a key.",
    cache_key_fn=list_cache_key,
    **TASK_OPTIONS,
)
def collect_certificates(source: Source, *, verify: bool, with_requests: bool) -> str:
    """Return the snapshot as JSON. Raises ClusterError if OPS can't be read."""
    read = read_source if verify else list_source
    try:
        with client_of_source(source, deadline_of_task()) as client:
            found = read(client, source, datetime.now(UTC), with_requests=with_requests)
            return found.model_dump_json()
    except ClusterError:
        raise
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        raise ClusterError(internal_error(source.label, "read the certificates", error)) from None


def collect(source: Source, *, verify: bool = False, with_requests: bool = False) -> SourceSnapshot:
    """Return the snapshot of OPS, or one with the failure that prevented it.

    With `verify`, all data is read and compared; without, what notes on copies don't prove is read later.
    """
    state = collect_certificates(source, verify=verify, with_requests=with_requests, return_state=True)
    result = state.result(raise_on_failure=False)
    if isinstance(result, ClusterError):
        return SourceSnapshot(failure=result.failure)
    if isinstance(result, BaseException):
        return SourceSnapshot(failure=internal_error(source.label, "read the certificates", result))
    return SourceSnapshot.model_validate_json(result)
