"""How a run cancels its tasks on Dask workers: it sets a label on itself in Prefect, which workers poll.

The label names the attempt of the run: a run that is started again still has its earlier label.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.logging import get_run_logger

LABEL = "tls-sync.recalled"
ENDED = frozenset({"CANCELLING", "CANCELLED", "COMPLETED", "CRASHED", "FAILED"})
"""Types of Prefect's states in which a run no longer waits for its tasks."""
API_TIMEOUT_SECONDS = 5.0
"""Seconds that a worker waits for Prefect's API to return a run."""


def cancel_remote_tasks(flow_run: FlowRun) -> None:
    """Cancel the tasks of this run's attempt on all workers. If Prefect can't be reached, they go on."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(flow_run.id, labels_of(flow_run.run_count))
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("could not cancel the tasks on workers (%s)", type(error).__name__)


def is_cancelled(run_id: UUID, attempt: int) -> bool:
    """Tell whether the tasks of a run's attempt are to end; False while Prefect can't be reached."""
    try:
        with get_client(sync_client=True, httpx_settings={"timeout": API_TIMEOUT_SECONDS}) as client:
            run = client.read_flow_run(run_id)
    except ObjectNotFound:
        return True  # the run was deleted
    except (httpx.HTTPError, PrefectException, OSError, RuntimeError):
        return False
    return ends_tasks(run.labels, run.state_type.value if run.state_type else "", run.run_count, attempt)


def labels_of(attempt: int) -> dict[str, bool | int | float | str]:
    return {LABEL: attempt}


def ends_tasks(labels: Mapping[str, Any], state: str, run_count: int, attempt: int) -> bool:
    """Tell whether the tasks of `attempt` end: the run has ended, was cancelled, or was started again."""
    cancelled = labels.get(LABEL)
    return state in ENDED or run_count > attempt or (type(cancelled) is int and cancelled >= attempt)
