"""Creates or updates the work pool, then deployments and schedule by `prefect deploy --all`."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prefect.client.schemas.objects import DeploymentSchedule, WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from deployments.hook.choices import choices_for
from deployments.hook.errors import HookError
from deployments.hook.inputs import check_inputs
from deployments.hook.prefect_api import DEPLOYMENTS, PrefectApi, Say
from deployments.hook.settings import Settings

COMMAND_SECONDS = 240
"""Seconds that `prefect deploy` may take."""
INSTANCE = "app.kubernetes.io/instance"
"""The label with the release that made an object."""


def register(settings: Settings, say: Say) -> None:
    config = check_inputs()
    say(f"configuration and kubeconfig fit together; clusters: {len(config.clusters)}")
    api = PrefectApi(settings)
    api.wait(settings.wait_seconds, say)
    template = json.loads(settings.template.read_text())
    release = release_of(template)
    _refuse_foreign_pool(api.pool(), release, settings)
    _refuse_foreign_deployments(api, release)
    api.write_pool(template)
    say(f"work pool {settings.pool} is up to date")
    with tempfile.TemporaryDirectory() as folder:
        _deploy(settings, _prefect_file(settings, Path(folder)))
    for name in DEPLOYMENTS:
        deployment = api.deployment(name)
        if deployment is None:
            raise HookError(f"prefect deploy reported success, but there is no deployment {name}")
        api.offer(deployment, choices_for(name, config))
        say(f"deployment {name} is up to date; {_schedule(deployment)}")


class Release(NamedTuple):
    namespace: str
    name: str


def release_of(template: dict[str, Any]) -> Release | None:
    """Return the release of a base job template, by the labels of its Jobs; None if not of tls-sync."""
    configuration = template.get("job_configuration", {})
    job = configuration.get("job_manifest")
    labels = job.get("metadata", {}).get("labels") if isinstance(job, dict) else None
    if not isinstance(labels, dict) or labels.get("app") != "tls-sync":
        return None
    return Release(str(configuration.get("namespace")), str(labels.get(INSTANCE)))


def _refuse_foreign_pool(pool: WorkPool | None, ours: Release | None, settings: Settings) -> None:
    if pool is None:
        return
    whose = release_of(pool.base_job_template)
    if pool.type == "kubernetes" and whose == ours:
        return
    owner = f"release {whose.name}'s in namespace {whose.namespace}" if whose else "not tls-sync's"
    raise HookError(
        f"work pool {settings.pool} (type {pool.type}) exists already and is {owner}. Set "
        f"prefect.workPool to another name; or, if nothing uses it, delete it: "
        f"prefect work-pool delete {settings.pool}"
    )


def _refuse_foreign_deployments(api: PrefectApi, ours: Release | None) -> None:
    """Raise HookError where another release has these deployments: they, and the schedule, are its own."""
    for name in DEPLOYMENTS:
        deployment = api.deployment(name)
        pool = deployment and deployment.work_pool_name and api.pool(deployment.work_pool_name)
        if pool and release_of(pool.base_job_template) != ours:
            raise HookError(
                f"deployment {name} exists already, in work pool {pool.name}, which is not this "
                "release's. Give each release a Prefect server, or a workspace of Prefect Cloud, of its own; "
                f"or, if nothing needs it any more, delete it: prefect deployment delete {name}"
            )


def _prefect_file(settings: Settings, folder: Path) -> Path:
    """Return prefect.yaml, or a copy with the work pool's name where that differs."""
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
    """Run `prefect deploy --all`. Raises HookError with its output where it fails."""
    command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    try:
        done = subprocess.run(  # noqa: S603  constant words, no shell
            command, cwd=settings.home, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise HookError(f"`prefect deploy --all` did not end in {COMMAND_SECONDS} s") from None
    if done.returncode:
        raise HookError(f"`prefect deploy --all` failed:\n{done.stdout}{done.stderr}")


def _schedule(deployment: DeploymentResponse) -> str:
    found = (one for one in deployment.schedules if isinstance(one.schedule, CronSchedule))
    return "; ".join(map(_describe, found)) or "run by hand"


def _describe(schedule: DeploymentSchedule) -> str:
    cron = schedule.schedule
    assert isinstance(cron, CronSchedule)
    given = f" with {json.dumps(schedule.parameters)}" if schedule.parameters else ""
    return f"schedule {cron.cron} {cron.timezone}{given}{'' if schedule.active else ' (suspended)'}"
