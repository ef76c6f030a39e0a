"""The Prefect task that reads OPS. A thin shell around tasks/source/read.py."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import task
from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError, defect
from tasks.domain.models import Inventory
from tasks.kube.pool import client_of_source
from tasks.orchestration.task_options import CLUSTER_SECONDS, DELAYS, JITTER, may_pass
from tasks.source.read import take_inventory

RESULTS = JSONSerializer(object_encoder="tasks.domain.errors.written", object_decoder=None)
"""Plain JSON: Prefect's own decoder would import any class that a file in the result storage names."""

CAREFULLY: dict[str, Any] = {
    "retries": len(DELAYS),
    "retry_delay_seconds": DELAYS,
    "retry_jitter_factor": JITTER,
    "retry_condition_fn": may_pass,
    "persist_result": True,
    "cache_result_in_memory": False,  # or each would be held to the end of the run
    "result_serializer": RESULTS,
    "log_prints": False,
}
"""How every task of ours is tried again and kept."""


def key_of_list(context: TaskRunContext, _: dict[str, Any]) -> str:
    """A resumed run lists OPS anew: each run of the same flow run has a key of its own."""
    run = context.task_run
    return f"tls-sync-list-{run.flow_run_id}-{run.flow_run_run_count}"


@task(
    name="collect-certificates",
    task_run_name="collect-certificates",
    description="List OPS's certificates and check each one; the result holds facts, never a key.",
    cache_key_fn=key_of_list,
    **CAREFULLY,
)
def collect_certificates(source: Source) -> str:
    """The inventory as JSON."""
    try:
        with client_of_source(source, deadline_of_task()) as client:
            return take_inventory(client, source, datetime.now(UTC)).model_dump_json()
    except ClusterError:
        raise
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        raise ClusterError(defect(source.label, "read the certificates", error)) from None


def collect(source: Source) -> Inventory:
    """What OPS holds, or an inventory that says why it can't be known."""
    state = collect_certificates(source, return_state=True)
    result = state.result(raise_on_failure=False)
    if isinstance(result, ClusterError):
        return Inventory(failure=result.failure)
    if isinstance(result, BaseException):
        return Inventory(failure=defect(source.label, "read the certificates", result))
    return Inventory.model_validate_json(result)


def deadline_of_task(until: datetime | None = None) -> float:
    """The moment of time.monotonic() at which this task's time, counted from its first attempt, is up."""
    context, now = TaskRunContext.get(), datetime.now(UTC)
    begun = (context.task_run.start_time if context else None) or now
    end = begun + timedelta(seconds=CLUSTER_SECONDS)
    left = (min(end, until or end) - now).total_seconds()
    return time.monotonic() + min(left, CLUSTER_SECONDS)  # also where the clock was set back meanwhile
