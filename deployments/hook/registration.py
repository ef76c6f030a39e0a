"""Creates or updates work pool, deployments and schedule, these by the command that people would type."""

import json
import subprocess
import tempfile
from pathlib import Path

import yaml

from deployments.hook.errors import HookError
from deployments.hook.inputs import check_inputs
from deployments.hook.prefect_api import DEPLOYMENTS, Object, PrefectApi, Say
from deployments.hook.settings import Settings

COMMAND_SECONDS = 240


def register(settings: Settings, say: Say) -> None:
    count = check_inputs()
    say(f"configuration and kubeconfig fit together; clusters: {count}")
    api = PrefectApi(settings)
    api.wait(settings.wait_seconds, say)
    _refuse_foreign(api.pool(), settings)
    api.write_pool(json.loads(settings.template.read_text()))
    say(f"work pool {settings.pool} is up to date")
    with tempfile.TemporaryDirectory() as folder:
        _deploy(settings, _prefect_file(settings, Path(folder)))
    for name in DEPLOYMENTS:
        deployment = api.deployment(name)
        if deployment is None:
            raise HookError(f"prefect deploy reported success, but there is no deployment {name}")
        say(f"deployment {name} is up to date; {_schedule(deployment)}")


def ours(pool: Object) -> bool:
    """Whether a pool has our job template: its Jobs carry our label."""
    job = pool["base_job_template"].get("job_configuration", {}).get("job_manifest")
    labels = job.get("metadata", {}).get("labels") if isinstance(job, dict) else None
    return isinstance(labels, dict) and labels.get("app") == "tls-sync"


def _refuse_foreign(pool: Object | None, settings: Settings) -> None:
    if pool is not None and not (pool["type"] == "kubernetes" and ours(pool)):
        raise HookError(
            f"work pool {settings.pool} (type {pool['type']}) is there already and is not tls-sync's. Set "
            f"prefect.workPool to a free name; or, if nothing uses it, delete it: "
            f"prefect work-pool delete {settings.pool}"
        )


def _prefect_file(settings: Settings, folder: Path) -> Path:
    """prefect.yaml; where the pool has another name, a copy that says so."""
    shipped = settings.home / "prefect.yaml"
    document = yaml.safe_load(shipped.read_text())
    if all(one["work_pool"]["name"] == settings.pool for one in document["deployments"]):
        return shipped
    for one in document["deployments"]:
        one["work_pool"]["name"] = settings.pool
    written = folder / "prefect.yaml"
    written.write_text(yaml.safe_dump(document, sort_keys=False))
    return written


def _deploy(settings: Settings, file: Path) -> None:
    """`prefect deploy --all`; its output is shown where it fails."""
    command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    try:
        done = subprocess.run(  # noqa: S603  words of ours, no shell
            command, cwd=settings.home, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise HookError(f"`prefect deploy --all` did not end in {COMMAND_SECONDS} s") from None
    if done.returncode:
        raise HookError(f"`prefect deploy --all` failed:\n{done.stdout}{done.stderr}")


def _schedule(deployment: Object) -> str:
    if not deployment["schedules"]:
        return "run by hand"
    return "; ".join(
        f"schedule {one['schedule']['cron']} {one['schedule']['timezone']}"
        f"{'' if one['active'] else ' (suspended)'}"
        for one in deployment["schedules"]
    )
