"""The preflight as a flow: can runs work? Asks OPS and every target, and writes to none of them."""

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from tasks.config.load import load_config
from tasks.orchestration.process import prepare
from tasks.preflight import render
from tasks.preflight.probe import preflight as look
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
    found = look(load_config(), cluster)
    ending, logger = render.verdict(found), get_run_logger()
    say = logger.info if ending.ok else logger.error
    say("%s", render.render(found))
    create_markdown_artifact(
        render.render_markdown(found), key="tls-sync-preflight", description="Whether runs can work"
    )
    make = Completed if ending.ok else Failed
    return make(name=ending.name, message=ending.message)
