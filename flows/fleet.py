"""The fleet: one run of tls-sync/group per group of clusters, wave by wave.

It is for configurations that are too large for one process. tasks/fleet/groups.py has the rules.
"""

from datetime import UTC, datetime

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from tasks.config.limits import RUN_LIMIT
from tasks.config.load import load_config
from tasks.config.schema import SyncConfig
from tasks.domain.models import Discovery
from tasks.domain.parameters import FLEET_TAG, RunParameters
from tasks.fleet import report
from tasks.fleet.groups import GroupResult, groups_by_wave
from tasks.fleet.runs import run_waves
from tasks.kube.discovery import discover
from tasks.metrics.push import push_fleet, reporting_config_errors
from tasks.orchestration.announced import with_gone
from tasks.orchestration.process import prepare
from tasks.orchestration.publish import flush_logs
from tasks.orchestration.run_tags import tag_run
from tasks.report.headline import headline
from tasks.report.terminal import records
from tasks.runtime.shutdown import begin_run
from tasks.runtime.signals import Stage, set_stage

prepare()


def run_name() -> str:
    given = runtime.flow_run.parameters
    words = ["fleet", given.get("certificate") or ""]
    words += ["(dry run)" if given.get("dry_run") else "", "(verify)" if given.get("verify") else ""]
    return " ".join(str(word) for word in words if word)


@flow(
    name="tls-sync-fleet",
    description="Start one run of tls-sync per group of clusters, wave after wave, and wait for all of them.",
    flow_run_name=run_name,
    persist_result=False,
    log_prints=False,
)
def tls_sync_fleet(
    certificate: str | None = Field(
        default=None, description="Sync only this certificate, by its Secret's name on OPS."
    ),
    dry_run: bool = Field(default=False, description="Plan and report, but write nothing."),
    verify: bool = Field(
        default=False, description="Read and compare all certificates, also those that notes say are in sync."
    ),
) -> State[None]:
    begin_run()
    began = datetime.now(UTC)
    with reporting_config_errors():
        config = load_config()
    parameters = RunParameters(certificate=certificate, dry_run=dry_run, verify=verify)
    config, discovery = discover(config)
    waves = groups_by_wave(config.select(parameters))
    tag_run(FLEET_TAG, *parameters.tags)
    results, signal = run_waves(waves, config, parameters, began + RUN_LIMIT)
    discovery = with_gone(discovery, config.names, parameters)
    publish(results, config, discovery, began, dry_run=dry_run)
    if signal:
        flush_logs()
        raise signal
    ending = report.verdict(results, config, discovery)
    make = Completed if ending.ok else Failed
    return make(name=ending.name, message=ending.message)


def publish(
    results: list[GroupResult], config: SyncConfig, discovery: Discovery, began: datetime, *, dry_run: bool
) -> None:
    """Log the report, create its artifact and push metrics; a dry run pushes none."""
    verdict, logger = report.verdict(results, config, discovery), get_run_logger()
    log = logger.info if verdict.ok else logger.error
    for part in records(report.render(results, config, discovery)):
        log("%s", part)
    set_stage(Stage.REPORTED)
    try:
        create_markdown_artifact(
            report.render_markdown(results, config, discovery),
            key="dry-run-tls-sync-fleet" if dry_run else "tls-sync-fleet",
            description=headline(verdict),
        )
    finally:
        known = discovery.failure is None
        if not dry_run and (error := push_fleet(config, began, ok=verdict.ok, is_complete=known)):
            logger.warning("%s", error)
