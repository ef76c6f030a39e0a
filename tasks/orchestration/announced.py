"""Keeps in Prefect, as an artifact, which clusters were announced: a run tells of one that is gone."""

from collections.abc import Iterable
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from tasks.domain.models import Discovery
from tasks.domain.parameters import RunParameters
from tasks.report.announced import parse, render

KEY = "discovered-tls-sync"


def with_gone(discovery: Discovery, configured: Iterable[str], parameters: RunParameters) -> Discovery:
    """Return it with the clusters that an earlier run knew; a dry run does not note what it knows.

    Without `discover`, where profiles could not be read, and in a run for a part of the clusters, nothing is
    asked of Prefect.
    """
    is_part = parameters.cluster or parameters.group
    if discovery.failure or is_part or not discovery.is_configured:
        return discovery
    try:
        with get_client(sync_client=True) as client:
            before = _latest(client)
            roster, today = parse(before), datetime.now(UTC).date()
            now = roster.updated(discovery.announced, configured, today)
            if not parameters.dry_run and (text := render(now)) != before:
                client.create_artifact(ArtifactCreate(key=KEY, type="markdown", data=text))
    except (httpx.HTTPError, PrefectException) as error:
        name = type(error).__name__
        get_run_logger().warning("Prefect does not tell which clusters were announced (%s)", name)
        return discovery
    return discovery.with_unserved(now.failures(today))


def _latest(client: SyncPrefectClient) -> str:
    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[KEY]))
    found = client.read_latest_artifacts(artifact_filter=wanted, limit=1)
    return str(found[0].data) if found else ""
