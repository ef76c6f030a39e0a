"""How a run shows itself in Prefect: its name, its artifacts, its log, its final state."""

from itertools import islice
from uuid import UUID

import httpx
from prefect import runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogHandler
from prefect.states import Completed, Failed

from tasks.domain.models import RunReport
from tasks.domain.parameters import PARAMETERS, RunParameters
from tasks.metrics.push import push
from tasks.plan.waves import Share, labels_of
from tasks.report import markdown, terminal
from tasks.report.events import MAX_EVENTS, events_of
from tasks.report.verdict import run_verdict
from tasks.runtime.signals import Stage, set_stage


def run_name() -> str:
    given = runtime.flow_run.parameters  # not validated yet
    return RunParameters(**{name: given[name] for name in PARAMETERS & given.keys()}).run_name


def publish(report: RunReport) -> None:
    """To people, then to Prometheus: this one also hears of a run that Prefect's API did not hear of."""
    try:
        show(report)
    finally:
        if lost := push(report):
            get_run_logger().warning("%s", lost)


def show(report: RunReport) -> None:
    """The table to the log, an artifact for the run, and one per cluster that keeps its history."""
    logger = get_run_logger()
    tell = logger.info if run_verdict(report).ok else logger.error
    for part in terminal.records(terminal.render(report)):
        tell("%s", part)
    set_stage(Stage.REPORTED)
    # A dry run has keys of its own: the latest report of a cluster says what was done, not what would be.
    key = "dry-run-tls-sync" if report.parameters.dry_run else "tls-sync"
    create_markdown_artifact(markdown.render_run(report), key=key, description="The run's report")
    for cluster in report.clusters:
        text = markdown.render_cluster(cluster)
        create_markdown_artifact(
            text, key=f"{key}-{cluster.cluster}", description=f"What became of {cluster.cluster}"
        )
    emit(report)  # last: where Prefect's API is away, its client would try to send them for two minutes


def emit(report: RunReport) -> None:
    """Prefect sends them from a thread of its own: nothing waits for that."""
    events = events_of(report)
    for one in islice(events, MAX_EVENTS):
        emit_event(one.name, one.resource, occurred=report.now, related=one.related, payload=one.payload)
    if left_out := sum(1 for _ in events):
        get_run_logger().warning("events: %s of %s were not sent: too many", left_out, MAX_EVENTS + left_out)


def label_with_share(share: Share) -> None:
    """As labels of the run, where tasks/fleet/runs.py finds how it went; untold, it counts as badly."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(UUID(runtime.flow_run.id), labels_of(share))
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning(
            "could not label this run with its share (%s); the fleet counts the group as failed",
            type(error).__name__,
        )


def flush_logs() -> None:
    """To Prefect's API, before what told the run to stop is raised again, which ends the process."""
    APILogHandler().flush()


def final_state(report: RunReport) -> State[None]:
    """Said explicitly: a flow that returns plain data is Completed whatever its tasks did."""
    ending = run_verdict(report)
    make = Completed if ending.ok else Failed
    return make(name=ending.name, message=ending.message)
