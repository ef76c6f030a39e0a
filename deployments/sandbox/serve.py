"""The child process that runs the flow when its schedule or a person wants it: deployment tls-sync/ops."""

from flows.tls_sync import tls_sync

if __name__ == "__main__":
    # One run at a time: a second one would plan on what the first is about to change.
    tls_sync.serve(name="ops", cron="0 * * * *", limit=1, tags=["tls-sync"])
