"""Ends the release's Jobs, in a pod, with an account that may list and delete Jobs here and no more."""

import os
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deployments.hook.errors import HookError
from deployments.hook.rest import Rest

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS = 120.0
"""More than the minute that a run is given to end what it writes."""
PODS_FIRST = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}


def in_cluster() -> tuple[Rest, str]:
    """The API server of the cluster that we are in, and our namespace. Raises HookError outside a pod."""
    try:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        token = (ACCOUNT / "token").read_text().strip()
        namespace = (ACCOUNT / "namespace").read_text().strip()
    except (KeyError, OSError):
        raise HookError(
            "this is no pod with a service account, so there are no Jobs to end: the chart runs this step, "
            "at helm uninstall"
        ) from None
    host = f"[{host}]" if ":" in host else host
    return Rest(f"https://{host}:{port}", {"Authorization": f"Bearer {token}"}, trust), namespace


def end_jobs(rest: Rest, namespace: str, release: str, seconds: float = SECONDS) -> list[str]:
    """Deletes the Jobs of runs and of the registering hook, pods first, and waits until they are gone."""
    selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component in (run,register)"
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    deadline, ended = time.monotonic() + seconds, set[str]()
    while jobs := rest.call("GET", f"{path}?labelSelector={quote(selector)}")["items"]:
        names = sorted(job["metadata"]["name"] for job in jobs)
        if time.monotonic() > deadline:
            raise HookError(
                f"Jobs that do not end: {', '.join(names)}. "
                f"See why: kubectl -n {namespace} describe job {names[0]}"
            )
        for job in jobs:
            if not _ending(job):
                rest.delete(f"{path}/{job['metadata']['name']}", PODS_FIRST)
                ended.add(job["metadata"]["name"])
        time.sleep(1)
    return sorted(ended)


def _ending(job: dict[str, Any]) -> bool:
    return "deletionTimestamp" in job["metadata"]
