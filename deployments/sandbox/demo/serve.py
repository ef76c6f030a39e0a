"""The process that runs the flows by schedule and by hand, under the names of prefect.yaml."""

from prefect import serve

from flows.inventory import inventory
from flows.preflight import preflight
from flows.tls_sync import tls_sync

if __name__ == "__main__":
    # One run at a time: a second one would plan on what the first is about to change.
    serve(
        inventory.to_deployment("ops", tags=["tls-sync", "inventory"]),  # type: ignore[arg-type]  # Prefect's types
        preflight.to_deployment("ops", tags=["tls-sync", "preflight"]),  # type: ignore[arg-type]  # Prefect's types
        tls_sync.to_deployment("ops", cron="0 * * * *", tags=["tls-sync", "sync"]),  # type: ignore[arg-type]
        limit=1,
    )
