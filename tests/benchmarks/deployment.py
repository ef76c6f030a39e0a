"""A run for a deployment of the flow, made by the client as `prefect deployment run` would; prints its id.

A program of its own: Prefect reads its settings once, when it is imported.
"""

import json
import sys

from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from deployments.sandbox.demo.prefect_server import ROOT

POOL = "bench"


def main() -> None:
    parameters = json.loads(sys.argv[1]) if sys.argv[1:] else {}
    with get_client(sync_client=True) as client:
        if POOL not in {pool.name for pool in client.read_work_pools()}:
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        deployment = client.create_deployment(
            flow_id=client.create_flow_from_name("tls-sync"),
            name="bench",
            work_pool_name=POOL,
            entrypoint="flows/tls_sync.py:tls_sync",
            # As in an image. With a bare path, Prefect would first copy all that lies there, .venv included.
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
        )
        print(client.create_flow_run_from_deployment(deployment, parameters=parameters).id)  # noqa: T201  the caller reads it


if __name__ == "__main__":
    main()
