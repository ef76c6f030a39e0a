"""Prefect's command line and API at the test session's server."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

ROOT = Path(__file__).parents[2]


def api_url() -> str:
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415  takes 2 s

    return PREFECT_API_URL.value() or ""


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a process that uses that server."""
    ours = {
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": api_url(),
        "PREFECT_HOME": str(home),
        "TLS_SYNC_HOME": str(ROOT),
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **ours, "PATH": path, "PYTHONPATH": str(ROOT), **variables}


def prefect(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def http_client(address: str, password: str = "") -> "httpx.Client":
    """Prefect's own HTTP client: it retries while the server is busy, and raises for each error status."""
    from prefect.client.base import PrefectHttpxSyncClient  # noqa: PLC0415  as above

    user, _, secret = password.partition(":")
    return PrefectHttpxSyncClient(
        base_url=address, auth=(user, secret) if password else None, enable_csrf_support=True, timeout=60
    )


def make_pool(env: dict[str, str], name: str = "ops") -> None:
    template = ["--base-job-template", "deployments/work-pool.json", "--overwrite"]
    done = prefect("work-pool", "create", name, "--type", "kubernetes", *template, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


def deployments() -> list[dict[str, Any]]:
    """Return all deployments of the server."""
    found: list[dict[str, Any]] = http_client(api_url()).post("/deployments/filter", json={}).json()
    return found
