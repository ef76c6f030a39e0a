"""Creates the artifacts of a run: several at a time, and none that would only repeat a cluster's last one."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextvars import copy_context
from datetime import datetime, timedelta
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
from tasks.orchestration.last_in_sync import last_in_sync
from tasks.report import markdown
from tasks.report.headline import cluster_headline, run_headline

CONCURRENCY = 8
REPEATED_AFTER = timedelta(days=1)
"""An older artifact is repeated: Prefect deletes it with its run, up to a day before it forgets the text."""
MAX_LOOKUPS = 20
"""Maximum number of clusters of which Prefect is asked when they were last in sync; two requests each."""
PAGE = 10
"""Artifacts that are read in one request: each may have a MiB, and a pod has little memory."""


def create_artifacts(report: RunReport, *, everything: bool = False) -> None:
    """Create the artifact of the run, and that of each cluster which has something new to say, or of all.

    Raises what Prefect's client raises; the artifacts that have not begun by then are left out, since the
    client has waited for minutes already.
    """
    # A dry run has its own keys: the latest report of a cluster says what was done, not what would be done.
    key = "dry-run-tls-sync" if report.parameters.dry_run else "tls-sync"
    with get_client(sync_client=True) as client, ThreadPoolExecutor(CONCURRENCY) as pool:

        def create(text: Callable[[], str], suffix: str, description: Callable[[], str]) -> Future[None]:
            # The text is made in the thread: those of many clusters at once would be too much for a pod.
            return pool.submit(copy_context().run, _create, client, f"{key}{suffix}", text, description)

        try:
            created = [create(partial(markdown.render_run, report), "", partial(run_headline, report))]
            lookups = iter(range(MAX_LOOKUPS))
            for cluster in report.clusters if everything else _news(client, report, key):
                text = partial(markdown.render_cluster, cluster)
                look_up = not cluster.ok and next(lookups, None) is not None
                description = partial(_describe, client, cluster, report.now, look_up=look_up)
                created.append(create(text, f"-{cluster.cluster}", description))
            for one in as_completed(created):
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _news(client: SyncPrefectClient, report: RunReport, key: str) -> Iterator[ClusterReport]:
    """Yield those whose artifact would differ from a recent one; where Prefect refuses to tell, all."""
    idle = []
    for one in report.clusters:
        if any(change.acts for change in one.changes):
            yield one
        else:
            idle.append(one)
    since = report.now - REPEATED_AFTER
    for start in range(0, len(idle), PAGE):
        page = {f"{key}-{one.cluster}": one for one in idle[start : start + PAGE]}
        latest = _latest(client, [*page], since)
        yield from (one for name, one in page.items() if latest.get(name) != markdown.render_cluster(one))


def _latest(client: SyncPrefectClient, keys: list[str], since: datetime) -> dict[str, Any]:
    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=keys))
    try:
        found = client.read_latest_artifacts(artifact_filter=wanted, limit=len(keys))
    except (httpx.HTTPStatusError, PrefectException):
        return {}
    return {one.key: one.data for one in found if one.updated and one.updated > since}


def _describe(client: SyncPrefectClient, cluster: ClusterReport, now: datetime, *, look_up: bool) -> str:
    """Return the status of a cluster; with `look_up`, Prefect is asked when it was last in sync."""
    return cluster_headline(cluster, now, last_in_sync(client, cluster.cluster) if look_up else None)


def _create(
    client: SyncPrefectClient, key: str, text: Callable[[], str], description: Callable[[], str]
) -> None:
    client.create_artifact(
        ArtifactCreate(
            key=key,
            type="markdown",
            description=description(),
            data=text(),
            flow_run_id=UUID(runtime.flow_run.id),
        )
    )
