"""Tags this flow run with what it is for: lists of runs in Prefect are filtered by tags."""

from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger


def tag_run(*tags: str) -> None:
    """Add tags to this flow run. Where it has them all, no request is sent; where Prefect refuses, warn."""
    present = runtime.flow_run.tags
    if not set(tags) - set(present):
        return
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(runtime.flow_run.id), tags=[*dict.fromkeys((*present, *tags))])
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("could not tag this run (%s)", type(error).__name__)
