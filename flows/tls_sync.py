"""The main flow: certificates from OPS to the clusters that need them.

OPS ── collect ──▶ snapshot (facts, no keys) ──▶ one sync per cluster, wave by wave ──▶ prune ──▶ report
"""

from datetime import UTC, datetime

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from tasks.collect_certificates import collect
from tasks.config.limits import RUN_LIMIT, refuse_too_many
from tasks.config.load import load_config
from tasks.domain.models import RunReport, without_lacking
from tasks.domain.parameters import RunParameters
from tasks.kube import request_counts
from tasks.kube.discovery import discover
from tasks.kube.pool import reuse_clients
from tasks.kubeconfig.reader import frozen_kubeconfig
from tasks.metrics.push import reporting_config_errors
from tasks.orchestration.announced import with_gone
from tasks.orchestration.process import prepare
from tasks.orchestration.publish import (
    final_state,
    flush_logs,
    label_with_share,
    publish,
    publish_on_ops,
    run_name,
)
from tasks.orchestration.run_tags import tag_run
from tasks.orchestration.task_runners import task_submitter
from tasks.plan.described import described
from tasks.plan.requests import granted, without_requests
from tasks.plan.spec import RunMemory, specs_for
from tasks.plan.unrouted import without_unrouted
from tasks.plan.waves import share_of
from tasks.prune_cluster import prune_clusters
from tasks.rollout import look_for_fleet, sync_clusters
from tasks.runtime.memory import memory_limit
from tasks.runtime.shutdown import begin_run
from tasks.served.awaited import not_matching

prepare()  # before any key is read: umask, no core dumps, less memory

MAX_CONCURRENCY = 16
"""Maximum number of clusters that threads serve at a time; Dask's workers have a limit of their own."""


@flow(
    name="tls-sync",
    description="Copy the TLS certificates of OPS to the clusters and namespaces that the routes name.",
    flow_run_name=run_name,
    task_runner=ThreadPoolTaskRunner(max_workers=MAX_CONCURRENCY),  # type: ignore[arg-type]  # Prefect's types
    persist_result=False,
    log_prints=False,
)
def tls_sync(  # noqa: PLR0913, PLR0917  the parameters of a run
    cluster: str | None = Field(
        default=None, description="Sync only this cluster, by its name in the configuration."
    ),
    certificate: str | None = Field(
        default=None, description="Sync only this certificate, by its Secret's name on OPS."
    ),
    dry_run: bool = Field(default=False, description="Plan and report, but write nothing."),
    group: str | None = Field(
        default=None, description="Sync only this group of clusters, by its name in the configuration."
    ),
    urgent_only: bool = Field(default=False, description="Write only copies that expire within 24 hours."),
    verify: bool = Field(
        default=False, description="Read and compare all certificates, also those that notes say are in sync."
    ),
) -> State[None]:
    """Read OPS, sync each cluster that the run is for, wave by wave, prune, and report.

    After a stop signal, no write starts, the report is published, and the signal is raised again.
    """
    begin_run()
    began, requests_before = datetime.now(UTC), request_counts.snapshot()
    parameters = RunParameters(
        cluster=cluster,
        certificate=certificate,
        group=group,
        dry_run=dry_run,
        urgent_only=urgent_only,
        verify=verify,
    )
    with reporting_config_errors():
        config = load_config()
    run_deadline, memory = began + RUN_LIMIT, RunMemory()
    tag_run(*parameters.tags)
    with (
        frozen_kubeconfig(),
        reuse_clients(of_source_only=True),
        task_submitter(config.task_runner, run_deadline) as submit,
    ):
        config, discovery = discover(config, parameters)
        config.select(parameters)  # before certificates are read
        found = collect(config.source, verify=verify, with_requests=bool(config.self_service))
        config, found = granted(config, found)
        clusters = config.select(parameters)
        found = without_requests(found)
        snapshot = refuse_too_many(found, config.source, clusters, certificate, limit=memory_limit())
        specs = specs_for(config, clusters, snapshot, parameters, run_deadline=run_deadline, memory=memory)
        reports, stop_signal = sync_clusters(specs, submit)
        if group and not stop_signal:
            reports, stop_signal = look_for_fleet(reports, parameters, run_deadline)
        if not (parameters.is_narrowed or stop_signal):
            reports, stop_signal = prune_clusters(specs, reports, submit)
    share, (reports, unserved) = share_of(specs, reports), without_lacking(reports)
    report = RunReport(
        now=datetime.now(UTC),
        parameters=parameters,
        members=config.members(group) if group else (),
        suspended=config.suspended,
        snapshot=without_unrouted(described(snapshot, memory, reports), config),
        clusters=reports,
        owner=config.owner,
        configured=config.names,
        began=began,
        requests=request_counts.since(requests_before),
        discovery=with_gone(discovery, config.names, parameters).with_unserved(unserved),
    )
    if group and not (stop_signal or snapshot.failure):
        # The fleet reads from it whether the next wave may write everything.
        label_with_share(share, not_matching(reports) if config.waves.verify else None)
    publish(report)
    if stop_signal:
        flush_logs()
        raise stop_signal
    publish_on_ops(config.source, report)
    return final_state(report)
