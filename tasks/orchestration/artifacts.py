"""Creates the artifacts of a run: several at a time, and none that would only repeat a cluster's last one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.exceptions import PrefectException

from tasks.domain.models import ClusterReport, RunReport
from tasks.report import markdown

CONCURRENCY = 8
PAGE = 10
"""Artifacts that are read in one request: each may have a MiB, and a pod has little memory."""


def create_artifacts(report: RunReport) -> None:
    """Create the artifact of the run, and that of each cluster which has something new to say.

    Raises what Prefect's client raises, after all have been tried.
    """
    # A dry run has its own keys: the latest report of a cluster says what was done, not what would be done.
    key = "dry-run-tls-sync" if report.parameters.dry_run else "tls-sync"
    with get_client(sync_client=True) as client, ThreadPoolExecutor(CONCURRENCY) as pool:

        def create(text: Callable[[], str], suffix: str, description: str) -> Future[None]:
            # The text is made in the thread: those of many clusters at once would be too much for a pod.
            return pool.submit(copy_context().run, _create, client, f"{key}{suffix}", text, description)

        created = [create(partial(markdown.render_run, report), "", "The run's report")]
        for cluster in _news(client, report.clusters, key):
            text = partial(markdown.render_cluster, cluster)
            created.append(create(text, f"-{cluster.cluster}", f"What became of {cluster.cluster}"))
    for one in created:
        one.result()


def _news(client: SyncPrefectClient, clusters: Sequence[ClusterReport], key: str) -> Iterator[ClusterReport]:
    """Yield those whose artifact would differ from the latest one; where Prefect refuses to tell, all."""
    idle = []
    for one in clusters:
        if any(change.acts for change in one.changes):
            yield one
        else:
            idle.append(one)
    for start in range(0, len(idle), PAGE):
        page = {f"{key}-{one.cluster}": one for one in idle[start : start + PAGE]}
        latest = _latest(client, [*page])
        yield from (one for name, one in page.items() if latest.get(name) != markdown.render_cluster(one))


def _latest(client: SyncPrefectClient, keys: list[str]) -> dict[str, Any]:
    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=keys))
    try:
        found = client.read_latest_artifacts(artifact_filter=wanted, limit=len(keys))
    except (httpx.HTTPStatusError, PrefectException):
        return {}
    return {one.key: one.data for one in found}


def _create(client: SyncPrefectClient, key: str, text: Callable[[], str], description: str) -> None:
    client.create_artifact(
        ArtifactCreate(
            key=key,
            type="markdown",
            description=description,
            data=text(),
            flow_run_id=UUID(runtime.flow_run.id),
        )
    )
