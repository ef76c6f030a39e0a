"""A step of `prefect deploy`: where no fleet is used, its deployment has no schedule that could be resumed.

prefect.yaml can't leave out a schedule by a variable, and Prefect keeps one that the file has no more. The
last deployment of the file has this step, so it runs when all others are registered. Prefect loads this file
by its path: it imports nothing of ours.
"""

import os

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

FLEET, VARIABLE = "tls-sync-fleet/ops", "TLS_SYNC_FLEET"


def drop_fleet_schedules() -> dict[str, str]:
    """Delete the schedules of the fleet's deployment unless a fleet is used."""
    if os.environ.get(VARIABLE) != "true":
        with get_client(sync_client=True) as client:
            _delete_schedules(client)
    return {}


def _delete_schedules(client: SyncPrefectClient) -> None:
    try:
        deployment = client.read_deployment_by_name(FLEET)
    except ObjectNotFound:  # only others of the file were deployed
        return
    for schedule in deployment.schedules:
        client.delete_deployment_schedule(deployment.id, schedule.id)
