"""Deletes the release's Jobs and the volume that their pods used, with the rights to do this and no more."""

import os
import ssl
import time
from pathlib import Path
from typing import Any

import httpx

from deployments.hook.errors import HookError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS = 120.0
"""Seconds to wait for the Jobs' end; a run has one minute to complete its writes."""
TIMEOUT_SECONDS = 15.0
"""Seconds that one request may take."""
BUSY = frozenset({429, 500, 502, 503, 504})
"""Statuses after which a request is sent again."""
FOREGROUND = {"propagationPolicy": "Foreground"}
"""The pods are deleted before their Job."""


def in_cluster() -> tuple[httpx.Client, str]:
    """Return a client of this cluster's API server, and our namespace. Raises HookError outside a pod."""
    try:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        token = (ACCOUNT / "token").read_text().strip()
        namespace = (ACCOUNT / "namespace").read_text().strip()
    except (KeyError, OSError):
        raise HookError(
            "this is no pod with a ServiceAccount, so there are no Jobs to delete: the chart runs this step, "
            "at helm uninstall"
        ) from None
    host = f"[{host}]" if ":" in host else host
    return api_server(f"https://{host}:{port}", token, trust), namespace


def api_server(address: str, token: str, trust: ssl.SSLContext) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=address, headers=headers, verify=trust, timeout=TIMEOUT_SECONDS)


def end_jobs(client: httpx.Client, namespace: str, release: str, seconds: float = SECONDS) -> list[str]:
    """Delete the Jobs of runs and of the registration hook, wait until they are gone, return their names.

    Raises HookError where they are not gone after that many seconds, or where the API server refuses us.
    """
    selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component in (run,register)"
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    deadline, ended = time.monotonic() + seconds, set[str]()
    while jobs := _call(client, "GET", path, deadline, {"labelSelector": selector}).json()["items"]:
        names = sorted(job["metadata"]["name"] for job in jobs)
        if time.monotonic() > deadline:
            raise HookError(
                f"these Jobs are not gone after {seconds:.0f} s: {', '.join(names)}. "
                f"See why: kubectl -n {namespace} describe job {names[0]}"
            )
        for job in jobs:
            if not _is_ending(job):
                _call(client, "DELETE", f"{path}/{job['metadata']['name']}", deadline, FOREGROUND)
                ended.add(job["metadata"]["name"])
        time.sleep(1)
    return sorted(ended)


def delete_claim(client: httpx.Client, namespace: str, name: str, seconds: float = SECONDS) -> None:
    """Delete a PersistentVolumeClaim, which is gone once no pod uses it. None is no error."""
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
    _call(client, "DELETE", path, time.monotonic() + seconds, {})


def _call(
    client: httpx.Client, method: str, path: str, deadline: float, query: dict[str, str]
) -> httpx.Response:
    """Send a request, again until the deadline while the API server is busy or silent.

    To delete what does not exist is no error.
    """
    while True:
        try:
            response = client.request(method, path, params=query)
            problem = f"HTTP {response.status_code}"
            if response.is_success or (method == "DELETE" and response.status_code == 404):
                return response
            passing = response.status_code in BUSY
        except httpx.TransportError as error:
            problem, passing = type(error).__name__, True
        if not passing or time.monotonic() > deadline:
            raise HookError(
                f"this cluster's API server does not let the hook delete: {method} {path}: {problem}. "
                "Check the Role tls-sync-remove and that the network lets this pod reach the API server"
            )
        time.sleep(1)


def _is_ending(job: dict[str, Any]) -> bool:
    return "deletionTimestamp" in job["metadata"]
