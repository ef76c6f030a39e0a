"""Prefect's command line and API, at the session's own server."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from deployments.hook.rest import Rest

ROOT = Path(__file__).parents[2]


def api_url() -> str:
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415  2 s, for those who need it

    return PREFECT_API_URL.value() or ""


def environment(home: Path, **variables: str) -> dict[str, str]:
    """For a process of its own at that server."""
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


def rest() -> Rest:
    return Rest(api_url(), {})


def make_pool(env: dict[str, str], name: str = "ops") -> None:
    template = ["--base-job-template", "deployments/work-pool.json", "--overwrite"]
    done = prefect("work-pool", "create", name, "--type", "kubernetes", *template, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


def deployments() -> list[dict[str, Any]]:
    """All that the server has, by the names of flow and deployment."""
    found: list[dict[str, Any]] = rest().call("POST", "/deployments/filter", {})
    return found
