"""The preflight as a flow: checks on OPS and every target whether runs can work, and writes nothing."""

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from tasks.config.load import load_config
from tasks.domain.parameters import RunParameters
from tasks.orchestration.prefect_api import PrefectAPIError, prefect_api
from tasks.orchestration.process import prepare
from tasks.orchestration.run_tags import tag_run
from tasks.orchestration.schedule import longest_gap
from tasks.preflight import render
from tasks.preflight.model import Preflight
from tasks.preflight.probe import preflight as run_preflight
from tasks.preflight.schedule import with_schedule, without_schedule
from tasks.report.headline import headline
from tasks.runtime.shutdown import begin_run

prepare()


def run_name() -> str:
    return f"preflight {runtime.flow_run.parameters.get('cluster') or 'all'}"


@flow(
    name="tls-sync-preflight",
    description="Ask OPS and the clusters whether runs can work, and say what to do where they can't.",
    flow_run_name=run_name,
    persist_result=False,
    log_prints=False,
)
def preflight(
    cluster: str | None = Field(
        default=None, description="Check only this cluster (and OPS), by its name in the configuration."
    ),
) -> State[None]:
    begin_run()
    tag_run(*RunParameters(cluster=cluster).tags)
    found = _with_schedule(run_preflight(load_config(), cluster))
    verdict, logger = render.verdict(found), get_run_logger()
    log = logger.info if verdict.ok else logger.error
    log("%s", render.render(found))
    create_markdown_artifact(
        render.render_markdown(found), key="tls-sync-preflight", description=headline(verdict)
    )
    state = Completed if verdict.ok else Failed
    return state(name=verdict.name, message=verdict.message)


def _with_schedule(found: Preflight) -> Preflight:
    try:
        with prefect_api() as client:
            ops = with_schedule(found.ops, longest_gap(client))
    except PrefectAPIError as error:
        ops = without_schedule(found.ops, str(error))
    return found.model_copy(update={"ops": ops})
