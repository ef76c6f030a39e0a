"""Publishes a run in Prefect, as its name, log, artifacts, events and final state, and in Prometheus."""

from collections.abc import Callable
from itertools import islice
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogHandler
from prefect.states import Completed, Failed

from tasks.config.schema import Source
from tasks.domain.models import RunReport
from tasks.domain.parameters import PARAMETERS, RunParameters
from tasks.metrics.push import push
from tasks.orchestration.artifacts import create_artifacts
from tasks.plan.waves import Share, labels_of
from tasks.report import terminal
from tasks.report.events import MAX_EVENTS, events_of
from tasks.report.kubernetes_events import kubernetes_events_of
from tasks.report.verdict import run_verdict
from tasks.runtime.signals import Stage, set_stage
from tasks.source.write_events import write_events

listeners: list[Callable[[RunReport], None]] = []
"""Called with the report of each run of this process: a flow returns no data, and a command needs some."""


def run_name() -> str:
    given = runtime.flow_run.parameters  # not validated yet
    return RunParameters(**{name: given[name] for name in PARAMETERS & given.keys()}).run_name


def publish(report: RunReport) -> None:
    """Publish the report in Prefect, then push metrics, also if Prefect's API fails."""
    for listener in listeners:
        listener(report)
    try:
        show(report)
    finally:
        if error := push(report):
            get_run_logger().warning("%s", error)


def publish_on_ops(source: Source, report: RunReport) -> None:
    """Create Kubernetes Events on OPS if the configuration asks for them; warn if that fails."""
    if error := write_events(source, kubernetes_events_of(report)):
        get_run_logger().warning("%s", error)


def show(report: RunReport, *, everything: bool = False) -> None:
    """Log the table, create the artifacts of the run and of its clusters (see there), and emit events."""
    logger = get_run_logger()
    log = logger.info if run_verdict(report).ok else logger.error
    for part in terminal.records(terminal.render(report)):
        log("%s", part)
    set_stage(Stage.REPORTED)
    create_artifacts(report, everything=everything)
    emit(report)  # last: if Prefect's API is down, its client retries for two minutes


def emit(report: RunReport) -> None:
    """Emit the events of a run, MAX_EVENTS at most. Prefect sends them in a thread of its own."""
    events = events_of(report)
    for one in islice(events, MAX_EVENTS):
        emit_event(one.name, one.resource, occurred=report.now, related=one.related, payload=one.payload)
    if left_out := sum(1 for _ in events):
        get_run_logger().warning("events: %s of %s were not sent: too many", left_out, MAX_EVENTS + left_out)


def label_with_share(share: Share, not_served: int | None = None) -> None:
    """Label this run with its share of missing copies, which tasks/fleet/runs.py reads.

    With it, where later waves wait for that: how many handshakes found something else than what is stored.
    """
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(UUID(runtime.flow_run.id), labels_of(share, not_served))
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning(
            "could not label this run with its share (%s); the fleet counts the group as failed",
            type(error).__name__,
        )


def flush_logs() -> None:
    """Send the log to Prefect's API; raising the stop signal again ends the process before it is sent."""
    APILogHandler().flush()


def final_state(report: RunReport) -> State[None]:
    """Return the run's state: a flow that returns plain data is Completed, whatever its tasks did."""
    ending = run_verdict(report)
    make = Completed if ending.ok else Failed
    return make(name=ending.name, message=ending.message)
