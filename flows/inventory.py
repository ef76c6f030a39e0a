"""The inventory as a flow: which certificate is where, until when, and whether it is the right one."""

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from tasks.config.load import load_config
from tasks.domain.parameters import RunParameters
from tasks.domain.text import WIDTH
from tasks.inventory import summary, table
from tasks.inventory.collect import collect_inventory
from tasks.inventory.metrics import served_of
from tasks.metrics.push import push_served
from tasks.orchestration.process import prepare
from tasks.orchestration.run_tags import tag_run
from tasks.report.headline import headline
from tasks.report.rows import LOG_ROWS
from tasks.runtime.shutdown import begin_run

prepare()


def run_name() -> str:
    return f"inventory {runtime.flow_run.parameters.get('cluster') or 'all'}"


@flow(
    name="tls-sync-inventory",
    description="Which certificate is where, until when, and is it the right one? Writes nothing.",
    flow_run_name=run_name,
    persist_result=False,
    log_prints=False,
)
def inventory(
    cluster: str | None = Field(
        default=None, description="Show only this cluster (and OPS), by its name in the configuration."
    ),
) -> State[None]:
    begin_run()
    tag_run(*RunParameters(cluster=cluster).tags)
    config = load_config()
    report = collect_inventory(config, cluster)
    verdict, logger = summary.inventory_verdict(report), get_run_logger()
    log = logger.info if verdict.ok else logger.error
    log("%s", table.render(report, WIDTH, rows=LOG_ROWS))
    create_markdown_artifact(
        table.render_markdown(report),
        key="tls-sync-inventory",
        description=headline(verdict),
    )
    if error := push_served(config.owner, served_of(report, config)):
        logger.warning("%s", error)
    state = Completed if verdict.ok else Failed
    return state(name=verdict.name, message=verdict.message)
